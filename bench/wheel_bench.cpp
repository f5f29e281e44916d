// What does a timer cost? Ours beside a plain linked wheel (one list a slot, links in the
// connection, unlink and link to re-arm) and rte_timer, with 10 k, 1 M and 10 M connections of one
// or two cache lines, drawn at random.
//
//   timer/STRUCTURE/rearm_N    a packet loop: bursts of 32 connections, prefetched, each moves its
//                              timer to a second from now; time of the moves alone
//   timer/STRUCTURE/churn_N    the same loop, with the wheel's own work each millisecond: the time
//                              of both for each move. (Connections move their timer four times a
//                              second, so one in fifty fires.)
//   timer/STRUCTURE/expiry_N   every connection's timer is due within the next four seconds, in
//                              random order; time for each while the milliseconds pass
//
// rte_timer reads the real clock, so its expiry is one call that finds all due, and there is no
// churn. Set-up is not timed. Time is virtual elsewhere. Rows are ns an operation: `ns` below,
// items_per_second in JSON.
#include "bench/command_line.hpp"
#include "engine/random.hpp"
#include "engine/setup/launch.hpp"
#include "engine/timer_wheel.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_timer.h>
#include <sys/mman.h>

namespace {

using namespace pantala;

constexpr std::uint64_t interval_ms = 1000;    // a re-armed timer's distance
constexpr std::uint64_t moves_a_second = 4;    // of each connection
constexpr std::uint64_t expiry_span_ms = 4000; // expiry: all are due within
constexpr unsigned burst = 32;

// Big tables on big pages, as an engine's memory is.
template <class T>
class table {
  public:
    explicit table(std::size_t count) : bytes_(count * sizeof(T)) {
        void* memory =
            mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            std::perror("no memory for the connections");
            std::exit(1);
        }
        madvise(memory, bytes_, MADV_HUGEPAGE);
        items_ = static_cast<T*>(memory);
        for (std::size_t i = 0; i < count; ++i) {
            new (&items_[i]) T;
        }
    }
    ~table() { munmap(items_, bytes_); }
    table(const table&) = delete;
    table& operator=(const table&) = delete;
    T& operator[](std::size_t i) { return items_[i]; }

  private:
    std::size_t bytes_;
    T* items_;
};

// Ours
// ---------------------------------------------------------------------------------------------

class pantala_timers {
  public:
    explicit pantala_timers(std::uint32_t count) : conns_(count), wheel_(instant{}, count) {}

    void prefetch(std::uint32_t id) { __builtin_prefetch(&conns_[id], 1); }
    void arm(std::uint32_t id, std::uint64_t at_ms) {
        conns_[id].deadline = instant{at_ms * ns_per_ms};
        wheel_.arm(*this, id, conns_[id].deadline);
    }
    std::uint64_t advance(std::uint64_t now_ms) {
        const std::uint64_t before = fired_;
        now_ms_ = now_ms;
        while (wheel_.advance(*this, instant{now_ms * ns_per_ms}, 1024) == 1024) {
        }
        return fired_ - before;
    }
    bool periodic = false;

    timer_schedule& schedule(std::uint32_t id) { return conns_[id].schedule; }
    instant due(std::uint32_t id, instant now) {
        conn& c = conns_[id];
        if (c.deadline <= now) {
            ++fired_;
            ++c.fired;
            c.deadline = periodic ? instant{(now_ms_ + interval_ms) * ns_per_ms} : instant::never();
        }
        return c.deadline;
    }

  private:
    struct alignas(64) conn {
        timer_schedule schedule;
        instant deadline = instant::never();
        std::uint32_t fired = 0;
    };
    table<conn> conns_;
    timer_wheel wheel_;
    std::uint64_t now_ms_ = 0;
    std::uint64_t fired_ = 0;
};

// A linked wheel: 4096 slots of 1 ms, 4096 of 4.096 s that are spread out when their time comes. --

class linked_wheel_timers {
  public:
    explicit linked_wheel_timers(std::uint32_t count) : conns_(count) {
        near_.fill(none);
        far_.fill(none);
    }

