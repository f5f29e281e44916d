#include "stack/tcp/recovery/tcp_sent.hpp"

#include "stack/tcp/recovery/tcp_rack.hpp"
#include "stack/tcp/tcp_host.hpp"

#include <algorithm>

#include <rte_mbuf.h>

namespace pantala::tcp {

namespace {

void link_by_time(host& h, conn& c, std::uint32_t id) {
    sent_segment& segment = h.sents[id];
    segment.time_prev = c.by_time.tail;
    segment.time_next = no_id;
    (c.by_time.tail == no_id ? c.by_time.head : h.sents[c.by_time.tail].time_next) = id;
    c.by_time.tail = id;
}

// Before `next` in the order of time; no_id: at its end.
void link_before(host& h, conn& c, std::uint32_t id, std::uint32_t next) {
    if (next == no_id) {
        link_by_time(h, c, id);
        return;
    }
    sent_segment& segment = h.sents[id];
    segment.time_next = next;
    segment.time_prev = h.sents[next].time_prev;
    (segment.time_prev == no_id ? c.by_time.head : h.sents[segment.time_prev].time_next) = id;
    h.sents[next].time_prev = id;
}

void unlink_by_time(host& h, conn& c, std::uint32_t id) {
    const sent_segment& segment = h.sents[id];
    (segment.time_prev == no_id ? c.by_time.head : h.sents[segment.time_prev].time_next) =
        segment.time_next;
    (segment.time_next == no_id ? c.by_time.tail : h.sents[segment.time_next].time_prev) =
        segment.time_prev;
}

void unlink_by_seq(host& h, conn& c, std::uint32_t id) {
    const sent_segment& segment = h.sents[id];
    (segment.seq_prev == no_id ? c.by_seq.head : h.sents[segment.seq_prev].seq_next) =
        segment.seq_next;
    (segment.seq_next == no_id ? c.by_seq.tail : h.sents[segment.seq_next].seq_prev) =
        segment.seq_prev;
}

// Takes `bytes` of a record's length out of the sums its marks are in.
void uncount(conn& c, const sent_segment& segment, std::uint32_t bytes) {
    if (segment.has(sent_flag::sacked)) {
        c.sacked_bytes -= bytes;
    }
    if (segment.has(sent_flag::lost)) {
        c.lost_bytes -= bytes;
    }
    if (segment.has(sent_flag::resent)) {
        c.resent_bytes -= bytes;
    }
}

void remove(host& h, conn& c, std::uint32_t id) {
    uncount(c, h.sents[id], h.sents[id].bytes());
    unlink_by_seq(h, c, id);
    if (h.sents[id].in_time_order()) {
        unlink_by_time(h, c, id);
    }
    if (c.sack_hint == id) {
        c.sack_hint = h.sents[id].seq_next;
    }
    if (c.lost_hint == id) {
        c.lost_hint = h.sents[id].seq_next;
    }
    h.sents.release(id);
    --c.sent_count;
}

// Moves a record's data position forward over `bytes` of payload.
void advance_data(sent_segment& segment, std::uint32_t bytes) {
    while (segment.data != nullptr) {
        const std::uint32_t end = std::uint32_t{segment.data->data_off} + segment.data->data_len;
        const std::uint32_t here = end - segment.data_offset;
        if (bytes < here) {
            segment.data_offset = static_cast<std::uint16_t>(segment.data_offset + bytes);
            return;
        }
        bytes -= here;
        segment.data = segment.data->next;
        segment.data_offset = segment.data != nullptr ? segment.data->data_off : 0;
    }
}

// What a newly acknowledged or SACKed segment says about round trips and order.
void learn_delivery(
    host& h, conn& c, const sent_segment& segment, ack_result& result, bool by_sack) {
    if (!segment.has(sent_flag::ever_resent)) {
        // At least 1 us, so that 0 can mean "none".
        const std::uint64_t elapsed_us = (h.now.ns - segment.xmit_ns) / ns_per_us;
        const auto rtt =
            static_cast<std::uint32_t>(std::clamp<std::uint64_t>(elapsed_us, 1, 0x7fffffff));
        result.rtt_latest_us = rtt;
        result.original_delivered = result.original_delivered || segment.end <= c.high_seq;
    }
    rack_delivered(h, c, segment, result, by_sack);
}

// RFC 2883 section 4: a first block below the ACK, or inside the second block, reports a duplicate.
bool is_dsack(const wire::tcp_options& options, tcp_seq ack) {
    const wire::sack_block first = options.sack[0];
    if (first.right <= ack) {
        return true;
    }
    return options.sack_count > 1 && first.left >= options.sack[1].left &&
           first.right <= options.sack[1].right;
}

// A duplicate reported must lie in what this window has sent.
bool dsack_plausible(const conn& c, wire::sack_block block) {
    return block.left < block.right && block.right <= c.snd_nxt &&
           block.right - block.left <= c.max_snd_wnd + 1 &&
           c.snd_nxt - block.left <= 2 * std::max(c.max_snd_wnd, 65'535U);
}

// How far the blocks of this ACK may still walk.
struct sack_walk {
    unsigned left = sack_walk_max;
    bool step() { return left > 0 && left-- > 0; }
};

// The record that holds `at`, or no_id. Searched from the nearest of three places: where the last
// block ended (blocks of successive ACKs lie near one another), the first, the last.
std::uint32_t record_at(const host& h, const conn& c, tcp_seq at, sack_walk& walk) {
    std::uint32_t id = c.by_seq.head;
    std::uint32_t best = 0xffffffff;
    for (const std::uint32_t from : {c.sack_hint, c.by_seq.head, c.by_seq.tail}) {
        if (from == no_id) {
            continue;
        }
        const tcp_seq start = h.sents[from].start;
        const std::uint32_t distance = start <= at ? at - start : start - at;
        if (distance < best) {
            best = distance;
            id = from;
        }
    }
    while (id != no_id && h.sents[id].start > at) {
        id = walk.step() ? h.sents[id].seq_prev : no_id;
    }
    while (id != no_id && h.sents[id].end <= at) {
        id = walk.step() ? h.sents[id].seq_next : no_id;
    }
    return id;
}

void mark_sacked(host& h, conn& c, std::uint32_t id, ack_result& result) {
    sent_segment& segment = h.sents[id];
    if (segment.has(sent_flag::sacked)) {
        return;
    }
    if (segment.in_time_order()) {
        unlink_by_time(h, c, id);
    }
    learn_delivery(h, c, segment, result, true);
    uncount(c, segment, segment.bytes());
    segment.flags &= static_cast<std::uint8_t>(~(sent_flag::lost | sent_flag::resent));
    segment.flags |= sent_flag::sacked;
    c.sacked_bytes += segment.bytes();
    result.sacked_bytes += segment.bytes();
    result.delivered += segment.bytes();
}

// Cuts a record at the edge of a block, unless all of it is held already. Blocks end where segments
// do, but where the way cut these anew: two records for each full segment, and some to spare, are
// more than an honest peer asks for. One that names every second byte would else take those of all
// connections.
bool cut_at_edge(host& h, conn& c, std::uint32_t id, tcp_seq at) {
    constexpr std::uint64_t spare = 64;
    const std::uint64_t out = c.snd_nxt - c.snd_una;
    if (h.sents[id].has(sent_flag::sacked)) {
        return true; // nothing to cut
    }
    if (std::uint64_t{c.sent_count} * c.snd_mss >= 2 * out + spare * c.snd_mss) {
        h.stats.sack_sboverflow.add(1);
        return false;
    }
    return sent_split(h, c, id, at);
}

// False: not all of the block was marked.
bool mark_block(host& h, conn& c, wire::sack_block block, ack_result& result, sack_walk& walk) {
    std::uint32_t id = record_at(h, c, block.left, walk);
    if (id == no_id) {
        return false;
    }
    bool whole = true;
    if (h.sents[id].start < block.left) {
        whole = cut_at_edge(h, c, id, block.left);
        id = h.sents[id].seq_next;
    }
    while (id != no_id && h.sents[id].start < block.right) {
        if (!walk.step() ||
            (h.sents[id].end > block.right && !cut_at_edge(h, c, id, block.right))) {
            return false;
        }
        mark_sacked(h, c, id, result);
        c.sack_hint = id;
        id = h.sents[id].seq_next;
    }
    return whole;
}

// What of the block the last ACKs did not say already: they repeat their blocks, and the newest
// grows at its right end (RFC 2018 section 4).
wire::sack_block unseen_part(const conn& c, wire::sack_block block) {
    for (const wire::sack_block& seen : c.sack_seen) {
        if (seen.left <= block.left && block.left < seen.right) {
            block.left = seq_min(seen.right, block.right);
        }
    }
    return block;
}

void note_dsack(host& h, conn& c, wire::sack_block block, ack_result& result) {
    if (!dsack_plausible(c, block)) {
        h.stats.sack_bad_blocks.add(1);
        return;
    }
    h.stats.dsack_rcv.add(1);
    h.stats.dsack_bytes.add(block.right - block.left);
    result.dsack = true;
    // RFC 3708: each duplicate proves one retransmission needless, if it is one of this
    // reduction's.
    if (c.undo_resent > 0 && block.right > c.undo_marker) {
        --c.undo_resent;
    }
}

} // namespace

bool sent_append(
    host& h, conn& c, tcp_seq start, tcp_seq end, rte_mbuf* data, std::uint16_t data_offset,
    std::uint8_t flags) {
    const std::uint32_t id = c.sent_count == 0xffff ? no_id : h.sents.allocate();
    if (id == no_id) {
        return false;
    }
    sent_segment& segment = h.sents[id];
    segment.start = start;
    segment.end = end;
    segment.data = data;
    segment.data_offset = data_offset;
    segment.flags = flags;
    segment.xmit_ns = h.now.ns;
    segment.seq_prev = c.by_seq.tail;
    (c.by_seq.tail == no_id ? c.by_seq.head : h.sents[c.by_seq.tail].seq_next) = id;
    c.by_seq.tail = id;
    link_by_time(h, c, id);
    ++c.sent_count;
    return true;
}

void sent_take_back(host& h, conn& c) {
    remove(h, c, c.by_seq.tail);
}

void sent_again(host& h, conn& c, std::uint32_t id) {
    sent_segment& segment = h.sents[id];
    PANTALA_DCHECK(!segment.has(sent_flag::sacked));
    if (segment.in_time_order()) {
        unlink_by_time(h, c, id);
    }
    if (!segment.has(sent_flag::resent)) {
        c.resent_bytes += segment.bytes();
    }
    segment.flags |= sent_flag::resent | sent_flag::ever_resent;
    segment.xmit_ns = h.now.ns;
    segment.transmissions = static_cast<std::uint8_t>(std::min(segment.transmissions + 1, 255));
    link_by_time(h, c, id);
}

bool sent_split(host& h, conn& c, std::uint32_t id, tcp_seq at) {
    const std::uint32_t right_id = c.sent_count == 0xffff ? no_id : h.sents.allocate();
    if (right_id == no_id) {
        h.stats.sack_sboverflow.add(1);
        return false;
    }
    sent_segment& left = h.sents[id];
    sent_segment& right = h.sents[right_id];
    PANTALA_DCHECK(left.start < at && at < left.end);
    right = left;
    right.start = at;
    left.end = at;
    left.flags &= static_cast<std::uint8_t>(~(sent_flag::fin | sent_flag::push));
    right.flags &= static_cast<std::uint8_t>(~sent_flag::syn);
    advance_data(right, left.payload());
    right.seq_prev = id;
    (left.seq_next == no_id ? c.by_seq.tail : h.sents[left.seq_next].seq_prev) = right_id;
    left.seq_next = right_id;
    if (left.in_time_order()) { // both keep their place there
        right.time_prev = id;
        (left.time_next == no_id ? c.by_time.tail : h.sents[left.time_next].time_prev) = right_id;
        left.time_next = right_id;
    }
    ++c.sent_count;
    return true;
}

void sent_acknowledge(host& h, conn& c, tcp_seq ack, ack_result& result) {
    while (c.by_seq.head != no_id && h.sents[c.by_seq.head].start < ack) {
        const std::uint32_t id = c.by_seq.head;
        sent_segment& segment = h.sents[id];
        const std::uint32_t bytes = segment.end <= ack ? segment.bytes() : ack - segment.start;
        if (!segment.has(sent_flag::sacked)) {
            result.delivered += bytes;
        }
        if (segment.end > ack) { // a peer that acknowledges part of a segment
            const std::uint32_t syn = segment.has(sent_flag::syn) ? 1 : 0;
            uncount(c, segment, bytes);
            segment.start = ack;
            segment.flags &= static_cast<std::uint8_t>(~sent_flag::syn);
            advance_data(segment, bytes - syn);
            break;
        }
        if (segment.has(sent_flag::ever_resent)) {
            result.resent_acked = true;
        }
        if (!segment.has(sent_flag::sacked)) {
            learn_delivery(h, c, segment, result, false);
            if (result.rtt_us == 0 && !segment.has(sent_flag::ever_resent)) {
                result.rtt_us = result.rtt_latest_us;
            }
        }
        remove(h, c, id);
    }
}

void sent_sacked(
    host& h, conn& c, tcp_seq ack, const wire::tcp_options& options, ack_result& result) {
    h.stats.sack_rcv_blocks.add(options.sack_count);
    if (c.sacked_bytes == 0) {
        c.sack_seen = {};
    }
    unsigned first = 0;
    if (is_dsack(options, ack)) {
        note_dsack(h, c, options.sack[0], result);
        first = 1;
    }
    sack_walk walk;
    std::array<wire::sack_block, wire::tcp_sack_blocks_max> seen{};
    unsigned seen_count = 0;
    for (unsigned i = first; i < options.sack_count; ++i) {
        wire::sack_block block = options.sack[i];
        // RFC 2018 section 4: only what we sent and what is above the cumulative ACK.
        if (!(block.left < block.right) || block.right > c.snd_nxt || block.right <= c.snd_una) {
            h.stats.sack_bad_blocks.add(block.right <= c.snd_una ? 0 : 1);
            continue;
        }
        block.left = seq_max(block.left, c.snd_una);
        const wire::sack_block fresh = unseen_part(c, block);
        if (fresh.left == fresh.right || mark_block(h, c, fresh, result, walk)) {
            seen[seen_count++] = block;
        }
    }
    c.sack_seen = seen;
    h.stats.sack_walk_limited.add(walk.left == 0 ? 1 : 0);
}

void sent_mark_lost(host& h, conn& c, std::uint32_t id) {
    sent_segment& segment = h.sents[id];
    PANTALA_DCHECK(!segment.has(sent_flag::sacked));
    if (segment.in_time_order()) {
        unlink_by_time(h, c, id);
    }
    if (segment.has(sent_flag::resent)) { // the retransmission is lost too
        segment.flags &= static_cast<std::uint8_t>(~sent_flag::resent);
        c.resent_bytes -= segment.bytes();
    }
    if (!segment.has(sent_flag::lost)) {
        segment.flags |= sent_flag::lost;
        c.lost_bytes += segment.bytes();
    }
    if (c.lost_hint == no_id || segment.start < h.sents[c.lost_hint].start) {
        c.lost_hint = id;
    }
}

void sent_all_lost(host& h, conn& c) {
    const bool reneged = c.by_seq.head != no_id && h.sents[c.by_seq.head].has(sent_flag::sacked);
    if (reneged) {
        c.sack_seen = {};
    }
    for (std::uint32_t id = c.by_seq.head; id != no_id; id = h.sents[id].seq_next) {
        sent_segment& segment = h.sents[id];
        if (segment.has(sent_flag::sacked)) {
            if (!reneged) {
                continue;
            }
            segment.flags &= static_cast<std::uint8_t>(~sent_flag::sacked);
            c.sacked_bytes -= segment.bytes();
            link_by_time(h, c, id);
        }
        sent_mark_lost(h, c, id);
    }
}

void sent_none_lost(host& h, conn& c) {
    std::uint32_t behind = c.by_time.head; // the place of the next one: those left come in order
    std::uint64_t last_ns = 0;
    for (std::uint32_t id = c.by_seq.head; id != no_id; id = h.sents[id].seq_next) {
        sent_segment& segment = h.sents[id];
        if (!segment.has(sent_flag::lost)) {
            continue;
        }
        const bool stands = segment.in_time_order();
        segment.flags &= static_cast<std::uint8_t>(~sent_flag::lost);
        c.lost_bytes -= segment.bytes();
        if (stands) {
            continue;
        }
        behind = segment.xmit_ns < last_ns ? c.by_time.head : behind;
        last_ns = segment.xmit_ns;
        while (behind != no_id && h.sents[behind].xmit_ns <= segment.xmit_ns) {
            behind = h.sents[behind].time_next;
        }
        link_before(h, c, id, behind);
    }
}

void sent_clear(host& h, conn& c) {
    while (c.by_seq.head != no_id) {
        remove(h, c, c.by_seq.head);
    }
    c.sack_hint = no_id;
    c.lost_hint = no_id;
}

std::uint32_t sent_next_lost(const host& h, conn& c) {
    if (c.lost_bytes == 0) {
        return no_id;
    }
    std::uint32_t id = c.lost_hint;
    while (id != no_id) {
        const sent_segment& segment = h.sents[id];
        if (segment.has(sent_flag::lost) && !segment.has(sent_flag::resent)) {
            break;
        }
        id = segment.seq_next;
    }
    c.lost_hint = id;
    return id;
}

} // namespace pantala::tcp
