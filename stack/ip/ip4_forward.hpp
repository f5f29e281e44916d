// IPv4 forwarding: time to live, checksum, MTU, and the way out.
#pragma once

#include "stack/ether/l3_burst.hpp"
#include "stack/ip/ip4_context.hpp"
#include "stack/route/nexthop.hpp"
#include "stack/wire/ip4_plain.hpp"

namespace pantala {

// Sends each plain packet (ip4_input) by its next hop, in order. Those for this host go to
// context.local, those that cannot go on are dropped and, where the RFCs say so, their source is
// told. Takes all of `packets` and empties it. Next hops are those of the main table, whose nodes
// were asked for (ip4_input). Cost: per packet a node, an adjacency, one line of the packet.
void ip4_forward(ip4_context& context, l3_burst& packets, const wire::ip4_plain& plain);
// The same with next hops that are known.
void ip4_forward(
    ip4_context& context, l3_burst& packets, const wire::ip4_plain& plain,
    const nexthop_id* nexthops);

// One packet whose data begins at a sound header with or without options; takes it.
void ip4_forward_one(ip4_context& context, rte_mbuf* packet, nexthop_id nexthop);

// Sends a finished packet whose data begins at the header: resolves the link address or waits for
// it; cuts it where it is larger than the way out allows and may be cut. `via` is of kind forward,
// resolve or connected. Takes the packet.
void ip4_send(ip4_context& context, const adjacency& via, rte_mbuf* packet);

// The adjacency that a packet of this header takes: that of the group's member where the next hop
// is a group.
const adjacency& ip4_select(
    const ip4_context& context, nexthop_id nexthop, const std::uint8_t* header,
    std::uint32_t contiguous);

} // namespace pantala