    void prefetch(std::uint32_t id) { __builtin_prefetch(&conns_[id], 1); }
    void arm(std::uint32_t id, std::uint64_t at_ms) {
        if (conns_[id].slot != nullptr) {
            unlink(id);
        }
        conns_[id].at_ms = at_ms;
        link(id);
    }
    std::uint64_t advance(std::uint64_t until_ms) {
        const std::uint64_t before = fired_;
        while (now_ms_ < until_ms) {
            ++now_ms_;
            if (now_ms_ % slots == 0) {
                spread(far_[now_ms_ / slots % slots]);
            }
            expire(near_[now_ms_ % slots]);
        }
        return fired_ - before;
    }
    bool periodic = false;

  private:
    static constexpr unsigned slots = 4096;
    static constexpr std::uint32_t none = ~std::uint32_t{0};
    struct alignas(64) conn {
        std::uint32_t previous = none;
        std::uint32_t next = none;
        std::uint32_t* slot = nullptr;
        std::uint64_t at_ms = 0;
        std::uint32_t fired = 0;
    };

    void link(std::uint32_t id) {
        conn& c = conns_[id];
        c.slot =
            c.at_ms - now_ms_ < slots ? &near_[c.at_ms % slots] : &far_[c.at_ms / slots % slots];
        c.previous = none;
        c.next = *c.slot;
        if (c.next != none) {
            conns_[c.next].previous = id;
        }
        *c.slot = id;
    }
    void unlink(std::uint32_t id) {
        conn& c = conns_[id];
        if (c.previous != none) {
            conns_[c.previous].next = c.next;
        } else {
            *c.slot = c.next;
        }
        if (c.next != none) {
            conns_[c.next].previous = c.previous;
        }
        c.slot = nullptr;
    }
    void expire(std::uint32_t& slot) {
        std::uint32_t id = slot;
        slot = none;
        while (id != none) {
            conn& c = conns_[id];
            const std::uint32_t next = c.next;
            if (next != none) {
                prefetch(next); // all that a list can know ahead
            }
            ++fired_;
            ++c.fired;
            c.slot = nullptr;
            if (periodic) {
                arm(id, now_ms_ + interval_ms);
            }
            id = next;
        }
    }
    void spread(std::uint32_t& slot) {
        std::uint32_t id = slot;
        slot = none;
        while (id != none) {
            const std::uint32_t next = conns_[id].next;
            link(id);
            id = next;
        }
    }

    table<conn> conns_;
    std::array<std::uint32_t, slots> near_;
    std::array<std::uint32_t, slots> far_;
    std::uint64_t now_ms_ = 0;
    std::uint64_t fired_ = 0;
};

// rte_timer: a skip list, in cycles of the real clock.
// -----------------------------------------------

class rte_timer_timers {
  public:
    explicit rte_timer_timers(std::uint32_t count) : conns_(count), count_(count) {
        for (std::uint32_t id = 0; id < count; ++id) {
            rte_timer_init(&conns_[id].timer);
        }
    }
    ~rte_timer_timers() {
        for (std::uint32_t id = 0; id < count_; ++id) {
            rte_timer_stop(&conns_[id].timer);
        }
    }

    void prefetch(std::uint32_t id) {
        __builtin_prefetch(&conns_[id], 1);
        __builtin_prefetch(reinterpret_cast<const char*>(&conns_[id]) + 64, 1);
    }
    // An hour and `at_ms` from now: nothing comes due while it is measured.
    void arm(std::uint32_t id, std::uint64_t at_ms) {
        rte_timer_reset(
            &conns_[id].timer, hour_ + at_ms * cycles_a_ms_, SINGLE, rte_lcore_id(), expired, this);
    }
    // Due at once, in order of arming.
    void arm_due(std::uint32_t id) {
        rte_timer_reset(&conns_[id].timer, 0, SINGLE, rte_lcore_id(), expired, this);
    }
    std::uint64_t expire_all() {
        const std::uint64_t before = fired_;
        rte_timer_manage();
        return fired_ - before;
    }

  private:
    static void expired(rte_timer*, void* self) { ++static_cast<rte_timer_timers*>(self)->fired_; }
    struct alignas(64) conn {
        rte_timer timer;
    };
    table<conn> conns_;
    std::uint32_t count_;
    std::uint64_t cycles_a_ms_ = rte_get_timer_hz() / 1000;
    std::uint64_t hour_ = rte_get_timer_hz() * 3600;
    std::uint64_t fired_ = 0;
};

