// The engine put together: workers, their rigs, the lanes between them, ports, and the way from
// start to stop. Control only. Order:
//
//   eal_session::start -> engine::make -> add_port ... -> make a stack for each rig(w).services()
//   -> start(stacks) -> control's own loop -> stop -> destroy the stacks -> destroy the engine
//
// Control's loop waits on control().bell().fd() among its other descriptors: bell().arm(), then
// poll() once more, then wait, then bell().disarm().
#pragma once

#include "engine/base/result.hpp"
#include "engine/idle/idle.hpp"
#include "engine/setup/launch.hpp"
#include "engine/setup/port.hpp"
#include "engine/worker.hpp"

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

namespace pantala {

struct engine_settings {
    dispatch_policy dispatch = dispatch_policy::direct;
    idle_settings idle{}; // shared_cpu is found out for each worker
    unsigned mbufs = 0;   // 0: enough for `ports_planned` ports with full queues
    unsigned ports_planned = 2;
    unsigned descriptors = 1024;      // a queue, when mbufs is 0
    std::uint32_t mbuf_bytes = 2048;  // of packet, a buffer
    unsigned handoff_capacity = 1024; // packets between two workers; a power of two
    std::uint64_t seed = 0;           // 0: from the system
};

class engine {
  public:
    // A worker for each place. EAL runs.
    static result<std::unique_ptr<engine>>
    make(const engine_settings& settings, std::vector<worker_place> places);
    ~engine(); // stops the workers and closes the ports
    engine(const engine&) = delete;
    engine& operator=(const engine&) = delete;

    // Before start.
    result<port_report> add_port(port_id id, const port_settings& settings);
    const std::vector<port_report>& ports() const { return ports_; }

    std::uint16_t workers() const { return static_cast<std::uint16_t>(places_.size()); }
    worker_rig& rig(worker_id worker) { return *rigs_[worker.value]; }
    netmsg_fabric& fabric() { return fabric_; }
    netmsg_endpoint& control() { return fabric_.control(); }
    rte_mempool* pool() const { return pool_; }
    const engine_clock& clock() const { return clock_; }
    const toeplitz& flow_sum() const { return *sum_; }

    // Workers run from here on; stacks[w] belongs to worker w until stop returns.
    template <worker_stack Stack>
    result<void> start(std::span<Stack* const> stacks) {
        PANTALA_ASSERT(stacks.size() == rigs_.size());
        std::vector<void*> opaque(stacks.begin(), stacks.end());
        return launch(opaque, [](worker_rig& rig, void* stack) {
            worker<Stack>(rig, *static_cast<Stack*>(stack)).run();
        });
    }
    // Every worker ends its round and stands still. Again: nothing happens.
    void stop();
    bool running() const { return running_; }

  private:
    using run_function = void (*)(worker_rig& rig, void* stack);

    // What a worker's thread is started with.
    struct job {
        worker_rig* rig = nullptr;
        void* stack = nullptr;
        run_function run = nullptr;
        idle_settings idle;
        std::vector<idle_queue> wakers;
        bool polled = false; // some queues have no interrupt
    };
    // Context of rx and tx functions: a queue of a device, or a colleague who has one.
    struct queue_binding {
        port_id port;
        std::uint16_t queue = 0;
        netisr* packets = nullptr;
        worker_id owner;
    };

    engine(const engine_settings& settings, std::vector<worker_place> places);
    result<void> launch(const std::vector<void*>& stacks, run_function run);
    void bind_rx(const port_report& port, const impair_settings& impair);
    void bind_tx(const port_report& port, const impair_settings& impair);
    static int thread_main(void* job);
    static std::uint16_t receive(void* binding, rte_mbuf** packets, std::uint16_t room);
    static std::uint16_t transmit(void* binding, rte_mbuf** packets, std::uint16_t count);
    static std::uint16_t hand_over(void* binding, rte_mbuf** packets, std::uint16_t count);

    engine_settings settings_;
    std::vector<worker_place> places_;
    engine_clock clock_;
    std::unique_ptr<toeplitz> sum_;
    netmsg_fabric fabric_;
    handoff_lanes lanes_;
    rte_mempool* pool_ = nullptr;
    std::vector<std::unique_ptr<worker_rig>> rigs_;
    std::vector<port_report> ports_;
    std::deque<queue_binding> bindings_;
    std::deque<impaired_rx> impaired_rx_;
    std::deque<impaired_tx> impaired_tx_;
    std::vector<job> jobs_;
    bool running_ = false;
};

} // namespace pantala
