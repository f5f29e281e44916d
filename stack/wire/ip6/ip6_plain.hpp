// Which IPv6 headers of a burst are *plain*: what RFC 8200 3 and RFC 4291 ask of the common kind of
// packet. What is not plain is not wrong: it leaves the fast path and is judged one by one.
//
// Plain means: version 6, the payload no longer than the frame holds, no hop-by-hop header, and
// source and destination both in the space that is routed between links: global unicast 2000::/3 or
// unique local fc00::/7. The hop limit is not looked at: packets for this host may have any.
#pragma once

#include <cstdint>
#include <cstring>

namespace pantala::wire {

inline constexpr unsigned ip6_plain_max = 64; // headers in a call

// Is this the first byte of an address in 2000::/3 or fc00::/7?
constexpr unsigned ip6_routed_between_links(unsigned first) {
    return static_cast<unsigned>((first >> 5) == 1) | static_cast<unsigned>((first >> 1) == 0x7e);
}

// Looks at `count` headers; 40 bytes of each are readable, and `bytes` says how many from there
// belong to the frame. Bit i of the result: header i is plain; destination[i] then is its
// destination, two host-order halves `high` and `low`.
template <class Address>
std::uint64_t ip6_look(
    const std::uint8_t* const* header, const std::uint32_t* bytes, unsigned count,
    Address* destination) {
    const auto load = [](const std::uint8_t* from) {
        std::uint64_t value = 0;
        std::memcpy(&value, from, sizeof value);
        return value;
    };
    std::uint64_t mask = 0;
    for (unsigned i = 0; i < count; ++i) {
        const std::uint64_t first = load(header[i]);
        const std::uint64_t source = load(header[i] + 8);
        const std::uint64_t high = load(header[i] + 24);
        destination[i].high = __builtin_bswap64(high);
        destination[i].low = __builtin_bswap64(load(header[i] + 32));
        const std::uint32_t payload = __builtin_bswap16(static_cast<std::uint16_t>(first >> 32));
        // All of it, without a branch for each.
        const unsigned plain = static_cast<unsigned>((first & 0xf0) == 0x60) &
                               static_cast<unsigned>(payload + 40 <= bytes[i]) &
                               static_cast<unsigned>((first >> 48 & 0xff) != 0) &
                               ip6_routed_between_links(static_cast<unsigned>(source & 0xff)) &
                               ip6_routed_between_links(static_cast<unsigned>(high & 0xff));
        mask |= std::uint64_t{plain} << i;
    }
    return mask;
}

} // namespace pantala::wire
