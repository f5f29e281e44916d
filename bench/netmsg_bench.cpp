// How fast do messages go from one lcore to another? Our lane beside rte_ring, pointers in bursts
// of 1, 8 and 32 from one thread to another on two CPUs, the same burst on both sides, rings of
// 1024.
//
//   netmsg/STRUCTURE/burst_N      pointers a second, one way
//   netmsg/STRUCTURE/one_way      half a round trip of one pointer, nanoseconds
//   netmsg/pantala_reply/burst_N  whole messages: sent, handled by their function, replied, home
//
// Two virtual CPUs may be near or far, and the host moves them. So rivals are interleaved at random
// and repeated, the time a cache line needs to go over is measured before and after each repetition
// (counter line_ns), and the table at the end gives medians apart for near and far; repetitions
// during which the distance changed are left out. Compare only within one column.
#include "bench/command_line.hpp"
#include "bench/line_time.hpp"
#include "engine/mailbox.hpp"
#include "engine/netmsg.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>
#include <pthread.h>
#include <rte_pause.h>
#include <rte_ring.h>
#include <sched.h>

namespace {

using namespace pantala;

constexpr unsigned ring_entries = 1024;
constexpr unsigned burst_max_of_bench = 32;

// The first two CPUs this process may use, as found before anything was pinned.
std::array<int, 2> find_two_cpus() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof allowed, &allowed);
    std::vector<int> cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE && cpus.size() < 2; ++cpu) {
        if (CPU_ISSET(cpu, &allowed)) {
            cpus.push_back(cpu);
        }
    }
    if (cpus.size() < 2) {
        std::fprintf(stderr, "two CPUs are needed, this process may use one\n");
        std::exit(1);
    }
    return {cpus[0], cpus[1]};
}

const std::array<int, 2>& two_cpus() {
    static const std::array<int, 2> cpus = find_two_cpus();
    return cpus;
}

void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

// Ours: a lane. Theirs: rte_ring. Both take and give pointers in bursts.
class pantala_lane {
  public:
    unsigned push(void* const* objects, unsigned count) {
        return lane_.push({reinterpret_cast<const mailbox_word*>(objects), count});
    }
    unsigned pop(void** objects, unsigned count) {
        return lane_.pop({reinterpret_cast<mailbox_word*>(objects), count});
    }

  private:
    mailbox_lane lane_{ring_entries};
};

template <unsigned Flags>
class rte_ring_lane {
  public:
    rte_ring_lane()
        : memory_(static_cast<rte_ring*>(std::aligned_alloc(
              128,
              (static_cast<std::size_t>(rte_ring_get_memsize(ring_entries)) + 127) & ~127ul))) {
        rte_ring_init(memory_.get(), "bench", ring_entries, Flags);
    }
    unsigned push(void* const* objects, unsigned count) {
        if constexpr ((Flags & RING_F_SP_ENQ) != 0) {
            return rte_ring_sp_enqueue_burst(memory_.get(), objects, count, nullptr);
        } else {
            return rte_ring_mp_enqueue_burst(memory_.get(), objects, count, nullptr);
        }
    }
    unsigned pop(void** objects, unsigned count) {
        return rte_ring_sc_dequeue_burst(memory_.get(), objects, count, nullptr);
    }

  private:
    struct free_it {
        void operator()(rte_ring* ring) const { std::free(ring); }
    };
    std::unique_ptr<rte_ring, free_it> memory_;
};

using rte_ring_sp_sc = rte_ring_lane<RING_F_SP_ENQ | RING_F_SC_DEQ>;
using rte_ring_mp_sc = rte_ring_lane<RING_F_SC_DEQ>;

// A thread on the second CPU while one lives.
template <class Body>
class second_cpu {
  public:
    explicit second_cpu(Body body)
        : thread_([this, body] {
              pin(two_cpus()[1]);
              ready_.store(true);
              body(stop_);
          }) {
        while (!ready_.load()) {
            rte_pause();
        }
    }
    ~second_cpu() {
        stop_.store(true, std::memory_order_relaxed);
        thread_.join();
    }
    second_cpu(const second_cpu&) = delete;
    second_cpu& operator=(const second_cpu&) = delete;

  private:
    std::atomic<bool> ready_{false};
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

using stop_flag = const std::atomic<bool>&;

double line_transfer_ns() {
    const auto [here, there] = two_cpus();
    return bench::shared_line::transfer_ns(
        static_cast<unsigned>(here), static_cast<unsigned>(there));
}

// Runs the body between two looks at the distance.
template <void (*Body)(benchmark::State&)>
void at_one_distance(benchmark::State& state) {
    const double before = line_transfer_ns();
    Body(state);
    const double after = line_transfer_ns();
    state.counters["line_ns"] = (before + after) / 2;
    state.counters["moved"] = std::max(before, after) > 1.5 * std::min(before, after) ? 1 : 0;
}

template <class Lane, unsigned Burst>
void throughput(benchmark::State& state) {
    auto lane = std::make_unique<Lane>();
    second_cpu reader([&](stop_flag stop) {
        void* objects[burst_max_of_bench];
        while (!stop.load(std::memory_order_relaxed)) {
            benchmark::DoNotOptimize(lane->pop(objects, Burst));
        }
    });
    alignas(64) std::array<std::array<char, 64>, burst_max_of_bench> things{};
    void* objects[burst_max_of_bench];
    for (unsigned i = 0; i < Burst; ++i) {
        objects[i] = &things[i];
    }
    for (auto _ : state) {
        unsigned sent = 0;
        while ((sent += lane->push(objects + sent, Burst - sent)) != Burst) {
        }
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * Burst);
}

// One pointer there and back over two lanes.
template <class Lane>
void one_way(benchmark::State& state) {
    auto there = std::make_unique<Lane>();
    auto back = std::make_unique<Lane>();
    second_cpu echo([&](stop_flag stop) {
        void* object = nullptr;
        while (!stop.load(std::memory_order_relaxed)) {
            if (there->pop(&object, 1) != 0) {
                back->push(&object, 1);
            }
        }
    });
    alignas(64) std::array<char, 64> thing{};
    void* object = &thing;
    const auto begin = std::chrono::steady_clock::now();
    for (auto _ : state) {
        there->push(&object, 1);
        while (back->pop(&object, 1) == 0) {
        }
    }
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * 2);
    state.counters["one_way_ns"] = took.count() / 2 / static_cast<double>(state.iterations());
}

