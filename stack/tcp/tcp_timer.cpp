#include "stack/tcp/tcp_timer.hpp"

#include "stack/tcp/output/tcp_output.hpp"
#include "stack/tcp/recovery/tcp_mtu_search.hpp"
#include "stack/tcp/recovery/tcp_rack.hpp"
#include "stack/tcp/recovery/tcp_recovery.hpp"
#include "stack/tcp/recovery/tcp_rtt.hpp"
#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_user.hpp"

#include <algorithm>

namespace pantala::tcp {

namespace {

constexpr std::uint8_t quick_acks_asked = 16; // as many as Linux at most

std::uint32_t& deadline_of(conn& c, conn_timer timer) {
    return c.deadline_ms[static_cast<unsigned>(timer)];
}

std::uint32_t up_to_ms(std::uint32_t us) {
    return us / 1'000 + (us % 1'000 != 0 ? 1 : 0);
}

// Heritage 3: how long a peer may say nothing while a window is probed. Not of keep-alive's keys,
// which may be made as short as an RTO.
constexpr std::uint32_t persist_idle_ms = 600'000;

bool before_established(const conn& c) {
    return c.state == conn_state::syn_sent || c.state == conn_state::syn_received;
}

// The application's own, where it asks for keep-alive and names one.
std::uint32_t keep_interval_ms(const host& h, const conn& c) {
    const bool own = c.has(conn_flag::keep_alive) && c.keep_interval_s != 0;
    return own ? c.keep_interval_s * 1'000U : h.config.keepintvl_ms;
}

std::uint32_t keep_count(const host& h, const conn& c) {
    return c.has(conn_flag::keep_alive) && c.keep_count != 0 ? c.keep_count : h.config.keepcnt;
}

// The user timeout (RFC 9293 3.9.1; RFC 5482): how long data may stay unacknowledged.
bool user_timed_out(const host& h, const conn& c) {
    return c.user_timeout_ms != 0 && h.now_ms() - c.stalled_ms >= c.user_timeout_ms;
}

void give_up(host& h, conn& c) {
    h.stats.timeoutdrop.add(1);
    h.finish(c, c.soft_error != 0 ? conn_error::unreachable : conn_error::timed_out);
}

// While memory is short an orphan does not keep what its peer does not take, nor does a connection
// whose peer keeps the window closed, if that peer's connections hold more than is left for all
// others (RFC 6429 section 3 leaves it to the one who lacks the memory).
bool is_in_the_way(const host& h, const conn& c) {
    constexpr unsigned probes_unread = 4; // or retransmissions unanswered, or not even sent
    return h.memory.is_short(memory_use::send) &&
           std::max(c.rexmt_shift, c.keep_probes) >= probes_unread &&
           (c.has(conn_flag::orphan) ||
            (c.snd_wnd == 0 && h.memory.is_greedy(memory_use::send, c.account)));
}

void drop_for_memory(host& h, conn& c) {
    h.stats.memdrops.add(1);
    send_conn_reset(h, c);
    h.finish(c, conn_error::no_memory);
}

// SYN or SYN-ACK not answered. True: the connection lives.
bool rexmt_syn(host& h, conn& c) {
    if (c.rexmt_shift >= h.config.rexmt_retries || user_timed_out(h, c)) {
        h.stats.conndrops.add(1);
        give_up(h, c);
        return false;
    }
    ++c.rexmt_shift;
    fast_open_unanswered(h, c);
    send_syn(h, c);
    timer_arm_rexmt(h, c, rexmt_kind::rto, rto_backed_off_us(h, c));
    return true;
}

// Do large segments vanish on the way and the ICMP that would say so as well? Both families let
// these through: less than IPv6's least MTU of 1,280.
void suspect_black_hole(host& h, conn& c) {
    constexpr unsigned safe_mtu = 1'240;
    const unsigned timeouts = h.config.blackhole_timeouts;
    if (timeouts == 0) {
        return;
    }
    const unsigned options = c.has(conn_flag::timestamps) ? timestamp_option_bytes : 0;
    const unsigned safe = mss_to_offer(h, c.key, safe_mtu) - options;
    if (c.rexmt_shift == timeouts) {
        const bool large = h.sents[c.by_seq.head].payload() > safe;
        c.blackhole_mss = large ? c.snd_mss : std::uint16_t{0};
        if (large) {
            h.stats.pmtud_blackhole.add(1);
            c.snd_mss = static_cast<std::uint16_t>(safe);
            mtu_search_from_here(h, c);
        }
    } else if (c.rexmt_shift == 2 * timeouts && c.blackhole_mss != 0) {
        h.stats.pmtud_blackhole_failed.add(1);
        c.snd_mss = c.blackhole_mss;
        mtu_search_needless(h, c);
        c.blackhole_mss = 0;
    }
}

// Heritage 3, "rexmt"; RFC 6298 section 5.4 to 5.6.
void rexmt_timeout(host& h, conn& c) {
    h.stats.rexmttimeo.add(1);
    if (before_established(c)) {
        rexmt_syn(h, c);
        return;
    }
    if (c.by_seq.head == no_id) { // nothing is out: it waited for memory
        h.want_output(c);
        return;
    }
    if (user_timed_out(h, c)) {
        h.stats.usertimeo.add(1);
        give_up(h, c);
        return;
    }
    // A peer that answers with a closed window is alive, however long it takes (RFC 9293 3.8.6.1).
    // It may hold an application, not an orphan. (What a near one said to the last retransmission
    // came one whole timeout ago: two are the limit, as in Linux.)
    const bool alive_but_closed = c.snd_wnd == 0 && !c.has(conn_flag::orphan) &&
                                  h.now_ms() - c.last_heard_ms < 2 * h.config.rexmit_max_ms;
    if (c.rexmt_shift >= h.config.rexmt_retries && !alive_but_closed) {
        give_up(h, c);
        return;
    }
    if (is_in_the_way(h, c)) {
        drop_for_memory(h, c);
        return;
    }
    recovery_on_timeout(h, c);
    c.rexmt_shift = static_cast<std::uint8_t>(std::min(c.rexmt_shift + 1U, rexmt_retries_max));
    if (c.rexmt_shift > rexmt_retries_max / 4 && c.has(conn_flag::rtt_seen)) {
        rtt_distrust(c);
    }
    suspect_black_hole(h, c);
    timer_arm_rexmt(h, c, rexmt_kind::rto, rto_backed_off_us(h, c));
    h.want_output(c);
}

void rexmt_due(host& h, conn& c) {
    switch (c.rexmt_for) {
    case rexmt_kind::reorder:
        recovery_on_reorder_timeout(h, c);
        timer_ensure_rexmt(h, c);
        h.want_output(c);
        return;
    case rexmt_kind::tail_probe:
        tail_probe_send(h, c);
        timer_arm_rexmt(h, c, rexmt_kind::rto, rto_backed_off_us(h, c));
        return;
    case rexmt_kind::rto:
        rexmt_timeout(h, c);
        return;
    }
}

// Where the window is open: what fits goes out, or the FIN. What does not leave this machine
// (send_segment) is no word about the path: it is tried again at an even pace, without backing off.
void send_waiting(host& h, conn& c, std::uint32_t fits) {
    if (!send_new(h, c, std::min<std::uint32_t>(fits, c.snd_mss))) {
        timer_arm(h, c, conn_timer::persist, h.config.blocked_retry_ms);
    } // else it has a retransmission timer behind it now
}

// Heritage 3, "persist"; RFC 9293 3.8.6.1. The probe is an empty segment outside the window, which
// the peer must answer with its window.
void persist_due(host& h, conn& c) {
    h.stats.persisttimeo.add(1);
    const std::uint32_t idle = h.now_ms() - c.last_heard_ms;
    const std::uint64_t patience = std::min<std::uint64_t>(
        persist_idle_ms, std::uint64_t{c.rto_us} * data_backoff_sum / 1'000);
    const std::uint32_t fits = std::min(usable_window(c), c.unsent());
    const bool may_leave = fits > 0 || fin_may_leave(c);
    // A peer that answers but never reads may hold an application, not an orphan; a device that
    // takes nothing holds neither for ever.
    const bool spent = may_leave ? h.now_ms() - c.stalled_ms >= patience
                                 : c.rexmt_shift >= h.config.rexmt_retries &&
                                       (idle >= patience || c.has(conn_flag::orphan));
    if (spent || user_timed_out(h, c)) {
        h.stats.persistdrop.add(1);
        give_up(h, c);
        return;
    }
    if (is_in_the_way(h, c)) {
        drop_for_memory(h, c);
        return;
    }
    h.stats.sndprobe.add(1);
    c.keep_probes = static_cast<std::uint8_t>(std::min(c.keep_probes + 1, 255));
    c.push_withheld = false; // it has waited long enough for more
    if (may_leave) {
        send_waiting(h, c, fits);
        return;
    }
    c.rexmt_shift = static_cast<std::uint8_t>(std::min(c.rexmt_shift + 1U, rexmt_retries_max));
    send_keep_probe(h, c);
    timer_arm_persist(h, c);
}

// Heritage 3, "keep"; RFC 9293 3.8.4. Read lazily: arriving segments only note their time.
void keep_due(host& h, conn& c) {
    if (before_established(c)) {
        h.stats.keeptimeo.add(1);
        h.stats.keepdrops.add(1);
        h.stats.conndrops.add(1);
        h.finish(c, c.soft_error != 0 ? conn_error::unreachable : conn_error::timed_out);
        return;
    }
    const std::uint32_t idle = h.now_ms() - c.last_heard_ms;
    const std::uint32_t allowed = keep_idle_ms(h, c);
    const bool probing = h.config.always_keepalive || c.has(conn_flag::keep_alive);
    if (!probing || c.state > conn_state::closing) {
        timer_arm(h, c, conn_timer::keep, allowed);
        return;
    }
    if (idle < allowed) {
        c.keep_probes = 0;
        timer_arm(h, c, conn_timer::keep, allowed - idle);
        return;
    }
    if (c.snd_una != c.snd_nxt) { // what is out is asked for by retransmissions; they decide
        timer_arm(h, c, conn_timer::keep, keep_interval_ms(h, c));
        return;
    }
    h.stats.keeptimeo.add(1);
    const std::uint32_t count = keep_count(h, c);
    // Who is asked late, after a long silence, is asked as often.
    if (c.keep_probes >= std::min<std::uint32_t>(count, 255) &&
        idle >= allowed + count * keep_interval_ms(h, c)) {
        h.stats.keepdrops.add(1);
        give_up(h, c);
        return;
    }
    h.stats.keepprobe.add(1);
    c.keep_probes = static_cast<std::uint8_t>(std::min(c.keep_probes + 1, 255));
    send_keep_probe(h, c);
    timer_arm(h, c, conn_timer::keep, keep_interval_ms(h, c));
}

// Heritage 3, "2msl", outside TIME-WAIT (which is a record of its own): an orphan in FIN-WAIT-2
// whose peer never closes. What it says meanwhile is no data (that is answered by a reset) and puts
// nothing off.
void msl2_due(host& h, conn& c) {
    h.stats.finwait2_drops.add(1);
    h.finish(c, conn_error::none);
}

void fire(host& h, conn& c, conn_timer timer) {
    timer_disarm(c, timer);
    switch (timer) {
    case conn_timer::rexmt:
        return rexmt_due(h, c);
    case conn_timer::persist:
        return persist_due(h, c);
    case conn_timer::keep:
        return keep_due(h, c);
    case conn_timer::msl2:
        return msl2_due(h, c);
    case conn_timer::pace:
        return h.want_output(c);
    case conn_timer::delack:
        h.stats.delack.add(1);
        c.set(conn_flag::ack_now);
        return h.want_output(c);
    }
}

// A deadline in whole milliseconds as the wheel wants it.
instant instant_of(const host& h, std::uint32_t deadline_ms) {
    const auto ahead = static_cast<std::int32_t>(deadline_ms - h.now_ms());
    const std::uint64_t ms = h.now.ms() + static_cast<std::uint64_t>(std::max(ahead, 0));
    return instant{ms * ns_per_ms};
}

instant earliest_deadline(const host& h, const conn& c) {
    instant earliest = instant::never();
    for (unsigned i = 0; i < conn_timers; ++i) {
        if ((c.armed & 1U << i) != 0) {
            earliest = std::min(earliest, instant_of(h, c.deadline_ms[i]));
        }
    }
    return earliest;
}

} // namespace

void timer_arm(host& h, conn& c, conn_timer timer, std::uint32_t delay_ms) {
    const std::uint32_t deadline = h.now_ms() + std::max(delay_ms, 1U);
    deadline_of(c, timer) = deadline;
    c.armed = static_cast<std::uint8_t>(c.armed | 1U << static_cast<unsigned>(timer));
    timed_conns conns{h};
    h.wheel.arm(conns, h.id_of(c), instant_of(h, deadline));
}

std::uint32_t keep_idle_ms(const host& h, const conn& c) {
    const bool own = c.has(conn_flag::keep_alive) && c.keep_idle_s != 0;
    return own ? c.keep_idle_s * 1'000U : h.config.keepidle_ms;
}

std::uint32_t rto_backed_off_us(const host& h, const conn& c) {
    const auto& table = before_established(c) ? syn_backoff : data_backoff;
    const std::uint64_t rto = std::uint64_t{c.rto_us} * table[c.rexmt_shift];
    return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
        rto, std::uint64_t{h.config.rexmit_min_ms} * 1'000,
        std::uint64_t{h.config.rexmit_max_ms} * 1'000));
}

void timer_arm_rexmt(host& h, conn& c, rexmt_kind kind, std::uint32_t delay_us) {
    c.rexmt_for = kind;
    timer_arm(h, c, conn_timer::rexmt, up_to_ms(delay_us));
}

void timer_restart_rexmt(host& h, conn& c) {
    if (c.by_seq.head == no_id) { // RFC 6298 5.2
        timer_disarm(c, conn_timer::rexmt);
        return;
    }
    const std::uint32_t rto_us = rto_backed_off_us(h, c);
    if (tail_probe_wanted(h, c)) {
        // RFC 8985 7.2: never later than the timeout, but then in its place.
        timer_arm_rexmt(h, c, rexmt_kind::tail_probe, std::min(tail_probe_timeout_us(c), rto_us));
        return;
    }
    timer_arm_rexmt(h, c, rexmt_kind::rto, rto_us);
}

void timer_ensure_rexmt(host& h, conn& c) {
    if (!c.is_armed(conn_timer::rexmt)) {
        timer_restart_rexmt(h, c);
    }
}

void timer_sent_new(host& h, conn& c) {
    // A segment alone in flight may meet a delayed ACK, so the timeout stands behind it; with the
    // second one the probe comes sooner (RFC 8985 7.2).
    const bool no_longer_alone =
        c.sent_count == 2 && c.rexmt_for == rexmt_kind::rto && tail_probe_wanted(h, c);
    if (!c.is_armed(conn_timer::rexmt) || c.rexmt_for == rexmt_kind::tail_probe ||
        no_longer_alone) {
        timer_restart_rexmt(h, c);
    }
}

void timer_arm_persist(host& h, conn& c) {
    const std::uint64_t base = std::uint64_t{c.rto_us} / 1'000 * data_backoff[c.rexmt_shift];
    // A window that is only too small for a good segment is overridden sooner (RFC 9293
    // 3.8.6.2.1 (4)) than a closed one is probed.
    const std::uint32_t least =
        usable_window(c) > 0 ? h.config.rexmit_min_ms : h.config.persist_min_ms;
    timer_arm(
        h, c, conn_timer::persist,
        static_cast<std::uint32_t>(
            std::clamp<std::uint64_t>(base, least, h.config.persist_max_ms)));
}

timer_schedule& timed_conns::schedule(std::uint32_t id) {
    return h.conns.at(id).schedule;
}

instant timed_conns::due(std::uint32_t id, instant now) {
    (void)now; // the host's own
    conn& c = h.conns[id];
    const std::uint32_t generation = c.generation;
    for (unsigned i = 0; i < conn_timers; ++i) {
        if ((c.armed & 1U << i) != 0 && !serial_less(h.now_ms(), c.deadline_ms[i])) {
            fire(h, c, static_cast<conn_timer>(i));
            if (c.generation != generation || c.state == conn_state::closed) {
                return instant::never(); // gone; perhaps already someone else
            }
        }
    }
    return earliest_deadline(h, c);
}

// ---------------------------------------------------------------------------------------------
// What an application sets of them (tcp_user.hpp).

void set_keep_alive(host& h, conn_handle handle, bool on) {
    conn* c = h.find(handle);
    if (c == nullptr || c->has(conn_flag::keep_alive) == on) {
        return;
    }
    on ? c->set(conn_flag::keep_alive) : c->clear(conn_flag::keep_alive);
    if (on && c->synchronized()) { // its own times may be shorter than what the timer was set for
        timer_arm(h, *c, conn_timer::keep, keep_idle_ms(h, *c));
    }
}

void set_user_timeout(host& h, conn_handle handle, std::uint32_t ms) {
    if (conn* c = h.find(handle)) {
        c->user_timeout_ms = ms;
    }
}

void set_keep_times(host& h, conn_handle handle, const keep_times& wanted) {
    conn* c = h.find(handle);
    if (c == nullptr) {
        return;
    }
    c->keep_idle_s = wanted.idle_s;
    c->keep_interval_s = wanted.interval_s;
    c->keep_count = wanted.count;
    if (c->synchronized()) { // the timer looks by itself how long it has been silent
        timer_arm(h, *c, conn_timer::keep, keep_idle_ms(h, *c));
    }
}

void set_quick_ack(host& h, conn_handle handle, bool on) {
    conn* c = h.find(handle);
    if (c == nullptr) {
        return;
    }
    c->quick_acks = on ? quick_acks_asked : std::uint8_t{0};
    if (on && c->rcv_unacked > 0) {
        c->set(conn_flag::ack_now);
        h.want_output(*c);
    }
}

bool is_quick_ack(host& h, conn_handle handle) {
    const conn* c = h.find(handle);
    return c != nullptr && c->quick_acks != 0;
}

} // namespace pantala::tcp
