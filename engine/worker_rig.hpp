// All that one worker's loop works with, apart from its stack. Control makes it before the worker
// starts and destroys it after the worker stopped; in between its worker owns it, and control only
// reads the counters.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/drop.hpp"
#include "engine/ids.hpp"
#include "engine/netmsg.hpp"
#include "engine/port_queue.hpp"
#include "engine/random.hpp"
#include "engine/tx_port.hpp"
#include "engine/worker_services.hpp"

#include <array>
#include <atomic>
#include <deque>

#include <rte_cycles.h>

namespace pantala {

// Nanoseconds since the engine began, from the TSC. One for all workers; immutable.
class engine_clock {
  public:
    engine_clock() : origin_(rte_rdtsc()), scale_(rte_get_tsc_hz()) {}
    instant now() const { return instant{scale_.to_ns(rte_rdtsc() - origin_)}; }

  private:
    std::uint64_t origin_;
    tsc_scale scale_;
};

struct worker_rig {
    worker_rig(netmsg_endpoint& own_messages, rte_mempool* own_pool, std::uint64_t seed)
        : messages(own_messages), pool(own_pool), random(seed) {}

    worker_services services() {
        return {
            .self = worker_id{messages.number()},
            .workers = messages.workers(),
            .drops = drops,
            .tx = tx,
            .pool = pool,
            .messages = messages,
            .random = random,
        };
    }

    netmsg_endpoint& messages;
    rte_mempool* pool;
    random_source random;
    drop_sink drops;
    std::array<tx_port, ports_max> tx; // indexed by port_id
    std::deque<rx_queue> rx;           // those this worker reads
    engine_clock clock;
    std::atomic<bool> stop{false}; // set by control, who then rings the endpoint's bell
};

} // namespace pantala
