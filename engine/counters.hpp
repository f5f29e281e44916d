// Counters: written by one worker with relaxed stores (no locked instruction), read by control at
// any time. They only grow; a reader takes differences.
#pragma once

#include <atomic>
#include <cstdint>

namespace pantala {

class counter {
  public:
    // Owner only: a load and a store, not an atomic addition.
    void add(std::uint64_t n) {
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    // Any thread.
    std::uint64_t read() const { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<std::uint64_t> value_{0};
};

} // namespace pantala
