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
    // RFC 7661 in spirit, Linux's rule in form: a window that was not used is not grown.
    const bool slow = c.cwnd < c.ssthresh;
    const bool limited = c.has(conn_flag::cwnd_limited) || (slow && c.cwnd < 2 * c.most_in_flight);
    if (!limited) {
        return;
    }
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

std::uint32_t congestion_cut(host&, conn& c) {
    auto& state = congestion_state<hystart>(c);
    state.done = true;
    state.in_css = false;
    switch (c.congestion) {
    case congestion_kind::cubic:
        return cubic_cut(c);
    case congestion_kind::dctcp:
        return dctcp_cut(c);
    case congestion_kind::newreno:
        break;
    }
    return newreno_cut(c);
}

void congestion_notify(host& h, conn& c, congestion_event event) {
    if (event == congestion_event::idle) {
        c.cwnd = std::min(c.cwnd, initial_window(h, c));
    }
    if (c.congestion == congestion_kind::cubic) {
        cubic_forget_epoch(c);
    }
}

void congestion_marked(conn& c, std::uint32_t acked_bytes, bool ece) {
    if (c.congestion == congestion_kind::dctcp) {
        dctcp_marked(c, acked_bytes, ece);
    }
}

} // namespace pantala::tcp
