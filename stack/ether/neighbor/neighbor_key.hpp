// Who a neighbour is: an address of either family on an interface. IPv4 takes the mapped form
// ::ffff:a.b.c.d (RFC 4291 2.5.5.2), so that ARP and neighbour discovery share tables and timers.
#pragma once

#include "engine/random.hpp"
#include "stack/route/interface.hpp"
#include "stack/wire/address.hpp"

#include <array>
#include <cstdint>

namespace pantala {

struct neighbor_key {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    iface_id iface{};

    bool operator==(const neighbor_key&) const = default;

    bool is_ip4() const { return high == 0 && low >> 32 == 0xffff; }
    be32 ip4() const { return be32::from(static_cast<std::uint32_t>(low)); }
};

// What a table's buckets are chosen with: drawn when the table is made, never told. A remote host
// chooses which addresses of a link are looked up, and must not choose where they lie.
struct neighbor_secret {
    std::array<std::uint64_t, 6> words{};

    static neighbor_secret drawn(random_source& from) {
        neighbor_secret secret;
        for (std::uint64_t& word : secret.words) {
            word = from.next();
        }
        return secret;
    }
};

// Any two keys share a value with a chance of 2^-32, whoever chose them without knowing the secret:
// multilinear hashing (Lemire and Kaser, "Strongly universal string hashing is fast", 2014, of
// 32-bit words). Cost: five multiplications that do not wait for one another; SipHash took ten
// times as many instructions, on the way of every packet to a host of a link.
inline std::uint32_t hash_of(const neighbor_secret& secret, const neighbor_key& key) {
    const auto& word = secret.words;
    const std::uint64_t sum = word[0] + word[1] * (key.high >> 32) +
                              word[2] * (key.high & 0xffff'ffffU) + word[3] * (key.low >> 32) +
                              word[4] * (key.low & 0xffff'ffffU) + word[5] * key.iface.value;
    return static_cast<std::uint32_t>(sum >> 32);
}

inline neighbor_key make_neighbor_key(iface_id iface, be32 address) {
    return {0, (std::uint64_t{0xffff} << 32) | address.host(), iface};
}
inline neighbor_key make_neighbor_key(iface_id iface, const wire::ipv6_address& address) {
    return {address.high(), address.low(), iface};
}

} // namespace pantala
