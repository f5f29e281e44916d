// Receive and transmit bursts of net_shmif over a native bus. The queues' private state; the burst
// functions have ethdev's signatures. Hot, except refresh_* and whatever is marked cold.
#pragma once

#include "engine/dpdk/versions.hpp"
#include "pmd/bus_attach.hpp"
#include "pmd/bus_ops.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include <ethdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_log.h>
#include <rte_mbuf.h>

namespace pantala::bus {

inline constexpr std::uint32_t frame_bytes_min = 14; // an Ethernet header

inline constexpr std::uint32_t filter_addresses_max = 32;  // MAC addresses beside the first
inline constexpr std::uint32_t filter_multicasts_max = 64; // multicast addresses
// mbufs a receive queue keeps ready: one burst, so that the same ones come round while still in L1.
inline constexpr std::uint32_t stash_max = 32;

// Written by one thread, read by any.
class counter {
  public:
    void add(std::uint64_t n) {
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<std::uint64_t> value_{0};
};

struct rx_counters {
    counter packets;
    counter bytes;
    counter missed;    // overrun: the writer was faster
    counter too_long;  // longer than the mbuf, and scatter is off or the MTU is less
    counter garbled;   // records that are none
    counter no_mbuf;   // bursts cut short by an empty pool
    counter filtered;  // not for our addresses
    counter multicast; // delivered multicasts and broadcasts
    // NetBSD's format: bursts without the bus's lock, and locks taken over from the dead.
    counter lock_busy;
    counter lock_taken_over;
};

struct tx_counters {
    counter packets;
    counter bytes;
    counter too_long;  // no bus or neighbour could carry them: dropped
    counter lost;      // the bus is gone: dropped
    counter waited;    // lossless: bursts cut short because a reader had not caught up
    counter expelled;  // lossless: readers given up because they stood still
    counter rings;     // sleepers woken
    counter lock_busy; // as in rx_counters
    counter lock_taken_over;
};

// Which frames a port takes. Control writes, receive queues read; each word is whole by itself.
struct mac_filter {
    std::atomic<bool> promiscuous{false};
    std::atomic<bool> all_multicast{false};
    std::atomic<std::uint32_t> addresses{1};
    std::atomic<std::uint32_t> multicasts{0};
    // 48 bits in wire order, lowest byte first.
    std::array<std::atomic<std::uint64_t>, 1 + filter_addresses_max> address{};
    std::array<std::atomic<std::uint64_t>, filter_multicasts_max> multicast{};

    bool takes(std::uint64_t destination) const;
};

struct netbsd_port;

// What every queue of a started port reads. Changes only while the port is stopped, but for what is
// atomic.
struct port_shape {
    bus_node* node = nullptr;      // of a native bus, else null
    netbsd_port* netbsd = nullptr; // of a bus of NetBSD's format, else null
    mac_filter filter;
    std::uint16_t port_id = 0;
    std::uint16_t rx_queues = 1;
    std::uint16_t tx_queues = 1;
    std::atomic<std::uint32_t> frame_bytes_max{0}; // longest frame sent, and scattered
    bool lossless = false;
    bool fence = false; // no membarrier here: fence before looking for sleepers
    bool scatter = false;
};

// One log that a receive queue reads.
struct peer_log {
    log_reader reader;
    std::atomic<std::uint64_t>* cursor = nullptr; // where a lossless writer looks
    std::uint32_t slot = 0;
};

struct alignas(sharing_range_bytes) rx_queue {
    const port_shape* port = nullptr;
    rte_mempool* pool = nullptr;
    std::uint64_t rearm = 0; // an mbuf's data_off, refcnt, nb_segs, port as one store
    std::uint16_t index = 0;
    std::uint32_t room = 0; // frame bytes that one mbuf holds
    std::uint32_t epoch = 0;
    std::uint32_t turn = 0; // the log to begin with
    std::vector<peer_log> logs;
    std::array<std::uint32_t, nodes_max> known{}; // incarnation read, by slot

    std::array<rte_mbuf*, stash_max> stash{};
    std::uint32_t stashed = 0;
    rx_counters counters;
};

// A node that may read what a transmit queue sends.
struct peer_reader {
    struct patience { // with its reading of one of our lanes
        std::uint64_t cursor = 0;
        std::uint64_t since_tsc = 0;
        bool waiting = false;
        bool given_up = false;
    };
    node_entry* entry = nullptr;
    std::uint32_t slot = 0;
    std::uint32_t incarnation = 0;
    std::uint32_t arm_count = 0;  // of its latest sleep that was rung for ...
    std::uint64_t rung_lanes = 0; // ... and the lanes
    std::array<patience, lanes_max> lanes{};
};

// Nanoseconds of CLOCK_REALTIME from the TSC, adjusted once a second: writers agree to some 50 ns,
// so frames that two of them send closer together than that may be dumped in either order.
class burst_clock {
  public:
    std::uint64_t now();

  private:
    void adjust();

    std::uint64_t base_tsc_ = 0;
    std::uint64_t base_ns_ = 0;
    std::uint64_t tsc_hz_ = 0;
    std::uint64_t ns_per_cycle_32_ = 0; // times 2^32
};

struct alignas(sharing_range_bytes) tx_queue {
    const port_shape* port = nullptr;
    std::uint16_t index = 0;
    std::uint32_t epoch = 0;
    std::uint32_t lane_mask = 0;
    bool hashing = false;
    bool fence = false;
    bool lost = false; // the bus is gone
    std::vector<log_writer> lanes;
    std::vector<peer_reader> readers;
    burst_clock clock;
    tx_counters counters;
};

// Begins to read: what peers sent before is skipped. Port stopped.
void start_rx(rx_queue& queue);
// Makes this queue's logs empty for a new incarnation. Port stopped, before it is announced.
void start_tx(tx_queue& queue, std::uint32_t incarnation);
// Gives back the mbufs that the queue keeps. Port stopped.
void drain_rx(rx_queue& queue);

// True if a frame may wait in this queue. Only the queue's own thread.
bool rx_pending(rx_queue& queue);
// Frames' bytes that wait, at most; only the queue's own thread.
std::uint64_t rx_waiting_bytes(rx_queue& queue);

// Lanes that receive queue `index` of `queues` reads.
std::uint64_t lanes_of(std::uint32_t index, std::uint32_t queues, std::uint32_t lanes);

std::uint16_t rx_burst_native(void* queue, rte_mbuf** packets, std::uint16_t count);
std::uint16_t tx_burst_native(void* queue, rte_mbuf** packets, std::uint16_t count);

} // namespace pantala::bus
