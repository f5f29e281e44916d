// Segments arrive: checked, parsed once, found their connection (or listener, or TIME-WAIT record),
// and given to its state. RFC 9293 section 3.10.7.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/mbuf_burst.hpp"
#include "stack/wire/flow.hpp"
#include "stack/wire/tcp.hpp"
#include "stack/wire/tcp_options.hpp"

#include <cstdint>

struct rte_mbuf;

namespace pantala::tcp {

class host;

// A checked segment. `key` is as this host sees the flow: local is the destination.
struct segment_in {
    flow_key key;
    tcp_seq seq;
    tcp_seq ack;
    std::uint32_t length = 0; // payload bytes
    std::uint16_t window = 0; // as on the wire
    std::uint8_t flags = 0;
    bool ce = false; // congestion experienced (RFC 3168)
    wire::tcp_options options;
    rte_mbuf* packet = nullptr; // begins at the payload; nullptr once somebody took it

    bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
    // In sequence space (RFC 9293 3.4: SYN and FIN count).
    std::uint32_t seq_length() const {
        return length + (has(wire::tcp_flag::syn) ? 1 : 0) + (has(wire::tcp_flag::fin) ? 1 : 0);
    }
};

// Consumes the burst. Each mbuf begins at an IP header that IP input has checked (version, lengths,
// header checksum, addresses fit for a host), l3_len says how long it is with all its options or
// extension headers, and the packet ends where the IP packet ends. RTE_MBUF_F_RX_L4_CKSUM_GOOD
// saves the check of the TCP checksum.
void input(host& h, mbuf_burst& segments, instant now);

// An ICMP error about a segment of ours (RFC 5927): the flow and sequence number it quotes.
enum class icmp_meaning : std::uint8_t { soft, hard, too_big };
struct icmp_error {
    flow_key key;
    tcp_seq seq;
    icmp_meaning meaning;
    std::uint16_t mtu; // too_big: of the next hop
};
// False: it quotes nothing that is under way.
bool icmp_input(host& h, const icmp_error& error, instant now);

} // namespace pantala::tcp
