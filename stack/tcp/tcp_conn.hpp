// The TCB (RFC 9293 section 3.3.1), grouped by who touches it when. RFC variables keep their names.
// A connection belongs to one worker; nobody else reads it. What it buffers (mbufs, records of sent
// segments) comes from the worker's pools, so an idle connection costs this record and its place in
// the table.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/timer_wheel.hpp"
#include "stack/route/host_cache/path_metrics.hpp"
#include "stack/tcp/tcp_table.hpp"
#include "stack/wire/flow.hpp"
#include "stack/wire/tcp.hpp"
#include "stack/wire/tcp_options.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

struct rte_mbuf;

namespace pantala::tcp {

// RFC 9293 section 3.3.2. LISTEN is a listener, not a connection; SYN-RECEIVED of a passive open
// lives in the SYN cache, and only a simultaneous open has it here. TIME-WAIT is a 32-byte record;
// a connection in that state is only a shell from which the application still reads.
enum class conn_state : std::uint8_t {
    closed,
    syn_sent,
    syn_received,
    established,
    fin_wait_1,
    fin_wait_2,
    close_wait,
    closing,
    last_ack,
    time_wait,
};

const char* name_of(conn_state state);

// Why a connection ended; 0 while all is well. Mapped to errno by the socket layer.
enum class conn_error : std::uint8_t {
    none,
    refused,     // RST, or a hard ICMP error, in answer to our SYN
    reset,       // RST by the peer
    timed_out,   // retransmissions, keep-alive, persist or user timeout ran out
    unreachable, // ICMP errors, and nothing else came
    aborted,     // by ourselves
    no_memory,
};

// The five timers of heritage, and one for pacing; each is a deadline in the connection.
enum class conn_timer : std::uint8_t { rexmt, persist, keep, msl2, delack, pace };
inline constexpr unsigned conn_timers = 6;

// What the rexmt timer stands for: exactly one of the three is wanted at a time (RFC 8985 7.2).
enum class rexmt_kind : std::uint8_t { rto, tail_probe, reorder };

// Loss recovery (RFC 6675, 5682; the names are those of Linux's states).
enum class recovery_state : std::uint8_t {
    open,     // nothing suspicious
    disorder, // duplicate ACKs or SACKs seen
    reduced,  // cwnd cut for ECN (RFC 3168); nothing lost
    recovery, // fast recovery (PRR paces it)
    loss,     // after a retransmission timeout
};

enum class congestion_kind : std::uint8_t { newreno, cubic, dctcp };
// As Linux calls them: reno, cubic, dctcp.
const char* name_of(congestion_kind kind);
std::optional<congestion_kind> congestion_named(std::string_view name);

namespace conn_flag {
inline constexpr std::uint32_t timestamps = 1U << 0;      // RFC 7323, both sides agreed
inline constexpr std::uint32_t sack = 1U << 1;            // RFC 2018, both sides agreed
inline constexpr std::uint32_t window_scale = 1U << 2;    // RFC 7323, both sides agreed
inline constexpr std::uint32_t ecn = 1U << 3;             // RFC 3168, both sides agreed
inline constexpr std::uint32_t ecn_echo = 1U << 4;        // receiver: send ECE until CWR
inline constexpr std::uint32_t ecn_cwr = 1U << 5;         // sender: set CWR on the next new data
inline constexpr std::uint32_t ack_now = 1U << 6;         // an ACK leaves at the end of this round
inline constexpr std::uint32_t fin_queued = 1U << 7;      // CLOSE or SHUTDOWN: FIN follows snd_end
inline constexpr std::uint32_t fin_sent = 1U << 8;        // snd_nxt is past our FIN
inline constexpr std::uint32_t fin_received = 1U << 9;    // rcv_nxt is past the peer's FIN
inline constexpr std::uint32_t fin_waiting = 1U << 10;    // rcv_fin holds a FIN that came too early
inline constexpr std::uint32_t orphan = 1U << 11;         // the application has let go
inline constexpr std::uint32_t no_delay = 1U << 12;       // Nagle off
inline constexpr std::uint32_t cork = 1U << 13;           // full segments only
inline constexpr std::uint32_t keep_alive = 1U << 14;     // RFC 9293 3.8.4
inline constexpr std::uint32_t cwnd_limited = 1U << 15;   // the last output stopped at cwnd
inline constexpr std::uint32_t rtt_seen = 1U << 16;       // srtt holds a sample
inline constexpr std::uint32_t f_rto = 1U << 17;          // RFC 5682 under way
inline constexpr std::uint32_t undo_ready = 1U << 18;     // the reduction may be taken back
inline constexpr std::uint32_t tail_probe = 1U << 19;     // a TLP is outstanding (RFC 8985 7)
inline constexpr std::uint32_t tail_probe_new = 1U << 20; // and it was new data
inline constexpr std::uint32_t rack_reordering = 1U << 21; // RFC 8985 6.2 step 3
inline constexpr std::uint32_t output_queued = 1U << 22;   // on the worker's list of ready ones
inline constexpr std::uint32_t event_queued = 1U << 23;    // on the list for the application
inline constexpr std::uint32_t in_table = 1U << 24;
inline constexpr std::uint32_t force_byte = 1U << 25; // persist: one byte past the window
inline constexpr std::uint32_t rcv_shut = 1U << 26;   // the application reads no more
inline constexpr std::uint32_t ts_recent_valid = 1U << 27;
inline constexpr std::uint32_t quick_ack = 1U << 28;   // the peer is in slow start: do not delay
inline constexpr std::uint32_t rack_valid = 1U << 29;  // rack_* hold a sample
inline constexpr std::uint32_t passive = 1U << 30;     // came through a listener
inline constexpr std::uint32_t dsack_ready = 1U << 31; // `dsack` waits to be reported
// These say that the record's id stands in a list of the worker, and outlive the connection.
inline constexpr std::uint32_t listed = output_queued | event_queued;
} // namespace conn_flag

// What the application is told; bits of `events`.
namespace conn_event {
inline constexpr std::uint8_t connected = 1;
inline constexpr std::uint8_t readable = 2; // bytes, or the end of the stream
inline constexpr std::uint8_t writable = 4; // room after there was none
inline constexpr std::uint8_t closed = 8;   // the connection is over; `error` says why
} // namespace conn_event

// Fast Open (RFC 7413): how far it came with this connection.
enum class fast_open_step : std::uint8_t {
    none,
    asked,   // client: our SYN asks for a cookie
    sent,    // client: our SYN carries a cookie, and data if there was any
    unheard, // client: nothing came back, and the SYN went out again without it
    acked,   // client: the SYN-ACK acknowledged the data
    pending, // server: what the SYN carried is the application's, the handshake not yet complete
    taken,   // server: complete
};

// The search for a larger path MTU (tcp_mtu_search.hpp).
enum class mtu_step : std::uint8_t {
    off,     // nothing to find, or nobody looks
    resting, // until rest_until_ms
    top,     // the largest first
    halving, // between snd_mss, which passes, and `high`
};
// Sizes are payloads, as snd_mss.
struct mtu_search {
    tcp_seq probe_end; // with `probe`
    std::uint32_t rest_until_ms = 0;
    std::uint16_t top = 0;   // what the handshake allows
    std::uint16_t high = 0;  // nothing larger passes, as far as is known
    std::uint16_t probe = 0; // the one on its way; 0: none
    mtu_step step = mtu_step::off;
    std::uint8_t losses = 0; // of this size
};

// Congestion control's private memory: each algorithm lays its own struct over it.
struct congestion_memory {
    alignas(8) std::array<std::byte, 80> bytes{};
};

// The doubly linked orders of the records of sent segments (tcp_sack.hpp).
struct sent_list {
    std::uint32_t head = no_id;
    std::uint32_t tail = no_id;
};

struct alignas(64) conn {
    // -- Identity, and what every arriving segment reads (first two lines).
    flow_key key;
    conn_state state = conn_state::closed;
    recovery_state recovery = recovery_state::open;
    congestion_kind congestion = congestion_kind::cubic;
    conn_error error = conn_error::none;
    std::uint64_t hash = 0;
    std::uint32_t flags = 0;
    std::uint32_t generation = 0; // tells a reused id from the connection a handle meant
    tcp_seq rcv_nxt;
    tcp_seq rcv_adv;  // right edge of the window we last told; never moves left
    tcp_seq last_ack; // Last.ACK.sent (RFC 7323 4.3)
    std::uint32_t ts_recent = 0;
    std::uint32_t ts_recent_ms = 0; // when it was taken
    std::uint32_t ts_offset = 0;    // our TSval is the clock plus this (RFC 7323 5.4)
    tcp_seq snd_una;
    tcp_seq snd_nxt; // also SND.MAX: a retransmission never moves it back
    tcp_seq snd_wl1;
    tcp_seq snd_wl2;
    std::uint32_t snd_wnd = 0; // bytes, scaled
    std::uint32_t max_snd_wnd = 0;
    std::uint8_t snd_wscale = 0; // the peer's shift
    std::uint8_t rcv_wscale = 0; // ours
    std::uint16_t snd_mss = 536; // most payload a segment may carry, options subtracted

