// NewReno (RFC 5681, 6582): one segment more a round trip, half on loss. And DCTCP (RFC 8257),
// which differs only in how deep ECN marks cut.
#include "stack/tcp/congestion/tcp_congestion.hpp"

#include <algorithm>

namespace pantala::tcp {

namespace {

struct newreno_state {
    hystart slow_start;
    std::uint32_t credit = 0; // bytes acknowledged towards the next segment
};

struct dctcp_state {
    newreno_state base;
    std::uint32_t alpha = 0; // fraction of marked bytes, times 1024
    std::uint32_t acked = 0; // in this window of data
    std::uint32_t marked = 0;
    tcp_seq window_end;
};

constexpr unsigned dctcp_gain_shift = 4; // g = 1/16 (RFC 8257 3.3)
constexpr std::uint32_t alpha_one = 1024;

} // namespace

// RFC 5681 (3): half of what was in flight, not less than two segments.
std::uint32_t newreno_cut(conn& c) {
    congestion_state<newreno_state>(c).credit = 0;
    const std::uint32_t flight = std::min(c.cwnd, std::max(c.in_flight(), c.most_in_flight));
    return std::max(flight / 2, 2U * c.snd_mss);
}

// RFC 5681 section 3.1, by byte counting: cwnd bytes acknowledged make it one segment larger.
void newreno_acked(conn& c, std::uint32_t acked_bytes) {
    auto& state = congestion_state<newreno_state>(c);
    state.credit += acked_bytes;
    if (state.credit >= c.cwnd) {
        state.credit -= c.cwnd;
        c.cwnd += c.snd_mss;
    }
}

void dctcp_start(conn& c) {
    auto& state = congestion_state<dctcp_state>(c);
    state.alpha = alpha_one; // RFC 8257 4.2: conservative
    state.window_end = c.snd_nxt;
}

// RFC 8257 section 3.3: alpha = (1 - g) * alpha + g * M, once a window.
void dctcp_marked(conn& c, std::uint32_t acked_bytes, bool ece) {
    auto& state = congestion_state<dctcp_state>(c);
    state.acked += acked_bytes;
    state.marked += ece ? acked_bytes : 0;
    if (c.snd_una <= state.window_end || state.acked == 0) {
        return;
    }
    const auto fraction =
        static_cast<std::uint32_t>(std::uint64_t{state.marked} * alpha_one / state.acked);
    state.alpha = state.alpha - (state.alpha >> dctcp_gain_shift) + (fraction >> dctcp_gain_shift);
    state.acked = 0;
    state.marked = 0;
    state.window_end = c.snd_nxt;
}

// Marks cut by alpha / 2 (section 3.4).
std::uint32_t dctcp_marked_cut(conn& c) {
    const auto& state = congestion_state<dctcp_state>(c);
    const auto cut =
        static_cast<std::uint32_t>(std::uint64_t{c.cwnd} * state.alpha / (2 * alpha_one));
    return std::max(c.cwnd - cut, 2U * c.snd_mss);
}

} // namespace pantala::tcp
