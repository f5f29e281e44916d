// RACK-TLP (RFC 8985): a segment is lost when one sent sufficiently later has arrived; a lost tail
// is found by a probe instead of a timeout. Names in capitals are the RFC's variables.
#pragma once

#include "stack/tcp/recovery/tcp_sent.hpp"
#include "stack/tcp/tcp_conn.hpp"

#include <cstdint>

namespace pantala::tcp {

class host;

inline constexpr unsigned dup_thresh = 3; // DupThresh of RFC 6675 and 8985

// Section 6.2 steps 2 and 3, for each segment newly acknowledged or SACKed.
void rack_delivered(
    host& h, conn& c, const sent_segment& segment, const ack_result& result, bool by_sack);
// Step 4: the window for reordering adapts to D-SACKs.
void rack_adapt(conn& c, const ack_result& result);
// On leaving recovery: the adapted window is kept for 16 recoveries.
void rack_recovery_ended(conn& c);
// Step 5: marks what is lost. Returns after how many microseconds more may be, 0 if nothing waits.
std::uint32_t rack_detect(host& h, conn& c);

// Section 7.2: may a tail loss probe be scheduled now?
bool tail_probe_wanted(const host& h, const conn& c);
// And after how many microseconds.
std::uint32_t tail_probe_timeout_us(const conn& c);
// Section 7.3: sends the probe: new data if there is some and it fits, else the last segment.
void tail_probe_send(host& h, conn& c);
// Section 7.4: what the ACK says about an outstanding probe. True: a loss was repaired by the probe
// and the window must be reduced once.
bool tail_probe_acked(host& h, conn& c, tcp_seq ack, const ack_result& result);

} // namespace pantala::tcp
