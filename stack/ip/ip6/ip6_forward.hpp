// IPv6 forwarding: hop limit, MTU, and the way out (RFC 8200 3, 5).
#pragma once

#include "stack/ether/l3_burst.hpp"
#include "stack/ip/ip6/ip6_context.hpp"
#include "stack/route/nexthop.hpp"

namespace pantala {

// Sends each plain packet (ip6_input) by its next hop, in order. Those for this host go to
// context.local, those that cannot go on are dropped and, where the RFCs say so, their source is
// told. Takes all of `packets` and empties it. Cost: per packet one adjacency, one line of the
// packet, the first line of its mbuf.
void ip6_forward(ip6_context& context, l3_burst& packets, const nexthop_id* nexthops);

// One packet whose data begins at a sound header; takes it.
void ip6_forward_one(ip6_context& context, rte_mbuf* packet, nexthop_id nexthop);

// Sends a finished packet whose data begins at the header and that the way out carries: resolves
// the link address or waits for it. `via` is of kind forward, resolve or connected. Takes the
// packet.
void ip6_send(ip6_context& context, const adjacency& via, rte_mbuf* packet);

// The adjacency that a packet of this header takes: that of the group's member where the next hop
// is a group.
const adjacency& ip6_select(
    const ip6_context& context, nexthop_id nexthop, const std::uint8_t* header,
    std::uint32_t contiguous);

} // namespace pantala
