// Which IPv6 headers of a burst are *plain*: what RFC 8200 3 and RFC 4291 ask of the common kind of
// packet. What is not plain is not wrong: it leaves the fast path and is judged one by one.
//
// Plain means: version 6, the payload no longer than the frame holds, no hop-by-hop header, and
// source and destination both in the space that is routed between links: global unicast 2000::/3 or
// unique local fc00::/7. The hop limit is not looked at: packets for this host may have any.
#pragma once

#include <cstdint>

namespace pantala::wire {

inline constexpr unsigned ip6_plain_max = 64; // headers in a call

struct ip6_plain {
    std::uint64_t high[ip6_plain_max]; // of the destination, host order
    std::uint64_t low[ip6_plain_max];
};

// Looks at `count` headers; 40 bytes of each are readable, and `bytes` says how many from there
// belong to the frame. Bit i of the result: header i is plain. Where it is clear, element i of
// `out` has no meaning.
std::uint64_t ip6_look(
    const std::uint8_t* const* header, const std::uint32_t* bytes, unsigned count, ip6_plain& out);

} // namespace pantala::wire
