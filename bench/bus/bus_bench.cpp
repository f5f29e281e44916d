// How fast is the bus beside DPDK's other virtual wires? Two lcores, one a sender or an echo, the
// other measures:
//
//   bus/WIRE/64, bus/WIRE/1500   frames received a second; none may be lost (the bus is lossless
//                                here, as the rivals' rings are)
//   bus/WIRE/round_trip          one 64-byte frame there and back
//
// The sender allocates a burst of 32, writes each frame's headers, and only then sends; the
// receiver reads each frame's first line and frees. The wires take turns (random interleaving), and
// the distance of the two cores is printed before and after: compare runs of one distance only. At
// the end, on stderr: how each row stands to each rival's, medians of the runs with the cores near
// (or far, if they never were near), and whether the bars hold; status 2 if one does not.
//
// usage: bus_bench [--cpus A,B] [Google Benchmark's arguments]
#include "bench/bus/wires.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <thread>

#include <benchmark/benchmark.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_pause.h>
#include <unistd.h>

namespace pantala::bench {
namespace {

constexpr unsigned burst = 32;
constexpr std::uint64_t frames_per_step = 8192;

enum class duty : int { idle, send, echo, ping, leave };

// What the other lcore is to do. The measuring lcore writes it while that one is idle.
struct orders {
    std::atomic<duty> wanted{duty::idle};
    std::atomic<duty> doing{duty::idle};
    const wire* on = nullptr;
    std::uint16_t bytes = 0;
    alignas(128) std::atomic<std::uint64_t> ball{0}; // of the distance probe
};
orders* other_lcore = nullptr;

void write_header(rte_mbuf* packet, std::uint64_t number) {
    auto* const at = rte_pktmbuf_mtod(packet, std::uint8_t*);
    constexpr std::uint64_t mac = 0x0100'0200'0000'0002;
    std::memcpy(at, &mac, sizeof mac);
    std::memcpy(at + 8, &number, sizeof number);
}

// What a forwarder does between its ports: an mbuf from the pool (whose other fields are as freeing
// left them, and right), its lengths, its Ethernet header.
void send_burst(const wire& on, std::uint16_t bytes, std::uint64_t& number) {
    rte_mbuf* packets[burst];
    if (rte_mempool_get_bulk(on.pool, reinterpret_cast<void**>(packets), burst) != 0) {
        return; // all are under way
    }
    for (rte_mbuf* const packet : packets) {
        packet->data_off = RTE_PKTMBUF_HEADROOM;
        packet->data_len = bytes;
        packet->pkt_len = bytes;
        write_header(packet, number++);
    }
    unsigned sent = 0;
    while (sent < burst && other_lcore->wanted.load(std::memory_order_relaxed) == duty::send) {
        sent +=
            rte_eth_tx_burst(on.far, 0, packets + sent, static_cast<std::uint16_t>(burst - sent));
    }
    rte_pktmbuf_free_bulk(packets + sent, burst - sent);
}

void echo_burst(const wire& on) {
    rte_mbuf* packets[burst];
    const std::uint16_t got = rte_eth_rx_burst(on.far, 0, packets, burst);
    const std::uint16_t sent = got == 0 ? got : rte_eth_tx_burst(on.far, 0, packets, got);
    rte_pktmbuf_free_bulk(packets + sent, got - sent);
}

void return_ball(orders& order) {
    const std::uint64_t ball = order.ball.load(std::memory_order_acquire);
    if (ball % 2 == 1) {
        order.ball.store(ball + 1, std::memory_order_release);
    }
}

int other_main(void*) {
    orders& order = *other_lcore;
    std::uint64_t number = 0;
    for (;;) {
        const duty now = order.wanted.load(std::memory_order_acquire);
        order.doing.store(now, std::memory_order_release);
        switch (now) {
        case duty::idle:
            rte_pause();
            break;
        case duty::send:
            send_burst(*order.on, order.bytes, number);
            break;
        case duty::echo:
            echo_burst(*order.on);
            break;
        case duty::ping:
            return_ball(order);
            break;
        case duty::leave:
            return 0;
        }
    }
}

void order_other(duty what, const wire* on = nullptr, std::uint16_t bytes = 0) {
    orders& order = *other_lcore;
    for (const duty next : {duty::idle, what}) {
        order.wanted.store(next, std::memory_order_release);
        while (order.doing.load(std::memory_order_acquire) != next) {
            rte_pause();
        }
        order.on = on;
        order.bytes = bytes;
    }
}

// Reads each frame's first line and frees all; how many there were.
unsigned consume(const wire& on, std::uint64_t& sum) {
    rte_mbuf* packets[burst];
    const std::uint16_t got = rte_eth_rx_burst(on.near, 0, packets, burst);
    for (unsigned i = 0; i < got; ++i) {
        sum += *rte_pktmbuf_mtod(packets[i], const std::uint64_t*);
    }
    if (got != 0) {
        rte_pktmbuf_free_bulk(packets, got);
    }
    return got;
}

void drain(const wire& on) {
    order_other(duty::idle);
    std::uint64_t sum = 0;
    for (int idle = 0; idle < 100;) {
        idle = consume(on, sum) != 0 ? 0 : idle + 1;
    }
}

// One-way transfer of a cache line between the two lcores, the median of many, in nanoseconds.
double line_transfer_ns() {
    constexpr int tries = 21;
    constexpr int trips = 500;
    order_other(duty::ping);
    std::vector<double> ns;
    for (int sample = 0; sample < tries; ++sample) {
        const std::uint64_t start = rte_rdtsc();
        for (int trip = 0; trip < trips; ++trip) {
            const std::uint64_t ball = other_lcore->ball.load(std::memory_order_relaxed);
            other_lcore->ball.store(ball + 1, std::memory_order_release);
            while (other_lcore->ball.load(std::memory_order_acquire) == ball + 1) {
            }
        }
        const auto cycles = static_cast<double>(rte_rdtsc() - start);
        ns.push_back(cycles * 1e9 / static_cast<double>(rte_get_tsc_hz()) / (2.0 * trips));
    }
    order_other(duty::idle);
    std::nth_element(ns.begin(), ns.begin() + tries / 2, ns.end());
    return ns[tries / 2];
}

constexpr double far_from_ns = 80;

// One run of a benchmark, as long as it was long enough to count.
struct sample {
    double rate = 0; // items a second
    bool near = false;
};
std::map<std::string, std::vector<sample>> samples; // by the row's name

// Takes the time of a run, and whether the two cores were near before and after it.
class run_watch {
  public:
    run_watch() : distance_ns_(line_transfer_ns()) {}
    void begin() { begin_ = std::chrono::steady_clock::now(); }
    void end() { end_ = std::chrono::steady_clock::now(); }
    void note(const std::string& row, std::uint64_t items) const {
        constexpr double seconds_min = 0.1; // shorter: the library looks for the right length
        const double seconds = std::chrono::duration<double>(end_ - begin_).count();
        const double after_ns = line_transfer_ns();
        const bool near = distance_ns_ < far_from_ns && after_ns < far_from_ns;
        if (seconds >= seconds_min && (near || std::min(distance_ns_, after_ns) >= far_from_ns)) {
            samples[row].push_back({static_cast<double>(items) / seconds, near});
        }
    }