    // -- Receiving.
    std::uint16_t rcv_mss = 536; // the peer's usual segment: what "full-sized" means for its ACK
    std::uint16_t ooo_count = 0;
    std::uint32_t rcv_buffered = 0; // bytes the application has not taken
    std::uint32_t rcv_limit = 0;    // receive buffer, bytes
    std::uint32_t rcv_unacked = 0;  // payload bytes since the last ACK
    std::uint16_t rcv_last = 0;     // payload of the last segment that was not of rcv_mss
    rte_mbuf* rcv_head = nullptr;   // in order; linked by rte_mbuf::next
    rte_mbuf* rcv_tail = nullptr;
    rte_mbuf* ooo_head = nullptr; // out of order, sorted (tcp_reassembly.hpp)
    rte_mbuf* ooo_tail = nullptr;
    tcp_seq rcv_fin; // with fin_waiting
    tcp_seq irs;
    std::array<wire::sack_block, 4> rcv_sack{}; // what we hold, latest first
    wire::sack_block dsack{};                   // RFC 2883, reported once
    std::uint8_t rcv_sack_count = 0;
    std::uint8_t quick_acks = 0; // ACKs still sent at once
    std::uint8_t events = 0;
    bool send_blocked = false;     // the application waits for room in the send buffer
    bool more_follows = false;     // as cork, until the next ACK comes
    bool push_withheld = false;    // the last bytes were given with `more`
    bool waits_for_memory = false; // its id stands in host::waiting; outlives the connection
    bool may_be_cut = false;       // IPv4: no DF, because the path carries less than we send
    std::uint16_t account = 0;     // what its buffers are charged to (tcp_memory.hpp)
    std::uint16_t peer_account = 0;
    tcp_seq tune_seq;             // receive-buffer tuning: round ends here
    std::uint32_t tune_bytes = 0; // taken by the application in this round
    std::uint32_t tune_start_us = 0;

