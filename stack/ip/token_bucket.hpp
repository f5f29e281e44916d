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
        : step_ns_(static_cast<std::int64_t>(ns_per_s / std::max(per_second, 1u))), burst_(burst),
          tokens_(burst) {}

    // Nothing would be granted.
    bool empty(instant now) const { return tokens_ + earned_by(now) <= 0; }

    // True: one was granted.
    bool take(instant now) { return take(now, 1); }
    // The same, at a price of 0 to 2, 1 on average: nobody can count what others drew by what is
    // left for himself (CVE-2020-25705; as Linux's since 5.10).
    bool take_blurred(instant now, random_source& random) { return take(now, random.below(3)); }

  private:
    std::int64_t earned_by(instant now) const {
        return static_cast<std::int64_t>(now - filled_) / step_ns_;
    }
    // What is dearer than what is left is owed.
    bool take(instant now, std::int64_t price) {
        if (tokens_ < burst_ && earned_by(now) > 0) {
            const std::int64_t earned = earned_by(now);
            filled_ = filled_ + static_cast<std::uint64_t>(earned * step_ns_);
            tokens_ = std::min(burst_, tokens_ + earned);
        }
        if (tokens_ == burst_) {
            filled_ = now; // a full bucket earns nothing
        }
        if (tokens_ <= 0) {
            return false;
        }
        tokens_ -= price;
        return true;
    }

    std::int64_t step_ns_ = 1;
    std::int64_t burst_ = 0;
    std::int64_t tokens_ = 0; // -1: an answer is owed
    instant filled_{};
};

} // namespace pantala