  private:
    double distance_ns_;
    std::chrono::steady_clock::time_point begin_;
    std::chrono::steady_clock::time_point end_;
};

void receive(benchmark::State& state, const wire& on, std::uint16_t bytes) {
    run_watch watch;
    order_other(duty::send, &on, bytes);
    std::uint64_t frames = 0;
    std::uint64_t sum = 0;
    watch.begin();
    for ([[maybe_unused]] auto step : state) {
        for (std::uint64_t got = 0; got < frames_per_step;) {
            const unsigned now = consume(on, sum);
            got += now;
            frames += now;
        }
    }
    watch.end();
    benchmark::DoNotOptimize(sum);
    drain(on);
    watch.note("bus/" + on.name + "/" + std::to_string(bytes), frames);
    state.SetItemsProcessed(static_cast<std::int64_t>(frames));
    rte_eth_stats stats{};
    rte_eth_stats_get(on.near, &stats);
    rte_eth_stats_reset(on.near);
    if (stats.imissed != 0) {
        state.SkipWithError("frames were lost");
    }
}

void round_trip(benchmark::State& state, const wire& on) {
    run_watch watch;
    order_other(duty::echo, &on, 64);
    rte_mbuf* packet = rte_pktmbuf_alloc(on.pool);
    packet->data_len = 64;
    packet->pkt_len = 64;
    watch.begin();
    for ([[maybe_unused]] auto step : state) {
        while (rte_eth_tx_burst(on.near, 0, &packet, 1) == 0) {
        }
        while (rte_eth_rx_burst(on.near, 0, &packet, 1) == 0) {
        }
    }
    watch.end();
    rte_pktmbuf_free(packet);
    drain(on);
    watch.note("bus/" + on.name + "/round_trip", static_cast<std::uint64_t>(state.iterations()));
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}

void print_distance(const char* when) {
    const double ns = line_transfer_ns();
    std::fprintf(
        stderr, "bus_bench: %s: a cache line takes %.0f ns from lcore to lcore (%s)\n", when, ns,
        ns < far_from_ns ? "near" : "FAR: compare ratios only");
}

void register_wire(const wire& on) {
    const std::string name = "bus/" + on.name;
    for (const std::uint16_t bytes : {std::uint16_t{64}, std::uint16_t{1500}}) {
        benchmark::RegisterBenchmark(
            (name + "/" + std::to_string(bytes)).c_str(),
            [on, bytes](benchmark::State& state) { receive(state, on, bytes); });
    }
    benchmark::RegisterBenchmark(
        (name + "/round_trip").c_str(), [on](benchmark::State& state) { round_trip(state, on); });
}

struct bar {
    const char* what;
    const char* rival;
    double at_least; // ours, in multiples of theirs; 0: no bar
};
// Zero copy hands over pointers: between far cores nobody who copies 1,500 bytes keeps up with it.
constexpr bar bars[] = {
    {"64", "memif_copy", 2},         {"64", "memif_zero_copy", 1},
    {"1500", "memif_copy", 1},       {"1500", "memif_zero_copy", 0},
    {"round_trip", "memif_copy", 1}, {"round_trip", "memif_zero_copy", 1},
};

// Rates of a row's runs at one distance, sorted.
std::vector<double> rates_of(const std::string& row, bool near) {
    std::vector<double> rates;
    for (const sample& one : samples[row]) {
        if (one.near == near) {
            rates.push_back(one.rate);
        }
    }
    std::sort(rates.begin(), rates.end());
    return rates;
}

// A line a bar whose two rows ran. False if one is missed.
bool print_ratios() {
    constexpr std::size_t runs_min = 3;
    bool all = true;
    for (const bar& one : bars) {
        for (const bool near : {true, false}) {
            const auto ours = rates_of(std::string("bus/pantala/") + one.what, near);
            const auto theirs = rates_of("bus/" + std::string(one.rival) + "/" + one.what, near);
            if (ours.size() < runs_min || theirs.size() < runs_min) {
                continue;
            }
            const double our_median = ours[ours.size() / 2];
            const double their_median = theirs[theirs.size() / 2];
            const bool held = our_median >= one.at_least * their_median;
            all &= held;
            std::fprintf(
                stderr,
                "bus_bench: %s: %.1f M/s (%.1f to %.1f), %.2f times %s's %.1f (%.1f to %.1f); bar "
                "%.0f: %s (cores %s, %zu and %zu runs)\n",
                one.what, our_median / 1e6, ours.front() / 1e6, ours.back() / 1e6,
                our_median / their_median, one.rival, their_median / 1e6, theirs.front() / 1e6,
                theirs.back() / 1e6, one.at_least,
                one.at_least == 0 ? "none"
                : held            ? "held"
                                  : "MISSED",
                near ? "near" : "far", ours.size(), theirs.size());
            break; // far runs only where there are no near ones
        }
    }
    return all;
}

bool start_eal(const char* program, const std::string& cpus) {
    const std::size_t comma = cpus.find(',');
    const std::string lcores = "0@" + cpus.substr(0, comma) + ",1@" + cpus.substr(comma + 1);
    std::vector<std::string> words = {
        program,
        "--no-huge",
        "-m",
        "512",
        "--no-pci",
        "--no-telemetry",
        "--no-shconf",
        "--single-file-segments",
        "--lcores",
        lcores,
        "--log-level=*:error"};
    std::vector<char*> pointers;
    pointers.reserve(words.size());
    for (std::string& word : words) {
        pointers.push_back(word.data());
    }
    return rte_eal_init(static_cast<int>(pointers.size()), pointers.data()) >= 0;
}

} // namespace
} // namespace pantala::bench

