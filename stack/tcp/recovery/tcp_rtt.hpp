// Round-trip time and retransmission timeout (RFC 6298). Microseconds; srtt is kept times 8 and
// rttvar times 4, as in Jacobson's paper of 1988, so that no fraction is lost.
#pragma once

#include "stack/tcp/tcp_conn.hpp"
#include "stack/tcp/tcp_settings.hpp"

#include <algorithm>
#include <cstdint>

namespace pantala::tcp {

inline constexpr std::uint32_t clock_granularity_us = 1'000; // G of RFC 6298: the wheel's tick
inline constexpr std::uint32_t min_rtt_window_ms = 10'000; // a minimum older than this is forgotten

// (2.2), (2.3): SRTT + max(G, slop, 4 * RTTVAR), within the limits of the settings (2.4, 2.5).
inline std::uint32_t rto_of(const conn& c, const settings& config) {
    const std::uint64_t rto =
        std::uint64_t{c.srtt_us >> 3} +
        std::max({clock_granularity_us, config.rexmit_slop_ms * 1'000, c.rttvar_us});
    return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
        rto, std::uint64_t{config.rexmit_min_ms} * 1'000,
        std::uint64_t{config.rexmit_max_ms} * 1'000));
}

// One measurement of a segment that was sent once (Karn's rule, section 3).
inline void rtt_sample(conn& c, const settings& config, std::uint32_t rtt_us) {
    rtt_us = std::min(rtt_us, 60'000'000U);
    if (!c.has(conn_flag::rtt_seen)) { // (2.2)
        c.srtt_us = rtt_us << 3;
        c.rttvar_us = rtt_us << 1;
        c.set(conn_flag::rtt_seen);
    } else { // (2.3): alpha 1/8, beta 1/4
        const std::uint32_t srtt = c.srtt_us >> 3;
        const std::uint32_t error = srtt > rtt_us ? srtt - rtt_us : rtt_us - srtt;
        c.rttvar_us = c.rttvar_us - (c.rttvar_us >> 2) + error;
        c.srtt_us = c.srtt_us - srtt + rtt_us;
    }
    c.rto_us = rto_of(c, config);
}

// The least RTT of late: what RACK and HyStart++ measure reordering and queues by.
inline void min_rtt_sample(conn& c, std::uint32_t rtt_us, std::uint32_t now_ms) {
    if (c.min_rtt_us == 0 || rtt_us <= c.min_rtt_us || now_ms - c.min_rtt_ms > min_rtt_window_ms) {
        c.min_rtt_us = rtt_us;
        c.min_rtt_ms = now_ms;
    }
}

// Past a quarter of the retries the estimate is worthless: srtt goes into rttvar, so that the RTO
// stays while the next sample becomes srtt (BSD).
inline void rtt_distrust(conn& c) {
    c.rttvar_us += c.srtt_us >> 3;
    c.srtt_us = 0;
    c.clear(conn_flag::rtt_seen);
}

} // namespace pantala::tcp
