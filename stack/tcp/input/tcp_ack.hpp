// What the ACK field of a segment in the window means for the sender (RFC 9293 3.10.7.4, fifth
// step).
#pragma once

#include "stack/tcp/input/tcp_input.hpp"
#include "stack/tcp/tcp_conn.hpp"

namespace pantala::tcp {

class host;

// RFC 5961 section 5.2. False: nothing of the segment counts; it has been answered.
bool ack_acceptable(host& h, conn& c, tcp_seq ack);
// Behind that test.
void process_ack(host& h, conn& c, const segment_in& segment);
// The window of the segment, scaled unless it is a SYN.
std::uint32_t window_of(const conn& c, const segment_in& segment);
// Frees `bytes` from the front of the send queue.
void send_queue_trim(host& h, conn& c, std::uint32_t bytes);

} // namespace pantala::tcp
