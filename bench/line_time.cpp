// How far apart are two CPUs? Prints the time a cache line needs from one to the other, in
// nanoseconds: the median of many, by a word that two threads write in turn. On virtual machines it
// changes from minute to minute with where the host places the virtual CPUs, and with it whatever
// two cores say to each other; scripts ask before and after each run.
//
// usage: line_time [CPU CPU]      (default: 0 1; below 80 ns they share a cache)
#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#include <sched.h>

namespace {

constexpr std::uint64_t stop = ~std::uint64_t{0};

struct alignas(64) line {
    std::atomic<std::uint64_t> ball{0}; // even: the first thread's turn
};

bool pin(unsigned cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

void answer(line& shared, unsigned cpu) {
    if (!pin(cpu)) {
        shared.ball.store(stop, std::memory_order_release);
        return;
    }
    for (;;) {
        const std::uint64_t ball = shared.ball.load(std::memory_order_acquire);
        if (ball == stop) {
            return;
        }
        if (ball % 2 == 1) {
            shared.ball.store(ball + 1, std::memory_order_release);
        }
    }
}

// Nanoseconds one way; negative if a thread could not get its CPU.
double measure(unsigned here, unsigned there) {
    constexpr std::size_t tries = 21;
    constexpr unsigned trips = 500;
    if (!pin(here)) {
        return -1;
    }
    line shared;
    std::thread other(answer, std::ref(shared), there);
    std::vector<double> ns;
    bool failed = false;
    while (!failed && ns.size() < tries) {
        const auto start = std::chrono::steady_clock::now();
        for (unsigned trip = 0; trip < trips && !failed; ++trip) {
            std::uint64_t ball = shared.ball.load(std::memory_order_acquire);
            if (ball == stop || !shared.ball.compare_exchange_strong(ball, ball + 1)) {
                failed = true; // the other thread has no CPU
                break;
            }
            do {
                ball = shared.ball.load(std::memory_order_acquire);
            } while (ball % 2 == 1 && ball != stop);
            failed = ball == stop;
        }
        const std::chrono::duration<double, std::nano> took =
            std::chrono::steady_clock::now() - start;
        ns.push_back(took.count() / (2.0 * trips));
    }
    shared.ball.store(stop, std::memory_order_release);
    other.join();
    std::nth_element(ns.begin(), ns.begin() + ns.size() / 2, ns.end());
    return failed ? -1 : ns[ns.size() / 2];
}

bool parse(const char* word, unsigned& cpu) {
    const char* const end = word + std::strlen(word);
    const auto [at, bad] = std::from_chars(word, end, cpu);
    return bad == std::errc{} && at == end && cpu < CPU_SETSIZE;
}

} // namespace

int main(int count, char** words) {
    unsigned here = 0;
    unsigned there = 1;
    const bool good = count == 1 || (count == 3 && parse(words[1], here) && parse(words[2], there));
    if (!good || here == there) {
        std::fputs("usage: line_time [CPU CPU]   two different ones\n", stderr);
        return 2;
    }
    const double ns = measure(here, there);
    if (ns < 0) {
        std::fputs("line_time: no such CPU, or not for us\n", stderr);
        return 1;
    }
    std::printf("%.1f\n", ns);
    return 0;
}