// The questions
// ----------------------------------------------------------------------------------------

using clock_type = std::chrono::steady_clock;
double seconds_since(clock_type::time_point begin) {
    return std::chrono::duration<double>(clock_type::now() - begin).count();
}

// Sets of timers are dear to make: the last one of each kind is kept for the next repetition.
template <class Timers>
std::unique_ptr<Timers> kept_timers;

template <class Timers>
Timers& kept(std::uint32_t count, bool anew) {
    static std::uint32_t kept_count = 0;
    if (anew || kept_count != count) {
        kept_timers<Timers>.reset();
        kept_timers<Timers> = std::make_unique<Timers>(count);
        kept_count = count;
    }
    return *kept_timers<Timers>;
}

void report(benchmark::State& state, double seconds, std::uint64_t operations) {
    state.SetIterationTime(seconds);
    state.SetItemsProcessed(static_cast<std::int64_t>(operations));
    state.counters["ns"] = seconds * 1e9 / static_cast<double>(operations);
}

// A burst's connections move their timers.
template <class Timers>
void move_burst(Timers& timers, random_source& random, std::uint32_t count, std::uint64_t now_ms) {
    std::array<std::uint32_t, burst> ids;
    for (std::uint32_t& id : ids) {
        id = random.below(count);
        timers.prefetch(id);
    }
    for (const std::uint32_t id : ids) {
        timers.arm(id, now_ms + interval_ms);
    }
}

template <class Timers, bool WithWork>
void packet_loop(benchmark::State& state) {
    const auto count = static_cast<std::uint32_t>(state.range(0));
    const std::uint64_t bursts_a_ms =
        std::max<std::uint64_t>(1, count * moves_a_second / 1000 / burst);
    // Long enough for the wheel's slots to be in their steady state.
    const std::uint64_t warm_ms = 1500;
    const std::uint64_t end_ms =
        1500 + std::max<std::uint64_t>(300, 2'000'000 / (bursts_a_ms * burst));
    for (auto _ : state) {
        Timers& timers = kept<Timers>(count, true);
        timers.periodic = true;
        random_source random(count);
        for (std::uint32_t i = 0; i < count; ++i) {
            timers.arm(i, 1 + random.below(interval_ms));
        }
        double moving = 0;
        double working = 0;
        for (std::uint64_t ms = 1; ms <= end_ms; ++ms) {
            const auto begin = clock_type::now();
            for (std::uint64_t i = 0; i < bursts_a_ms; ++i) {
                move_burst(timers, random, count, ms);
            }
            const double moved = seconds_since(begin);
            const auto work_begin = clock_type::now();
            timers.advance(ms);
            if (ms > warm_ms) {
                moving += moved;
                working += seconds_since(work_begin);
            }
        }
        const std::uint64_t moves = (end_ms - warm_ms) * bursts_a_ms * burst;
        report(state, WithWork ? moving + working : moving, moves);
    }
}

template <class Timers>
void expiry(benchmark::State& state) {
    const auto count = static_cast<std::uint32_t>(state.range(0));
    for (auto _ : state) {
        Timers& timers = kept<Timers>(count, true);
        random_source random(count);
        // In random order of connections: memory knows nothing of time.
        for (std::uint32_t i = 0; i < count; ++i) {
            timers.arm(i, 1 + random.below(expiry_span_ms));
        }
        std::uint64_t fired = 0;
        const auto begin = clock_type::now();
        for (std::uint64_t ms = 1; ms <= expiry_span_ms; ++ms) {
            fired += timers.advance(ms);
        }
        report(state, seconds_since(begin), count);
        if (fired != count) {
            state.SkipWithError("not all fired");
        }
    }
}

void rte_timer_rearm(benchmark::State& state) {
    const auto count = static_cast<std::uint32_t>(state.range(0));
    for (auto _ : state) {
        auto& timers = kept<rte_timer_timers>(count, false);
        for (std::uint32_t i = 0; i < count; ++i) {
            timers.arm(i, i); // in order of time: the quickest way to have them all pending
        }
        random_source random(count);
        constexpr unsigned bursts = 1000;
        // New places all over the list, as with intervals of all lengths.
        const auto begin = clock_type::now();
        for (unsigned i = 0; i < bursts; ++i) {
            std::array<std::uint32_t, burst> ids;
            for (std::uint32_t& id : ids) {
                id = random.below(count);
                timers.prefetch(id);
            }
            for (const std::uint32_t id : ids) {
                timers.arm(id, random.below(count));
            }
        }
        report(state, seconds_since(begin), bursts * burst);
    }
}

