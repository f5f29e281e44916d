#include "stack/tcp/input/tcp_input.hpp"

#include "stack/tcp/input/tcp_states.hpp"
#include "stack/tcp/open/tcp_listen.hpp"
#include "stack/tcp/output/tcp_output.hpp"
#include "stack/tcp/tcp_host.hpp"
#include "stack/wire/checksum.hpp"
#include "stack/wire/ipv4.hpp"
#include "stack/wire/ipv6.hpp"
#include "stack/wire/tcp.hpp"

#include <array>
#include <cstring>
#include <new>

#include <rte_mbuf.h>

namespace pantala::tcp {

namespace {

constexpr std::uint8_t ecn_mask = 3;
constexpr std::uint8_t ecn_ce = 3;

// A packet to come is brought near while the one before it is worked on.
constexpr unsigned prefetch_ahead = 4;

// So many segments are parsed, then looked up, then worked on: their table lines and connections
// come from memory together. More would push each other out of the first-level cache.
constexpr unsigned wave_max = 16;
constexpr unsigned sent_prefetch_ahead = 2; // its connection has come by then

// What IP says: addresses and the ECN field.
bool read_ip(const rte_mbuf* packet, segment_in& segment) {
    const auto* at = rte_pktmbuf_mtod(packet, const unsigned char*);
    if (packet->data_len < packet->l3_len + sizeof(wire::tcp_header)) {
        return false;
    }
    if ((at[0] >> 4) == 4) {
        wire::ipv4_header header;
        std::memcpy(&header, at, sizeof header);
        segment.key.local = ip_address::from(header.destination);
        segment.key.remote = ip_address::from(header.source);
        segment.ce = (header.type_of_service & ecn_mask) == ecn_ce;
        return packet->l3_len >= sizeof header;
    }
    wire::ipv6_header header;
    std::memcpy(&header, at, sizeof header);
    segment.key.local = ip_address::from(header.destination);
    segment.key.remote = ip_address::from(header.source);
    segment.ce = ((header.version_class_flow.host() >> 20) & ecn_mask) == ecn_ce;
    // The mapped form stands for IPv4 inside and must not come from the wire (RFC 4291 2.5.5.2).
    return packet->l3_len >= sizeof header && !segment.key.local.is_v4() &&
           !segment.key.remote.is_v4();
}

bool checksum_good(const host& h, const rte_mbuf* packet, const flow_key& key) {
    if (!h.config.verify_checksum ||
        (packet->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD) {
        return true;
    }
    const std::uint32_t bytes = packet->pkt_len - packet->l3_len;
    wire::partial_sum sum =
        key.is_v4() ? wire::sum_pseudo_header(
                          key.local.v4(), key.remote.v4(), wire::ip_protocol::tcp,
                          static_cast<std::uint16_t>(bytes))
                    : wire::sum_pseudo_header(
                          key.local.v6(), key.remote.v6(), wire::ip_protocol::tcp, bytes);
    if (packet->nb_segs == 1) {
        const auto* tcp = rte_pktmbuf_mtod_offset(packet, const unsigned char*, packet->l3_len);
        return wire::checksum_valid(wire::sum_bytes(tcp, bytes, sum));
    }
    std::uint32_t skip = packet->l3_len;
    bool odd = false;
    for (const rte_mbuf* piece = packet; piece != nullptr; piece = piece->next) {
        const auto* data = rte_pktmbuf_mtod_offset(piece, const unsigned char*, skip);
        const std::uint32_t length = piece->data_len - skip;
        // After an odd number of bytes the rest is summed one byte over: swapped (RFC 1071 2 (B)).
        const std::uint16_t part = wire::fold(wire::sum_bytes(data, length));
        sum += odd ? __builtin_bswap16(part) : part;
        odd = odd != (length % 2 != 0);
        skip = 0;
    }
    return wire::checksum_valid(sum);
}

// The header, after its checksum was found good. RFC 9293 3.1.
bool read_tcp(host& h, rte_mbuf* packet, segment_in& segment) {
    wire::tcp_header header;
    const auto* at = rte_pktmbuf_mtod_offset(packet, const std::uint8_t*, packet->l3_len);
    std::memcpy(&header, at, sizeof header);
    const unsigned header_bytes = header.header_bytes();
    if (header_bytes < sizeof header || packet->l3_len + header_bytes > packet->data_len) {
        h.stats.rcvbadoff.add(1);
        return false;
    }
    segment.key.local_port.value = header.destination_port;
    segment.key.remote_port.value = header.source_port;
    segment.seq = tcp_seq{header.sequence.host()};
    segment.ack = tcp_seq{header.acknowledgment.host()};
    segment.window = header.window.host();
    segment.flags = header.flags;
    wire::parse_tcp_options({at + sizeof header, header_bytes - sizeof header}, segment.options);
    h.stats.rcvbadopt.add(segment.options.malformed ? 1 : 0);
    segment.length = packet->pkt_len - packet->l3_len - header_bytes;
    rte_pktmbuf_adj(packet, static_cast<std::uint16_t>(packet->l3_len + header_bytes));
    segment.packet = packet;
    return true;
}

// A peer has one address and two ports that are not 0 (RFC 9293 3.9.2.3, MUST-57; RFC 6335 6).
bool plausible_peer(const flow_key& key) {
    const bool group =
        key.is_v4() ? key.local.v4().is_multicast() || key.local.v4().is_limited_broadcast() ||
                          key.remote.v4().is_multicast() || key.remote.v4().is_limited_broadcast()
                    : key.local.v6().is_multicast() || key.remote.v6().is_multicast();
    return !group && !key.remote.is_any() && key.remote_port.host() != 0 &&
           key.local_port.host() != 0;
}

// Nobody knows the flow: RFC 9293 3.10.7.1.
void answer_closed(host& h, const segment_in& segment) {
    h.stats.noport.add(1);
    if (segment.has(wire::tcp_flag::rst)) {
        return;
    }
    send_reset(
        h, {&segment.key, segment.seq, segment.ack, segment.seq_length(),
            segment.has(wire::tcp_flag::ack)});
}

// From the most to the least particular: connection, TIME-WAIT, listener, nobody.
void demultiplex(host& h, segment_in& segment, std::uint64_t hash) {
    const std::uint32_t id = h.table.find(
        hash, [&](std::uint32_t candidate) { return h.conns[candidate].key == segment.key; });
    if (id != no_id) {
        segment_arrives(h, h.conns[id], segment);
        return;
    }
    reopening again;
    const time_wait_answer rest = time_wait_input(h, segment, hash, again.above);
    if (rest == time_wait_answer::done) {
        return;
    }
    const bool may_reopen = rest == time_wait_answer::may_reopen;
    const bool heard = listen_input(h, segment, hash, may_reopen ? &again : nullptr);
    if (may_reopen) {
        time_wait_settle(h, segment, hash, heard, again.done);
    } else if (!heard) {
        answer_closed(h, segment);
    }
}

// True: the segment is sound; false: the packet has died.
bool read_segment(host& h, rte_mbuf* packet, segment_in& segment) {
    if (!read_ip(packet, segment)) {
        h.stats.rcvshort.add(1);
        h.drops.drop(packet, drop_reason::tcp_short);
        return false;
    }
    if (!checksum_good(h, packet, segment.key)) {
        h.stats.rcvbadsum.add(1);
        h.drops.drop(packet, drop_reason::tcp_checksum);
        return false;
    }
    if (!read_tcp(h, packet, segment)) {
        h.drops.drop(packet, drop_reason::tcp_header);
        return false;
    }
    if (!plausible_peer(segment.key)) {
        h.stats.badsource.add(1);
        h.drops.drop(packet, drop_reason::tcp_peer);
        return false;
    }
    return true;
}

class wave {
  public:
    unsigned count = 0;
    std::array<std::uint64_t, wave_max> hash;

    // Where the next goes; `count` moves on when it is sound.
    segment_in& fresh() { return *new (&room_[count * sizeof(segment_in)]) segment_in(); }
    segment_in& operator[](unsigned i) {
        return *std::launder(reinterpret_cast<segment_in*>(&room_[i * sizeof(segment_in)]));
    }

  private:
    alignas(segment_in) std::array<std::byte, wave_max * sizeof(segment_in)> room_;
};

// A candidate's record is all that may be wanted of it: the wrong one costs a line.
void prefetch_conn(const host& h, std::uint32_t candidate) {
    if (candidate != no_id) {
        const auto* record = reinterpret_cast<const char*>(&h.conns[candidate]);
        for (unsigned line = 0; line < sizeof(conn); line += 64) {
            __builtin_prefetch(record + line, 1);
        }
    }
}

// What an acknowledgment frees: the oldest record of what was sent, and its bytes.
void prefetch_sent(const host& h, std::uint32_t candidate) {
    if (candidate == no_id) {
        return;
    }
    const conn& c = h.conns[candidate];
    if (c.by_seq.head != no_id) {
        __builtin_prefetch(&h.sents[c.by_seq.head], 1);
    }
    if (c.snd_head != nullptr) {
        const auto* buffer = reinterpret_cast<const char*>(c.snd_head);
        __builtin_prefetch(buffer, 1);
        __builtin_prefetch(buffer + 64, 1); // `next`
        // What its pool keeps before it: read where lent memory is let go.
        __builtin_prefetch(buffer - 8);
    }
}

void work_on(host& h, wave& all) {
    std::array<std::uint32_t, wave_max> candidates; // NOLINT(*-member-init): the first `count` are
    for (unsigned i = 0; i < all.count; ++i) {
        candidates[i] = h.table.peek(all.hash[i]);
        prefetch_conn(h, candidates[i]);
    }
    for (unsigned i = 0; i < all.count; ++i) {
        if (i + sent_prefetch_ahead < all.count) {
            prefetch_sent(h, candidates[i + sent_prefetch_ahead]);
        }
        demultiplex(h, all[i], all.hash[i]);
        if (all[i].packet != nullptr) {
            h.consume(all[i].packet);
        }
    }
    all.count = 0;
}

} // namespace

void input(host& h, mbuf_burst& segments, instant now) {
    h.now = now;
    h.stats.rcvtotal.add(segments.count);
    wave all;
    for (unsigned i = 0; i < segments.count; ++i) {
        if (i + prefetch_ahead < segments.count) {
            rte_prefetch0(rte_pktmbuf_mtod(segments.packets[i + prefetch_ahead], void*));
        }
        segment_in& segment = all.fresh();
        if (!read_segment(h, segments.packets[i], segment)) {
            continue;
        }
        all.hash[all.count] = segment.key.hash(h.secrets.table);
        h.table.prefetch(all.hash[all.count]);
        if (++all.count == wave_max) {
            work_on(h, all);
        }
    }
    work_on(h, all);
    segments.clear();
}

bool icmp_input(host& h, const icmp_error& error, instant now) {
    h.now = now;
    const std::uint64_t hash = error.key.hash(h.secrets.table);
    const std::uint32_t id = h.table.find(
        hash, [&](std::uint32_t candidate) { return h.conns[candidate].key == error.key; });
    if (id == no_id) {
        if (error.meaning == icmp_meaning::hard) {
            listen_icmp(h, error.key, hash, error.seq);
        }
        return false;
    }
    return icmp_arrives(h, h.conns[id], error);
}

} // namespace pantala::tcp