    // -- Sending.
    tcp_seq snd_end; // one past the last byte the application gave us
    tcp_seq iss;
    rte_mbuf* snd_head = nullptr; // from snd_una on; linked by rte_mbuf::next
    rte_mbuf* snd_tail = nullptr;
    rte_mbuf* snd_cursor = nullptr;      // mbuf that holds snd_nxt's byte (or ends right before it)
    std::uint16_t snd_cursor_offset = 0; // from its buf_addr
    std::uint16_t sent_count = 0;        // records outstanding
    std::uint32_t snd_limit = 0;         // send buffer, bytes
    sent_list by_seq;                    // records in sequence order
    sent_list by_time;                   // in order of their last transmission (RACK)
    std::uint32_t sack_hint = no_id;     // record where the last SACK block ended
    std::array<wire::sack_block, 4> sack_seen{}; // blocks of the last ACK, all marked
    std::uint32_t lost_hint = no_id;             // no record before it waits to be sent again

    // -- Congestion and loss recovery.
    std::uint32_t cwnd = 0;     // bytes
    std::uint32_t ssthresh = 0; // bytes
    std::uint32_t sacked_bytes = 0;
    std::uint32_t lost_bytes = 0;     // marked lost, not SACKed
    std::uint32_t resent_bytes = 0;   // retransmitted after being marked lost, still out
    std::uint32_t most_in_flight = 0; // this window's highest, for application-limited phases
    tcp_seq most_in_flight_end;       // the window it is measured over
    std::uint32_t cwnd_used_ms = 0;   // when cwnd was last what limits
    std::uint32_t cwnd_used = 0;      // bytes: the most that was in flight since
    tcp_seq high_seq;                 // RecoveryPoint: recovery ends when it is acknowledged
    std::uint32_t prr_delivered = 0;
    std::uint32_t prr_out = 0;
    std::uint32_t recover_fs = 0; // bytes in flight when recovery began
    std::uint32_t prior_cwnd = 0;
    std::uint32_t prior_ssthresh = 0;
    tcp_seq undo_marker;            // snd_una when cwnd was cut
    std::int32_t undo_resent = 0;   // retransmissions that no D-SACK has disproved
    std::uint32_t resent_stamp = 0; // TSval of the first retransmission; Eifel (RFC 3522)
    std::uint32_t resent_at_us = 0; // when: bad-retransmit window
    std::uint8_t dupacks = 0;
    std::uint8_t rexmt_shift = 0; // retries so far; index of the back-off table
    std::uint8_t rack_wnd_mult = 1;
    std::uint8_t rack_wnd_persist = 0;
    std::uint8_t reordering = 3; // segments: the farthest that one was seen to come late
    bool has_pacing = false;     // tcp_pacing.hpp
    std::uint16_t pace_left = 0; // segments of the portion under way
    std::uint32_t srtt_us = 0;   // 8 times the smoothed RTT
    std::uint32_t rttvar_us = 0; // 4 times the mean deviation
    std::uint32_t rto_us = 0;    // without back-off
    std::uint32_t min_rtt_us = 0;
    std::uint32_t min_rtt_ms = 0; // when it was taken
    std::uint32_t rack_rtt_us = 0;
    std::uint32_t pace_gap_min_ns = 0; // the application's bound of the rate; 0: none
    std::uint64_t rack_xmit_ns = 0;    // RACK.xmit_ts
    tcp_seq rack_end_seq;
    tcp_seq rack_fack;
    tcp_seq rack_dsack_round;
    tcp_seq tail_probe_end;
    tcp_seq ecn_end;                // ECE below this is about what cwnd was cut for already
    std::uint32_t pace_gap_ns = 0;  // what 1,024 bytes take at the pacing rate; 0: they are free
    std::uint64_t pace_next_ns = 0; // the next portion is due
    std::uint64_t delivered = 0;    // bytes the peer has, counted once
    congestion_memory congestion_private;

