// What does TCP itself cost? Two hosts in one thread (tcp/two_hosts.hpp). Every figure is for both
// ends together; half of it is one end's share.
//
// clang-format off
//   tcp/pantala/request_response  64 bytes there, 64 back, on 100 connections in turn
//   tcp/pantala/segment           1,448 bytes of one stream; how much of it sender and receiver cost
//   tcp/pantala/connection        opened and closed
//   tcp/pantala/round             one host's round that has nothing to do, 100 connections
//   tcp/pantala/idle_open         idle connections, opened once; bytes of memory for each end
//   tcp/pantala/idle_round        as `round`, beside the idle ones
//   tcp/pantala/idle_aside        as `request_response`, beside the idle ones
//   tcp/pantala/idle_woken        one request and response on each idle connection in turn: nothing
//                                 of it is in the cache
// clang-format on
//
// items_per_second counts these; counters: `cycles` of the TSC for each, `packets` for each.
//
// usage: tcp_bench [--idle CONNECTIONS] [Google Benchmark's arguments]     1,000,000 idle ones
#include "bench/command_line.hpp"
#include "bench/tcp/two_hosts.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <rte_eal.h>
#include <unistd.h>

namespace pantala::bench {
namespace {

using tcp::conn_handle;

constexpr unsigned busy_conns = 100;
constexpr std::uint64_t segment_bytes = 1'448;

rte_mempool* pool = nullptr;
unsigned idle_conns = 1'000'000;

const std::vector<std::byte>& message() {
    static const std::vector<std::byte> bytes(64, std::byte{'m'});
    return bytes;
}

// Reads the TSC around the loop of a benchmark, and says what each of its items cost.
class cost {
  public:
    explicit cost(const two_hosts& two) : two_(two), packets_(two.packets), tsc_(rte_rdtsc()) {}
    void tell(benchmark::State& state, std::uint64_t items) const {
        const auto count = static_cast<double>(items);
        state.counters["cycles"] = static_cast<double>(rte_rdtsc() - tsc_) / count;
        state.counters["packets"] = static_cast<double>(two_.packets - packets_) / count;
        state.SetItemsProcessed(static_cast<std::int64_t>(items));
    }