// Whole messages, as many under way as lie in `messages`; a turn sends a burst and polls.
template <unsigned Burst>
void replied(benchmark::State& state) {
    struct parcel : netmsg {
        char rest[32]; // a line of its own
    };
    constexpr unsigned under_way_max = 512;
    netmsg_fabric fabric(2, ring_entries);
    netmsg_endpoint& here = fabric.endpoint(0);
    std::vector<netmsg*> home;
    fabric.set_context(0, &home);
    second_cpu other([&](stop_flag stop) {
        while (!stop.load(std::memory_order_relaxed)) {
            fabric.endpoint(1).poll();
            fabric.endpoint(1).flush();
        }
    });
    auto parcels = std::make_unique<parcel[]>(under_way_max);
    for (unsigned i = 0; i < under_way_max; ++i) {
        parcels[i].handler = [](netmsg& message, netmsg_endpoint& there) { there.reply(message); };
        parcels[i].on_reply = [](netmsg& message, netmsg_endpoint& back) {
            back.context<std::vector<netmsg*>>().push_back(&message);
        };
        home.push_back(&parcels[i]);
    }
    for (auto _ : state) {
        while (home.size() < Burst) {
            here.poll();
        }
        for (unsigned i = 0; i < Burst; ++i) {
            here.send(1, *home.back());
            home.pop_back();
        }
        here.flush();
        here.poll();
    }
    while (home.size() < under_way_max) {
        here.poll();
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * Burst);
}

// The console's table, and after it medians by distance.
class by_distance : public benchmark::ConsoleReporter {
  public:
    void ReportRuns(const std::vector<Run>& runs) override {
        for (const Run& run : runs) {
            if (run.run_type == Run::RT_Iteration && run.counters.at("moved") == 0) {
                const bool near = run.counters.at("line_ns") < near_line_ns;
                const auto one_way = run.counters.find("one_way_ns");
                const double value = one_way != run.counters.end()
                                         ? static_cast<double>(one_way->second)
                                         : run.counters.at("items_per_second") / 1e6;
                columns_[run.run_name.function_name][near ? 0 : 1].push_back(value);
            }
        }
    }
    void Finalize() override {
        std::printf(
            "\n%-34s %22s %22s\n", "medians; M/s, one_way in ns", "near (line < 60 ns)", "far");
        for (auto& [name, columns] : columns_) {
            std::printf(
                "%-34s %s %s\n", name.c_str(), cell(columns[0]).c_str(), cell(columns[1]).c_str());
        }
    }

  private:
    static constexpr double near_line_ns = 60;

    static std::string cell(std::vector<double>& values) {
        char text[64];
        if (values.empty()) {
            std::snprintf(text, sizeof text, "%22s", "-");
            return text;
        }
        std::sort(values.begin(), values.end());
        std::snprintf(
            text, sizeof text, "%6.1f [%5.1f-%5.1f] %2zu", values[values.size() / 2],
            values[values.size() / 4], values[values.size() * 3 / 4], values.size());
        return text;
    }

    std::map<std::string, std::array<std::vector<double>, 2>> columns_;
};

template <void (*Body)(benchmark::State&)>
void enroll_one(const std::string& name) {
    benchmark::RegisterBenchmark(name.c_str(), at_one_distance<Body>)->UseRealTime();
}

template <class Lane>
void enroll(const std::string& structure) {
    const std::string family = "netmsg/" + structure;
    enroll_one<throughput<Lane, 1>>(family + "/burst_1");
    enroll_one<throughput<Lane, 8>>(family + "/burst_8");
    enroll_one<throughput<Lane, 32>>(family + "/burst_32");
    enroll_one<one_way<Lane>>(family + "/one_way");
}

} // namespace

int main(int argc, char** argv) {
    bench::command_line words(
        argc, argv,
        {"--benchmark_repetitions=15", "--benchmark_enable_random_interleaving=true",
         "--benchmark_min_time=0.03"});
    if (!words.initialize()) {
        return 1;
    }
    pin(two_cpus()[0]);
    enroll<pantala_lane>("pantala");
    enroll<rte_ring_sp_sc>("rte_ring_sp_sc");
    enroll<rte_ring_mp_sc>("rte_ring_mp_sc");
    enroll_one<replied<1>>("netmsg/pantala_reply/burst_1");
    enroll_one<replied<8>>("netmsg/pantala_reply/burst_8");
    enroll_one<replied<32>>("netmsg/pantala_reply/burst_32");
    by_distance medians;
    benchmark::RunSpecifiedBenchmarks(words.for_people() ? &medians : nullptr);
    return 0;
}
