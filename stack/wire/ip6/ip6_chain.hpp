// The chain of headers between the IPv6 header and the upper layer (RFC 8200 4), walked within
// bounds: at most ip6_chain_headers_max headers and ip6_chain_options_max options, none of which
// reaches beyond the bytes that were given.
#pragma once

#include "stack/wire/icmp6.hpp"
#include "stack/wire/ipv6.hpp"

#include <cstdint>
#include <span>

namespace pantala::wire {

inline constexpr unsigned ip6_chain_headers_max = 8; // RFC 8504 5.3
inline constexpr unsigned ip6_chain_options_max = 8; // in a header, padding not counted
inline constexpr unsigned ip6_chain_padding_max = 7; // bytes between two options

enum class ip6_fault : std::uint8_t {
    none,
    truncated, // ends before the upper layer's header begins
    limit,     // beyond the bounds above
    discard,   // an option that is not known says: drop in silence
    problem,   // as above, and its source is to be told (`code`, `pointer`)
};

struct ip6_chain {
    ip6_fault fault = ip6_fault::none;
    icmp6_parameter code{};        // fault problem
    bool unless_multicast = false; // fault problem: not about packets to groups
    bool router_alert = false;     // hop-by-hop (RFC 2711)
    std::uint8_t upper = 0;        // the first header that is none of the chain's
    std::uint16_t offset = 0;      // where it begins, from the IPv6 header's first byte
    std::uint16_t named_at = 0;    // of the next-header field that names it
    std::uint16_t fragment = 0;    // of the fragment header; 0: there is none
    std::uint16_t pointer = 0;     // fault problem: of the octet at fault
};

// As the host that the packet is for: options are judged, a routing header with segments left is
// refused (RFC 5095), and a fragment header ends the walk (`upper` is 44). `packet` begins at a
// sound IPv6 header and ends with the packet, or with what lies in one piece of it.
ip6_chain ip6_walk(std::span<const std::uint8_t> packet);

// As a router: the hop-by-hop header alone (RFC 8200 4.3), which is the first.
ip6_chain ip6_walk_hop_by_hop(std::span<const std::uint8_t> packet);

// What the packet carries, whoever it is for: nothing is judged, a first fragment's header is
// passed over. `fragment` tells whether there is one; of later fragments `offset` is where their
// part begins.
ip6_chain ip6_find_upper(std::span<const std::uint8_t> packet);

} // namespace pantala::wire
