// All that one worker's loop works with, apart from its stack. Control makes it before the worker
// starts and destroys it after the worker stopped; in between its worker owns it, and control only
// reads the counters.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/base/rss.hpp"
#include "engine/drop.hpp"
#include "engine/handoff/netisr.hpp"
#include "engine/idle/idle.hpp"
#include "engine/ids.hpp"
#include "engine/netmsg.hpp"
#include "engine/port_queue.hpp"
#include "engine/random.hpp"
#include "engine/round_stats.hpp"
#include "engine/tx_port.hpp"
#include "engine/worker_services.hpp"

#include <array>
#include <atomic>
#include <deque>

#include <rte_cycles.h>

namespace pantala {

// Nanoseconds since the engine began, from the TSC. Copies agree.
class engine_clock {
  public:
    engine_clock() : origin_(rte_rdtsc()), scale_(rte_get_tsc_hz()) {}
    instant now() const { return instant{scale_.to_ns(rte_rdtsc() - origin_)}; }

  private:
    std::uint64_t origin_;
    tsc_scale scale_;
};

// What rigs of one engine share.
struct rig_parts {
    handoff_lanes& lanes;
    const toeplitz& sum;
    rte_mempool* pool = nullptr;
    engine_clock clock{};
};

struct worker_rig {
    worker_rig(netmsg_endpoint& own_messages, const rig_parts& parts, std::uint64_t seed)
        : messages(own_messages), pool(parts.pool), clock(parts.clock), random(seed),
          packets(parts.lanes, parts.sum, own_messages, drops) {
        packets.add(protocol_tx, "tx", transmit_for_others, this);
    }

    worker_services services() {
        return {
            .self = worker_id{messages.number()},
            .workers = messages.workers(),
            .drops = drops,
            .tx = tx,
            .pool = pool,
            .messages = messages,
            .packets = packets,
            .random = random,
        };
    }

    netmsg_endpoint& messages;
    rte_mempool* pool;
    engine_clock clock;
    random_source random;
    drop_sink drops;
    netisr packets;
    std::array<tx_port, ports_max> tx; // indexed by port_id
    unsigned tx_count = ports_max;     // those flushed each round
    std::deque<rx_queue> rx;           // those this worker reads
    round_stats rounds;
    idle_waiter idle{messages, packets, rounds};
    std::atomic<bool> stop{false}; // set by control, who then rings the endpoint's bell
    // Written by control before the start, by the worker at its end: what control prepared is seen
    // by the worker, and what the worker left is seen by control (engine.cpp, in pairs).
    std::atomic<bool> running{false};

  private:
    static void transmit_for_others(void* rig, port_id port, mbuf_burst& burst, instant) {
        tx_port& out = static_cast<worker_rig*>(rig)->tx[port.value];
        for (rte_mbuf* packet : burst) {
            out.push(packet);
        }
        burst.clear();
    }
};

} // namespace pantala
