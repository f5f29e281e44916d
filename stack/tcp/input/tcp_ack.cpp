#include "stack/tcp/input/tcp_ack.hpp"

#include "stack/tcp/congestion/tcp_congestion.hpp"
#include "stack/tcp/output/tcp_output.hpp"
#include "stack/tcp/recovery/tcp_mtu_search.hpp"
#include "stack/tcp/recovery/tcp_rack.hpp"
#include "stack/tcp/recovery/tcp_recovery.hpp"
#include "stack/tcp/recovery/tcp_rtt.hpp"
#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_timer.hpp"
#include "stack/wire/tcp.hpp"

#include <algorithm>

#include <rte_mbuf.h>

namespace pantala::tcp {

namespace {

// RFC 9293 3.10.7.4: only a segment not older than the last one that set the window may set it.
void update_window(host& h, conn& c, const segment_in& segment, ack_result& result) {
    if (segment.ack < c.snd_una ||
        !(c.snd_wl1 < segment.seq || (c.snd_wl1 == segment.seq && c.snd_wl2 <= segment.ack))) {
        return;
    }
    const std::uint32_t window = window_of(c, segment);
    result.window_changed = window != c.snd_wnd;
    result.window_was_closed = c.snd_wnd == 0;
    if (result.window_changed && segment.length == 0 && segment.ack == c.snd_una) {
        h.stats.rcvwinupd.add(1);
    }
    c.snd_wnd = window;
    c.max_snd_wnd = std::max(c.max_snd_wnd, window);
    c.snd_wl1 = segment.seq;
    c.snd_wl2 = segment.ack;
}

// RFC 6298 section 3: a segment that was sent once times the round trip. Where the ACK covers a
// retransmission as well, that one has waited for it; then the timestamp's echo tells (RFC 7323
// 4.1).
void take_rtt(host& h, conn& c, ack_result& result) {
    std::uint32_t& rtt_us = result.rtt_us;
    rtt_us = result.resent_acked ? 0 : rtt_us;
    if (rtt_us == 0 && result.advanced && result.has_echo && result.ts_echo != 0) {
        const std::uint32_t elapsed_ms = h.now_ms() + c.ts_offset - result.ts_echo;
        if (elapsed_ms < 0x10000000 / 1'000) {
            rtt_us = std::max(elapsed_ms, 1U) * 1'000;
        }
    }
    if (rtt_us != 0) {
        h.stats.rttupdated.add(1);
        rtt_sample(c, h.config, rtt_us);
    }
    if (result.rtt_latest_us != 0) {
        h.stats.segstimed.add(1);
        min_rtt_sample(c, result.rtt_latest_us, h.now_ms());
    }
}

// snd_una moves to `ack`; what lies below is freed.
void advance_una(host& h, conn& c, tcp_seq ack, ack_result& result) {
    result.advanced = true;
    result.acked_bytes = ack - c.snd_una;
    h.stats.rcvackpack.add(1);
    h.stats.rcvackbyte.add(result.acked_bytes);
    sent_acknowledge(h, c, ack, result);
    std::uint32_t payload = result.acked_bytes;
    if (c.snd_una == c.iss) { // our SYN
        --payload;
    }
    if (c.has(conn_flag::fin_sent) && ack == c.snd_nxt) { // our FIN
        --payload;
    }
    send_queue_trim(h, c, payload);
    c.snd_una = ack;
    if (c.mtu.probe != 0 && ack >= c.mtu.probe_end) [[unlikely]] {
        mtu_probe_arrived(h, c);
    }
    c.stalled_ms = h.now_ms();
    c.delivered += result.delivered;
}

bool may_grow(const conn& c) {
    return c.recovery == recovery_state::open || c.recovery == recovery_state::disorder ||
           c.recovery == recovery_state::loss;
}

// The other half of Karn's rule (RFC 6298 5, last paragraph): a timeout that was doubled holds
// until something that was sent once times the way, or a way longer than the RTO would never be
// timed.
void settle_backoff(host& h, conn& c, const ack_result& result) {
    if (result.rtt_us == 0) {
        c.rto_us = rto_backed_off_us(h, c);
    }
    c.rexmt_shift = 0;
}

// After recovery had its say: one of the three purposes of the rexmt timer.
void settle_timer(host& h, conn& c, const ack_result& result, bool reorder_armed) {
    if (result.advanced) {
        if (c.rexmt_shift != 0) [[unlikely]] {
            settle_backoff(h, c, result);
        }
        if (!reorder_armed) {
            timer_restart_rexmt(h, c);
        }
        return;
    }
    const bool probe_pending =
        c.is_armed(conn_timer::rexmt) && c.rexmt_for == rexmt_kind::tail_probe;
    if (probe_pending && !tail_probe_wanted(h, c)) {
        timer_restart_rexmt(h, c);
    }
}

// A closed window that opens needs no more probes. What waits for more than that (RFC 9293
// 3.8.6.2.1 (4): a window too small; a device that takes nothing) goes on waiting.
void settle_persist(host& h, conn& c, const ack_result& result) {
    if (c.is_armed(conn_timer::persist) && result.window_was_closed && c.snd_wnd > 0) {
        timer_disarm(c, conn_timer::persist);
        c.rexmt_shift = 0;
        c.stalled_ms = h.now_ms();
    }
}

// Send-buffer tuning: room for two windows, so that a full window never waits for the application.
void tune_send_buffer(host& h, conn& c) {
    const std::uint32_t wanted = std::min(2 * c.cwnd, h.config.snd_buffer_max);
    if (h.config.auto_tune && c.has(conn_flag::cwnd_limited) && wanted > c.snd_limit &&
        !h.memory.is_short(memory_use::send)) {
        c.snd_limit = wanted;
        h.stats.sndbuf_tuned.add(1);
    }
}

void tell_room(host& h, conn& c) {
    tune_send_buffer(h, c);
    const std::uint32_t queued = c.snd_end - c.snd_una;
    if (c.send_blocked && queued <= c.snd_limit - c.snd_limit / 4) {
        c.send_blocked = false;
        h.tell(c, conn_event::writable);
    }
}

} // namespace

bool ack_acceptable(host& h, conn& c, tcp_seq ack) {
    if (ack > c.snd_nxt) {
        h.stats.rcvacktoomuch.add(1);
    } else if (ack < c.snd_una - c.max_snd_wnd) {
        h.stats.rcvacktooold.add(1);
    } else {
        return true;
    }
    send_challenge_ack(h, c);
    return false;
}

std::uint32_t window_of(const conn& c, const segment_in& segment) {
    const bool scaled = !segment.has(wire::tcp_flag::syn) && c.has(conn_flag::window_scale);
    return std::uint32_t{segment.window} << (scaled ? c.snd_wscale : 0);
}

void send_queue_trim(host& h, conn& c, std::uint32_t bytes) {
    while (bytes > 0) {
        rte_mbuf* head = c.snd_head;
        PANTALA_DCHECK(head != nullptr);
        const std::uint32_t here = std::min<std::uint32_t>(bytes, head->data_len);
        head->data_off = static_cast<std::uint16_t>(head->data_off + here);
        head->data_len = static_cast<std::uint16_t>(head->data_len - here);
        bytes -= here;
        if (head->data_len > 0) {
            continue;
        }
        c.snd_head = head->next;
        if (c.snd_cursor == head) {
            c.snd_cursor = c.snd_head;
            c.snd_cursor_offset = c.snd_head != nullptr ? c.snd_head->data_off : 0;
        }
        if (c.snd_head == nullptr) {
            c.snd_tail = nullptr;
        }
        free_segment(head);
        h.memory.let_go(memory_use::send, c.account);
    }
}

void process_ack(host& h, conn& c, const segment_in& segment) {
    ack_result result;
    result.lost_before = c.lost_bytes;
    result.data_in_segment = segment.seq_length() > 0;
    // In a SYN-ACK it is an agreement, not a complaint (RFC 3168 6.1.1).
    result.ece = segment.has(wire::tcp_flag::ece) && !segment.has(wire::tcp_flag::syn);
    result.has_echo = c.has(conn_flag::timestamps) && segment.options.has_timestamp;
    result.ts_echo = segment.options.ts_echo;
    if (result.ece && c.has(conn_flag::ecn)) {
        h.stats.ecn_ece.add(1);
    }
    update_window(h, c, segment, result);
    if (segment.ack > c.snd_una) {
        advance_una(h, c, segment.ack, result);
    }
    // Blocks beside a SYN are none: it says what will be (RFC 2018 2).
    if (segment.options.sack_count != 0 && c.has(conn_flag::sack) &&
        !segment.has(wire::tcp_flag::syn)) {
        sent_sacked(h, c, segment.ack, segment.options, result);
    }
    take_rtt(h, c, result);
    bool reorder_armed = false;
    if (c.sent_count > 0 || result.advanced || result.dsack) {
        congestion_marked(c, result.acked_bytes, result.ece);
        reorder_armed = recovery_on_ack(h, c, segment.ack, result);
    }
    if (result.advanced && may_grow(c)) {
        // What came out of order was delivered before: in slow start an ACK that closes a gap is no
        // reason for a burst (as in Linux, below what RFC 5681 3.1 allows).
        const std::uint32_t grows_by = c.cwnd < c.ssthresh
                                           ? std::min(result.acked_bytes, result.delivered)
                                           : result.acked_bytes;
        congestion_acked(h, c, grows_by, result.rtt_latest_us);
    }
    settle_timer(h, c, result, reorder_armed);
    settle_persist(h, c, result);
    if (result.advanced) {
        c.more_follows = false;
        tell_room(h, c);
    }
    if (c.unsent() > 0 || c.lost_bytes > 0 || c.has(conn_flag::fin_queued)) {
        h.want_output(c);
    }
}

} // namespace pantala::tcp
