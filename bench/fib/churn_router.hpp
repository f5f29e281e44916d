// A router in memory for churn_bench: one worker with its whole stack, a port that makes frames and
// a port that checks and frees them. Neighbours answer ARP by themselves.
#pragma once

#include "bench/fib/data.hpp"
#include "engine/worker.hpp"
#include "stack/route/rib.hpp"
#include "stack/stack.hpp"

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <vector>

namespace pantala::bench {

// What one worker did; written by it, read by control between runs.
struct forwarded {
    std::uint64_t received = 0;
    std::uint64_t sent = 0;
    std::uint64_t misrouted = 0;
    std::uint64_t longest = 0;                // TSC cycles of a round
    std::array<std::uint32_t, 4096> rounds{}; // by 64 cycles; the last: longer

    double percentile(double share) const; // TSC cycles
};

class churn_router {
  public:
    struct destination {
        be32 address;
        std::uint16_t index; // of the next hop that the table gives it
    };

    // `peers` gateways, each with a twin: a next hop's two places. The first eight are reached over
    // a way that can be moved.
    explicit churn_router(unsigned peers);
    ~churn_router();

    // --- control ---
    rib& control() { return *rib_; }
    nexthop_id hop(unsigned index, bool other) const { return hops_[other][index]; }
    std::uint16_t index_of(const route& found) const;
    void move_way(bool other);
    unsigned recursive_peers() const { return recursive_; }
    std::size_t recursive_prefixes(const std::vector<route4>& routes) const;
    void set_destinations(std::vector<destination> made) { destinations_ = std::move(made); }
    void resolve_neighbors(); // until a run loses nothing
    void start_count();
    forwarded stop_count();
    void stop() { rig_->stop = true; }
    const route_replica& replica() const { return *replica_; }

    // --- the worker's lcore ---
    void run();

  private:
    static std::uint16_t make(void* self, rte_mbuf** packets, std::uint16_t room);
    static std::uint16_t answer(void* self, rte_mbuf** packets, std::uint16_t room);
    static std::uint16_t check(void* self, rte_mbuf** packets, std::uint16_t count);
    static std::uint16_t discard(void* self, rte_mbuf** packets, std::uint16_t count);
    void check_one(const std::uint8_t* frame);
    void answer_arp(const std::uint8_t* frame);
    void write_frame(std::uint8_t* frame, const destination& to) const;
    void take_orders();

    unsigned recursive_;
    rte_mempool* pool_;
    route_log log_;
    std::unique_ptr<rib> rib_;
    std::unique_ptr<route_replica> replica_;
    netmsg_fabric fabric_{1};
    handoff_lanes lanes_{1, 64};
    toeplitz sum_{rss_key_symmetric};
    std::unique_ptr<worker_rig> rig_;
    std::unique_ptr<stack> stack_;
    std::unique_ptr<worker<stack>> loop_;
    std::vector<nexthop_id> hops_[2];
    std::vector<destination> destinations_;
    std::size_t next_ = 0;
    std::array<std::uint8_t, 64> frame_{};
    std::uint32_t frame_sum_ = 0; // of the IPv4 header but for the destination
    std::deque<std::array<std::uint8_t, 64>> answers_;
    forwarded counts_;
    enum class order : int { none, begin, end, done };
    std::atomic<order> order_{order::none};
    bool counting_ = false;
};

} // namespace pantala::bench
