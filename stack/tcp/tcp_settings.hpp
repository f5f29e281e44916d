// Every limit and interval of TCP, with its reason. Times in milliseconds. All may change at run
// time, between rounds, on the owner's thread; a change holds for what is started after it.
#pragma once

#include "engine/base/siphash.hpp"
#include "stack/tcp/tcp_conn.hpp"

#include <array>
#include <cstdint>

namespace pantala::tcp {

// Retry n waits RTO times this (classic BSD). 12 retries at most.
inline constexpr unsigned rexmt_retries_max = 12;
inline constexpr std::array<std::uint16_t, rexmt_retries_max + 1> data_backoff = {
    1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 512, 512, 512};
inline constexpr std::array<std::uint16_t, rexmt_retries_max + 1> syn_backoff = {
    1, 1, 1, 1, 1, 2, 4, 8, 16, 32, 64, 64, 64};
inline constexpr std::uint32_t data_backoff_sum = 2559;

// Who searches for a larger path MTU than what is known to pass (tcp_mtu_search.hpp). Linux's
// tcp_mtu_probing counts them so; it begins with 0.
enum class mtu_probing : std::uint8_t {
    never,
    reduced, // connections that had to send smaller segments
    always,  // all, beginning at mtu_base
};

// An IPv4 path that carries less is left to routers to cut: segments of this size go without DF, as
// Linux's min_pmtu has it.
inline constexpr std::uint16_t cut_below_mtu = 552;

struct settings {
    // -- Timers (names of BSD's sysctls).
    std::uint32_t keepinit_ms = 75'000;    // a connection attempt
    std::uint32_t keepidle_ms = 7'200'000; // RFC 9293 3.8.4: at least two hours
    std::uint32_t keepintvl_ms = 75'000;
    std::uint32_t keepcnt = 8;
    // RFC 9293 3.8.6.3 allows 500; 40 is what Linux uses at its lowest and stays well under the
    // lowest RTO of the peers we meet (200).
    std::uint32_t delacktime_ms = 40;
    std::uint32_t msl_ms = 30'000;
    std::uint32_t time_wait_ms = 60'000; // 2 MSL (RFC 9293 3.6.1)
    std::uint32_t finwait2_ms = 60'000;  // orphan in FIN-WAIT-2 (RFC 9293 3.6 has no limit)
    // RFC 6298 2.4 says 1 s; BSD 30 ms. 200 ms (Linux) lies above the peers' delayed ACKs, so a
    // timeout means loss, and RACK-TLP repairs tails before it.
    std::uint32_t rexmit_min_ms = 200;
    // 4 * RTTVAR counts for at least this (BSD's slop; Linux's least RTO is this too): on a long
    // way whose round trips hardly differ the RTO would else lie closer to them than a delayed ACK
    // does.
    std::uint32_t rexmit_slop_ms = 200;
    std::uint32_t rexmit_initial_ms = 1'000; // RFC 6298 2.1
    std::uint32_t rexmit_max_ms = 64'000;
    std::uint32_t persist_min_ms = 5'000;
    std::uint32_t persist_max_ms = 60'000;
    // What could not leave this machine (no packet buffer, a device that takes none) is tried again
    // so much later, as in Linux.
    std::uint32_t blocked_retry_ms = 500;
    // Retransmissions of data or of a SYN after which a connection ends, rexmt_retries_max at most.
    std::uint32_t rexmt_retries = rexmt_retries_max;
    // Those of a SYN-ACK (classic BSD: 1, 2, 4 s, then forgotten), syn_ack_retries_max at most; the
    // first goes so much later (RFC 6298 2.1), each after that twice as much.
    std::uint32_t syn_ack_retries = 3;
    std::uint32_t syn_ack_interval_ms = 1'000;
    bool always_keepalive = true;

    // -- Sizes.
    std::uint32_t rcv_buffer = 128 * 1024;
    std::uint32_t rcv_buffer_max = 4 * 1024 * 1024; // auto-tuning stops here
    std::uint32_t snd_buffer = 256 * 1024;
    std::uint32_t snd_buffer_max = 4 * 1024 * 1024;
    std::uint16_t mss_max = 65'000;
    std::uint16_t mss_min = 216; // what a peer may ask at least: smaller is an attack
    std::uint32_t initial_window_segments = 10; // RFC 6928
    // Segments of a new connection that are acknowledged at once: its peer is in slow start.
    std::uint8_t quick_acks = 8;
    std::uint16_t ooo_segments_max = 512; // out-of-order mbufs a connection may hold

