// Path MTUs smaller than that of the way out (RFC 1191, RFC 8201): what ICMP errors that somebody
// had reason to believe said of single destinations. A small cache; what it forgets is told again.
// Owner: one worker.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/base/siphash.hpp"
#include "stack/wire/flow.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

namespace pantala {

class path_mtu_cache {
  public:
    static constexpr std::uint16_t none = 0xffff;
    static constexpr std::uint64_t lifetime_ns = 600 * ns_per_s; // RFC 8201 4, RFC 1191 6.3
    // Nobody has to believe less: IPv6's least link (RFC 8200 5); of IPv4 what every host takes.
    static constexpr std::uint16_t least4 = 576;
    static constexpr std::uint16_t least6 = 1280;

    explicit path_mtu_cache(siphash_key key) : key_(key) {}

    // Keeps the smaller of this and what is known. Cost: one set of four.
    void learn(const ip_address& remote, std::uint16_t mtu, instant now) {
        if (sets_ == nullptr) {
            sets_ = std::make_unique<sets>();
        }
        mtu = std::max(mtu, remote.is_v4() ? least4 : least6);
        auto& set = set_of(remote);
        entry* place = &set[0];
        for (entry& one : set) {
            if (one.remote == remote) {
                place = &one;
                mtu = one.until > now ? std::min(mtu, one.mtu) : mtu;
                break;
            }
            place = one.until < place->until ? &one : place; // the oldest goes
        }
        *place = {remote, now + lifetime_ns, mtu};
    }

    // `none`: the way out says all there is. Cost: nothing as long as nothing was learned.
    std::uint16_t find(const ip_address& remote, instant now) const {
        if (sets_ == nullptr) [[likely]] {
            return none;
        }
        for (const entry& one : set_of(remote)) {
            if (one.remote == remote && one.until > now) {
                return one.mtu;
            }
        }
        return none;
    }

  private:
    struct entry {
        ip_address remote;
        instant until{}; // 0: free
        std::uint16_t mtu = none;
    };
    static constexpr std::size_t sets_count = 256;
    using sets = std::array<std::array<entry, 4>, sets_count>;

    // Keyed: nobody can choose destinations that push each other out.
    std::array<entry, 4>& set_of(const ip_address& remote) const {
        siphash13 sum(key_);
        sum.word(remote.words[0]);
        sum.word(remote.words[1]);
        return (*sets_)[sum.finish(0, 16) % sets_count];
    }

    siphash_key key_;
    std::unique_ptr<sets> sets_; // made when first something is learned
};

} // namespace pantala
