// ICMP redirects (RFC 792, RFC 1812 5.2.7.2): the router tells a host of a better first hop.
#pragma once

#include "stack/ip/ip4_context.hpp"

#include <span>

#include <rte_mbuf.h>

namespace pantala {

// A packet that leaves by the interface it came in on makes a detour, if its source and its next
// hop share a subnet of that interface: the source is told of the next hop (redirect for the host,
// code 1), within the rate of settings and not at all where `send_redirects` is off. The rest is as
// for errors (icmp4_error.hpp). The packets stay the caller's.
//
// One packet on its way to `gateway` by `out`; data at its IPv4 header.
void icmp4_redirect(ip4_context& context, const rte_mbuf& packet, iface_id out, be32 gateway);
// Frames as they leave `out`, whose port they came in by. One segment each, options none.
void icmp4_redirect_frames(ip4_context& context, std::span<rte_mbuf* const> frames, iface_id out);

} // namespace pantala
