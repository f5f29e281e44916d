// Cutting a packet to what the way out allows (RFC 791 3.2, RFC 1812 4.2.2.7).
#pragma once

#include "stack/ip/ip4_context.hpp"

namespace pantala {

// Sends `packet` (data at the IPv4 header, larger than via.mtu) as fragments by `via`, largest
// first, or drops it: it may not be cut (then its source is told the MTU, RFC 1191), or no mbuf is
// left or it would take more than 64 fragments, in which case nothing of it is sent. Takes the
// packet.
void ip4_fragment(ip4_context& context, const adjacency& via, rte_mbuf* packet);

} // namespace pantala
