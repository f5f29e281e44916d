// Who a neighbour is: an address of either family on an interface. IPv4 takes the mapped form
// ::ffff:a.b.c.d (RFC 4291 2.5.5.2), so that ARP and neighbour discovery share tables and timers.
#pragma once

#include "stack/route/interface.hpp"
#include "stack/wire/address.hpp"

#include <cstdint>

namespace pantala {

struct neighbor_key {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    iface_id iface{};

    bool operator==(const neighbor_key&) const = default;

    bool is_ip4() const { return high == 0 && low >> 32 == 0xffff; }
    be32 ip4() const { return be32::from(static_cast<std::uint32_t>(low)); }

    // Spreads every bit of the key over the result; not secret (collisions cost a longer chain in
    // tables of bounded size).
    std::uint32_t hash() const {
        const std::uint64_t mixed =
            (low ^ (high * 0x9e3779b97f4a7c15u) ^ (std::uint64_t{iface.value} << 40)) *
            0xd6e8feb86659fd93u;
        return static_cast<std::uint32_t>(mixed >> 32);
    }
};

inline neighbor_key make_neighbor_key(iface_id iface, be32 address) {
    return {0, (std::uint64_t{0xffff} << 32) | address.host(), iface};
}
inline neighbor_key make_neighbor_key(iface_id iface, const wire::ipv6_address& address) {
    return {address.high(), address.low(), iface};
}

} // namespace pantala
