// Packets for this host: headers walked, made whole, then sorted by transport.
#pragma once

#include "stack/ip/fragment/ip6_reassembly.hpp"
#include "stack/ip/ip6/ip6_context.hpp"
#include "stack/wire/ip6/ip6_chain.hpp"

namespace pantala {

// Whole packets, data at the IPv6 header, l3_len its length with all extension headers.
struct ip6_delivered {
    mbuf_burst icmp;
    mbuf_burst errors;    // ICMPv6 errors, checked; filled by icmp6_input
    mbuf_burst discovery; // messages of neighbour discovery; filled by icmp6_input
    mbuf_burst tcp;
    mbuf_burst udp;
};

// Takes all of context.local and empties it; other protocols are refused (RFC 8200 4).
void ip6_local(ip6_context& context, ip6_reassembly& reassembly, ip6_delivered& sorted);

// The first `bytes` of a packet (or all of it) lie in one piece afterwards; false: they do not, it
// is too long for that.
bool ip6_gather(rte_mbuf& packet, std::uint32_t bytes);

// Drops a packet whose header chain is at fault, and tells its source where RFC 8200 says so.
void ip6_refuse_chain(ip6_context& context, rte_mbuf* packet, const wire::ip6_chain& chain);

} // namespace pantala
