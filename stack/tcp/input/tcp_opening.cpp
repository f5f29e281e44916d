// SYN-SENT (RFC 9293 3.10.7.3), what the SYNs agree on, and the step into ESTABLISHED.
#include "stack/tcp/congestion/path_memory.hpp"
#include "stack/tcp/congestion/tcp_congestion.hpp"
#include "stack/tcp/input/tcp_ack.hpp"
#include "stack/tcp/input/tcp_states.hpp"
#include "stack/tcp/output/tcp_output.hpp"
#include "stack/tcp/recovery/tcp_mtu_search.hpp"
#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_timer.hpp"
#include "stack/wire/tcp.hpp"

#include <algorithm>

namespace pantala::tcp {

namespace {

using namespace wire::tcp_flag;

constexpr std::uint32_t rto_after_lost_syn_us = 3'000'000; // RFC 6298 5.7
constexpr std::uint16_t default_mss_v4 = 536;              // RFC 9293 3.7.1
constexpr std::uint16_t default_mss_v6 = 1'220;

} // namespace

void arrives_in_syn_sent(host& h, conn& c, const segment_in& segment) {
    const bool has_ack = segment.has(ack);
    const bool good_ack = has_ack && segment.ack > c.iss && segment.ack <= c.snd_nxt;
    if (has_ack && !good_ack) { // first
        if (!segment.has(rst)) {
            send_reset(h, {&segment.key, segment.seq, segment.ack, 0, true});
        }
        return;
    }
    if (segment.has(rst)) { // second
        if (good_ack) {
            h.stats.rcvrst.add(1);
            h.stats.conndrops.add(1);
            h.finish(c, conn_error::refused);
        }
        return;
    }
    if (!segment.has(syn)) { // fifth
        return;
    }
    c.irs = segment.seq;
    c.rcv_nxt = segment.seq + 1;
    c.rcv_adv = c.rcv_nxt;
    c.last_heard_ms = h.now_ms();
    negotiate(h, c, segment);
    if (!has_ack) { // simultaneous open
        c.state = conn_state::syn_received;
        c.rcv_adv = c.rcv_nxt + std::min(c.rcv_limit, 65'535U);
        send_syn(h, c);
        return;
    }
    c.rcv_adv = c.rcv_nxt + std::min(c.rcv_limit, 65'535U); // what our SYN told, unscaled
    c.snd_wnd = window_of(c, segment);
    c.max_snd_wnd = c.snd_wnd;
    c.snd_wl1 = segment.seq;
    c.snd_wl2 = segment.ack;
    establish(h, c);
    process_ack(h, c, segment);
    fast_open_answered(h, c, segment);
    c.set(conn_flag::ack_now);
    h.want_output(c);
}

void negotiate(host& h, conn& c, const segment_in& segment) {
    const wire::tcp_options& options = segment.options;
    if (!options.sack_permitted) {
        c.clear(conn_flag::sack);
    }
    if (!options.has_timestamp) {
        c.clear(conn_flag::timestamps);
    } else if (c.has(conn_flag::timestamps)) {
        c.ts_recent = options.ts_value;
        c.ts_recent_ms = h.now_ms();
        c.set(conn_flag::ts_recent_valid);
    }
    if (options.has_window_scale && c.has(conn_flag::window_scale)) {
        c.snd_wscale = std::min<std::uint8_t>(options.window_scale, wire::tcp_window_scale_max);
    } else { // RFC 7323 2.2: both or none
        c.clear(conn_flag::window_scale);
        c.snd_wscale = 0;
        c.rcv_wscale = 0;
    }
    // RFC 3168 6.1.1: a SYN asks with ECE and CWR, a SYN-ACK agrees with ECE alone.
    const bool asked = segment.has(ece) && segment.has(cwr) && !segment.has(ack);
    const bool agreed = segment.has(ece) && !segment.has(cwr) && segment.has(ack);
    if (!asked && !agreed) {
        c.clear(conn_flag::ecn);
    }
    const std::uint16_t fallback = c.key.is_v4() ? default_mss_v4 : default_mss_v6;
    const std::uint16_t full =
        mss_for(h, c.key, options.has_mss ? options.mss : fallback, c.path_mtu);
    c.snd_mss = static_cast<std::uint16_t>(
        full - (c.has(conn_flag::timestamps) ? timestamp_option_bytes : 0));
    mtu_search_begin(h, c);
}

void establish(host& h, conn& c) {
    // CLOSE may have been called before (RFC 9293 3.10.4, SYN-RECEIVED).
    c.state = c.has(conn_flag::fin_queued) ? conn_state::fin_wait_1 : conn_state::established;
    h.stats.connects.add(1);
    h.stats.ecn_connects.add(c.has(conn_flag::ecn) ? 1 : 0);
    if (c.fast_open == fast_open_step::pending) { // data may be out: it has begun
        fast_open_settle(h, c, false);
    } else {
        congestion_start(h, c);
        path_seed(h, c);
    }
    if (c.rexmt_shift > 0) {
        // RFC 6298 5.7 and RFC 6928 2: the SYN was lost: a slower clock and one segment to begin.
        c.rto_us = std::max(c.rto_us, rto_after_lost_syn_us);
        c.cwnd = c.snd_mss;
    }
    c.rexmt_shift = 0;
    c.quick_acks = h.config.quick_acks;
    c.tune_seq = c.rcv_nxt;
    c.tune_start_us = h.now_us();
    timer_arm(h, c, conn_timer::keep, keep_idle_ms(h, c));
    h.tell(c, conn_event::connected | conn_event::writable);
    h.want_output(c);
}

} // namespace pantala::tcp
