// How fast is one CUBIC stream at a given loss and round-trip time? Two hosts and a wire in virtual
// time: 500 Mbit/s, a queue of 1,000 packets, MTU 1,500, independent random loss of what the sender
// sends. For each cell the rate over 20,000 to 100,000 segments (at most 60 virtual seconds) after
// a start that is not counted, and beside it what RFC 9438 says CUBIC should reach.
//
//   cubic_curve > docs/tcp_cubic.csv; scripts/plot_cubic docs/tcp_cubic.csv docs/tcp_cubic.svg
#include "tests/sim/network.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

#include <rte_eal.h>

namespace pantala::sim {
namespace {

constexpr std::uint64_t link_bits = 500'000'000;
constexpr double segment_bits = 1'448 * 8;
constexpr std::uint64_t warm_up_segments = 5'000;

// Enough for a few dozen losses where they are rare.
constexpr std::uint64_t counted_segments(std::uint32_t loss_ppm) {
    return loss_ppm == 0 || loss_ppm > 100 ? 20'000 : 100'000;
}

struct cell {
    std::uint32_t rtt_us;
    std::uint32_t loss_ppm;
};

ip_address address(std::uint8_t last) {
    return ip_address::from(wire::ipv4_address::of(10, 0, 0, last));
}

tcp::settings big_buffers() {
    tcp::settings config;
    config.rcv_buffer = config.rcv_buffer_max = 14'000'000;
    config.snd_buffer = config.snd_buffer_max = 14'000'000;
    config.ooo_segments_max = 10'000;
    return config;
}

// RFC 9438 section 5: the larger of the cubic average window, (C * (3 + b) / (4 * (1 - b)))^(1/4) *
// RTT^(3/4) / p^(3/4) with C = 0.4 and b = 0.7, and Reno's sqrt(3/2) / sqrt(p) (section 4.3),
// not above the link. Mbit/s.
double predicted(const cell& one) {
    const double link = static_cast<double>(link_bits) * 1'448 / 1'500;
    if (one.loss_ppm == 0) {
        return link / 1e6;
    }
    const double p = one.loss_ppm / 1e6;
    const double rtt = one.rtt_us / 1e6;
    const double cubic = std::pow(0.4 * 3.7 / 1.2, 0.25) * std::pow(rtt / p, 0.75);
    const double reno = std::sqrt(1.5 / p);
    return std::min(std::max(cubic, reno) * segment_bits / rtt, link) / 1e6;
}

// Mbit/s of payload.
double measured(const cell& one, std::uint64_t seed) {
    link_settings forth;
    forth.delay_ns = one.rtt_us * ns_per_us / 2;
    forth.bits_per_second = link_bits;
    forth.loss_ppm = one.loss_ppm;
    link_settings back;
    back.delay_ns = forth.delay_ns;
    network net(seed, forth, back);
    const tcp::limits sizes{.conns = 4, .sent_segments = 32'768};
    node sender("sender", packet_pool(), seed, big_buffers(), sizes, 1'500, net.now());
    node receiver("receiver", packet_pool(), seed + 1, big_buffers(), sizes, 1'500, net.now());
    net.attach(sender, receiver);
    const auto listener =
        tcp::listen(receiver.host, {address(2), l4_port::from(80)}, 4, nullptr).listener;
    const auto opened =
        tcp::open(sender.host, {.local = address(1), .remote = {address(2), l4_port::from(80)}});
    tcp::conn_handle accepted;
    std::uint64_t received = 0;
    const std::vector<std::byte> data(64 * 1'448);
    sender.application = [&] {
        while (tcp::send(sender.host, opened.handle, data) == data.size()) {
        }
    };
    receiver.application = [&] {
        if (accepted.id == tcp::no_id) {
            accepted = tcp::accept(receiver.host, listener, nullptr);
            return;
        }
        const std::size_t ready = tcp::readable_bytes(receiver.host, accepted);
        tcp::consume(receiver.host, accepted, ready);
        received += ready;
    };
    const auto run = [&](std::uint64_t segments, std::uint64_t seconds) {
        const std::uint64_t goal = received + segments * 1'448;
        net.run_until([&] { return received >= goal; }, net.now() + seconds * ns_per_s);
    };
    run(warm_up_segments, 60);
    const std::uint64_t before = received;
    const instant begin = net.now();
    run(counted_segments(one.loss_ppm), 60);
    return static_cast<double>(received - before) * 8'000 / static_cast<double>(net.now() - begin);
}

void print(const cell& one) {
    std::array<double, 3> rates{};
    for (std::uint64_t i = 0; i < rates.size(); ++i) {
        rates[i] = measured(one, 1 + 10 * i);
    }
    std::sort(rates.begin(), rates.end());
    std::printf(
        "%u,%u,%.2f,%.2f,%.2f,%.2f\n", one.rtt_us, one.loss_ppm, rates[1], rates[0], rates[2],
        predicted(one));
    std::fflush(stdout);
}

} // namespace
} // namespace pantala::sim

int main(int, char** argv) {
    const char* eal[] = {
        argv[0], "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry",     "--iova-mode=va",
        "-m",    "192",       "--lcores", "0@0-1",       "--log-level=*:error"};
    if (rte_eal_init(sizeof eal / sizeof *eal, const_cast<char**>(eal)) < 0) {
        return 1;
    }
    std::puts("rtt_us,loss_ppm,mbit_s,least,most,rfc9438");
    for (const std::uint32_t rtt_us : {100U, 1'000U, 10'000U, 50'000U, 100'000U, 200'000U}) {
        for (const std::uint32_t loss_ppm :
             {0U, 10U, 100U, 1'000U, 5'000U, 10'000U, 20'000U, 50'000U}) {
            pantala::sim::print({rtt_us, loss_ppm});
        }
    }
    return 0;
}
