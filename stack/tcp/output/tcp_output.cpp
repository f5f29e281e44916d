#include "stack/tcp/output/tcp_output.hpp"

#include "stack/tcp/congestion/tcp_congestion.hpp"
#include "stack/tcp/congestion/tcp_pacing.hpp"
#include "stack/tcp/input/tcp_states.hpp"
#include "stack/tcp/output/tcp_send_queue.hpp"
#include "stack/tcp/recovery/tcp_mtu_search.hpp"
#include "stack/tcp/recovery/tcp_recovery.hpp"
#include "stack/tcp/recovery/tcp_sent.hpp"
#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_timer.hpp"
#include "stack/wire/tcp.hpp"

#include <algorithm>

#include <rte_mbuf.h>

namespace pantala::tcp {

namespace {

// One connection sends at most this many segments a round; the rest in the next.
constexpr unsigned segments_per_round_max = 64;
constexpr std::uint32_t window_field_max = 65'535;
constexpr unsigned bare_syn_retries = 3;

// -- Receive window (RFC 9293 3.8.6.2.2: no small moves of the right edge; never leftwards).

std::uint32_t window_to_tell(const conn& c) {
    const std::uint32_t free = c.rcv_limit > c.rcv_buffered ? c.rcv_limit - c.rcv_buffered : 0;
    const std::uint32_t current = c.rcv_adv > c.rcv_nxt ? c.rcv_adv - c.rcv_nxt : 0;
    const std::uint32_t step = std::min<std::uint32_t>(c.rcv_limit / 2, c.rcv_mss);
    return free < current + step ? current : free;
}

// The window field, and what it commits us to. Rounding down by the scale may tell a little less
// than we still accept (RFC 7323 2.4); rcv_adv keeps the larger.
std::uint16_t tell_window(conn& c, bool scaled) {
    const unsigned shift = scaled && c.has(conn_flag::window_scale) ? c.rcv_wscale : 0;
    const std::uint32_t field = std::min(window_to_tell(c) >> shift, window_field_max);
    c.rcv_adv = seq_max(c.rcv_adv, c.rcv_nxt + (field << shift));
    return static_cast<std::uint16_t>(field);
}

// -- Options.

std::uint32_t timestamp_now(const host& h, const conn& c) {
    return h.now_ms() + c.ts_offset;
}

void put_options(host& h, conn& c, segment_out& segment) {
    if (c.has(conn_flag::timestamps)) {
        segment.has_timestamp = true;
        segment.ts_value = timestamp_now(h, c);
        segment.ts_echo = c.ts_recent;
    }
    if (c.has(conn_flag::sack) && (c.rcv_sack_count > 0 || c.has(conn_flag::dsack_ready))) {
        wire::tcp_options options;
        if (c.has(conn_flag::dsack_ready)) { // RFC 2883 section 4: the first block, once
            options.sack[options.sack_count++] = c.dsack;
            c.clear(conn_flag::dsack_ready);
            h.stats.dsack_snd.add(1);
        }
        const unsigned room = segment.has_timestamp ? 3 : 4;
        for (unsigned i = 0; i < c.rcv_sack_count && options.sack_count < room; ++i) {
            options.sack[options.sack_count++] = c.rcv_sack[i];
        }
        h.stats.sack_snd_blocks.add(options.sack_count);
        segment.options_bytes =
            static_cast<std::uint8_t>(wire::write_tcp_options(segment.options, options));
    }
}

void put_syn_options(host& h, conn& c, segment_out& segment) {
    wire::tcp_options options;
    options.has_mss = true;
    options.mss = mss_to_offer(h, c.key, c.path_mtu);
    options.sack_permitted = c.has(conn_flag::sack);
    // From the third retry on without window scale and timestamps: something on the way may choke
    // on them (BSD). A SYN-ACK that has them answers an earlier SYN, and counts.
    const bool bare = c.state == conn_state::syn_sent && c.rexmt_shift >= bare_syn_retries;
    if (c.state == conn_state::syn_sent && c.rexmt_shift == 0) { // RFC 7413 4.2.2: never again
        fast_open_option(h, c, options);
    }
    fast_open_cookie cookie;
    if (c.fast_open_grant) {
        cookie = make_fast_open_cookie(h.secrets.fast_open, c.key, fast_open_period(h));
        options.fast_open = cookie.data();
        options.fast_open_bytes = cookie.size();
    }
    options.has_window_scale = c.has(conn_flag::window_scale) && !bare;
    options.window_scale = c.rcv_wscale;
    if (c.has(conn_flag::timestamps) && !bare) {
        options.has_timestamp = true;
        options.ts_value = timestamp_now(h, c);
        options.ts_echo = c.state == conn_state::syn_sent ? 0 : c.ts_recent;
    }
    segment.options_bytes = static_cast<std::uint8_t>(
        wire::write_tcp_syn_options(segment.options, options, h.config.option_order));
}

// Everything but SYN: numbers, window, options, ECN echo; and what an ACK settles.
segment_out begin_segment(host& h, conn& c, tcp_seq seq) {
    segment_out segment{.key = &c.key, .seq = seq, .ack = c.rcv_nxt};
    segment.flags = wire::tcp_flag::ack;
    if (c.has(conn_flag::ecn_echo)) {
        segment.flags |= wire::tcp_flag::ece;
    }
    segment.may_be_cut = c.may_be_cut;
    segment.window = tell_window(c, true);
    put_options(h, c, segment);
    return segment;
}

void ack_went_out(host& h, conn& c) {
    c.clear(conn_flag::ack_now);
    c.rcv_unacked = 0;
    c.last_ack = c.rcv_nxt;
    if (c.quick_acks > 0) {
        --c.quick_acks;
    }
    timer_disarm(c, conn_timer::delack);
    (void)h;
}

// Payload that fits beside SACK blocks and a D-SACK, which snd_mss does not count.
std::uint32_t payload_max(const conn& c) {
    if (c.rcv_sack_count == 0 && !c.has(conn_flag::dsack_ready)) {
        return c.snd_mss;
    }
    const unsigned blocks = std::min<unsigned>(
        c.rcv_sack_count + (c.has(conn_flag::dsack_ready) ? 1 : 0),
        c.has(conn_flag::timestamps) ? 3 : 4);
    return c.snd_mss - (4 + 8 * blocks);
}

// -- What may be sent.

// No data is out (a SYN-ACK may be, RFC 7413 3).
bool nothing_out(const conn& c) {
    return c.snd_una == c.snd_nxt || (c.snd_una == c.iss && c.snd_nxt == c.iss + 1);
}

// RFC 9293 3.8.6.2.1 (sender's silly-window avoidance) and 3.7.4 (Nagle).
bool worth_sending(const conn& c, std::uint32_t bytes) {
    if (bytes >= payload_max(c)) {
        return true; // (1) a full segment
    }
    if (bytes == c.unsent()) {
        if (c.has(conn_flag::fin_queued)) {
            return true; // nothing will ever follow to fill it up
        }
        const bool held = c.has(conn_flag::cork) || c.more_follows;
        if (!held && (c.has(conn_flag::no_delay) || nothing_out(c))) {
            return true; // (2) all there is, and Nagle agrees
        }
        return false;
    }
    return c.max_snd_wnd > 0 && bytes >= c.max_snd_wnd / 2; // (3)
}

bool fits_cwnd(const conn& c, std::uint32_t bytes) {
    const std::uint32_t pipe = c.in_flight();
    return pipe == 0 || pipe + bytes <= c.cwnd;
}

void note_flight(conn& c) {
    const std::uint32_t pipe = c.in_flight();
    if (pipe > c.most_in_flight || c.snd_una >= c.most_in_flight_end) {
        c.most_in_flight = pipe;
        c.most_in_flight_end = c.snd_nxt;
    }
}

// RFC 5682 3.1 step 2.b: between the first and second ACK after a timeout, new data goes first.
bool f_rto_prefers_new(conn& c) {
    if (!c.has(conn_flag::f_rto) || c.recovery != recovery_state::loss ||
        c.snd_una == c.undo_marker) {
        return false;
    }
    const std::uint32_t bytes = std::min({c.unsent(), usable_window(c), payload_max(c)});
    if (bytes == 0 || !worth_sending(c, bytes)) {
        c.clear(conn_flag::f_rto); // step 2.a: no new data may be sent; repair as usual
        return false;
    }
    return true;
}

unsigned send_lost(host& h, conn& c, unsigned budget) {
    unsigned sent = 0;
    while (sent < budget && !f_rto_prefers_new(c)) {
        const std::uint32_t id = sent_next_lost(h, c);
        if (id == no_id) {
            break;
        }
        const sent_segment& segment = h.sents[id];
        if (!fits_cwnd(c, std::min<std::uint32_t>(segment.bytes(), c.snd_mss))) {
            c.set(conn_flag::cwnd_limited);
            break;
        }
        // Not beyond a window that the peer has shrunk, but always the first (RFC 9293 3.8.6).
        if (segment.start >= c.snd_una + c.snd_wnd && segment.start != c.snd_una) {
            break;
        }
        if (!send_again(h, c, id)) {
            break;
        }
        ++sent;
    }
    return sent;
}

unsigned send_fresh(host& h, conn& c, unsigned budget) {
    unsigned sent = 0;
    while (sent < budget && c.unsent() > 0) {
        const std::uint32_t bytes = std::min({c.unsent(), usable_window(c), payload_max(c)});
        if (bytes == 0 || !worth_sending(c, bytes)) {
            break;
        }
        // RFC 5681 4.1: after an idle RTO the window is no longer known to be safe. Here, where
        // something leaves, or the window would decay anew at each look at what is held back.
        if (sent == 0 && c.snd_una == c.snd_nxt && h.now_ms() - c.last_sent_ms > c.rto_us / 1'000) {
            congestion_restart(h, c);
        }
        if (!fits_cwnd(c, bytes)) {
            c.set(conn_flag::cwnd_limited);
            break;
        }
        if (!send_new(h, c, bytes)) {
            break;
        }
        ++sent;
    }
    return sent;
}

// The same while a larger path MTU is searched for.
unsigned send_searching(host& h, conn& c, unsigned budget) {
    const mtu_answer answer = budget == 0 ? mtu_answer::nothing : mtu_search_output(h, c);
    if (answer == mtu_answer::wait) {
        c.set(conn_flag::cwnd_limited);
        return 0;
    }
    const unsigned sent = answer == mtu_answer::sent ? 1 : 0;
    return sent + send_fresh(h, c, budget - sent);
}

// A FIN waits until the handshake is complete, also where data does not.
bool fin_allowed(const conn& c) {
    return c.has(conn_flag::fin_queued) && c.synchronized();
}

bool fin_pending(const conn& c) {
    return c.has(conn_flag::fin_queued) && !c.has(conn_flag::fin_sent) && c.unsent() == 0;
}

// A timer must stand behind everything that waits: data out, or data that the window (persist) or
// the pacing rate holds back.
void ensure_timer(host& h, conn& c) {
    if (c.by_seq.head != no_id) {
        timer_disarm(c, conn_timer::persist);
        timer_ensure_rexmt(h, c);
        return;
    }
    const bool waits = c.is_armed(conn_timer::persist) || c.is_armed(conn_timer::pace);
    if ((c.unsent() > 0 || fin_pending(c)) && !waits) {
        c.rexmt_shift = 0;
        timer_arm_persist(h, c); // RFC 9293 3.8.6.1
    }
}

} // namespace

std::uint32_t usable_window(const conn& c) {
    const tcp_seq edge = c.snd_una + c.snd_wnd;
    return c.snd_nxt < edge ? edge - c.snd_nxt : 0;
}

bool fin_may_leave(const conn& c) {
    return fin_pending(c) && fin_allowed(c) && usable_window(c) > 0;
}

std::uint8_t window_shift_for(const host& h) {
    std::uint8_t shift = 0;
    while (shift < wire::tcp_window_scale_max &&
           h.config.rcv_buffer_max >> shift > window_field_max) {
        ++shift;
    }
    return shift;
}

bool send_new(host& h, conn& c, std::uint32_t bytes) {
    return send_larger(h, c, std::min(bytes, payload_max(c)));
}

bool send_larger(host& h, conn& c, std::uint32_t bytes) {
    settle_cursor(c);
    segment_out segment = begin_segment(h, c, c.snd_nxt);
    segment.data = bytes > 0 ? c.snd_cursor : nullptr;
    segment.data_offset = c.snd_cursor_offset;
    segment.payload = bytes;
    const bool last = bytes == c.unsent();
    // The FIN takes a number, too: one beyond the window would be cut off (RFC 9293 3.10.7.4).
    const bool fin = last && fin_allowed(c) && bytes < usable_window(c);
    const bool push = last && bytes > 0 && !c.push_withheld;
    segment.flags |= push ? wire::tcp_flag::psh : std::uint8_t{0};
    segment.flags |= fin ? wire::tcp_flag::fin : std::uint8_t{0};
    if (c.has(conn_flag::ecn)) { // RFC 3168 6.1.2 to 6.1.5: new data only
        segment.ect = bytes > 0;
        segment.flags |= c.has(conn_flag::ecn_cwr) ? wire::tcp_flag::cwr : std::uint8_t{0};
    }
    const tcp_seq end = c.snd_nxt + bytes + (fin ? 1 : 0);
    // The record first: a segment that is not remembered could never be repeated.
    const unsigned marks = (fin ? sent_flag::fin : 0U) | (push ? sent_flag::push : 0U);
    if (!sent_append(
            h, c, c.snd_nxt, end, segment.data, segment.data_offset,
            static_cast<std::uint8_t>(marks))) {
        h.stats.sndnomem.add(1);
        return false;
    }
    if (!send_segment(h, segment)) [[unlikely]] { // no congestion: it waits where it is
        sent_take_back(h, c);
        return false;
    }
    if (c.has(conn_flag::ecn)) {
        c.clear(conn_flag::ecn_cwr);
        h.stats.ecn_ect0.add(segment.ect ? 1 : 0);
    }
    advance_cursor(c, bytes);
    c.snd_nxt = end;
    if (fin) {
        c.set(conn_flag::fin_sent);
        h.stats.sndctrl.add(1);
    }
    h.stats.sndpack.add(bytes > 0 ? 1 : 0);
    h.stats.sndbyte.add(bytes);
    if (c.sent_count == 1) {
        c.stalled_ms = h.now_ms();
    }
    c.last_sent_ms = h.now_ms();
    recovery_sent(c, end - segment.seq);
    pace_sent(c, bytes);
    note_flight(c);
    ack_went_out(h, c);
    timer_sent_new(h, c);
    return true;
}

bool send_again(host& h, conn& c, std::uint32_t id) {
    if (h.sents[id].payload() > c.snd_mss && !h.sents[id].has(sent_flag::syn)) {
        mtu_probe_repeated(h, c, h.sents[id].end);
        sent_split(h, c, id, h.sents[id].start + c.snd_mss); // the path MTU went down
    }
    const sent_segment& record = h.sents[id];
    if (record.has(sent_flag::syn)) {
        send_syn(h, c);
        return true;
    }
    segment_out segment = begin_segment(h, c, record.start);
    // SACK blocks beside a full old segment would exceed the MTU: the blocks give way.
    const unsigned counted = c.has(conn_flag::timestamps) ? timestamp_option_bytes : 0;
    if (record.payload() + segment.all_options_bytes() > c.snd_mss + counted) {
        segment.options_bytes = 0;
    }
    segment.data = record.payload() > 0 ? record.data : nullptr;
    segment.data_offset = record.data_offset;
    segment.payload = record.payload();
    segment.flags |= record.has(sent_flag::push) ? wire::tcp_flag::psh : std::uint8_t{0};
    segment.flags |= record.has(sent_flag::fin) ? wire::tcp_flag::fin : std::uint8_t{0};
    if (!send_segment(h, segment)) [[unlikely]] { // a timer stands behind it
        return false;
    }
    const std::uint32_t bytes = record.bytes();
    sent_again(h, c, id);
    if (c.has(conn_flag::undo_ready)) {
        ++c.undo_resent;
        if (c.resent_stamp == 0) {
            c.resent_stamp = std::max(timestamp_now(h, c), 1U);
        }
    }
    ++c.resent_segments;
    h.stats.sndrexmitpack.add(1);
    h.stats.sndrexmitbyte.add(bytes);
    if (c.recovery == recovery_state::recovery) {
        h.stats.sack_rexmits.add(1);
        h.stats.sack_rexmit_bytes.add(bytes);
    }
    recovery_sent(c, bytes);
    pace_sent(c, bytes);
    note_flight(c);
    ack_went_out(h, c);
    return true;
}

void output(host& h, conn& c) {
    if (!c.synchronized() && c.fast_open != fast_open_step::pending) {
        return;
    }
    const unsigned most = pace_begin(h, c, segments_per_round_max);
    const bool was_limited = c.has(conn_flag::cwnd_limited);
    c.clear(conn_flag::cwnd_limited);
    unsigned sent = send_lost(h, c, most);
    sent += c.mtu.step == mtu_step::off ? send_fresh(h, c, most - sent)
                                        : send_searching(h, c, most - sent);
    if (sent >= segments_per_round_max) {
        h.want_output(c);
    } else if (sent >= most) { // whether cwnd would have been the limit will be seen later
        c.set(was_limited ? conn_flag::cwnd_limited : 0);
        pace_wait(h, c);
    }
    pace_took(c, sent);
    if (fin_may_leave(c)) {
        send_new(h, c, 0);
    }
    if (c.has(conn_flag::ack_now)) {
        send_ack(h, c);
    }
    ensure_timer(h, c);
}

void send_ack(host& h, conn& c) {
    const segment_out segment = begin_segment(h, c, c.snd_nxt);
    if (send_segment(h, segment)) {
        h.stats.sndacks.add(1);
        ack_went_out(h, c);
    }
}

void send_syn(host& h, conn& c) {
    segment_out segment{.key = &c.key, .seq = c.iss, .flags = wire::tcp_flag::syn};
    if (c.state == conn_state::syn_received) {
        segment.flags |= wire::tcp_flag::ack;
        segment.flags |= c.has(conn_flag::ecn) ? wire::tcp_flag::ece : std::uint8_t{0};
        segment.ack = c.rcv_nxt;
    } else if (c.has(conn_flag::ecn) && c.rexmt_shift == 0) { // RFC 3168 6.1.1, 6.1.1.1
        segment.flags |= wire::tcp_flag::ece | wire::tcp_flag::cwr;
    }
    segment.window = tell_window(c, false); // never scaled in a SYN (RFC 7323 2.2)
    put_syn_options(h, c, segment);
    const bool first = c.by_seq.head == no_id && c.snd_nxt == c.iss;
    if (first) {
        if (!sent_append(h, c, c.iss, c.iss + 1, nullptr, 0, sent_flag::syn)) {
            return;
        }
        c.snd_nxt = c.iss + 1;
        fast_open_data(h, c, segment);
    } else if (c.by_seq.head != no_id) {
        sent_again(h, c, c.by_seq.head);
    }
    if (send_segment(h, segment)) {
        h.stats.sndctrl.add(1);
    }
    c.last_ack = c.rcv_nxt;
    c.last_sent_ms = h.now_ms();
}

void send_conn_reset(host& h, conn& c) {
    segment_out segment = begin_segment(h, c, c.snd_nxt); // with a timestamp: RFC 7323 3.2, SHOULD
    segment.flags = wire::tcp_flag::rst | wire::tcp_flag::ack;
    if (send_segment(h, segment)) {
        h.stats.sndrst.add(1);
        h.stats.sndctrl.add(1);
    }
}

void send_keep_probe(host& h, conn& c) {
    // RFC 9293 3.8.4: SEG.SEQ = SND.NXT-1, outside the window, so the peer must answer.
    const segment_out segment = begin_segment(h, c, c.snd_una - 1);
    send_segment(h, segment);
}

void send_challenge_ack(host& h, conn& c) {
    if (may_challenge(h, c.invalid_ms, c.peer_account)) {
        send_ack(h, c);
    }
}

} // namespace pantala::tcp
