// How far apart two CPUs are: the time a cache line takes from one to the other. On virtual
// machines it changes from minute to minute with where the host places the virtual CPUs, and with
// it whatever two cores say to each other; benchmarks of two cores ask before and after each run.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include <sched.h>

namespace pantala::bench {

// A word that two threads write in turn.
class shared_line {
  public:
    // Nanoseconds one way, the median of many; negative if a thread could not get its CPU. The
    // calling thread stays on `here`. A few milliseconds.
    static double transfer_ns(unsigned here, unsigned there) {
        constexpr std::size_t tries = 21;
        if (!pin(here)) {
            return -1;
        }
        shared_line line;
        std::thread other([&line, there] { line.answer(there); });
        std::vector<double> ns;
        bool good = true;
        while (good && ns.size() < tries) {
            const auto start = std::chrono::steady_clock::now();
            for (unsigned trip = 0; trip < trips && good; ++trip) {
                good = line.ask();
            }
            const std::chrono::duration<double, std::nano> took =
                std::chrono::steady_clock::now() - start;
            ns.push_back(took.count() / (2.0 * trips));
        }
        line.ball_.store(stop, std::memory_order_release);
        other.join();
        std::nth_element(ns.begin(), ns.begin() + ns.size() / 2, ns.end());
        return good ? ns[ns.size() / 2] : -1;
    }

  private:
    static constexpr std::uint64_t stop = ~std::uint64_t{0};
    static constexpr unsigned trips = 500;

    static bool pin(unsigned cpu) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        return sched_setaffinity(0, sizeof set, &set) == 0;
    }
    // There and back; false: the other thread has no CPU.
    bool ask() {
        std::uint64_t ball = ball_.load(std::memory_order_acquire);
        if (ball == stop || !ball_.compare_exchange_strong(ball, ball + 1)) {
            return false;
        }
        do {
            ball = ball_.load(std::memory_order_acquire);
        } while (ball % 2 == 1 && ball != stop);
        return ball != stop;
    }
    void answer(unsigned cpu) {
        if (!pin(cpu)) {
            ball_.store(stop, std::memory_order_release);
            return;
        }
        for (;;) {
            const std::uint64_t ball = ball_.load(std::memory_order_acquire);
            if (ball == stop) {
                return;
            }
            if (ball % 2 == 1) {
                ball_.store(ball + 1, std::memory_order_release);
            }
        }
    }

    alignas(64) std::atomic<std::uint64_t> ball_{0}; // even: the asking thread's turn
};

} // namespace pantala::bench
