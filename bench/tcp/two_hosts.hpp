// Two TCP hosts in one thread that hand each other packets through memory: no device, no wire,
// checksums made and verified in software. Time is virtual, 10 us a round.
#pragma once

#include "stack/tcp/input/tcp_input.hpp"
#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_user.hpp"

#include <cstdint>
#include <vector>

#include <rte_cycles.h>
#include <rte_mbuf.h>

namespace pantala::bench {

inline constexpr std::uint64_t round_ns = 10 * ns_per_us;

struct tcp_end {
    tcp_end(rte_mempool* pool, std::uint64_t seed, const tcp::limits& sizes)
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
        auto* self = static_cast<tcp_end*>(context);
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
    explicit charge(tcp_end& whom) : whom_(whom), begin_(rte_rdtsc()) {}
    ~charge() { whom_.cycles += rte_rdtsc() - begin_; }
    charge(const charge&) = delete;
    charge& operator=(const charge&) = delete;

  private:
    tcp_end& whom_;
    std::uint64_t begin_;
};

struct two_hosts {
    two_hosts(rte_mempool* pool, const tcp::limits& sizes)
        : client(pool, 1, sizes), server(pool, 2, sizes) {
        listener =
            tcp::listen(server.host, {address(2), l4_port::from(80)}, 4'000, nullptr).listener;
    }

    static ip_address address(std::uint8_t last) {
        return ip_address::from(wire::ipv4_address::of(10, 0, 0, last));
    }

    void carry(tcp_end& from, tcp_end& to) {
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
    tcp_end client;
    tcp_end server;
    std::uint32_t listener = 0;
};

} // namespace pantala::bench
