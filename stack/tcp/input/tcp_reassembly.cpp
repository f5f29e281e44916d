#include "stack/tcp/input/tcp_reassembly.hpp"

#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_timer.hpp"

#include <algorithm>
#include <cstring>

#include <rte_mbuf.h>

namespace pantala::tcp {

namespace {

constexpr std::uint16_t copy_together_bytes = 256; // payloads up to this are appended by copy

// An early segment's sequence number lives in its mbuf, in the hash that the demux is done with.
tcp_seq seq_of(const rte_mbuf* piece) {
    return tcp_seq{piece->hash.fdir.hi};
}
tcp_seq end_of(const rte_mbuf* piece) {
    return seq_of(piece) + piece->data_len;
}
void set_seq(rte_mbuf* piece, tcp_seq seq) {
    piece->hash.fdir.hi = seq.value;
}

// One mbuf by itself, nothing chained behind it.
void isolate(rte_mbuf* piece) {
    piece->next = nullptr;
    piece->nb_segs = 1;
    piece->pkt_len = piece->data_len;
}

void cut_front(rte_mbuf* piece, std::uint32_t bytes) {
    piece->data_off = static_cast<std::uint16_t>(piece->data_off + bytes);
    piece->data_len = static_cast<std::uint16_t>(piece->data_len - bytes);
    piece->pkt_len = piece->data_len;
}

void cut_back(rte_mbuf* piece, std::uint32_t bytes) {
    piece->data_len = static_cast<std::uint16_t>(piece->data_len - bytes);
    piece->pkt_len = piece->data_len;
}

bool append_by_copy(host& h, conn& c, rte_mbuf* piece) {
    rte_mbuf* tail = c.rcv_tail;
    if (tail == nullptr || piece->data_len > copy_together_bytes ||
        rte_mbuf_refcnt_read(tail) != 1 || !RTE_MBUF_DIRECT(tail) ||
        rte_pktmbuf_tailroom(tail) < piece->data_len) {
        return false;
    }
    std::memcpy(
        rte_pktmbuf_mtod_offset(tail, unsigned char*, tail->data_len),
        rte_pktmbuf_mtod(piece, const unsigned char*), piece->data_len);
    tail->data_len = static_cast<std::uint16_t>(tail->data_len + piece->data_len);
    tail->pkt_len = tail->data_len;
    h.stats.rcvcoalesced.add(1);
    h.consume(piece);
    return true;
}

// Is there a place for one more buffer of this connection? What came early gives way to what is
// next: it would be lost in any case if that never came.
bool find_room(host& h, conn& c) {
    if (!h.memory.has_room(memory_use::receive, c.account) && c.ooo_head != nullptr) {
        h.stats.rcvmempruned.add(c.ooo_count);
        early_clear(h, c);
    }
    return h.memory.has_room(memory_use::receive, c.account);
}

// The piece starts at rcv_nxt.
void append_in_order(host& h, conn& c, rte_mbuf* piece) {
    const std::uint32_t bytes = piece->data_len;
    const bool nobody_reads = c.has(conn_flag::rcv_shut) || bytes == 0;
    if (!nobody_reads && append_by_copy(h, c, piece)) {
        c.rcv_nxt += bytes;
        c.rcv_unacked += bytes;
        c.rcv_buffered += bytes;
        return;
    }
    if (!nobody_reads && !find_room(h, c)) {
        h.stats.rcvmemdrop.add(1); // not acknowledged: it comes again
        if (c.ooo_head == nullptr) {
            c.rcv_sack_count = 0; // nothing early is left to report
        }
        h.consume(piece);
        return;
    }
    c.rcv_nxt += bytes;
    c.rcv_unacked += bytes;
    if (nobody_reads) {
        h.consume(piece); // acknowledged and thrown away
        return;
    }
    c.rcv_buffered += bytes;
    h.memory.hold(memory_use::receive, c.account);
    (c.rcv_tail == nullptr ? c.rcv_head : c.rcv_tail->next) = piece;
    c.rcv_tail = piece;
}

// -- SACK blocks to report, the latest first (RFC 2018 section 4).

void forget_sacked_below(conn& c) {
    unsigned kept = 0;
    for (unsigned i = 0; i < c.rcv_sack_count; ++i) {
        if (c.rcv_sack[i].right > c.rcv_nxt) {
            c.rcv_sack[kept++] = c.rcv_sack[i];
        }
    }
    c.rcv_sack_count = static_cast<std::uint8_t>(kept);
}

void report_sack(conn& c, tcp_seq left, tcp_seq right) {
    wire::sack_block block{left, right};
    std::array<wire::sack_block, 4> others{};
    unsigned count = 0;
    for (unsigned i = 0; i < c.rcv_sack_count; ++i) {
        const wire::sack_block old = c.rcv_sack[i];
        if (old.right >= block.left && old.left <= block.right) { // touch: one island
            block = {seq_min(old.left, block.left), seq_max(old.right, block.right)};
        } else {
            others[count++] = old;
        }
    }
    c.rcv_sack[0] = block;
    c.rcv_sack_count = 1;
    for (unsigned i = 0; i < count && c.rcv_sack_count < c.rcv_sack.size(); ++i) {
        c.rcv_sack[c.rcv_sack_count++] = others[i];
    }
}

// -- Early arrivals: sorted, never overlapping.

// Cuts from `piece` what its left neighbour already holds. False: nothing is left.
bool cut_against_left(host& h, conn& c, const rte_mbuf* left, rte_mbuf* piece) {
    if (left == nullptr || end_of(left) <= seq_of(piece)) {
        return true;
    }
    const std::uint32_t overlap = end_of(left) - seq_of(piece);
    if (overlap >= piece->data_len) {
        note_duplicate(h, c, seq_of(piece), end_of(piece));
        return false;
    }
    note_duplicate(h, c, seq_of(piece), seq_of(piece) + overlap);
    cut_front(piece, overlap);
    set_seq(piece, end_of(left));
    return true;
}

// Drops the right neighbours that `piece` covers, and cuts its end where it reaches into the next.
void cut_against_right(host& h, conn& c, rte_mbuf** link, rte_mbuf* piece) {
    while (*link != nullptr && end_of(*link) <= end_of(piece)) {
        rte_mbuf* covered = *link;
        note_duplicate(h, c, seq_of(covered), end_of(covered));
        *link = covered->next;
        isolate(covered);
        h.consume(covered);
        h.memory.let_go(memory_use::receive, c.account);
        --c.ooo_count;
    }
    if (*link != nullptr && seq_of(*link) < end_of(piece)) {
        note_duplicate(h, c, seq_of(*link), end_of(piece));
        cut_back(piece, end_of(piece) - seq_of(*link));
    }
}

void insert_early(host& h, conn& c, tcp_seq seq, rte_mbuf* piece) {
    set_seq(piece, seq);
    h.stats.rcvoopack.add(1);
    h.stats.rcvoobyte.add(piece->data_len);
    rte_mbuf* left = nullptr;
    rte_mbuf** link = &c.ooo_head;
    if (c.ooo_tail != nullptr && seq_of(c.ooo_tail) <= seq) { // nearly always behind the last
        left = c.ooo_tail;
        link = &left->next;
    }
    while (*link != nullptr && seq_of(*link) <= seq) {
        left = *link;
        link = &left->next;
    }
    if (!cut_against_left(h, c, left, piece)) {
        report_sack(c, seq, seq + piece->data_len);
        h.consume(piece);
        return;
    }
    // What takes the place of others needs no room of its own: nothing reported is thrown away for
    // it.
    const bool replaces = *link != nullptr && end_of(*link) <= end_of(piece);
    const bool room = c.ooo_count < h.config.ooo_segments_max && h.memory.has_room_early(c.account);
    if (!replaces && !room) {
        h.stats.rcvoodrop.add(1);
        h.consume(piece);
        return;
    }
    cut_against_right(h, c, link, piece);
    h.memory.hold(memory_use::receive, c.account);
    piece->next = *link;
    *link = piece;
    c.ooo_tail = piece->next == nullptr ? piece : c.ooo_tail;
    ++c.ooo_count;
    report_sack(c, seq_of(piece), end_of(piece));
}

// Moves what has become in order.
void pull_early(host& h, conn& c) {
    while (c.ooo_head != nullptr && seq_of(c.ooo_head) <= c.rcv_nxt) {
        rte_mbuf* piece = c.ooo_head;
        c.ooo_head = piece->next;
        c.ooo_tail = c.ooo_head == nullptr ? nullptr : c.ooo_tail;
        isolate(piece);
        h.memory.let_go(memory_use::receive, c.account);
        --c.ooo_count;
        if (end_of(piece) <= c.rcv_nxt) {
            h.consume(piece);
            continue;
        }
        cut_front(piece, c.rcv_nxt - seq_of(piece));
        append_in_order(h, c, piece);
    }
}

// RFC 5681 4.2, RFC 9293 3.8.6.3: every second full-sized segment at once, else delayed.
void acknowledge_in_order(host& h, conn& c) {
    if (c.quick_acks > 0 || c.rcv_unacked >= 2U * c.rcv_mss) {
        c.set(conn_flag::ack_now);
        h.want_output(c);
    } else if (!c.is_armed(conn_timer::delack)) {
        timer_arm(h, c, conn_timer::delack, h.config.delacktime_ms);
    }
}

// A segment is not of the peer's usual size. A larger one's becomes that at once, a smaller one's
// with the second of it: those before were put together on the way, or the path became narrower.
// What is less than any path carries is the end of what there was to say.
void learn_segment_size(conn& c, std::uint32_t bytes) {
    constexpr std::uint16_t least = 536; // RFC 9293 3.7.1
    const auto size = static_cast<std::uint16_t>(std::min<std::uint32_t>(bytes, 65'000));
    if (size > c.rcv_mss || (size == c.rcv_last && size >= least)) {
        c.rcv_mss = size;
    }
    c.rcv_last = size;
}

void receive_piece(host& h, conn& c, tcp_seq seq, rte_mbuf* piece) {
    if (piece->data_len == 0) {
        h.consume(piece);
        return;
    }
    if (seq > c.rcv_nxt) {
        insert_early(h, c, seq, piece);
        return;
    }
    const std::uint32_t old =
        c.rcv_nxt - seq; // an earlier piece of the same packet pulled these in
    if (old >= piece->data_len) {
        h.consume(piece);
        return;
    }
    cut_front(piece, old);
    append_in_order(h, c, piece);
    pull_early(h, c);
}

} // namespace

void note_duplicate(host& h, conn& c, tcp_seq left, tcp_seq right) {
    h.stats.rcvdupbyte.add(right - left);
    if (c.has(conn_flag::sack)) {
        c.dsack = {left, right};
        c.set(conn_flag::dsack_ready);
    }
}

void receive_payload(host& h, conn& c, tcp_seq seq, rte_mbuf* payload) {
    const std::uint32_t bytes = payload->pkt_len;
    const tcp_seq before = c.rcv_nxt;
    const bool in_order = seq == before;
    const bool had_early = c.ooo_head != nullptr;
    if (bytes != c.rcv_mss) {
        learn_segment_size(c, bytes);
    } else {
        c.rcv_last = 0; // only two in a row tell of another size
    }
    while (payload != nullptr) {
        rte_mbuf* piece = payload;
        payload = piece->next;
        isolate(piece);
        const std::uint32_t length = piece->data_len;
        receive_piece(h, c, seq, piece);
        seq += length;
    }
    if (c.rcv_nxt != before) {
        h.stats.rcvpack.add(1);
        h.stats.rcvbyte.add(bytes);
        forget_sacked_below(c);
        if (!c.has(conn_flag::rcv_shut)) {
            h.tell(c, conn_event::readable);
        }
    }
    // RFC 5681 4.2: out of order, or filling a gap: at once. So is what found no room.
    if (!in_order || had_early || c.rcv_nxt == before) {
        c.quick_acks = std::max<std::uint8_t>(c.quick_acks, 1);
        c.set(conn_flag::ack_now);
        h.want_output(c);
        return;
    }
    acknowledge_in_order(h, c);
}

void early_clear(host& h, conn& c) {
    h.memory.let_go(memory_use::receive, c.account, free_chain(c.ooo_head));
    c.ooo_head = nullptr;
    c.ooo_tail = nullptr;
    c.ooo_count = 0;
    c.rcv_sack_count = 0;
}

void receive_clear(host& h, conn& c) {
    early_clear(h, c);
    h.memory.let_go(memory_use::receive, c.account, free_chain(c.rcv_head));
    c.rcv_head = nullptr;
    c.rcv_tail = nullptr;
    c.rcv_buffered = 0;
}

} // namespace pantala::tcp
