// Identifications of IPv4 packets of our own that may be cut (RFC 791 3.2; what never is cut needs
// none, RFC 6864 4.1). One counter for all would tell anybody whom we answer how much we send to
// others (the idle scan); so each belongs to the destinations that share a keyed hash with it, and
// begins and goes on at random. Owner: one worker; 2 KB.
#pragma once

#include "engine/base/siphash.hpp"
#include "engine/random.hpp"
#include "stack/wire/ipv4.hpp"

#include <array>
#include <cstdint>

namespace pantala {

class ip4_ids {
  public:
    ip4_ids() = default;
    explicit ip4_ids(siphash_key key) : key_(key) {}

    // A number that this source used for this destination as long ago as can be.
    be16 next(
        wire::ipv4_address source, wire::ipv4_address destination, wire::ip_protocol protocol,
        random_source& random) {
        siphash13 sum(key_);
        sum.word(std::uint64_t{source.value.raw()} << 32 | destination.value.raw());
        const std::uint64_t hash = sum.finish(static_cast<std::uint64_t>(protocol), 9);
        std::uint16_t& counter = counters_[hash % counters_.size()];
        counter = static_cast<std::uint16_t>(counter + 1 + random.below(step_max));
        return be16::from(static_cast<std::uint16_t>(counter + (hash >> 48)));
    }

  private:
    static constexpr std::uint32_t step_max = 4; // hides how many there were between two
    siphash_key key_{};
    std::array<std::uint16_t, 1'024> counters_{};
};

} // namespace pantala