    // -- Features.
    congestion_kind congestion = congestion_kind::cubic;
    wire::tcp_option_order option_order = wire::tcp_option_order::linux_like;
    bool timestamps = true;
    bool sack = true;
    bool window_scale = true;
    bool ecn_request = false;    // ask for it in our SYN
    bool ecn_accept = true;      // agree when the peer asks
    bool syn_cookies = true;     // when the SYN cache is full
    bool verify_checksum = true; // where the port has not
    bool fill_checksum = true;   // false: the port does it (ol_flags are set)
    bool auto_tune = true;
    // Segments leave spread over the round trip (tcp_pacing.hpp), at so many percent of cwnd / srtt
    // in slow start and after it (Linux's ratios; RFC 9002 7.7 has 125), where the round trip is
    // not shorter than this: 4 ticks of the timer.
    bool pacing = false;
    std::uint16_t pacing_ss_percent = 200;
    std::uint16_t pacing_ca_percent = 120;
    std::uint32_t pacing_rtt_min_ms = 4;
    // After so many timeouts in a row of large segments they are suspected to vanish because of
    // their size alone (RFC 2923 2.1, RFC 4821 7.7): the next are small; after twice as many the
    // suspicion is given up. 0: off.
    std::uint8_t blackhole_timeouts = 3;
    // Only those pay for the search who would else stay with small segments to their end.
    tcp::mtu_probing mtu_probing = tcp::mtu_probing::reduced;
    std::uint16_t mtu_base = 1'024;       // RFC 4821 7.2; IPv6: 1,280
    std::uint32_t mtu_raise_ms = 600'000; // rest before the next search (RFC 8899 PMTU_RAISE_TIMER)
    std::uint8_t ttl = 64;
    // Makes the offset of an address pair's timestamps (RFC 7323 5.4). Zero: drawn. A process that
    // gives the key and the clock of the one before it goes on with that one's timestamps, so that
    // what waits in a peer's TIME-WAIT lets it in (RFC 6191).
    siphash_key timestamp_key;
    std::uint32_t timestamp_base_ms = 0; // of a clock that outlives the process, at instant zero

    // -- Fast Open (RFC 7413): only for sockets that ask for it, since a peer's application may get
    // the data of a SYN twice (section 6.1). False: these are plain connections too.
    bool fast_open_client = true;
    bool fast_open_server = true;
    // Makes the cookies; the same on all workers of a host. Zero: drawn, good for a single worker.
    siphash_key fast_open_key;
    std::uint32_t fast_open_period_ms = 3'600'000; // a cookie lives one to two of these (4.1.2)
    // A server that did not take it is left alone so long, twice as long each time (4.1.3.1).
    std::uint32_t fast_open_pause_ms = 60'000;

    // -- Rates of what strangers can provoke (input/tcp_answers.hpp). To one peer and to all, on
    // average: each second has a random share of them, from a half to one and a half.
    std::uint32_t challenge_acks_per_peer = 1'000; // RFC 5961 7
    std::uint32_t challenge_acks_per_second = 10'000;
    std::uint32_t resets_per_peer = 1'000;
    std::uint32_t resets_per_second = 10'000;
    // A connection answers segments without data that do not fit once in so long (Linux's
    // tcp_invalid_ratelimit): two hosts that disagree about their numbers would else never stop.
    std::uint32_t invalid_interval_ms = 500;
    // Keep-alives and probes of a window come before what is expected by exactly one; they are
    // answered for themselves, at most so often: less than any RTO lies between two.
    std::uint32_t probe_interval_ms = 100;

    // -- Range of ephemeral ports (RFC 6056).
    std::uint16_t port_first = 32'768;
    std::uint16_t port_last = 60'999;
};

// The habits by which kernels can be told apart, for tests that expect one of them.
enum class persona : std::uint8_t { linux_like, freebsd_like };
inline settings settings_of(persona whose) {
    settings chosen;
    if (whose == persona::freebsd_like) {
        chosen.option_order = wire::tcp_option_order::freebsd_like;
        chosen.quick_acks = 0;
        chosen.rexmit_min_ms = 30;
        chosen.ttl = 64;
    } else {
        chosen.quick_acks = 16;
        chosen.rcv_buffer = 65'535; // what its SYN tells
    }
    return chosen;
}

// Fixed at construction: the sizes of pools and tables. Memory is touched as it is used.
struct limits {
    std::uint32_t conns = 65'536;
    std::uint32_t sent_segments = 262'144; // records of segments in flight, of all connections
    std::uint32_t time_waits = 65'536;
    std::uint32_t syn_entries = 8'192;
    std::uint32_t syn_bucket = 32; // entries one bucket may hold
    // Half-open connections that one peer and one listener may have; 0: a quarter, three quarters.
    std::uint32_t syn_peer = 0;
    std::uint32_t syn_listener = 0;
    // Packet buffers that connections may hold (tcp_memory.hpp), half for receiving, half for
    // sending; 0: three quarters of the pool.
    std::uint32_t buffers = 0;
    // Those of one peer, for either; 0: as many as are left for all others.
    std::uint32_t peer_buffers = 0;
    // Those received of one listener's connections that are not accepted; 0: a quarter of the half.
    std::uint32_t listener_buffers = 0;
    std::uint32_t peer_conns = 0; // connections a peer may open; 0: any number
    std::uint32_t listeners = 64;
    std::uint32_t listeners_backlog_max = 4'096;
    std::uint32_t fast_open_servers = 4'096; // whose cookies are kept
};

} // namespace pantala::tcp
