#include "stack/tcp/congestion/tcp_congestion.hpp"

#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_user.hpp"

#include <algorithm>
#include <array>
#include <iterator>

namespace pantala::tcp {

namespace {

constexpr std::array<const char*, 3> names = {"reno", "cubic", "dctcp"}; // by congestion_kind

// Constants of RFC 9406 section 4.3.
constexpr std::uint32_t min_rtt_thresh_us = 4'000;
constexpr std::uint32_t max_rtt_thresh_us = 16'000;
constexpr std::uint32_t min_rtt_divisor = 8;
constexpr unsigned rtt_samples_needed = 8;
constexpr unsigned css_growth_divisor = 4;
constexpr unsigned css_rounds_max = 5;
constexpr std::uint32_t slow_start_segments_max = 8; // L

void leave_slow_start(conn& c, hystart& state) {
    c.ssthresh = c.cwnd;
    state.done = true;
    state.in_css = false;
}

// Section 4.2, per ACK: the round's minimum, then the tests for entering and leaving CSS.
void hystart_sample(conn& c, hystart& state, std::uint32_t rtt_us) {
    if (rtt_us != 0) {
        state.round_min_rtt_us =
            state.round_min_rtt_us == 0 ? rtt_us : std::min(state.round_min_rtt_us, rtt_us);
        state.samples = static_cast<std::uint8_t>(std::min(state.samples + 1, 255));
    }
    if (state.samples < rtt_samples_needed || state.last_min_rtt_us == 0) {
        return;
    }
    if (!state.in_css) {
        const std::uint32_t thresh = std::clamp(
            state.last_min_rtt_us / min_rtt_divisor, min_rtt_thresh_us, max_rtt_thresh_us);
        if (state.round_min_rtt_us >= state.last_min_rtt_us + thresh) {
            state.css_baseline_us = state.round_min_rtt_us;
            state.in_css = true;
            state.css_rounds = 0;
        }
    } else if (state.round_min_rtt_us < state.css_baseline_us) {
        state.in_css = false; // the exit was spurious: slow start goes on
    }
    (void)c;
}

void hystart_round(conn& c, hystart& state) {
    if (c.snd_una < state.window_end) {
        return;
    }
    state.window_end = c.snd_nxt;
    state.last_min_rtt_us = state.round_min_rtt_us;
    state.round_min_rtt_us = 0;
    state.samples = 0;
    if (state.in_css && ++state.css_rounds >= css_rounds_max) {
        leave_slow_start(c, state);
    }
}

// What ssthresh remembers of a window that is given up unused, while nothing is being repaired.
void remember_unused(conn& c) {
    if (c.recovery <= recovery_state::disorder) {
        c.ssthresh = std::max(c.ssthresh, c.cwnd / 2 + c.cwnd / 4); // RFC 2861 3
    }
}

// RFC 2861 3.2, Linux's tcp_cwnd_application_limited: an RTO long cwnd did not limit. Half of what
// was not used of it is given up. Not where the send buffer is the limit.
void give_up_unused(host& h, conn& c) {
    const std::uint32_t used = std::max(c.cwnd_used, initial_window(h, c));
    if (used < c.cwnd && c.recovery == recovery_state::open && !c.send_blocked) {
        remember_unused(c);
        c.cwnd = (c.cwnd + used) / 2;
        congestion_notify(h, c, congestion_event::unused);
    }
    c.cwnd_used_ms = h.now_ms();
    c.cwnd_used = 0;
}

} // namespace

std::uint32_t initial_window(const host& h, const conn& c) {
    // RFC 6928 section 2: min(10 * MSS, max(2 * MSS, 14600)), the 10 being a setting.
    const std::uint32_t mss = c.snd_mss;
    const std::uint32_t segments = h.config.initial_window_segments;
    return std::min(segments * mss, std::max(2 * mss, segments * 1'460));
}

const char* name_of(congestion_kind kind) {
    return names[static_cast<unsigned>(kind)];
}

std::optional<congestion_kind> congestion_named(std::string_view name) {
    const auto found = std::ranges::find(names, name);
    return found == names.end()
               ? std::nullopt
               : std::optional(static_cast<congestion_kind>(std::distance(names.begin(), found)));
}

// Windows stay; the new one begins as behind slow start, or in it where it has not ended.
void congestion_change(conn& c, congestion_kind kind) {
    if (c.congestion == kind) {
        return;
    }
    c.congestion = kind;
    const hystart slow_start = congestion_state<hystart>(c);
    c.congestion_private = {};
    congestion_state<hystart>(c) = slow_start;
    if (kind == congestion_kind::dctcp) {
        dctcp_start(c);
    }
}

void set_congestion(host& h, conn_handle handle, congestion_kind kind) {
    if (conn* c = h.find(handle)) {
        congestion_change(*c, kind);
    }
}

void congestion_start(host& h, conn& c) {
    c.congestion_private = {};
    c.cwnd = initial_window(h, c);
    c.ssthresh = 0x7fffffff;
    c.cwnd_used_ms = h.now_ms();
    c.cwnd_used = 0;
    congestion_state<hystart>(c).window_end = c.snd_nxt;
    if (c.congestion == congestion_kind::dctcp) {
        dctcp_start(c);
    }
}

std::uint32_t slow_start_acked(host& h, conn& c, std::uint32_t acked_bytes, std::uint32_t rtt_us) {
    auto& state = congestion_state<hystart>(c);
    (void)h;
    if (!state.done) {
        hystart_sample(c, state, rtt_us);
    }
    // RFC 9406 section 4.2: L is no limit where pacing keeps the answer from being a burst.
    std::uint32_t growth = c.pace_gap_ns != 0
                               ? acked_bytes
                               : std::min(acked_bytes, slow_start_segments_max * c.snd_mss);
    if (state.in_css) {
        growth /= css_growth_divisor;
    }
    const std::uint32_t room = c.ssthresh - c.cwnd;
    const std::uint32_t used = std::min(growth, room);
    c.cwnd += used;
    if (!state.done) {
        hystart_round(c, state);
    }
    return growth - used;
}

void congestion_acked(host& h, conn& c, std::uint32_t acked_bytes, std::uint32_t rtt_us) {
    // RFC 7661 4.3, Linux's rule in form: a window that was not used is not grown.
    const bool slow = c.cwnd < c.ssthresh;
    const bool limited = c.has(conn_flag::cwnd_limited) || (slow && c.cwnd < 2 * c.most_in_flight);
    if (!limited) {
        c.cwnd_used = std::max(c.cwnd_used, c.most_in_flight);
        if (h.now_ms() - c.cwnd_used_ms >= c.rto_us / 1'000) [[unlikely]] {
            give_up_unused(h, c);
        }
        return;
    }
    c.cwnd_used_ms = h.now_ms();
    c.cwnd_used = 0;
    if (slow) {
        acked_bytes = slow_start_acked(h, c, acked_bytes, rtt_us);
        if (acked_bytes == 0) {
            return;
        }
    }
    if (c.congestion == congestion_kind::cubic) {
        cubic_acked(h, c, acked_bytes);
    } else {
        newreno_acked(c, acked_bytes);
    }
    c.cwnd = std::min(c.cwnd, 1U << 30);
}

std::uint32_t congestion_cut(host&, conn& c, cut_cause cause) {
    auto& state = congestion_state<hystart>(c);
    state.done = true;
    state.in_css = false;
    switch (c.congestion) {
    case congestion_kind::cubic:
        return cubic_cut(c);
    case congestion_kind::dctcp:
        // RFC 8257 3.5: a loss cuts as with any other TCP, whatever the marks say.
        return cause == cut_cause::mark ? dctcp_marked_cut(c) : newreno_cut(c);
    case congestion_kind::newreno:
        break;
    }
    return newreno_cut(c);
}

// A mark counts as a loss with all but DCTCP, so there was the one cut of this window (RFC 3168
// 6.1.2). DCTCP's was less than a loss asks for (RFC 8257 3.5): it becomes half of what the window
// was before the mark, once again not more.
std::uint32_t congestion_cut_again(const conn& c) {
    if (c.congestion != congestion_kind::dctcp) {
        return c.ssthresh;
    }
    return std::min(c.ssthresh, std::max(c.prior_cwnd / 2, 2U * c.snd_mss));
}

// RFC 2861 3.1, Linux's tcp_cwnd_restart: half for every RTO in which nothing was sent, until the
// restart window of RFC 5681 4.1.
void congestion_restart(host& h, conn& c) {
    const std::uint32_t rto_ms = std::max(c.rto_us / 1'000, 1U);
    const std::uint32_t idle_ms = h.now_ms() - c.last_sent_ms;
    const std::uint32_t least = std::min(c.cwnd, initial_window(h, c));
    if (idle_ms <= rto_ms || c.last_sent_ms == 0) {
        return;
    }
    c.cwnd_used_ms = h.now_ms();
    c.cwnd_used = 0;
    if (least == c.cwnd) {
        return;
    }
    remember_unused(c);
    c.cwnd = std::max(c.cwnd >> std::min(idle_ms / rto_ms, 31U), least);
    congestion_notify(h, c, congestion_event::unused);
}

void congestion_notify(host& h, conn& c, congestion_event event) {
    if (c.congestion != congestion_kind::cubic) {
        return;
    }
    switch (event) {
    case congestion_event::timeout:
        return cubic_timed_out(c);
    case congestion_event::undone:
        return cubic_undone(h, c);
    case congestion_event::unused:
        return cubic_forget_epoch(c);
    }
}

void congestion_marked(conn& c, std::uint32_t acked_bytes, bool ece) {
    if (c.congestion == congestion_kind::dctcp) {
        dctcp_marked(c, acked_bytes, ece);
    }
}

} // namespace pantala::tcp
