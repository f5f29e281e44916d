// Building segments: headers, payload, checksums. What may be sent is tcp_output.cpp's matter.
#include "stack/tcp/output/tcp_output.hpp"
#include "stack/tcp/tcp_host.hpp"
#include "stack/wire/checksum.hpp"
#include "stack/wire/ipv4.hpp"
#include "stack/wire/ipv6.hpp"
#include "stack/wire/tcp.hpp"

#include <algorithm>
#include <cstring>

#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

namespace pantala::tcp {

namespace {

constexpr std::uint32_t ecn_ect0 = 2; // RFC 3168 section 5

// Everything below builds in registers what it writes, and sums it there: a wide load of what small
// stores have just written would wait for them (docs/decisions/0053).

void put32(unsigned char* at, std::uint32_t word) {
    std::memcpy(at, &word, sizeof word);
}
void put64(unsigned char* at, std::uint64_t word) {
    std::memcpy(at, &word, sizeof word);
}
// Two words of 32 bits in memory order.
std::uint64_t pair_of(std::uint32_t first, std::uint32_t second) {
    return std::uint64_t{second} << 32 | first;
}

wire::partial_sum copy_pieces(const segment_out& segment, unsigned char* out) {
    const rte_mbuf* from = segment.data;
    std::uint32_t offset = segment.data_offset;
    std::uint32_t left = segment.payload;
    wire::partial_sum sum = 0;
    bool odd = false;
    while (left > 0) {
        PANTALA_DCHECK(from != nullptr);
        const std::uint32_t end = std::uint32_t{from->data_off} + from->data_len;
        const std::uint32_t here = std::min(end - offset, left);
        const std::uint16_t part = wire::fold(wire::copy_and_sum(
            out, static_cast<const unsigned char*>(from->buf_addr) + offset, here));
        // After an odd number of bytes the rest is summed one byte over (RFC 1071 2 (B)).
        sum += odd ? __builtin_bswap16(part) : part;
        odd = odd != (here % 2 != 0);
        out += here;
        left -= here;
        from = from->next;
        offset = from != nullptr ? from->data_off : 0;
    }
    return sum;
}

// Options behind the fixed header; their sum.
wire::partial_sum put_options(const segment_out& segment, unsigned char* at) {
    wire::partial_sum sum = 0;
    if (segment.has_timestamp) {
        const std::uint32_t kind = be32::from(0x0101080a).raw(); // NOP, NOP, timestamp, 10
        const std::uint32_t value = be32::from(segment.ts_value).raw();
        const std::uint32_t echo = be32::from(segment.ts_echo).raw();
        put32(at, kind);
        put64(at + 4, pair_of(value, echo));
        sum = wire::partial_sum{kind} + value + echo;
        at += timestamp_option_bytes;
    }
    if (segment.options_bytes > 0) {
        std::memcpy(at, segment.options.data(), segment.options_bytes);
        sum += wire::sum_bytes(segment.options.data(), segment.options_bytes);
    }
    return sum;
}

wire::partial_sum pseudo_sum(const flow_key& key, std::uint16_t bytes) {
    if (key.is_v4()) {
        return wire::sum_pseudo_header(
            key.local.v4(), key.remote.v4(), wire::ip_protocol::tcp, bytes);
    }
    return wire::sum_pseudo_header(key.local.v6(), key.remote.v6(), wire::ip_protocol::tcp, bytes);
}

// RFC 9293 3.1. `rest`: the sum of options and payload. Where a device does the checksum, the field
// holds the pseudo header's sum.
void put_tcp_header(
    const host& h, const segment_out& segment, unsigned char* at, std::uint16_t bytes,
    wire::partial_sum rest) {
    const std::uint32_t ports = std::uint32_t{segment.key->remote_port.value.raw()}
                                    << 16 | // memory order: ours first
                                segment.key->local_port.value.raw();
    const std::uint32_t seq = be32::from(segment.seq.value).raw();
    const std::uint32_t ack = be32::from(segment.ack.value).raw();
    const unsigned words = (sizeof(wire::tcp_header) + segment.all_options_bytes()) / 4;
    const std::uint32_t last =
        be32::from(words << 28 | std::uint32_t{segment.flags} << 16 | segment.window).raw();
    const wire::partial_sum pseudo = pseudo_sum(*segment.key, bytes);
    const std::uint16_t checksum =
        h.config.fill_checksum ? wire::checksum_of(pseudo + rest + ports + seq + ack + last).raw()
                               : wire::fold(pseudo);
    put64(at, pair_of(ports, seq));
    put64(at + 8, pair_of(ack, last));
    put32(at + 16, checksum); // urgent data is neither sent nor told apart (RFC 6093)
}

// Where routers may cut (conn::may_be_cut), it tells the pieces apart.
[[gnu::noinline]] std::uint32_t identify(host& h, const flow_key& key) {
    const be16 id = h.ids.next(key.local.v4(), key.remote.v4(), wire::ip_protocol::tcp, h.random);
    return be32::from(std::uint32_t{id.host()} << 16).raw();
}

void put_ipv4_header(host& h, const segment_out& segment, unsigned char* at, std::uint16_t bytes) {
    const std::uint32_t length = bytes + sizeof(wire::ipv4_header);
    const std::uint32_t first =
        be32::from(0x45U << 24 | (segment.ect ? ecn_ect0 : 0U) << 16 | length).raw();
    // DF and identification 0: never fragmented, so the id means nothing (RFC 6864 section 4.1).
    const std::uint32_t second = segment.may_be_cut
                                     ? identify(h, *segment.key)
                                     : be32::from(wire::ipv4_header::dont_fragment).raw();
    const std::uint32_t ttl_protocol = std::uint32_t{h.config.ttl} << 24 |
                                       static_cast<std::uint32_t>(wire::ip_protocol::tcp) << 16;
    const std::uint32_t source = segment.key->local.v4().value.raw();
    const std::uint32_t destination = segment.key->remote.v4().value.raw();
    const be16 checksum = wire::checksum_of(
        wire::partial_sum{first} + second + be32::from(ttl_protocol).raw() + source + destination);
    put64(at, pair_of(first, second));
    put64(at + 8, pair_of(be32::from(ttl_protocol | checksum.host()).raw(), source));
    put32(at + 16, destination);
}

void put_ipv6_header(
    const host& h, const segment_out& segment, unsigned char* at, std::uint16_t bytes) {
    const std::uint32_t traffic_class = segment.ect ? ecn_ect0 : 0;
    const std::uint32_t rest = std::uint32_t{bytes} << 16 |
                               static_cast<std::uint32_t>(wire::ip_protocol::tcp) << 8 |
                               h.config.ttl;
    put64(at, pair_of(be32::from(6U << 28 | traffic_class << 20).raw(), be32::from(rest).raw()));
    put64(at + 8, segment.key->local.words[0]);
    put64(at + 16, segment.key->local.words[1]);
    put64(at + 24, segment.key->remote.words[0]);
    put64(at + 32, segment.key->remote.words[1]);
}

// The pool hands out next what it took back last: brings that near before it is needed.
void prefetch_next(rte_mempool* pool) {
    const rte_mempool_cache* cache = rte_mempool_default_cache(pool, rte_lcore_id());
    if (cache != nullptr && cache->len > 0) {
        auto* next = static_cast<char*>(cache->objs[cache->len - 1]);
        __builtin_prefetch(next, 1);
        __builtin_prefetch(next + 64, 1);
        // Buffers follow their mbuf; headers begin behind the headroom.
        __builtin_prefetch(next + sizeof(rte_mbuf) + RTE_PKTMBUF_HEADROOM, 1);
    }
}

void set_lengths(
    const host& h, const segment_out& segment, rte_mbuf* packet, unsigned l3, unsigned l4) {
    packet->tx_offload = rte_mbuf_tx_offload(0, l3, l4, 0, 0, 0, 0);
    if (!h.config.fill_checksum) {
        packet->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM |
                            (segment.key->is_v4() ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6);
    }
}

} // namespace

bool send_segment(host& h, const segment_out& segment) {
    if (h.sink.is_blocked != nullptr && h.sink.is_blocked(h.sink.context)) [[unlikely]] {
        h.stats.sndblocked.add(1);
        return false;
    }
    rte_mbuf* packet = rte_pktmbuf_alloc(h.pool);
    if (packet == nullptr) {
        h.stats.sndnomem.add(1);
        return false;
    }
    prefetch_next(h.pool);
    const bool v4 = segment.key->is_v4();
    const unsigned l3 = v4 ? sizeof(wire::ipv4_header) : sizeof(wire::ipv6_header);
    const unsigned l4 = sizeof(wire::tcp_header) + segment.all_options_bytes();
    const auto bytes = static_cast<std::uint16_t>(l4 + segment.payload);
    // mss_for keeps a segment within one mbuf.
    PANTALA_ASSERT(packet->buf_len >= packet->data_off + l3 + bytes);
    packet->data_len = static_cast<std::uint16_t>(l3 + bytes);
    packet->pkt_len = l3 + bytes;
    set_lengths(h, segment, packet, l3, l4);
    auto* at = rte_pktmbuf_mtod(packet, unsigned char*);
    wire::partial_sum rest = put_options(segment, at + l3 + sizeof(wire::tcp_header));
    if (segment.payload > 0) {
        rest += copy_pieces(segment, at + l3 + l4);
    }
    put_tcp_header(h, segment, at + l3, bytes, rest);
    if (v4) {
        put_ipv4_header(h, segment, at, bytes);
    } else {
        put_ipv6_header(h, segment, at, bytes);
    }
    h.stats.sndtotal.add(1);
    h.emit(packet);
    return true;
}

void send_reset(host& h, const offending_segment& offender) {
    const answer_rates rates = {h.config.resets_per_peer, h.config.resets_per_second};
    const std::uint16_t account = h.memory.account_of(offender.key->remote);
    if (!h.resets.take(account, rates, h.now_ms(), h.random)) {
        h.stats.rst_limited.add(1);
        return;
    }
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
    return h.config.timestamp_base_ms + static_cast<std::uint32_t>(sum.finish(0, 32));
}

std::uint16_t mtu_for(const host& h, const flow_key& key, std::uint16_t segment_size) {
    const std::uint16_t mtu = h.paths.mtu(h.paths.context, key.remote);
    const unsigned headers = (key.is_v4() ? 20U : 40U) + sizeof(wire::tcp_header);
    return segment_size == 0
               ? mtu
               : static_cast<std::uint16_t>(std::min<unsigned>(mtu, segment_size + headers));
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
