// What does TCP itself cost? Two hosts in one thread hand each other packets through memory: no
// device, no wire, checksums made and verified in software. Every figure is for both ends together;
// half of it is one end's share. Time is virtual (10 us a round), the clock of the figures is real.
//
//   tcp_bench [IDLE [FIGURE]]   IDLE connections (1000000) for the last figures; FIGURE is one of
//                               requests, bulk, connections, idle; without it all of them
//
// A figure is the median of seven repetitions of the same amount of work, with the least and most.
#include "stack/tcp/input/tcp_input.hpp"
#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_user.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <unistd.h>

namespace pantala {
namespace {

constexpr std::uint64_t round_ns = 10 * ns_per_us;
constexpr unsigned trials = 7;

struct end {
    end(rte_mempool* pool, std::uint64_t seed, const tcp::limits& sizes)
        : random(seed), host(
                            tcp::host_services{
                                .pool = pool,
                                .drops = drops,
                                .random = random,
                                .sink = {send, this},
                                .paths = {.mtu = [](void*, const ip_address&) -> std::uint16_t {
                                    return 1'500;
                                }}},
                            config(), sizes, instant{ns_per_s}) {}

    static tcp::settings config() {
        tcp::settings chosen;
        chosen.port_first = 1'024;
        chosen.port_last = 65'535;
        chosen.time_wait_ms = 1;
        chosen.rcv_buffer = 1'000'000;
        chosen.snd_buffer = 1'000'000;
        return chosen;
    }
    static void send(void* context, mbuf_burst& packets) {
        auto* self = static_cast<end*>(context);
        self->sent.insert(self->sent.end(), packets.begin(), packets.end());
        packets.clear();
    }

    random_source random;
    drop_sink drops;
    std::vector<rte_mbuf*> sent;
    tcp::host host;
    std::uint64_t cycles = 0; // TSC, spent in this end
};

// Charges what happens while it lives to one end.
class charge {
  public:
    explicit charge(end& whom) : whom_(whom), begin_(rte_rdtsc()) {}
    ~charge() { whom_.cycles += rte_rdtsc() - begin_; }
    charge(const charge&) = delete;
    charge& operator=(const charge&) = delete;

