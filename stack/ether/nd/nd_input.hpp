// Neighbour discovery: the messages that arrive (RFC 4861 7), on any worker.
#pragma once

#include "stack/ether/nd/nd_context.hpp"

namespace pantala {

// Takes a burst of ICMPv6 messages of types 130 and 133 to 137 (whole packets, data at the IPv6
// header, l3_len where ICMPv6 begins, checksum right) and empties it. Solicitations for our
// addresses are answered; what was heard of neighbours is reported to worker 0.
void nd_input(nd_context& context, mbuf_burst& packets);

// A router says that it is none any more (RFC 4861 7.2.5): for control, as if it had advertised
// itself for no time, and nothing else.
void nd_router_gone(nd_context& context, const neighbor_key& router);

} // namespace pantala
