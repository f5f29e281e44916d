// Building segments: headers, payload, checksums. What may be sent is tcp_output.cpp's matter.
#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_output.hpp"
#include "stack/wire/checksum.hpp"
#include "stack/wire/ipv4.hpp"
#include "stack/wire/ipv6.hpp"
#include "stack/wire/tcp.hpp"

#include <algorithm>
#include <cstring>

#include <rte_mbuf.h>

namespace pantala::tcp {

namespace {

constexpr std::uint8_t ecn_ect0 = 2; // RFC 3168 section 5

void copy_payload(const segment_out& segment, unsigned char* out) {
    const rte_mbuf* from = segment.data;
    std::uint32_t offset = segment.data_offset;
    std::uint32_t left = segment.payload;
    if (from == nullptr) {
        std::memset(out, segment.fill, left);
        return;
    }
    while (left > 0) {
        PANTALA_DCHECK(from != nullptr);
        const std::uint32_t end = std::uint32_t{from->data_off} + from->data_len;
        const std::uint32_t here = std::min(end - offset, left);
        std::memcpy(out, static_cast<const unsigned char*>(from->buf_addr) + offset, here);
        out += here;
        left -= here;
        from = from->next;
        offset = from != nullptr ? from->data_off : 0;
    }
}

void write_tcp_header(const segment_out& segment, wire::tcp_header& header) {
    header.source_port = segment.key->local_port.value;
    header.destination_port = segment.key->remote_port.value;
    header.sequence = be32::from(segment.seq.value);
    header.acknowledgment = be32::from(segment.ack.value);
    const unsigned words = (sizeof header + segment.options_bytes) / 4;
    header.data_offset = static_cast<std::uint8_t>(words << 4);
    header.flags = segment.flags;
    header.window = be16::from(segment.window);
    header.checksum = be16{};
    header.urgent_pointer = be16{}; // urgent data is neither sent nor told apart (RFC 6093)
}

void write_ipv4_header(const host& h, const segment_out& segment, void* at, std::uint16_t bytes) {
    wire::ipv4_header header;
    header.version_ihl = 0x45;
    header.type_of_service = segment.ect ? ecn_ect0 : 0;
    header.total_length = be16::from(static_cast<std::uint16_t>(bytes + sizeof header));
    // DF and identification 0: never fragmented, so the id means nothing (RFC 6864 section 4.1).
    header.flags_offset = be16::from(wire::ipv4_header::dont_fragment);
    header.time_to_live = h.config.ttl;
    header.protocol = static_cast<std::uint8_t>(wire::ip_protocol::tcp);
    header.source = segment.key->local.v4();
    header.destination = segment.key->remote.v4();
    header.checksum = wire::checksum_of(wire::sum_ipv4_header20(&header));
    std::memcpy(at, &header, sizeof header);
}

void write_ipv6_header(const host& h, const segment_out& segment, void* at, std::uint16_t bytes) {
    wire::ipv6_header header;
    const std::uint32_t traffic_class = segment.ect ? ecn_ect0 : 0;
    header.version_class_flow = be32::from(6U << 28 | traffic_class << 20);
    header.payload_length = be16::from(bytes);
    header.next_header = static_cast<std::uint8_t>(wire::ip_protocol::tcp);
    header.hop_limit = h.config.ttl;
    header.source = segment.key->local.v6();
    header.destination = segment.key->remote.v6();
    std::memcpy(at, &header, sizeof header);
}

wire::partial_sum pseudo_sum(const flow_key& key, std::uint16_t bytes) {
    if (key.is_v4()) {
        return wire::sum_pseudo_header(
            key.local.v4(), key.remote.v4(), wire::ip_protocol::tcp, bytes);
    }
    return wire::sum_pseudo_header(key.local.v6(), key.remote.v6(), wire::ip_protocol::tcp, bytes);
}

// RFC 9293 3.1, or what a device needs to do it: the pseudo header's sum.
void fill_checksum(
    const host& h, const segment_out& segment, unsigned char* tcp, rte_mbuf* packet) {
    const auto bytes = static_cast<std::uint16_t>(
        sizeof(wire::tcp_header) + segment.options_bytes + segment.payload);
    const wire::partial_sum pseudo = pseudo_sum(*segment.key, bytes);
    be16 checksum;
    if (h.config.fill_checksum) {
        checksum = wire::checksum_of(wire::sum_bytes(tcp, bytes, pseudo));
    } else {
        checksum = be16::from_raw(wire::fold(pseudo));
        packet->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM |
                            (segment.key->is_v4() ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6);
    }
    std::memcpy(tcp + offsetof(wire::tcp_header, checksum), &checksum, sizeof checksum);
}

} // namespace

bool send_segment(host& h, const segment_out& segment) {
    rte_mbuf* packet = rte_pktmbuf_alloc(h.pool);
    if (packet == nullptr) {
        h.stats.sndnomem.add(1);
        return false;
    }
    const std::uint16_t l3 = segment.key->is_v4() ? 20 : 40;
    const auto l4 = static_cast<std::uint16_t>(sizeof(wire::tcp_header) + segment.options_bytes);
    auto* at = reinterpret_cast<unsigned char*>(
        rte_pktmbuf_append(packet, static_cast<std::uint16_t>(l3 + l4 + segment.payload)));
    PANTALA_ASSERT(at != nullptr); // mss_for keeps a segment within one mbuf
    unsigned char* tcp = at + l3;
    wire::tcp_header header;
    write_tcp_header(segment, header);
    std::memcpy(tcp, &header, sizeof header);
    std::memcpy(tcp + sizeof header, segment.options.data(), segment.options_bytes);
    if (segment.payload > 0) {
        copy_payload(segment, tcp + l4);
    }
    packet->l2_len = 0;
    packet->l3_len = l3;
    packet->l4_len = l4;
    const auto bytes = static_cast<std::uint16_t>(l4 + segment.payload);
    if (l3 == 20) {
        write_ipv4_header(h, segment, at, bytes);
    } else {
        write_ipv6_header(h, segment, at, bytes);
    }
    fill_checksum(h, segment, tcp, packet);
    h.stats.sndtotal.add(1);
    h.emit(packet);
    return true;
}

void send_reset(host& h, const offending_segment& offender) {
    if (h.resets_left == 0) {
        h.stats.rst_limited.add(1);
        return;
    }
    --h.resets_left;
    // RFC 9293 3.10.7.1: <SEQ=SEG.ACK><CTL=RST>, or without an ACK
    // <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>.
    segment_out reset{.key = offender.key, .flags = wire::tcp_flag::rst};
    if (offender.ack_present) {
        reset.seq = offender.ack;
    } else {
        reset.ack = offender.seq + offender.length;
        reset.flags |= wire::tcp_flag::ack;
    }
    if (send_segment(h, reset)) {
        h.stats.sndrst.add(1);
        h.stats.sndctrl.add(1);
    }
}

std::uint32_t timestamp_offset(const host& h, const flow_key& key) {
    // By address pair: a peer sees our clock run forward over all connections between the two.
    siphash13 sum(h.secrets.timestamp);
    for (const ip_address& address : {key.local, key.remote}) {
        sum.word(address.words[0]);
        sum.word(address.words[1]);
    }
    return static_cast<std::uint32_t>(sum.finish(0, 32));
}

std::uint16_t mss_to_offer(const host& h, const flow_key& key, std::uint16_t mtu) {
    const unsigned headers = (key.is_v4() ? 20U : 40U) + sizeof(wire::tcp_header);
    const unsigned room = mtu > headers + h.config.mss_min ? mtu - headers : h.config.mss_min;
    return static_cast<std::uint16_t>(std::min<unsigned>(room, h.config.mss_max));
}

std::uint16_t
mss_for(const host& h, const flow_key& key, std::uint16_t peer_mss, std::uint16_t mtu) {
    // RFC 9293 3.7.1: the smaller of what the peer takes and what the path carries; and one mbuf.
    const unsigned mbuf_room = rte_pktmbuf_data_room_size(h.pool) - RTE_PKTMBUF_HEADROOM -
                               (key.is_v4() ? 20U : 40U) - sizeof(wire::tcp_header);
    const unsigned offered = std::max<unsigned>(peer_mss, h.config.mss_min);
    return static_cast<std::uint16_t>(
        std::min({offered, unsigned{mss_to_offer(h, key, mtu)}, mbuf_room}));
}

} // namespace pantala::tcp
