// The timers of a connection: BSD's five (heritage: tcp_timer.c), rexmt, persist, keep, 2msl,
// delack, and one for pacing. Each is a deadline in the connection; the wheel holds at most one
// live entry for it. The rexmt deadline serves one of three: RTO, tail loss probe, reordering timer
// (RFC 8985 section 7.2). Owner: the connection's worker. Arming later and disarming: one store.
#pragma once

#include "stack/tcp/tcp_conn.hpp"

#include <cstdint>

namespace pantala::tcp {

class host;

void timer_arm(host& h, conn& c, conn_timer timer, std::uint32_t delay_ms);
inline void timer_disarm(conn& c, conn_timer timer) {
    c.armed = static_cast<std::uint8_t>(c.armed & ~(1U << static_cast<unsigned>(timer)));
}
inline void timer_disarm_all(conn& c) {
    c.armed = 0;
}

// Before something is queued: where nothing else waits to be acknowledged, it counts from now on.
inline void user_timeout_begin(conn& c, std::uint32_t now_ms) {
    if (c.snd_una == c.snd_end) {
        c.stalled_ms = now_ms;
    }
}

void timer_arm_rexmt(host& h, conn& c, rexmt_kind kind, std::uint32_t delay_us);
// Restarts the retransmission timer after an ACK of new data (RFC 6298 5.3), as a tail loss probe
// where one is due before.
void timer_restart_rexmt(host& h, conn& c);
// Starts it where data is outstanding and it does not run (RFC 6298 5.1).
void timer_ensure_rexmt(host& h, conn& c);
// New data was sent: starts it, or restarts a tail loss probe (RFC 8985 7.2).
void timer_sent_new(host& h, conn& c);
void timer_arm_persist(host& h, conn& c);
// How long a connection is silent before it is asked whether it lives, milliseconds.
std::uint32_t keep_idle_ms(const host& h, const conn& c);
// The RTO with back-off, microseconds.
std::uint32_t rto_backed_off_us(const host& h, const conn& c);

// What the wheel asks of the connections (timed_objects).
struct timed_conns {
    host& h;
    timer_schedule& schedule(std::uint32_t id);
    // Fires every timer of the connection that is due; it may be gone afterwards.
    instant due(std::uint32_t id, instant now);
};

} // namespace pantala::tcp
