// Waking sleepers: rings through the mapped bus, a futex under it, an eventfd towards DPDK.
//
// Order, without a fence in the writer's path. A sleeper stores `armed`, makes a barrier run on
// every CPU that runs a registered process (membarrier), then looks at the logs once more. A writer
// stores a log's head, then loads `armed`. So either the writer sees `armed`, or the sleeper sees
// the head. Where membarrier is missing, the sleeper asks for fences (wants_fence), or the writer
// fences by itself.
#pragma once

#include "pmd/bus_layout.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>

namespace pantala::bus {

// Registers this process for the sleepers' barrier; false where the kernel has none.
bool register_for_barrier();

// Runs the barrier on all registered processes; false where the kernel has none.
bool barrier_everywhere();

// Rings for the lanes in `lanes`. One system call; any thread.
void ring(node_entry& sleeper, std::uint64_t lanes);

// A thread that sleeps on a node's futex and hands the lanes that were rung for to `on_ring`; hands
// all lanes at least once every `recheck_ms`, in case a ringer died between its store and its call.
class bell_watch {
  public:
    static constexpr int recheck_ms = 1000;

    bell_watch() = default;
    ~bell_watch() { stop(); }
    bell_watch(const bell_watch&) = delete;
    bell_watch& operator=(const bell_watch&) = delete;

    void start(node_entry& self, std::function<void(std::uint64_t lanes)> on_ring);
    void stop();

  private:
    void run();

    node_entry* self_ = nullptr;
    std::function<void(std::uint64_t)> on_ring_;
    std::atomic<bool> stopping_{false};
    std::thread thread_;
};

} // namespace pantala::bus
