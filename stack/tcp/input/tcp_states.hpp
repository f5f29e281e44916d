// SEGMENT ARRIVES (RFC 9293 3.10.7.3 and 3.10.7.4): the steps in the RFC's order, one short
// function each, and one for each state where they differ.
#pragma once

#include "stack/tcp/input/tcp_input.hpp"
#include "stack/tcp/tcp_conn.hpp"

namespace pantala::tcp {

class host;

// Any state but LISTEN and TIME-WAIT. May take segment.packet; the connection may be gone after it.
void segment_arrives(host& h, conn& c, segment_in& segment);
// SYN-SENT (RFC 9293 3.10.7.3).
void arrives_in_syn_sent(host& h, conn& c, const segment_in& segment);
// What a SYN or SYN-ACK of the peer agrees to.
void negotiate(host& h, conn& c, const segment_in& segment);
// Enters ESTABLISHED: windows and timers as for a fresh connection.
void establish(host& h, conn& c);
// An ICMP error that quotes this connection (RFC 5461, 5927, 1191).
bool icmp_arrives(host& h, conn& c, const icmp_error& error); // false: not believed

} // namespace pantala::tcp
