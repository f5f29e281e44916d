// ICMPv6 for this host (RFC 4443): echo is answered, the rest is checked and sorted.
#pragma once

#include "stack/ip/ip6/ip6_context.hpp"
#include "stack/ip/ip6/ip6_local.hpp"

namespace pantala {

// Takes all of packets.icmp and empties it. Echo requests to one of our own addresses are answered
// in place, within the rate of settings. Errors and messages of neighbour discovery are left in
// packets.errors and packets.discovery, their checksums right.
void icmp6_input(ip6_context& context, ip6_delivered& packets);

} // namespace pantala
