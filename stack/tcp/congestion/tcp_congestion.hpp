// Congestion control behind a small interface: when to grow cwnd, and where to cut it to. Loss
// recovery decides that there was a loss; these decide what it means. An algorithm is chosen by
// conn::congestion and keeps its state in conn::congestion_private. All windows are in bytes.
#pragma once

#include "stack/tcp/tcp_conn.hpp"

#include <cstdint>

namespace pantala::tcp {

class host;

enum class congestion_event : std::uint8_t {
    timeout, // retransmission timeout; ssthresh is already set
    undone,  // the last cut was spurious; cwnd and ssthresh are already restored
    unused,  // cwnd has become smaller because it was not used
};

// What a cut answers. Only DCTCP tells them apart.
enum class cut_cause : std::uint8_t { loss, mark };

// A new or reused connection: cwnd (RFC 6928), ssthresh "arbitrarily high" (RFC 5681 3.1).
void congestion_start(host& h, conn& c);
// Another algorithm from now on; the windows stay.
void congestion_change(conn& c, congestion_kind kind);
// An ACK took `acked_bytes` out of the network while nothing is lost; rtt_us is 0 if not measured.
void congestion_acked(host& h, conn& c, std::uint32_t acked_bytes, std::uint32_t rtt_us);
// What ssthresh becomes after a loss or ECN mark; called once per congestion event.
std::uint32_t congestion_cut(host& h, conn& c, cut_cause cause);
// The same where a loss shows in a window that was cut for a mark already.
std::uint32_t congestion_cut_again(const conn& c);
void congestion_notify(host& h, conn& c, congestion_event event);
// DCTCP measures every ACK: bytes acknowledged, and whether they were marked.
void congestion_marked(conn& c, std::uint32_t acked_bytes, bool ece);

// Nothing is in flight and data is about to leave: cwnd decays by what the silence lasted.
void congestion_restart(host& h, conn& c);
std::uint32_t initial_window(const host& h, const conn& c);

// Slow start shared by all: appropriate byte counting with L = 8 (RFC 3465, RFC 9406 4.2) and
// HyStart++. Returns the bytes that are left once ssthresh is reached.
std::uint32_t slow_start_acked(host& h, conn& c, std::uint32_t acked_bytes, std::uint32_t rtt_us);

// HyStart++ (RFC 9406 section 4), the first part of each algorithm's memory.
struct hystart {
    tcp_seq window_end;
    std::uint32_t last_min_rtt_us = 0; // of the last round; 0: none yet
    std::uint32_t round_min_rtt_us = 0;
    std::uint32_t css_baseline_us = 0;
    std::uint8_t samples = 0;
    std::uint8_t css_rounds = 0;
    bool in_css = false;
    bool done = false; // only the first slow start uses it (section 4.3)
};
static_assert(sizeof(hystart) == 20);

// The algorithms. `cut` answers the new ssthresh; `acked` grows cwnd in congestion avoidance.
std::uint32_t newreno_cut(conn& c);
void newreno_acked(conn& c, std::uint32_t acked_bytes);

std::uint32_t cubic_cut(conn& c);
void cubic_acked(host& h, conn& c, std::uint32_t acked_bytes);
void cubic_timed_out(conn& c);
void cubic_forget_epoch(conn& c);
void cubic_undone(const host& h, conn& c);

void dctcp_start(conn& c);
std::uint32_t dctcp_marked_cut(conn& c);
void dctcp_marked(conn& c, std::uint32_t acked_bytes, bool ece);

template <class T>
T& congestion_state(conn& c) {
    static_assert(sizeof(T) <= sizeof(c.congestion_private.bytes));
    return *reinterpret_cast<T*>(c.congestion_private.bytes.data());
}

} // namespace pantala::tcp