void rte_timer_expiry(benchmark::State& state) {
    const auto count = static_cast<std::uint32_t>(state.range(0));
    for (auto _ : state) {
        auto& timers = kept<rte_timer_timers>(count, true);
        // A random order in which every connection comes once.
        std::vector<std::uint32_t> order(count);
        random_source random(count);
        for (std::uint32_t i = 0; i < count; ++i) {
            const std::uint32_t j = random.below(i + 1);
            order[i] = order[j];
            order[j] = i;
        }
        for (const std::uint32_t id : order) {
            timers.arm_due(id);
        }
        const auto begin = clock_type::now();
        const std::uint64_t fired = timers.expire_all();
        report(state, seconds_since(begin), count);
        if (fired != count) {
            state.SkipWithError("not all fired");
        }
    }
}

struct size_name {
    std::int64_t count;
    const char* text;
};
constexpr size_name sizes[] = {{10'000, "10k"}, {1'000'000, "1m"}, {10'000'000, "10m"}};

void enroll(const std::string& name, void (*body)(benchmark::State&), std::int64_t count) {
    benchmark::RegisterBenchmark(name.c_str(), body)
        ->Arg(count)
        ->Iterations(1)
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
}

void enroll_all() {
    for (const auto& [count, text] : sizes) {
        const std::string of = std::string("_") + text;
        enroll("timer/pantala/rearm" + of, packet_loop<pantala_timers, false>, count);
        enroll("timer/linked_wheel/rearm" + of, packet_loop<linked_wheel_timers, false>, count);
        enroll("timer/rte_timer/rearm" + of, rte_timer_rearm, count);
        enroll("timer/pantala/churn" + of, packet_loop<pantala_timers, true>, count);
        enroll("timer/linked_wheel/churn" + of, packet_loop<linked_wheel_timers, true>, count);
        enroll("timer/pantala/expiry" + of, expiry<pantala_timers>, count);
        enroll("timer/linked_wheel/expiry" + of, expiry<linked_wheel_timers>, count);
        enroll("timer/rte_timer/expiry" + of, rte_timer_expiry, count);
    }
}

// The console's table of medians in nanoseconds.
class medians_in_ns : public benchmark::ConsoleReporter {
  public:
    void ReportRuns(const std::vector<Run>& runs) override {
        for (const Run& run : runs) {
            if (run.run_type == Run::RT_Iteration && !run.error_occurred) {
                rows_[run.run_name.function_name].push_back(run.counters.at("ns"));
            }
        }
    }
    void Finalize() override {
        std::printf("\n%-34s %10s %21s %5s\n", "ns an operation", "median", "range", "runs");
        for (auto& [name, values] : rows_) {
            std::sort(values.begin(), values.end());
            std::printf(
                "%-34s %10.1f [%8.1f - %8.1f] %5zu\n", name.c_str(), values[values.size() / 2],
                values.front(), values.back(), values.size());
        }
    }

  private:
    std::map<std::string, std::vector<double>> rows_;
};

} // namespace

int main(int argc, char** argv) {
    bench::command_line words(
        argc, argv, {"--benchmark_repetitions=3", "--benchmark_enable_random_interleaving=true"});
    if (!words.initialize()) {
        return 1;
    }
    const auto eal = eal_session::start(
        {.program = "wheel_bench", .memory_mb = 64, .eal = {"--no-huge", "--lcores=0"}});
    if (!eal || rte_timer_subsystem_init() != 0) {
        std::fprintf(stderr, "%s\n", eal ? "no memory for rte_timer" : eal.failure().text.c_str());
        return 1;
    }
    enroll_all();
    medians_in_ns medians;
    benchmark::RunSpecifiedBenchmarks(words.for_people() ? &medians : nullptr);
    kept_timers<rte_timer_timers>.reset(); // while there is a subsystem to take them off
    rte_timer_subsystem_finalize();
    return 0;
}