int main(int argc, char** argv) {
    using namespace pantala::bench;
    std::vector<std::string> words = {
        argv[0], "--benchmark_enable_random_interleaving=true", "--benchmark_repetitions=7",
        "--benchmark_min_time=0.2", "--benchmark_report_aggregates_only=true"};
    std::string cpus = "0,1";
    for (int i = 1; i < argc; ++i) {
        if (std::string(argv[i]) == "--cpus" && i + 1 < argc) {
            cpus = argv[++i];
        } else {
            words.emplace_back(argv[i]);
        }
    }
    std::vector<char*> pointers;
    pointers.reserve(words.size());
    for (std::string& word : words) {
        pointers.push_back(word.data());
    }
    int count = static_cast<int>(pointers.size());
    benchmark::Initialize(&count, pointers.data());
    if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) {
        return 1;
    }
    if (cpus.find(',') == std::string::npos || !start_eal(argv[0], cpus)) {
        std::fprintf(stderr, "bus_bench: EAL does not start; two CPUs are needed (--cpus A,B)\n");
        return 1;
    }
    char directory[] = "/dev/shm/pantala-bench-XXXXXX";
    if (mkdtemp(directory) == nullptr) {
        std::fprintf(stderr, "bus_bench: cannot make a directory in /dev/shm\n");
        return 1;
    }
    static orders order;
    other_lcore = &order;
    for (const wire& on : make_wires(directory)) {
        register_wire(on);
    }
    rte_eal_remote_launch(other_main, nullptr, 1);
    print_distance("before");
    benchmark::RunSpecifiedBenchmarks();
    print_distance("after");
    const bool held = print_ratios();
    order_other(duty::leave);
    std::filesystem::remove_all(directory);
    std::fflush(nullptr);
    _exit(held ? 0 : 2); // memif's close is known to crash now and then
}
