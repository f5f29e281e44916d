// The sender's scoreboard: one record for every segment that is sent and not yet acknowledged, with
// the time of its last transmission (RFC 8985 5.2). It serves SACK (RFC 2018, 6675), RACK, F-RTO,
// round-trip times, and says where the bytes of a retransmission lie. Two orders: by sequence, and
// by time of transmission, so that RACK walks only what it will mark.
#pragma once

#include "stack/tcp/tcp_conn.hpp"

#include <cstdint>

struct rte_mbuf;

namespace pantala::tcp {

class host;

namespace sent_flag {
inline constexpr std::uint8_t syn = 1;          // the first sequence number is our SYN
inline constexpr std::uint8_t fin = 2;          // the last one is our FIN
inline constexpr std::uint8_t sacked = 4;       // the peer holds it
inline constexpr std::uint8_t lost = 8;         // to be sent again
inline constexpr std::uint8_t resent = 16;      // sent again, and that copy is in flight
inline constexpr std::uint8_t ever_resent = 32; // Karn: its acknowledgment times nothing
inline constexpr std::uint8_t push = 64;        // the application's last byte at that time
} // namespace sent_flag

// Sequence numbers [start, end), SYN and FIN included.
struct sent_segment {
    tcp_seq start;
    tcp_seq end;
    std::uint64_t xmit_ns = 0; // last transmission
    rte_mbuf* data = nullptr;  // holds the first byte, at data_offset from its buf_addr
    std::uint32_t seq_prev = no_id;
    std::uint32_t seq_next = no_id;
    std::uint32_t time_prev = no_id;
    std::uint32_t time_next = no_id;
    std::uint16_t data_offset = 0;
    std::uint8_t flags = 0;
    std::uint8_t transmissions = 1;

    bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
    std::uint32_t bytes() const { return end - start; }
    // In the order of time stands only what RACK may still find lost: not what the peer holds, nor
    // what waits to be sent again. So a look over it costs what it finds.
    bool in_time_order() const {
        return !has(sent_flag::sacked) && (!has(sent_flag::lost) || has(sent_flag::resent));
    }
    // Payload alone.
    std::uint32_t payload() const {
        return bytes() - (has(sent_flag::syn) ? 1 : 0) - (has(sent_flag::fin) ? 1 : 0);
    }
};
static_assert(sizeof(sent_segment) == 48);

// What one ACK told us; gathered by the scoreboard, read by recovery and congestion control.
struct ack_result {
    std::uint32_t acked_bytes = 0;  // snd_una moved this far
    std::uint32_t sacked_bytes = 0; // newly SACKed
    std::uint32_t delivered = 0;    // newly at the peer, counted once
    std::uint32_t lost_before = 0;  // lost_bytes when the ACK came
    std::uint32_t rtt_us = 0; // oldest segment acknowledged that was sent once, or else the echo
    std::uint32_t rtt_latest_us = 0; // youngest such, SACKed ones included; 0: none
    bool advanced = false;           // snd_una moved
    bool original_delivered = false; // a segment sent only once was acknowledged or SACKed
    bool resent_acked = false;       // a retransmitted segment was acknowledged
    bool dsack = false;
    bool window_changed = false;
    bool window_was_closed = false;
    bool data_in_segment = false;
    bool ece = false;
    bool has_echo = false;
    std::uint32_t ts_echo = 0;
};

// `mark` was snd_nxt when it was noted: has snd_una still to reach it? What was passed 2^31 bytes
// ago seems to lie ahead again, but not within what is out.
inline bool is_ahead(const conn& c, tcp_seq mark) {
    return c.snd_una < mark && mark <= c.snd_nxt;
}

// A segment leaves for the first time. False (and nothing recorded) when all records are taken.
bool sent_append(
    host& h, conn& c, tcp_seq start, tcp_seq end, rte_mbuf* data, std::uint16_t data_offset,
    std::uint8_t flags);
// The one appended last did not leave after all.
void sent_take_back(host& h, conn& c);
// It leaves again: now the youngest by time.
void sent_again(host& h, conn& c, std::uint32_t id);
// Cuts a record in two at `at`, strictly inside. False when all records are taken.
bool sent_split(host& h, conn& c, std::uint32_t id, tcp_seq at);
// Cumulative acknowledgment up to `ack` (snd_una < ack <= snd_nxt).
void sent_acknowledge(host& h, conn& c, tcp_seq ack, ack_result& result);
// The SACK blocks of a segment that has some (RFC 2018 4, RFC 2883 4). Blocks that make no sense
// are counted and ignored. `ack` is the segment's own; called after sent_acknowledge.
void sent_sacked(
    host& h, conn& c, tcp_seq ack, const wire::tcp_options& options, ack_result& result);
void sent_mark_lost(host& h, conn& c, std::uint32_t id);
// A timeout: everything that is not SACKed is lost. If the segment at snd_una itself is SACKed, the
// peer has reneged (RFC 2018 8) and all SACKs are forgotten.
void sent_all_lost(host& h, conn& c);
// Takes back the marks of sent_all_lost after a spurious timeout; what was resent stays resent.
void sent_none_lost(host& h, conn& c);
void sent_clear(host& h, conn& c);
// What one ACK's SACK blocks may walk over the records; blocks beyond it are not believed this time
// (counted). SACK is advice, so that costs an honest peer at most a repetition.
inline constexpr unsigned sack_walk_max = 1'024;
// The first record that is lost and whose retransmission is not in flight, or no_id.
std::uint32_t sent_next_lost(const host& h, conn& c);

} // namespace pantala::tcp
