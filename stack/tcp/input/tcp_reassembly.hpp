// What has arrived: the in-order chain the application reads, and the sorted list of what came too
// early. The payload stays in the mbufs it came in; small pieces are copied together, so that a
// peer cannot make us hold one mbuf for each byte.
#pragma once

#include "stack/tcp/tcp_conn.hpp"
#include "stack/wire/tcp.hpp"

#include <cstdint>

struct rte_mbuf;

namespace pantala::tcp {

class host;

// Takes the payload [seq, seq + length of the chain) whose first byte is inside the window and at
// or after rcv_nxt. Takes the mbufs. Moves rcv_nxt over all that is now in order; acknowledges as
// RFC 5681 4.2 asks. FIN is not its matter.
void receive_payload(host& h, conn& c, tcp_seq seq, rte_mbuf* payload);
// Records bytes that came twice, for the next ACK (RFC 2883).
void note_duplicate(host& h, conn& c, tcp_seq left, tcp_seq right);
// Frees everything received.
void receive_clear(host& h, conn& c);
// Frees what came too early only.
void early_clear(host& h, conn& c);

} // namespace pantala::tcp