    // -- Timers (tcp_timer.hpp) and what only slow paths read.
    std::array<std::uint32_t, conn_timers> deadline_ms{}; // meaningful where `armed` says so
    timer_schedule schedule;                              // the wheel's
    std::uint8_t armed = 0;                               // bit i: deadline_ms[i] counts
    rexmt_kind rexmt_for = rexmt_kind::rto;
    std::uint8_t keep_probes = 0; // of keep-alive and of the window since anything was heard
    mtu_search mtu;
    std::uint32_t last_heard_ms = 0; // a segment arrived
    std::uint32_t last_sent_ms = 0;  // data left
    std::uint32_t opened_ms = 0;
    std::uint32_t resent_segments = 0; // in all (TCP_INFO)
    std::uint32_t stalled_ms = 0;      // since when data waits to be acknowledged (user timeout)
    std::uint32_t user_timeout_ms = 0; // 0: none (RFC 9293 3.9.1)
    // When a segment that does not fit and when a probe was last answered (tcp_answers.hpp).
    std::uint32_t invalid_ms = 0;
    std::uint32_t probed_ms = 0;
    std::uint8_t soft_error = 0; // ICMP, told if the connection then times out (RFC 5461)
    std::uint16_t path_mtu = 0;
    std::uint16_t blackhole_mss =
        0;                          // snd_mss before large segments were suspected; 0: they are not
    host_place remembered;          // what the host cache has of the peer
    std::uint32_t listener = no_id; // while it waits to be accepted
    std::uint32_t accept_previous = no_id;
    std::uint32_t accept_next = no_id;
    std::uint32_t fast_open_listener = no_id; // with fast_open_step::pending: who counts it
    fast_open_step fast_open = fast_open_step::none;
    bool fast_open_grant = false; // our SYN-ACK carries a fresh cookie
    std::uint8_t keep_count = 0;  // with conn_flag::keep_alive; 0: the host's
    bool uncut = false;           // with recovery_state::loss: a repair that is no congestion
    std::uint16_t keep_idle_s = 0;
    std::uint16_t keep_interval_s = 0;
    void* user = nullptr; // the socket layer's

    bool has(std::uint32_t flag) const { return (flags & flag) != 0; }
    void set(std::uint32_t flag) { flags |= flag; }
    void clear(std::uint32_t flag) { flags &= ~flag; }
    bool is_armed(conn_timer timer) const {
        return (armed & 1U << static_cast<unsigned>(timer)) != 0;
    }

    // Bytes in the network by our best estimate: RFC 6675's pipe.
    std::uint32_t in_flight() const {
        const std::uint32_t out = (snd_nxt - snd_una) + resent_bytes;
        const std::uint32_t gone = sacked_bytes + lost_bytes;
        return out > gone ? out - gone : 0;
    }
    // Bytes queued and never sent.
    std::uint32_t unsent() const { return snd_nxt < snd_end ? snd_end - snd_nxt : 0; }
    std::uint32_t srtt() const { return srtt_us >> 3; }
    bool synchronized() const {
        return state >= conn_state::established && state != conn_state::time_wait;
    }
};

// Names a connection for as long as the application holds it.
struct conn_handle {
    std::uint32_t id = no_id;
    std::uint32_t generation = 0;
    bool operator==(const conn_handle&) const = default;
};

// "Memory per idle connection well under 1,024 bytes": the record, 16 bytes in the table, 4 in the
// list of free ids, 12 in the worker's lists of ready and waiting ones.
static_assert(sizeof(conn) <= 704);
static_assert(offsetof(conn, snd_mss) < 128, "what every segment reads lies in two lines");

} // namespace pantala::tcp
