#include "pmd/os/bus_bell.hpp"

#include <climits>
#include <csignal>
#include <ctime>
#include <utility>

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace pantala::bus {

namespace {

void futex_wake(std::atomic<std::uint32_t>& word) {
    syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t seen, int timeout_ms) {
    timespec timeout{};
    timeout.tv_sec = timeout_ms / 1000;
    timeout.tv_nsec = timeout_ms % 1000 * 1'000'000L;
    syscall(SYS_futex, &word, FUTEX_WAIT, seen, &timeout, nullptr, 0);
}

} // namespace

bool register_for_barrier() {
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
}

bool barrier_everywhere() {
    return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0;
}

void ring(node_entry& sleeper, std::uint64_t lanes) {
    sleeper.rung.fetch_or(lanes, std::memory_order_release); // with bell_watch::run
    sleeper.rings.fetch_add(1, std::memory_order_release);
    futex_wake(sleeper.rings);
}

void bell_watch::start(node_entry& self, std::function<void(std::uint64_t)> on_ring) {
    stop();
    self_ = &self;
    on_ring_ = std::move(on_ring);
    stopping_.store(false, std::memory_order_relaxed);
    // Signals are for the program's own threads.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread(&bell_watch::run, this);
    pthread_setname_np(thread_.native_handle(), "shmif-bell");
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void bell_watch::stop() {
    if (thread_.joinable()) {
        stopping_.store(true, std::memory_order_release);
        ring(*self_, 0);
        thread_.join();
    }
}

void bell_watch::run() {
    while (!stopping_.load(std::memory_order_acquire)) {
        const std::uint32_t seen = self_->rings.load(std::memory_order_acquire);
        if (const std::uint64_t lanes = self_->rung.exchange(0, std::memory_order_acquire)) {
            on_ring_(lanes);
        }
        if (stopping_.load(std::memory_order_acquire)) {
            break;
        }
        futex_wait(self_->rings, seen, recheck_ms);
        if (self_->rings.load(std::memory_order_relaxed) == seen) {
            on_ring_(~std::uint64_t{0});
        }
    }
}

} // namespace pantala::bus
