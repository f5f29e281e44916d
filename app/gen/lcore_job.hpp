// One object's run() on an EAL lcore, started and awaited by control.
//
// EAL orders what the lcore wrote before control sees the lcore as free, but inside a library that
// ThreadSanitizer cannot look into; the flag says the same in a way that it can (as engine::stop
// does).
#pragma once

#include "engine/base/check.hpp"

#include <atomic>

#include <rte_launch.h>
#include <rte_lcore.h>

namespace pantala::app {

class lcore_job {
  public:
    lcore_job() = default;
    lcore_job(const lcore_job&) = delete;
    lcore_job& operator=(const lcore_job&) = delete;

    // `work` outlives end(). The lcore exists and is free.
    template <class Work>
    void start(unsigned lcore, Work& work) {
        PANTALA_ASSERT(lcore < RTE_MAX_LCORE && !running_.load(std::memory_order_relaxed));
        lcore_ = lcore;
        work_ = &work;
        run_ = [](void* object) { static_cast<Work*>(object)->run(); };
        running_.store(true, std::memory_order_release); // with main
        const int code = rte_eal_remote_launch(main, this, lcore);
        PANTALA_ASSERT(code == 0);
    }

    // Waits for run() to return; what it wrote is seen after that. Nothing to do when never
    // started.
    void end() {
        if (run_ != nullptr) {
            rte_eal_wait_lcore(lcore_);
            PANTALA_ASSERT(!running_.load(std::memory_order_acquire)); // with main
            run_ = nullptr;
        }
    }

  private:
    static int main(void* argument) {
        auto& job = *static_cast<lcore_job*>(argument);
        PANTALA_ASSERT(job.running_.load(std::memory_order_acquire)); // with start
        job.run_(job.work_);
        job.running_.store(false, std::memory_order_release); // with end
        return 0;
    }

    unsigned lcore_ = 0;
    void* work_ = nullptr;
    void (*run_)(void*) = nullptr;
    std::atomic<bool> running_{false};
};

} // namespace pantala::app
