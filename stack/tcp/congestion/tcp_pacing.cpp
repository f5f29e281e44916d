#include "stack/tcp/congestion/tcp_pacing.hpp"

#include "stack/tcp/congestion/tcp_congestion.hpp"
#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_timer.hpp"
#include "stack/tcp/tcp_user.hpp"

#include <algorithm>

namespace pantala::tcp {

namespace {

constexpr std::uint64_t tick_ns = ns_per_ms; // the wheel's
constexpr unsigned portion_segments_min = 2;
constexpr std::uint64_t gap_max_ns = UINT32_MAX; // of 1 KiB: 238 bytes a second
constexpr std::uint64_t kib_ns_per_srtt_unit = 1'024 * 1'000 * 100 / 8; // srtt_us counts eighths

// Nanoseconds that 1,024 bytes take; 0: no limit.
std::uint32_t gap_of(const host& h, const conn& c) {
    std::uint64_t gap_ns = c.pace_gap_min_ns;
    if (c.has_pacing && c.srtt() >= h.config.pacing_rtt_min_ms * 1'000) {
        // Past half of ssthresh slow start is about to end: it is paced as if it had.
        const std::uint64_t percent =
            c.cwnd < c.ssthresh / 2 ? h.config.pacing_ss_percent : h.config.pacing_ca_percent;
        const std::uint64_t by_window = std::max<std::uint64_t>(c.cwnd * percent, 1);
        gap_ns = std::max(gap_ns, c.srtt_us * kib_ns_per_srtt_unit / by_window);
    }
    return static_cast<std::uint32_t>(std::min(gap_ns, gap_max_ns));
}

} // namespace

unsigned pace_begin(const host& h, conn& c, unsigned most) {
    c.pace_gap_ns = gap_of(h, c);
    if (c.pace_gap_ns == 0) [[likely]] { // not asked for, or a short way
        return most;
    }
    if (c.snd_nxt - c.iss <= initial_window(h, c)) {
        c.pace_gap_ns = 0;
        return most;
    }
    if (c.pace_next_ns <= h.now.ns) {
        const std::uint64_t pair_ns =
            std::uint64_t{portion_segments_min} * c.snd_mss * c.pace_gap_ns >> 10;
        const std::uint64_t credit_ns = std::max(tick_ns, pair_ns / 2);
        c.pace_next_ns = std::max(c.pace_next_ns, h.now.ns - std::min(h.now.ns, credit_ns));
        const std::uint64_t a_tick = (tick_ns << 10) / c.pace_gap_ns / c.snd_mss;
        c.pace_left = static_cast<std::uint16_t>(
            std::clamp<std::uint64_t>(a_tick, portion_segments_min, UINT16_MAX));
    }
    return std::min<unsigned>(c.pace_left, most);
}

void pace_took(conn& c, unsigned segments) {
    c.pace_left =
        static_cast<std::uint16_t>(c.pace_left - std::min<unsigned>(c.pace_left, segments));
}

void pace_wait(host& h, conn& c) {
    if (c.unsent() == 0 && c.lost_bytes <= c.resent_bytes) {
        return; // nothing waits
    }
    if (c.pace_next_ns <= h.now.ns) { // it is late: the next portion may leave in the next round
        h.want_output(c);
        return;
    }
    h.stats.paced.add(1);
    const std::uint64_t due_ms = (c.pace_next_ns + ns_per_ms - 1) / ns_per_ms;
    timer_arm(h, c, conn_timer::pace, static_cast<std::uint32_t>(due_ms - h.now.ms()));
}

std::uint64_t pacing_rate(const host& h, const conn& c) {
    return rate_of_gap(gap_of(h, c));
}

void pace_at_most(conn& c, std::uint64_t bytes_per_second) {
    c.pace_gap_min_ns = bytes_per_second == 0
                            ? 0
                            : static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
                                  1'024 * ns_per_s / bytes_per_second, 1, gap_max_ns));
}

void set_pacing(host& h, conn_handle handle, bool on, std::uint64_t bytes_per_second_max) {
    if (conn* c = h.find(handle)) {
        c->has_pacing = on;
        pace_at_most(*c, on ? bytes_per_second_max : 0);
        h.want_output(*c);
    }
}

} // namespace pantala::tcp
