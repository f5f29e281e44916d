// ICMPv6 redirects (RFC 4861 4.5, 8.2): the router tells a host of a better first hop.
#pragma once

#include "stack/ip/ip6/ip6_context.hpp"

#include <span>

namespace pantala {

// Frames as they leave `out`, whose port they came in by; one segment each. A source that is a
// neighbour there is told, within the rate of settings, of a destination on its own link, or of a
// gateway that the routes name by its link-local address (the only name that hosts accept). The
// frames stay the caller's.
void icmp6_redirect_frames(ip6_context& context, std::span<rte_mbuf* const> frames, iface_id out);

} // namespace pantala