  private:
    const two_hosts& two_;
    std::uint64_t packets_;
    std::uint64_t tsc_;
};

// 64 bytes there, 64 back, until `wanted` answers have come; with `again` each answer is followed
// by the next request.
std::uint64_t request_responses(two_hosts& two, std::uint64_t wanted, bool again) {
    std::uint64_t done = 0;
    tcp::event events[256];
    while (done < wanted) {
        two.round([&] {
            std::size_t count = tcp::poll_events(two.server.host, events);
            for (std::size_t e = 0; e < count; ++e) {
                while (tcp::readable_bytes(two.server.host, events[e].handle) >= 64) {
                    tcp::consume(two.server.host, events[e].handle, 64);
                    tcp::send(two.server.host, events[e].handle, message());
                }
            }
            count = tcp::poll_events(two.client.host, events);
            for (std::size_t e = 0; e < count; ++e) {
                while (tcp::readable_bytes(two.client.host, events[e].handle) >= 64) {
                    tcp::consume(two.client.host, events[e].handle, 64);
                    if (again) {
                        tcp::send(two.client.host, events[e].handle, message());
                    }
                    ++done;
                }
            }
        });
    }
    return done;
}

// The first `busy_conns` of `clients` ask and are answered all the time; they rest afterwards.
void ask_on_busy(benchmark::State& state, two_hosts& two, const std::vector<conn_handle>& clients) {
    for (unsigned i = 0; i < busy_conns; ++i) {
        tcp::send(two.client.host, clients[i], message());
    }
    request_responses(two, 50'000, true);
    std::uint64_t done = 0;
    const cost measured(two);
    for (auto _ : state) {
        done += request_responses(two, 10'000, true);
    }
    measured.tell(state, done);
    request_responses(two, busy_conns, false);
}

void request_response(benchmark::State& state) {
    two_hosts two(pool, {.conns = 1'024});
    std::vector<conn_handle> clients;
    std::vector<conn_handle> servers;
    two.establish(busy_conns, clients, servers);
    ask_on_busy(state, two, clients);
}

// Carries so many segments of one stream.
std::uint64_t
stream(two_hosts& two, conn_handle client, conn_handle server, std::uint64_t segments) {
    static const std::vector<std::byte> data(64 * segment_bytes, std::byte{'d'});
    std::uint64_t received = 0;
    while (received < segments * segment_bytes) {
        two.round([&] {
            {
                const charge of(two.client);
                tcp::send(two.client.host, client, data);
            }
            const charge of(two.server);
            const std::size_t ready = tcp::readable_bytes(two.server.host, server);
            tcp::consume(two.server.host, server, ready);
            received += ready;
            two.forget_events();
        });
    }
    return received / segment_bytes;
}

void segment(benchmark::State& state) {
    two_hosts two(pool, {.conns = 1'024});
    std::vector<conn_handle> clients;
    std::vector<conn_handle> servers;
    two.establish(1, clients, servers);
    stream(two, clients[0], servers[0], 100'000);
    two.client.cycles = two.server.cycles = 0;
    std::uint64_t segments = 0;
    const cost measured(two);
    for (auto _ : state) {
        segments += stream(two, clients[0], servers[0], 20'000);
    }
    measured.tell(state, segments);
    const auto count = static_cast<double>(segments);
    state.SetBytesProcessed(static_cast<std::int64_t>(segments * segment_bytes));
    // The sender's share has the application's copy.
    state.counters["sender_cycles"] = static_cast<double>(two.client.cycles) / count;
    state.counters["receiver_cycles"] = static_cast<double>(two.server.cycles) / count;
}

void open_and_close(two_hosts& two, unsigned count) {
    std::vector<conn_handle> clients;
    std::vector<conn_handle> servers;
    two.establish(count, clients, servers);
    for (std::size_t i = 0; i < clients.size(); ++i) {
        tcp::close(two.client.host, clients[i]);
        if (i % 32 == 31) {
            two.round([] {});
        }
    }
    two.round([] {});
    two.round([] {});
    for (const auto handle : servers) {
        tcp::close(two.server.host, handle);
    }
    while (two.client.host.conns.used() + two.server.host.conns.used() > 0 ||
           two.client.host.time_waits.size() > 0) {
        two.round([&] { two.forget_events(); });
    }
}

void connection(benchmark::State& state) {
    two_hosts two(pool, {.conns = 8'192});
    open_and_close(two, 1'000);
    std::uint64_t count = 0;
    const cost measured(two);
    for (auto _ : state) {
        open_and_close(two, 1'000);
        count += 1'000;
    }
    measured.tell(state, count);
}

void empty_rounds(benchmark::State& state, two_hosts& two) {
    std::uint64_t rounds = 0;
    const cost measured(two);
    for (auto _ : state) {
        for (unsigned i = 0; i < 5'000; ++i) {
            two.round([] {});
        }
        rounds += 10'000; // one of each host
    }
    measured.tell(state, rounds);
}

void empty_round(benchmark::State& state) {
    two_hosts two(pool, {.conns = 1'024});
    std::vector<conn_handle> clients;
    std::vector<conn_handle> servers;
    two.establish(busy_conns, clients, servers);
    empty_rounds(state, two);
}

std::uint64_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    std::uint64_t total = 0;
    std::uint64_t resident = 0;
    statm >> total >> resident;
    return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

// The busy connections and the idle ones, made once and kept for all who measure beside them.
struct idle_world {
    idle_world() : two(pool, {.conns = idle_conns + 1'024}) {
        clients.reserve(idle_conns + busy_conns);
        servers.reserve(idle_conns + busy_conns);
        two.establish(busy_conns, clients, servers);
        const std::uint64_t before = resident_bytes();
        const auto began = std::chrono::steady_clock::now();
        two.establish(idle_conns, clients, servers);
        seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
        bytes_each = static_cast<double>(resident_bytes() - before) / (2.0 * idle_conns);
    }

    two_hosts two;
    std::vector<conn_handle> clients;
    std::vector<conn_handle> servers;
    double seconds = 0;    // that opening them took
    double bytes_each = 0; // for an end
    std::size_t next = 0;  // to be woken
};

std::unique_ptr<idle_world> idle_ones;

idle_world& beside_idle() {
    if (!idle_ones) {
        idle_ones = std::make_unique<idle_world>();
    }
    return *idle_ones;
}

void idle_open(benchmark::State& state) {
    const idle_world& world = beside_idle();
    for (auto _ : state) { // it was done once
    }
    state.counters["items_per_second"] = idle_conns / world.seconds;
    state.counters["bytes"] = world.bytes_each;
    state.counters["connections"] = idle_conns;
}

void idle_round(benchmark::State& state) {
    empty_rounds(state, beside_idle().two);
}

void idle_aside(benchmark::State& state) {
    idle_world& world = beside_idle();
    ask_on_busy(state, world.two, world.clients);
}

void idle_woken(benchmark::State& state) {
    idle_world& world = beside_idle();
    std::uint64_t done = 0;
    const cost measured(world.two);
    for (auto _ : state) {
        for (unsigned turn = 0; turn < 100; ++turn) {
            for (unsigned k = 0; k < 32; ++k) {
                tcp::send(world.two.client.host, world.clients[world.next], message());
                world.next = (world.next + 9'973) % world.clients.size();
            }
            done += request_responses(world.two, 32, false);
        }
    }
    measured.tell(state, done);
}

// A line a benchmark: medians of its runs, with the least and the most.
class medians : public benchmark::ConsoleReporter {
  public:
    void ReportRuns(const std::vector<Run>& runs) override {
        for (const Run& run : runs) {
            if (run.run_type == Run::RT_Iteration && !run.error_occurred) {
                for (const auto& [name, value] : run.counters) {
                    rows_[run.run_name.function_name][name].push_back(value);
                }
            }
        }
    }
    void Finalize() override {
        for (auto& [name, counters] : rows_) {
            std::printf("%s\n", name.c_str());
            for (auto& [what, values] : counters) {
                std::sort(values.begin(), values.end());
                std::printf(
                    "    %-18s %14.2f  (%.2f to %.2f, %zu runs)\n", what.c_str(),
                    values[values.size() / 2], values.front(), values.back(), values.size());
            }
        }
    }

  private:
    std::map<std::string, std::map<std::string, std::vector<double>>> rows_;
};

void enroll_all() {
    const auto enroll = [](const char* name, void (*run)(benchmark::State&)) {
        benchmark::RegisterBenchmark((std::string("tcp/pantala/") + name).c_str(), run)
            ->Unit(benchmark::kMillisecond);
    };
    enroll("request_response", request_response);
    enroll("segment", segment);
    enroll("connection", connection);
    enroll("round", empty_round);
    enroll("idle_open", idle_open);
    enroll("idle_round", idle_round);
    enroll("idle_aside", idle_aside);
    enroll("idle_woken", idle_woken);
}

bool start_eal(char* program) {
    const char* eal[] = {
        program, "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry",     "--iova-mode=va",
        "-m",    "256",       "--lcores", "0@0-1",       "--log-level=*:error"};
    if (rte_eal_init(sizeof eal / sizeof *eal, const_cast<char**>(eal)) < 0) {
        return false;
    }
    pool =
        rte_pktmbuf_pool_create("bench", 32'767, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    return pool != nullptr;
}

} // namespace
} // namespace pantala::bench

int main(int argc, char** argv) {
    using namespace pantala::bench;
    command_line words(
        argc, argv,
        {"--benchmark_repetitions=7", "--benchmark_enable_random_interleaving=true",
         "--benchmark_min_time=0.2"});
    std::string idle = std::to_string(idle_conns);
    words.take("--idle", idle);
    char* end = nullptr;
    const unsigned long count = std::strtoul(idle.c_str(), &end, 10);
    if (*end != '\0' || count < 1 || count > 10'000'000) {
        std::fprintf(stderr, "tcp_bench: --idle '%s': 1 to 10000000 connections\n", idle.c_str());
        return 2;
    }
    idle_conns = static_cast<unsigned>(count);
    if (!words.initialize()) {
        return 2;
    }
    if (!start_eal(argv[0])) {
        std::fprintf(stderr, "tcp_bench: EAL does not start, or has no memory for the packets\n");
        return 1;
    }
    enroll_all();
    medians report;
    benchmark::RunSpecifiedBenchmarks(words.for_people() ? &report : nullptr);
    idle_ones.reset();
    return 0;
}
