// netisr: how packets reach the worker and the function that handle them (after FreeBSD's of 2003).
// Each worker has one. A protocol is a number with a handler; the engine's own are
//
//   ether   every frame received; its handler is Stack::input
//   tx      frames for a port on which this worker has the transmit queue and the sender has not
//
// Upper layers may add protocols of their own (a reassembled datagram that belongs elsewhere).
//
//   dispatch   policy direct: run the handler here and now; deferred: queue to oneself
//   steer      per packet: its flow's owner, by hash, is this worker: dispatch; else queue there
//   queue      always queue, to any worker
//
// Queues are lanes (mailbox.hpp): one for each pair of workers, so packets of one sender to one
// owner stay in order, and a flow stays in order as long as its packets enter by one worker. Where
// something is queued to oneself a direct dispatch queues behind it. (FreeBSD's overtakes; see
// docs/decisions.) A full queue drops, counts and says handoff_full; a protocol without handler
// drops and counts. The packet is gone either way.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/base/rss.hpp"
#include "engine/counters.hpp"
#include "engine/drop.hpp"
#include "engine/ids.hpp"
#include "engine/mailbox.hpp"
#include "engine/mbuf_burst.hpp"
#include "engine/netmsg.hpp"
#include "engine/port_queue.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace pantala {

using protocol_id = strong_index<struct protocol_tag, std::uint8_t>;
inline constexpr unsigned protocols_max = 32;
inline constexpr protocol_id protocol_ether{0};
inline constexpr protocol_id protocol_tx{1};

enum class dispatch_policy : std::uint8_t { direct, deferred };

// Empties the burst.
using netisr_handler = void (*)(void* context, port_id port, mbuf_burst& burst, instant now);

// Packets, at the worker where it happens: came = direct + deferred + queued + dropped + unhandled
// over all workers, plus what is on its way.
struct netisr_counters {
    counter came;      // dispatched, steered or queued here
    counter direct;    // its handler ran here and now
    counter deferred;  // put into this worker's own queue by policy or for order
    counter queued;    // put into a worker's queue on purpose (hand-off)
    counter dropped;   // the queue was full
    counter unhandled; // no handler
    counter handled;   // taken from a queue and handled here
    counter runs;      // handler calls for packets from queues
};

// Which worker owns a flow: hash modulo table size, as a NIC's indirection table.
inline constexpr unsigned indirection_entries = 128;
constexpr worker_id owner_of(std::uint32_t flow_hash, std::uint16_t workers) {
    return worker_id{static_cast<std::uint16_t>(flow_hash % indirection_entries % workers)};
}

// The lanes between every two workers. Control makes one for all.
class handoff_lanes {
  public:
    handoff_lanes(unsigned workers, unsigned capacity);
    mailbox_lane& lane(unsigned from, unsigned to) { return *lanes_[from * workers_ + to]; }
    unsigned workers() const { return workers_; }

  private:
    unsigned workers_;
    std::vector<std::unique_ptr<mailbox_lane>> lanes_;
};

// At most this many packets are taken from the queues of one sender in a round.
inline constexpr unsigned netisr_round_max = 512;

// Owner: its worker.
class netisr {
  public:
    netisr(handoff_lanes& lanes, const toeplitz& sum, netmsg_endpoint& messages, drop_sink& drops);
    netisr(const netisr&) = delete;
    netisr& operator=(const netisr&) = delete;
    ~netisr(); // frees what is still queued to this worker

    // Before the worker runs, or by a message to it. `name`: a literal.
    void add(protocol_id protocol, const char* name, netisr_handler handler, void* context);
    // What is queued for the protocol later is unhandled.
    void remove(protocol_id protocol) { handlers_[protocol.value].run = nullptr; }
    void set_policy(dispatch_policy policy) { policy_ = policy; }
    dispatch_policy policy() const { return policy_; }

    // All empty the burst. `arrive` is for frames from a queue: steer or dispatch, as it needs.
    void arrive(const rx_queue& from, mbuf_burst& burst, instant now) {
        if (from.steered()) {
            steer(protocol_ether, from.port(), burst, now);
        } else {
            dispatch(protocol_ether, from.port(), burst, now);
        }
    }
    void dispatch(protocol_id protocol, port_id port, mbuf_burst& burst, instant now);
    void steer(protocol_id protocol, port_id port, mbuf_burst& burst, instant now);
    void queue(protocol_id protocol, worker_id to, mbuf_burst& burst);

    // As queue, but what does not fit stays the caller's; returns how many were taken.
    unsigned
    try_queue(protocol_id protocol, worker_id to, rte_mbuf* const* packets, unsigned count);

    // The hash by which steer finds a flow's owner.
    const toeplitz& flow_sum() const { return sum_; }

    // Handles what the queues hold, up to netisr_round_max a sender; returns how many.
    unsigned run(instant now);
    bool has_packets() const;

    // Any thread.
    const netisr_counters& counters(protocol_id protocol) const {
        return handlers_[protocol.value].counts;
    }
    const char* name(protocol_id protocol) const { return handlers_[protocol.value].name; }

  private:
    struct handler_entry {
        netisr_handler run = nullptr;
        void* context = nullptr;
        const char* name = nullptr;
        netisr_counters counts;
    };

    void drop_all(mbuf_burst& burst, drop_reason reason);
    void put(protocol_id protocol, worker_id to, mbuf_burst& burst);
    unsigned run_lane(unsigned from, instant now);
    void handle(protocol_id protocol, port_id port, mbuf_burst& burst, instant now);

    handoff_lanes& lanes_;
    const toeplitz& sum_;
    netmsg_endpoint& messages_;
    drop_sink& drops_;
    std::uint16_t self_;
    std::uint16_t workers_;
    dispatch_policy policy_ = dispatch_policy::direct;
    unsigned own_queued_ = 0; // in the lane from this worker to itself, which nobody else touches
    std::array<handler_entry, protocols_max> handlers_;
    // steer's: the packets of a burst for each other worker. Empty between calls.
    std::array<std::unique_ptr<mbuf_burst>, workers_max> sorted_;
};

} // namespace pantala
