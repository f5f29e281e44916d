// A router in memory for churn_bench: control's RIB and some workers with their whole stacks.
//
// A next hop's index is 1..peers. Those up to `recursive` are BGP-like: a gateway of their own,
// reached by a *way* that all of them share, either of two links. The others are neighbours on the
// first link, each with a twin: a next hop's two places.
#pragma once

#include "bench/fib/churn_worker.hpp"
#include "stack/route/rib.hpp"

#include <memory>
#include <thread>
#include <vector>

namespace pantala::bench {

struct churn_layout {
    std::vector<unsigned> cpus; // for control, and behind it the workers
    unsigned peers = 63;
    unsigned recursive = 8;
    unsigned workers = 1;
    bool both_ways = false; // the second link is the way of the next metric; else one is the way
};

class churn_router {
  public:
    explicit churn_router(const churn_layout& layout);
    ~churn_router();
    churn_router(const churn_router&) = delete;
    churn_router& operator=(const churn_router&) = delete;

    const churn_layout& layout() const { return layout_; }
    rib& control() { return *rib_; }
    nexthop_id hop(unsigned index, bool other) const { return hops_[other][index]; }
    static std::uint16_t index_of(const route& found) {
        return static_cast<std::uint16_t>(found.targets.front().gateway & 0xff);
    }
    // The way to the gateways, by either link; without `both_ways` only.
    void move_way(bool other);
    // The first link goes down, or comes up.
    void turn_link(bool up);

    // Makes the workers and starts each in a thread of its own, on CPUs behind control's.
    void start(std::vector<destination> made);
    void stop(); // waits for them
    const std::vector<std::unique_ptr<churn_worker>>& workers() const { return workers_; }
    void start_count();
    forwarded stop_count(); // of all
    // Every replica has what control has.
    bool alike() const;

  private:
    void add_links();
    void add_way(unsigned link, std::uint32_t metric);
    void add_neighbor(unsigned link, std::uint32_t address);

    churn_layout layout_;
    route_log log_;
    std::unique_ptr<rib> rib_;
    netmsg_fabric fabric_;
    handoff_lanes lanes_;
    toeplitz sum_{rss_key_symmetric};
    std::vector<destination> destinations_;
    churn_setting setting_;
    iface_id links_[3];
    std::vector<nexthop_id> hops_[2];
    std::vector<std::unique_ptr<churn_worker>> workers_;
    std::vector<std::thread> threads_;
};

// CPUs that the calling thread may use; of the main one, before EAL pins it.
std::vector<unsigned> usable_cpus();

} // namespace pantala::bench
