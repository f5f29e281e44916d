// A limit on a rate: `burst` at once, `per_second` in the long run. Owner: one worker.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/random.hpp"

#include <algorithm>
#include <cstdint>

namespace pantala {

class token_bucket {
  public:
    token_bucket() = default; // nothing is ever granted
    token_bucket(std::uint32_t per_second, std::uint32_t burst)
        : step_ns_(ns_per_s / std::max(per_second, 1u)), burst_(burst), tokens_(burst) {}

    // Nothing would be granted.
    bool empty(instant now) const { return tokens_ == 0 && now - filled_ < step_ns_; }

    // True: one was granted.
    bool take(instant now) { return take(now, 1); }
    // The same, at a price of 0 to 2, 1 on average: nobody can count what others drew by what is
    // left for himself (CVE-2020-25705; as Linux's since 5.10).
    bool take_blurred(instant now, random_source& random) { return take(now, random.below(3)); }

  private:
    bool take(instant now, std::uint32_t price) {
        if (tokens_ < burst_ && now - filled_ >= step_ns_) {
            const std::uint64_t earned = (now - filled_) / step_ns_;
            filled_ = filled_ + earned * step_ns_;
            tokens_ = std::min(burst_, tokens_ + earned);
        }
        if (tokens_ == burst_) {
            filled_ = now; // a full bucket earns nothing
        }
        if (tokens_ == 0) {
            return false;
        }
        tokens_ -= std::min<std::uint64_t>(price, tokens_);
        return true;
    }

    std::uint64_t step_ns_ = 1;
    std::uint64_t burst_ = 0;
    std::uint64_t tokens_ = 0;
    instant filled_{};
};

} // namespace pantala
