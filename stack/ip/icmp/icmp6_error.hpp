// ICMPv6 errors: when they may be sent, and what they say (RFC 4443 2.4, 3).
#pragma once

#include "stack/ip/ip6/ip6_context.hpp"
#include "stack/wire/icmp6.hpp"

#include <cstdint>

namespace pantala {

// Each tells the source of `packet` (data at its IPv6 header, meta set) what became of it, unless
// that is forbidden: never about an ICMPv6 error or a redirect, nor about a packet to a group or in
// such a frame (but for packet too big and unknown options), nor to a source that is not one host;
// nor beyond the rate limit (drop_reason::icmp6_rate counts these). The packet stays the caller's.
// The error quotes as much of it as fits into 1,280 bytes.
void icmp6_unreachable(ip6_context& context, const rte_mbuf& packet, wire::icmp6_unreachable code);
void icmp6_packet_too_big(ip6_context& context, const rte_mbuf& packet, std::uint16_t mtu);
void icmp6_time_exceeded(
    ip6_context& context, const rte_mbuf& packet, wire::icmp6_time_exceeded code);
// `pointer` is the place of the octet at fault in the packet.
void icmp6_parameter_problem(
    ip6_context& context, const rte_mbuf& packet, wire::icmp6_parameter code, std::uint32_t pointer,
    bool even_to_group = false);

} // namespace pantala
