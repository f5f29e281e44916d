#include "tests/sim/network.hpp"

#include "engine/base/check.hpp"
#include "stack/tcp/input/tcp_input.hpp"
#include "stack/wire/checksum.hpp"
#include "stack/wire/format.hpp"
#include "stack/wire/ipv4.hpp"
#include "stack/wire/ipv6.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include <rte_mbuf.h>
#include <rte_mempool.h>

namespace pantala::sim {

namespace {

constexpr unsigned pool_packets = 32'767;
constexpr unsigned expire_budget = 1'000;
constexpr std::uint64_t restless_pause_ns = 3 * ns_per_ms;

std::uint16_t mtu_of(void* context, const ip_address&) {
    return static_cast<node*>(context)->mtu;
}

void take_sent(void* context, mbuf_burst& packets) {
    auto* self = static_cast<node*>(context);
    self->sent.insert(self->sent.end(), packets.begin(), packets.end());
    packets.clear();
}

bool is_v4(const rte_mbuf* packet) {
    return *rte_pktmbuf_mtod(packet, const std::uint8_t*) >> 4 == 4;
}

// RFC 3168 section 5: a congested router sets CE where the packet says it understands.
bool mark_ce(rte_mbuf* packet) {
    auto* at = rte_pktmbuf_mtod(packet, std::uint8_t*);
    if (!is_v4(packet)) {
        if ((at[1] & 0x30) == 0) {
            return false;
        }
        at[1] |= 0x30;
        return true;
    }
    if ((at[1] & 3) == 0) {
        return false;
    }
    at[1] |= 3;
    wire::ipv4_header header;
    std::memcpy(&header, at, sizeof header);
    header.checksum = be16{};
    header.checksum = wire::checksum_of(wire::sum_ipv4_header20(&header));
    std::memcpy(at, &header, sizeof header);
    return true;
}

// What IP input does before TCP sees a packet, as far as a simulated one can be wrong.
bool prepare(rte_mbuf* packet) {
    if (!is_v4(packet)) {
        packet->l3_len = 40;
        return true;
    }
    packet->l3_len = 20;
    return wire::checksum_valid(
        wire::sum_ipv4_header20(rte_pktmbuf_mtod(packet, const unsigned char*)));
}

} // namespace

node::node(
    std::string its_name, rte_mempool* pool, std::uint64_t seed, const tcp::settings& config,
    const tcp::limits& sizes, std::uint16_t its_mtu, instant start)
    : name(std::move(its_name)), random(seed), mtu(its_mtu),
      host(
          tcp::host_services{
              .pool = pool,
              .drops = drops,
              .random = random,
              .sink = {take_sent, this},
              .paths = {.mtu = mtu_of, .context = this}},
          config, sizes, start) {}

network::network(std::uint64_t seed, const link_settings& forth, const link_settings& back)
    : random_(seed), links_{forth, back} {}

network::~network() {
    while (!events_.empty()) {
        rte_pktmbuf_free(events_.top().packet);
        events_.pop();
    }
}

void network::print(unsigned from, const rte_mbuf* packet, const char* fate) const {
    if (trace == nullptr) {
        return;
    }
    const std::string line =
        wire::format_packet({rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len});
    std::fprintf(
        trace, "%12.6f %s%s %s\n", static_cast<double>(now_.ns) / 1e9, nodes_[from]->name.c_str(),
        fate, line.c_str());
}

// The packet gets its place in the queue and in time.
void network::travel(unsigned from, rte_mbuf* packet) {
    const link_settings& link = links_[from];
    std::uint64_t leaves_ns = now_.ns;
    if (link.bits_per_second > 0) {
        const std::uint64_t takes_ns = packet->pkt_len * 8ULL * ns_per_s / link.bits_per_second;
        const std::uint64_t backlog_ns =
            busy_until_ns_[from] > now_.ns ? busy_until_ns_[from] - now_.ns : 0;
        const std::uint64_t queued = backlog_ns / std::max<std::uint64_t>(takes_ns, 1);
        if (queued >= link.queue_packets) {
            print(from, packet, " OVERFLOW");
            ++packets_lost_;
            rte_pktmbuf_free(packet);
            return;
        }
        if (link.mark_packets > 0 && queued >= link.mark_packets) {
            mark_ce(packet);
        }
        leaves_ns = std::max(busy_until_ns_[from], now_.ns) + takes_ns;
        busy_until_ns_[from] = leaves_ns;
    }
    const std::uint64_t jitter = link.jitter_ns > 0 ? random_.next() % link.jitter_ns : 0;
    events_.push({leaves_ns + link.delay_ns + jitter, order_++, 1 - from, packet});
}

void network::transmit(unsigned from, rte_mbuf* packet) {
    ++packets_sent_;
    const link_settings& link = links_[from];
    const bool fits = link.mtu == 0 || packet->pkt_len <= link.mtu;
    if (!fits || (filter && !filter(from, packet, now_)) || chance(link.loss_ppm)) {
        print(from, packet, " LOST");
        ++packets_lost_;
        rte_pktmbuf_free(packet);
        return;
    }
    print(from, packet, "");
    if (chance(link.duplicate_ppm)) {
        rte_mbuf* copy = rte_pktmbuf_copy(packet, packet_pool(), 0, UINT32_MAX);
        PANTALA_ASSERT(copy != nullptr);
        travel(from, copy);
    }
    if (chance(link.corrupt_ppm)) {
        const std::uint32_t at = random_.below(packet->data_len);
        rte_pktmbuf_mtod(packet, std::uint8_t*)[at] ^=
            static_cast<std::uint8_t>(1U << random_.below(8));
    }
    travel(from, packet);
}

void network::collect(unsigned from) {
    for (rte_mbuf* packet : nodes_[from]->sent) {
        transmit(from, packet);
    }
    nodes_[from]->sent.clear();
}

void network::deliver() {
    mbuf_burst bursts[2];
    const auto flush = [&](unsigned to) { tcp::input(nodes_[to]->host, bursts[to], now_); };
    while (!events_.empty() && events_.top().at_ns <= now_.ns) {
        const event next = events_.top();
        events_.pop();
        if (!prepare(next.packet)) {
            rte_pktmbuf_free(next.packet);
            continue;
        }
        bursts[next.to].push(next.packet);
        if (bursts[next.to].full()) {
            flush(next.to);
        }
    }
    flush(0);
    flush(1);
}

// One turn of both workers' loops.
void network::round() {
    deliver();
    for (node* one : nodes_) {
        tcp::expire(one->host, now_, expire_budget);
        if (one->application) {
            one->application();
        }
        tcp::end_of_round(one->host, now_);
        one->drops.flush();
    }
    collect(0);
    collect(1);
}

bool network::step(instant until) {
    round();
    instant next = events_.empty() ? instant::never() : instant{events_.top().at_ns};
    for (node* one : nodes_) {
        next = std::min(next, tcp::next_deadline(one->host));
        if (one->restless && one->restless()) {
            next = std::min(next, now_ + restless_pause_ns);
        }
    }
    if (next > until) {
        now_ = std::max(now_, until == instant::never() ? now_ : until);
        return false;
    }
    // A deadline that is due but not served yet must not stop the clock.
    now_ = std::max(next, now_ + 1'000);
    return true;
}

bool network::run_until(const std::function<bool()>& done, instant until) {
    while (!done()) {
        if (!step(until)) {
            return done();
        }
    }
    return true;
}

rte_mempool* packet_pool() {
    static rte_mempool* pool = rte_pktmbuf_pool_create(
        "sim", pool_packets, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    PANTALA_ASSERT(pool != nullptr);
    return pool;
}

unsigned packets_out() {
    return rte_mempool_in_use_count(packet_pool());
}

} // namespace pantala::sim
