// Packets for this host: made whole, then sorted by transport.
#pragma once

#include "stack/ip/fragment/ip4_reassembly.hpp"
#include "stack/ip/ip4_context.hpp"

namespace pantala {

// Whole packets, data at the IPv4 header, l3_len its length.
struct ip4_delivered {
    mbuf_burst icmp;
    mbuf_burst errors; // ICMP errors, checked; filled by icmp4_input
    mbuf_burst tcp;
    mbuf_burst udp;
};

// Takes all of context.local and empties it; other protocols are refused (RFC 1122 3.2.2.1).
void ip4_local(ip4_context& context, ip4_reassembly& reassembly, ip4_delivered& sorted);

} // namespace pantala
