// Loss recovery: the state machine between the scoreboard, which knows what is lost, and congestion
// control, which knows what that means. Fast recovery paced by PRR (RFC 6937) on RACK's (or without
// SACK NewReno's, RFC 6582) marks; timeouts with F-RTO (RFC 5682); spurious reductions taken back
// (RFC 3522, 4015, 3708); ECN reductions (RFC 3168).
#pragma once

#include "stack/tcp/recovery/tcp_sent.hpp"
#include "stack/tcp/tcp_conn.hpp"

namespace pantala::tcp {

class host;

// After the scoreboard took an ACK in: marks losses, moves the recovery state, sets cwnd. True: the
// reordering timer runs and must not be replaced by another.
bool recovery_on_ack(host& h, conn& c, tcp_seq ack, ack_result& result);
// The RACK reordering timer fired.
void recovery_on_reorder_timeout(host& h, conn& c);
// The retransmission timer fired for outstanding data: everything is lost, cwnd is one segment.
void recovery_on_timeout(host& h, conn& c);
// Segments were marked lost that were too big for the path: they are sent again, cwnd stays, or
// follows the reduction that is under way.
void recovery_without_congestion(host& h, conn& c);
// Bytes left for the first time or again; PRR counts them.
void recovery_sent(conn& c, std::uint32_t bytes);

} // namespace pantala::tcp
