// A lossy network in virtual time: raw IP packets travel between hosts with delay, rate, loss,
// duplication, reordering and corruption, all from one random source. Nothing sleeps; the same seed
// gives the same run.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/drop.hpp"
#include "engine/mbuf_burst.hpp"
#include "engine/random.hpp"
#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_user.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <vector>

namespace pantala::sim {

// One direction of a path. Chances are in parts per million.
struct link_settings {
    std::uint64_t delay_ns = 1 * ns_per_ms;
    std::uint64_t jitter_ns = 0;         // extra delay up to this: reorders
    std::uint64_t bits_per_second = 0;   // 0: no limit
    std::uint32_t queue_packets = 1'000; // in front of the limit; more is dropped
    std::uint32_t mark_packets = 0;      // ECN: CE where the queue is longer; 0: never
    std::uint16_t mtu = 0;               // larger packets vanish without a word; 0: none do
    std::uint32_t loss_ppm = 0;
    std::uint32_t duplicate_ppm = 0;
    std::uint32_t corrupt_ppm = 0;
};

// One TCP host of the simulation, with what a worker would give it.
class node {
  public:
    node(
        std::string name, rte_mempool* pool, std::uint64_t seed, const tcp::settings& config,
        const tcp::limits& sizes, std::uint16_t mtu, instant start);

    std::string name;
    random_source random;
    drop_sink drops;
    std::uint16_t mtu;
    std::vector<rte_mbuf*> sent; // by this round, not yet on the network
    tcp::host host;
    std::function<void()> application; // runs once a round, between input and output
    std::function<bool()> restless;    // it wants a round soon although nothing happens
};

// Looks at a packet before the network does anything with it; false: it is lost here.
using packet_filter = std::function<bool(unsigned from, rte_mbuf* packet, instant now)>;

// Two hosts and a wire. Owns the packets that are on their way.
class network {
  public:
    network(std::uint64_t seed, const link_settings& forth, const link_settings& back);
    ~network();
    network(const network&) = delete;
    network& operator=(const network&) = delete;

    void attach(node& left, node& right) {
        nodes_[0] = &left;
        nodes_[1] = &right;
    }
    // The settings of the direction away from node `from` (0 or 1) from now on.
    link_settings& link(unsigned from) { return links_[from]; }
    packet_filter filter;

    instant now() const { return now_; }
    // Runs rounds at this instant until nothing is left to do, then moves to the next event, not
    // beyond `until`. False: nothing will ever happen again, or `until` is reached.
    bool step(instant until);
    void run(instant until) {
        while (step(until)) {
        }
    }
    // Until `done()` or the time is up; whether it was done.
    bool run_until(const std::function<bool()>& done, instant until);

    std::uint64_t packets_sent() const { return packets_sent_; }
    std::uint64_t packets_lost() const { return packets_lost_; }
    std::size_t in_flight() const { return events_.size(); }
    // A line for each packet in the manner of tcpdump, where a stream is set.
    std::FILE* trace = nullptr;

  private:
    struct event {
        std::uint64_t at_ns;
        std::uint64_t order; // among equals: first sent, first delivered
        unsigned to;
        rte_mbuf* packet;
        bool operator>(const event& other) const {
            return at_ns != other.at_ns ? at_ns > other.at_ns : order > other.order;
        }
    };

    void round();
    void deliver();
    void collect(unsigned from);
    void transmit(unsigned from, rte_mbuf* packet);
    void travel(unsigned from, rte_mbuf* packet);
    void print(unsigned from, const rte_mbuf* packet, const char* fate) const;
    bool chance(std::uint32_t ppm) { return ppm > 0 && random_.below(1'000'000) < ppm; }

    instant now_{ns_per_s}; // not 0: nothing may depend on that
    random_source random_;
    link_settings links_[2];
    std::uint64_t busy_until_ns_[2] = {0, 0};
    node* nodes_[2] = {nullptr, nullptr};
    std::uint64_t order_ = 0;
    std::uint64_t packets_sent_ = 0;
    std::uint64_t packets_lost_ = 0;
    std::priority_queue<event, std::vector<event>, std::greater<>> events_;
};

// A pool for tests, made once; how many of its mbufs are out is what leak checks look at.
rte_mempool* packet_pool();
unsigned packets_out();

} // namespace pantala::sim
