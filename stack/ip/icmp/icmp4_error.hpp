// ICMP errors: when they may be sent, and what they say (RFC 792, RFC 1122 3.2.2, RFC 1812 4.3.2).
#pragma once

#include "stack/ip/ip4_context.hpp"
#include "stack/wire/icmp4.hpp"

#include <cstdint>

namespace pantala {

// Each tells the source of `packet` (data at its IPv4 header, meta set) what became of it, unless
// that is forbidden: never about an ICMP error, a packet to a group or broadcast address or in such
// a frame, a fragment but the first, or from a source that is not one host; nor beyond the rate
// limit (drop_reason::icmp4_rate counts these). The packet stays the caller's. The error quotes as
// much of it as fits into 576 bytes (RFC 1812 4.3.2.3).
void icmp4_unreachable(ip4_context& context, const rte_mbuf& packet, wire::icmp4_unreachable code);
// RFC 1191: the packet is larger than `mtu` of the next link and may not be cut.
void icmp4_fragmentation_needed(ip4_context& context, const rte_mbuf& packet, std::uint16_t mtu);
void icmp4_time_exceeded(
    ip4_context& context, const rte_mbuf& packet, wire::icmp4_time_exceeded code);
// The same host would reach its destination sooner by `gateway` (when: icmp4_redirect.hpp).
void icmp4_redirect_host(ip4_context& context, const rte_mbuf& packet, be32 gateway);
// `pointer` is the place of the octet at fault in the packet.
void icmp4_parameter_problem(ip4_context& context, const rte_mbuf& packet, std::uint8_t pointer);

} // namespace pantala
