// Cutting a packet of our own to what the way out allows (RFC 8200 4.5). Routers never do.
#pragma once

#include "stack/ip/ip6/ip6_context.hpp"

namespace pantala {

// Sends `packet` (data at the IPv6 header, no extension headers, larger than via.mtu6) as fragments
// by `via`, or drops it: no mbuf is left or it would take more than 64 fragments, in which case
// nothing of it is sent. Takes the packet.
void ip6_fragment(ip6_context& context, const adjacency& via, rte_mbuf* packet);

} // namespace pantala
