// CUBIC (RFC 9438): cwnd is a cubic function of the time since the last cut, and never below what
// Reno would have. C = 0.4, beta = 0.7. Whole numbers only: windows in bytes, times in ms.
#include "stack/tcp/congestion/tcp_congestion.hpp"

#include "stack/tcp/tcp_host.hpp"

#include <algorithm>

namespace pantala::tcp {

namespace {

// The curve, and where on it the window is.
struct cubic_curve {
    std::uint32_t w_max = 0;      // bytes: the plateau; 0: not known
    std::uint32_t w_est = 0;      // bytes: Reno-friendly window
    std::uint32_t cwnd_prior = 0; // cwnd at the last cut
    std::uint32_t k_ms = 0;       // time to climb back to w_max
    std::uint32_t epoch_ms = 0;   // when congestion avoidance began, as much later as it rested
    bool in_epoch = false;
};

struct cubic_state {
    hystart slow_start;
    cubic_curve now;
    cubic_curve before;        // the last cut
    std::uint32_t seen_ms = 0; // the last ACK that found the window in use
    std::uint32_t credit = 0;  // acknowledged bytes not yet turned into window
    std::uint32_t est_credit = 0;
};

// The largest x under 2^21 with x^3 <= value.
std::uint32_t cube_root(std::uint64_t value) {
    std::uint64_t root = 0;
    for (int bit = 20; bit >= 0; --bit) {
        const std::uint64_t trial = root | std::uint64_t{1} << bit;
        if (trial * trial * trial <= value) {
            root = trial;
        }
    }
    return static_cast<std::uint32_t>(root);
}

// Section 4.2: K = cubic root of ((W_max - cwnd_epoch) / C). In segments and seconds; with ms and
// bytes: K^3 = gap / mss * 10^9 / 0.4 ms^3.
std::uint32_t climb_time_ms(std::uint32_t gap_bytes, std::uint32_t mss) {
    return cube_root(std::uint64_t{gap_bytes} * 2'500'000'000 / mss);
}

void begin_epoch(const host& h, conn& c, cubic_state& state) {
    state.now.in_epoch = true;
    state.now.epoch_ms = h.now_ms();
    state.seen_ms = h.now_ms();
    state.credit = 0;
    state.est_credit = 0;
    state.now.w_est = c.cwnd;
    if (c.cwnd < state.now.w_max) {
        state.now.k_ms = climb_time_ms(state.now.w_max - c.cwnd, c.snd_mss);
    } else { // no plateau is known (sections 4.8, 4.10): this is it, and K is 0
        state.now.w_max = c.cwnd;
        state.now.k_ms = 0;
    }
}

// Sections 4.2 and 5.8: t, without the time in which the application did not use the window. Two
// ACKs that find it in use are a round trip apart at most; what is above that was rest.
std::uint32_t time_used_ms(const host& h, const conn& c, cubic_state& state) {
    const std::uint32_t round_ms = (c.srtt() + c.rttvar_us) / 1'000 + 1; // srtt + 4 * rttvar
    const std::uint32_t gap_ms = h.now_ms() - state.seen_ms;
    if (gap_ms > round_ms) {
        state.now.epoch_ms += gap_ms - round_ms;
    }
    state.seen_ms = h.now_ms();
    return h.now_ms() - state.now.epoch_ms;
}

// Section 4.2, (1): W_cubic(t) = C * (t - K)^3 + W_max, in bytes.
std::uint32_t window_at(const cubic_curve& curve, std::uint32_t mss, std::uint64_t t_ms) {
    const bool before = t_ms < curve.k_ms;
    const std::uint64_t distance =
        std::min<std::uint64_t>(before ? curve.k_ms - t_ms : t_ms - curve.k_ms, 1'000'000);
    // 0.4 * mss * d^3 / 10^9, arranged so that nothing overflows: d^3 <= 10^18.
    const std::uint64_t cube = distance * distance * distance / 1'000'000;
    const std::uint64_t delta = std::min<std::uint64_t>(cube * mss / 2'500, 1U << 30);
    if (before) {
        return delta < curve.w_max ? static_cast<std::uint32_t>(curve.w_max - delta) : 0;
    }
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(curve.w_max + delta, 1U << 30));
}

// Section 4.3, (4): W_est += alpha * acked / cwnd segments, alpha = 3 * (1 - beta) / (1 + beta) =
// 9/17 until W_est reaches cwnd_prior, then 1.
void advance_estimate(conn& c, cubic_state& state, std::uint32_t acked_bytes) {
    state.est_credit += acked_bytes;
    const bool regained = state.now.w_est >= state.now.cwnd_prior;
    const std::uint32_t step =
        regained ? c.cwnd : static_cast<std::uint32_t>(std::uint64_t{c.cwnd} * 17 / 9);
    if (state.est_credit >= step) {
        state.est_credit -= step;
        state.now.w_est += c.snd_mss;
    }
}

} // namespace

void cubic_acked(host& h, conn& c, std::uint32_t acked_bytes) {
    auto& state = congestion_state<cubic_state>(c);
    if (!state.now.in_epoch) {
        begin_epoch(h, c, state);
    }
    advance_estimate(c, state, acked_bytes);
    const std::uint32_t elapsed_ms = time_used_ms(h, c, state);
    const std::uint32_t now_window = window_at(state.now, c.snd_mss, elapsed_ms);
    if (now_window < state.now.w_est) { // Reno-friendly region (section 4.3)
        c.cwnd = std::max(c.cwnd, state.now.w_est);
        return;
    }
    // Sections 4.4 and 4.5: towards W_cubic(t + RTT), at most half as much again a round trip.
    const std::uint64_t ahead = elapsed_ms + c.srtt() / 1'000;
    const std::uint32_t target =
        std::clamp(window_at(state.now, c.snd_mss, ahead), c.cwnd, c.cwnd + c.cwnd / 2);
    state.credit += acked_bytes;
    const auto growth =
        static_cast<std::uint32_t>(std::uint64_t{target - c.cwnd} * state.credit / c.cwnd);
    if (growth >= c.snd_mss) {
        c.cwnd += growth;
        state.credit = 0;
    } else if (target == c.cwnd) {
        state.credit = 0;
    }
}

std::uint32_t cubic_cut(conn& c) {
    auto& state = congestion_state<cubic_state>(c);
    state.before = state.now;
    cubic_curve& curve = state.now;
    curve.in_epoch = false;
    // Section 4.7, fast convergence: a flow that did not regain its plateau gives way to others.
    curve.w_max =
        c.cwnd < curve.w_max ? static_cast<std::uint32_t>(std::uint64_t{c.cwnd} * 17 / 20) : c.cwnd;
    curve.cwnd_prior = c.cwnd;
    // Section 4.6: ssthresh = flight * beta, at least two segments. The flight of an
    // application-limited sender is less than cwnd.
    const std::uint32_t flight = std::min(c.cwnd, std::max(c.in_flight(), c.most_in_flight));
    return std::max(static_cast<std::uint32_t>(std::uint64_t{flight} * 7 / 10), 2U * c.snd_mss);
}

// Section 4.8: the next congestion avoidance begins its own plateau, with K = 0.
void cubic_timed_out(conn& c) {
    cubic_curve& curve = congestion_state<cubic_state>(c).now;
    curve.in_epoch = false;
    curve.w_max = 0;
}

// The next congestion avoidance climbs to the same plateau from where it then is.
void cubic_forget_epoch(conn& c) {
    congestion_state<cubic_state>(c).now.in_epoch = false;
}

// Section 4.9: as if there had been no cut; but what has grown beyond it since is kept.
void cubic_undone(const host& h, conn& c) {
    auto& state = congestion_state<cubic_state>(c);
    if (c.cwnd <= c.prior_cwnd) {
        state.now = state.before;
        state.seen_ms = h.now_ms();
    }
}

} // namespace pantala::tcp
