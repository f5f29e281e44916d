// Sending: what may leave (windows, Nagle, silly-window avoidance), and how a segment is built.
// Segments are built whole, IP header and checksums included, in one mbuf of the worker's pool; the
// payload is copied, so a packet in a device's queue never shares memory with the send buffer.
#pragma once

#include "stack/tcp/tcp_conn.hpp"
#include "stack/wire/flow.hpp"
#include "stack/wire/tcp.hpp"
#include "stack/wire/tcp_options.hpp"

#include <cstdint>

struct rte_mbuf;

namespace pantala::tcp {

class host;

inline constexpr unsigned timestamp_option_bytes = 12; // with its padding

// Everything a segment says. `key` is as this host sees the flow.
struct segment_out {
    const flow_key* key = nullptr;
    tcp_seq seq;
    tcp_seq ack;
    std::uint16_t window = 0; // as on the wire
    std::uint8_t flags = 0;
    bool ect = false;        // ECN-capable transport, ECT(0) (RFC 3168 6.1.2)
    bool may_be_cut = false; // IPv4: without DF
    // Options: a timestamp by itself (what nearly every segment has, RFC 7323 appendix A), and
    // behind it options_bytes of `options`.
    bool has_timestamp = false;
    std::uint8_t options_bytes = 0;
    std::uint32_t ts_value = 0;
    std::uint32_t ts_echo = 0;
    std::array<std::uint8_t, wire::tcp_options_bytes_max> options;
    rte_mbuf* data = nullptr; // payload begins data_offset after its buf_addr
    std::uint16_t data_offset = 0;
    std::uint32_t payload = 0;

    unsigned all_options_bytes() const {
        return options_bytes + (has_timestamp ? timestamp_option_bytes : 0U);
    }
};

// Builds and emits. False when no mbuf is to be had or the way out is blocked (counted).
bool send_segment(host& h, const segment_out& segment);

// RFC 9293 3.10.7.1: answers a segment that belongs to nothing. Rate-limited. `ack_present`: the
// offending segment had an ACK, whose number the reset then takes as its own.
struct offending_segment {
    const flow_key* key;
    tcp_seq seq;
    tcp_seq ack;
    std::uint32_t length; // in sequence space
    bool ack_present;
};
void send_reset(host& h, const offending_segment& offender);

// What the connection has to say now: retransmissions, new data, FIN, or an ACK alone.
void output(host& h, conn& c);

void send_syn(host& h, conn& c);        // SYN, or SYN-ACK in SYN-RECEIVED; first time or again
void send_ack(host& h, conn& c);        // an ACK alone, at once
void send_conn_reset(host& h, conn& c); // RST, ACK from the connection's own numbers
void send_keep_probe(host& h, conn& c);
// RFC 5961: an ACK that makes the sender of something suspicious prove itself. Rate-limited
// (section 7, input/tcp_answers.hpp).
void send_challenge_ack(host& h, conn& c);

// New data of `bytes` payload (and the FIN behind it, if it is the last); false: nothing sent, and
// it waits as before.
bool send_new(host& h, conn& c, std::uint32_t bytes);
// The same of a size beyond snd_mss, up to what the handshake allows; no SACK blocks are due.
bool send_larger(host& h, conn& c, std::uint32_t bytes);
// The segment of this record once more; false: it did not leave.
bool send_again(host& h, conn& c, std::uint32_t id);

// Bytes the peer's window still has room for.
std::uint32_t usable_window(const conn& c);
// A FIN is all that waits, and its turn has come.
bool fin_may_leave(const conn& c);
// The timestamp clock: milliseconds, offset by a keyed hash of the address pair (RFC 7323 5.4).
std::uint32_t timestamp_offset(const host& h, const flow_key& key);
// The most payload one segment to this peer may carry.
std::uint16_t
mss_for(const host& h, const flow_key& key, std::uint16_t peer_mss, std::uint16_t mtu);
// The path's MTU, made smaller where an application wishes smaller segments (0: no wish).
std::uint16_t mtu_for(const host& h, const flow_key& key, std::uint16_t segment_size);
// What our SYN says: the MTU less fixed headers (RFC 6691).
std::uint16_t mss_to_offer(const host& h, const flow_key& key, std::uint16_t mtu);
std::uint8_t window_shift_for(const host& h);

} // namespace pantala::tcp
