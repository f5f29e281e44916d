// How a sleeping thread is woken: an eventfd, rung only while its owner has said that it is about
// to sleep. No wake-up is lost:
//
//   sleeper   arm(); look for work once more; none: wait on fd(); disarm()
//   sender    publish the work; ring_if_armed()
//
// Each side writes, passes a full fence, then reads what the other wrote. At least one of the two
// sees the other's write: either the sender sees the bell armed, or the sleeper sees the work.
#pragma once

#include <atomic>
#include <cstdint>

namespace pantala {

class doorbell {
  public:
    doorbell(); // throws std::system_error when the process has no descriptor left
    ~doorbell();
    doorbell(const doorbell&) = delete;
    doorbell& operator=(const doorbell&) = delete;

    int fd() const { return fd_; } // readable after it was rung

    // Sleeper only. From here on a sender rings.
    void arm() {
        armed_.store(true, std::memory_order_relaxed);
        full_fence(); // with the one in ring_if_armed
    }
    // Sleeper only. Awake: senders need not ring any more; the descriptor is drained.
    void disarm();

    // Any thread, after publishing. Cost while the owner is awake: a fence and a shared read.
    void ring_if_armed() {
        full_fence(); // with the one in arm
        if (armed_.load(std::memory_order_relaxed)) [[unlikely]] {
            ring();
        }
    }
    // Any thread, also a signal handler: wakes the owner now or when it next sleeps.
    void ring();

  private:
    static void full_fence() {
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan" // the fence orders; the data's own atomics synchronise
#endif
        std::atomic_thread_fence(std::memory_order_seq_cst);
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
    }

    int fd_ = -1;
    alignas(64) std::atomic<bool> armed_{false};
};

} // namespace pantala