  private:
    end& whom_;
    std::uint64_t begin_;
};

struct pair {
    pair(rte_mempool* pool, const tcp::limits& sizes)
        : client(pool, 1, sizes), server(pool, 2, sizes) {
        listener =
            tcp::listen(server.host, {address(2), l4_port::from(80)}, 4'000, nullptr).listener;
    }

    static ip_address address(std::uint8_t last) {
        return ip_address::from(wire::ipv4_address::of(10, 0, 0, last));
    }

    void carry(end& from, end& to) {
        const charge of(to);
        mbuf_burst burst;
        for (rte_mbuf* packet : from.sent) {
            packet->l3_len = 20;
            packet->ol_flags = 0;
            burst.push(packet);
            ++packets;
            if (burst.full()) {
                tcp::input(to.host, burst, now);
            }
        }
        from.sent.clear();
        tcp::input(to.host, burst, now);
    }

    // A round of both workers; the application runs where it would.
    template <class Application>
    void round(Application&& application) {
        now = now + round_ns;
        carry(client, server);
        carry(server, client);
        {
            const charge of(client);
            tcp::expire(client.host, now, 256);
        }
        {
            const charge of(server);
            tcp::expire(server.host, now, 256);
        }
        application();
        {
            const charge of(client);
            tcp::end_of_round(client.host, now);
        }
        const charge of(server);
        tcp::end_of_round(server.host, now);
    }

    // `count` established connections; the server's handles are appended to `accepted`.
    void establish(
        unsigned count, std::vector<tcp::conn_handle>& opened,
        std::vector<tcp::conn_handle>& accepted) {
        const std::size_t goal = accepted.size() + count;
        unsigned asked = 0;
        unsigned networks = 0;
        while (accepted.size() < goal) {
            round([&] {
                for (unsigned i = 0; i < 32 && asked < count; ++i, ++asked) {
                    // A source address for each 50,000: more than one address has ports.
                    networks = asked / 50'000;
                    const auto answer = tcp::open(
                        client.host, {.local = address(static_cast<std::uint8_t>(10 + networks)),
                                      .remote = {address(2), l4_port::from(80)}});
                    PANTALA_ASSERT(answer.error == tcp::user_error::none);
                    opened.push_back(answer.handle);
                }
                accept_all(accepted);
                forget_events();
            });
        }
    }

    void accept_all(std::vector<tcp::conn_handle>& accepted) {
        std::uint32_t which = 0;
        while (tcp::poll_accepts(server.host, {&which, 1}) > 0) {
        }
        for (auto handle = tcp::accept(server.host, listener, nullptr); handle.id != tcp::no_id;
             handle = tcp::accept(server.host, listener, nullptr)) {
            accepted.push_back(handle);
        }
    }
    void forget_events() {
        tcp::event events[64];
        while (tcp::poll_events(client.host, events) > 0) {
        }
        while (tcp::poll_events(server.host, events) > 0) {
        }
    }

    instant now{ns_per_s};
    std::uint64_t packets = 0;
    end client;
    end server;
    std::uint32_t listener = 0;
};

double seconds_since(std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Runs `body` (which does a fixed amount of work and returns how many units that was) `trials`
// times; prints the median and the spread.
void measure(const char* what, const std::function<std::uint64_t()>& body) {
    std::vector<double> rates;
    std::vector<double> cycles;
    for (unsigned i = 0; i < trials; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        const std::uint64_t tsc = rte_rdtsc();
        const auto units = static_cast<double>(body());
        cycles.push_back(static_cast<double>(rte_rdtsc() - tsc) / units);
        rates.push_back(units / seconds_since(begin));
    }
    std::sort(rates.begin(), rates.end());
    std::sort(cycles.begin(), cycles.end());
    std::printf(
        "%-44s %10.0f /s (%.0f to %.0f)  %7.0f TSC cycles (%.0f to %.0f)\n", what,
        rates[trials / 2], rates.front(), rates.back(), cycles[trials / 2], cycles.front(),
        cycles.back());
    std::fflush(stdout);
}

// 64 bytes there, 64 back, on every connection in turn.
// With `again` false the client only listens to the answers.
std::uint64_t request_responses(pair& two, std::uint64_t wanted, bool again = true) {
    static const std::vector<std::byte> message(64, std::byte{'m'});
    std::uint64_t done = 0;
    tcp::event events[256];
    while (done < wanted) {
        two.round([&] {
            std::size_t count = tcp::poll_events(two.server.host, events);
            for (std::size_t e = 0; e < count; ++e) {
                while (tcp::readable_bytes(two.server.host, events[e].handle) >= 64) {
                    tcp::consume(two.server.host, events[e].handle, 64);
                    tcp::send(two.server.host, events[e].handle, message);
                }
            }
            count = tcp::poll_events(two.client.host, events);
            for (std::size_t e = 0; e < count; ++e) {
                while (tcp::readable_bytes(two.client.host, events[e].handle) >= 64) {
                    tcp::consume(two.client.host, events[e].handle, 64);
                    if (again) {
                        tcp::send(two.client.host, events[e].handle, message);
                    }
                    ++done;
                }
            }
        });
    }
    return done;
}

void request_response(rte_mempool* pool) {
    pair two(pool, {.conns = 1'024});
    std::vector<tcp::conn_handle> clients;
    std::vector<tcp::conn_handle> servers;
    two.establish(100, clients, servers);
    const std::vector<std::byte> message(64, std::byte{'m'});
    for (const auto handle : clients) {
        tcp::send(two.client.host, handle, message);
    }
    request_responses(two, 100'000);
    const std::uint64_t before = two.packets;
    const std::uint64_t done = request_responses(two, 100'000);
    std::printf(
        "%-44s %10.2f\n", "packets a request and response",
        static_cast<double>(two.packets - before) / static_cast<double>(done));
    measure("request and response of 64 bytes, 100 conns", [&] {
        return request_responses(two, 300'000);
    });
}

void bulk(rte_mempool* pool) {
    pair two(pool, {.conns = 1'024});
    std::vector<tcp::conn_handle> clients;
    std::vector<tcp::conn_handle> servers;
    two.establish(1, clients, servers);
    const std::vector<std::byte> data(64 * 1'448, std::byte{'d'});
    std::uint64_t received = 0;
    const auto some = [&] {
        const std::uint64_t before = received;
        while (received - before < 500'000ULL * 1'448) {
            two.round([&] {
                {
                    const charge of(two.client);
                    tcp::send(two.client.host, clients[0], data);
                }
                const charge of(two.server);
                const std::size_t ready = tcp::readable_bytes(two.server.host, servers[0]);
                tcp::consume(two.server.host, servers[0], ready);
                received += ready;
                two.forget_events();
            });
        }
        return (received - before) / 1'448;
    };
    some();
    const std::uint64_t packets = two.packets;
    const std::uint64_t segments = some();
    std::printf(
        "%-44s %10.2f\n", "packets a segment of 1,448 bytes",
        static_cast<double>(two.packets - packets) / static_cast<double>(segments));
    two.client.cycles = two.server.cycles = 0;
    measure("segment of 1,448 bytes, one stream", some);
    const double all = static_cast<double>(trials) * static_cast<double>(segments);
    std::printf(
        "%-44s %10.0f and %.0f TSC cycles (means; the sender's share has the application's copy)\n",
        "  of these the sender and the receiver", static_cast<double>(two.client.cycles) / all,
        static_cast<double>(two.server.cycles) / all);
}

void open_and_close(rte_mempool* pool) {
    pair two(pool, {.conns = 8'192});
    std::vector<tcp::conn_handle> clients;
    std::vector<tcp::conn_handle> servers;
    const auto thousand = [&] {
        clients.clear();
        servers.clear();
        two.establish(1'000, clients, servers);
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
    };
    thousand();
    measure("connection opened and closed", [&] {
        for (unsigned i = 0; i < 100; ++i) {
            thousand();
        }
        return std::uint64_t{100'000};
    });
}

std::uint64_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    std::uint64_t total = 0;
    std::uint64_t resident = 0;
    statm >> total >> resident;
    return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

// What a round costs that has nothing to do.
void empty_rounds(pair& two, const char* what) {
    measure(what, [&] {
        for (unsigned i = 0; i < 250'000; ++i) {
            two.round([] {});
        }
        return std::uint64_t{500'000}; // one of each host
    });
}

void idle(rte_mempool* pool, unsigned count) {
    pair two(pool, {.conns = count + 1'024});
    std::vector<tcp::conn_handle> clients;
    std::vector<tcp::conn_handle> servers;
    clients.reserve(count + 200);
    servers.reserve(count + 200);
    two.establish(100, clients, servers);
    empty_rounds(two, "round with nothing to do, 100 conns");
    const std::uint64_t before = resident_bytes();
    const auto begin = std::chrono::steady_clock::now();
    two.establish(count, clients, servers);
    const double seconds = seconds_since(begin);
    const double each = static_cast<double>(resident_bytes() - before) / (2.0 * count);
    std::printf(
        "%-44s %10.0f bytes each, %u on each side, opened at %.0f /s\n", "idle connection", each,
        count, count / seconds);
    empty_rounds(two, "round with nothing to do beside the idle");
    const std::vector<std::byte> message(64, std::byte{'m'});
    for (unsigned i = 0; i < 100; ++i) {
        tcp::send(two.client.host, clients[i], message);
    }
    measure("request and response beside the idle ones", [&] {
        return request_responses(two, 300'000);
    });
    request_responses(two, 100, false); // they come to rest
    // Every connection speaks in turn: nothing of it is in the cache.
    std::size_t next = 0;
    measure("request on a connection that was idle", [&] {
        for (unsigned i = 0; i < 200'000; i += 32) {
            for (unsigned k = 0; k < 32; ++k, next = (next + 9'973) % clients.size()) {
                tcp::send(two.client.host, clients[next], message);
            }
            request_responses(two, 32, false);
        }
        return std::uint64_t{200'000};
    });
}

} // namespace
} // namespace pantala

int main(int argc, char** argv) {
    const char* eal[] = {
        argv[0], "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry",     "--iova-mode=va",
        "-m",    "256",       "--lcores", "0@0-1",       "--log-level=*:error"};
    if (rte_eal_init(sizeof eal / sizeof *eal, const_cast<char**>(eal)) < 0) {
        return 1;
    }
    rte_mempool* pool =
        rte_pktmbuf_pool_create("bench", 32'767, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (pool == nullptr) {
        std::fprintf(stderr, "no memory for the mbufs\n");
        return 1;
    }
    const unsigned idle =
        argc > 1 ? static_cast<unsigned>(std::strtoul(argv[1], nullptr, 10)) : 1'000'000;
    const std::string figure = argc > 2 ? argv[2] : "";
    const auto wanted = [&](const char* name) { return figure.empty() || figure == name; };
    if (wanted("requests")) {
        pantala::request_response(pool);
    }
    if (wanted("bulk")) {
        pantala::bulk(pool);
    }
    if (wanted("connections")) {
        pantala::open_and_close(pool);
    }
    if (wanted("idle")) {
        pantala::idle(pool, idle);
    }
    return 0;
}
