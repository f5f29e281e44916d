// Pacing (RFC 9002 section 7.7; Linux's sk_pacing): segments leave spread over the round trip, so
// that a window that opens at once does not become a burst that a shallow queue on the way drops.
//
// The rate is cwnd / srtt times a ratio: 2 in slow start, where cwnd doubles within the round trip,
// 1.2 after it, so that pacing never is what limits a window that grows. What a timer of 1 ms can
// part leaves in portions: a millisecond's worth, or two segments (one ACK's worth) where those
// take longer. `pace_next_ns` is when the next portion is due by the rate, not by when the last one
// left, so that late timers lose nothing; credit is limited to half a portion or a tick.
//
// Not paced: the initial window, FIN, probes, ACKs; and connections whose round trip is so short
// that portions of a tick would be no pacing (`pacing_rtt_min_ms`): on a bus it is always off.
// BBR, which has a rate of its own, would give it here in place of cwnd / srtt.
#pragma once

#include "stack/tcp/tcp_conn.hpp"

#include <cstdint>

namespace pantala::tcp {

class host;

// How many segments may leave now, `most` at most, and what they will be charged (`pace_gap_ns`).
unsigned pace_begin(const host& h, conn& c, unsigned most);
// Segments left in this output: what the portion has left.
void pace_took(conn& c, unsigned segments);
// An output used all that pace_begin() gave: the rest waits for its time.
void pace_wait(host& h, conn& c);
// Bytes a second as TCP_INFO tells them: all ones where nothing limits them.
std::uint64_t pacing_rate(const host& h, const conn& c);
constexpr std::uint64_t rate_of_gap(std::uint32_t gap_ns) {
    return gap_ns == 0 ? UINT64_MAX : 1'024 * ns_per_s / gap_ns;
}
// An upper bound of the rate in bytes a second, whatever the round trip; 0: none.
void pace_at_most(conn& c, std::uint64_t bytes_per_second);

// So many bytes are on their way.
inline void pace_sent(conn& c, std::uint32_t bytes) {
    c.pace_next_ns += std::uint64_t{bytes} * c.pace_gap_ns >> 10;
}

} // namespace pantala::tcp
