// Changes of routes for churn_bench: which, in what order, at what rate.
#pragma once

#include "bench/fib/churn_router.hpp"
#include "bench/fib/data.hpp"

#include <chrono>
#include <random>
#include <vector>

namespace pantala::bench {

struct change {
    prefix4 prefix;
    std::uint16_t index; // of the next hop, 1..peers
    bool nested;         // comes and goes
    bool there = true;
    bool other = false;
};

struct changes_made {
    std::uint64_t announced = 0;
    std::uint64_t withdrawn = 0;
    std::uint64_t moved = 0; // to the other next hop
    std::uint64_t all() const { return announced + withdrawn + moved; }
};

struct outcome {
    double rate_asked = 0;
    changes_made changes;
    double control_share = 0; // of control's core
    forwarded counts;
    double seconds = 0;
    double latency_us = 0; // median of a change's way to all workers
    double mpps() const { return static_cast<double>(counts.sent) / seconds / 1e6; }
    bool clean() const {
        return counts.sent > 0 && counts.misrouted == 0 && counts.received == counts.sent;
    }
};

class churn_load {
  public:
    // Loads the table into the router. `heavy`: so many prefixes go to the first next hop.
    churn_load(fib_data& data, churn_router& router, std::size_t heavy = 0);

    // Destinations inside the table's prefixes, with their next hops.
    std::vector<destination> destinations(fib_data& data) const;
    std::size_t prefixes() const { return changes_.size(); }
    std::size_t prefixes_up_to(unsigned index) const;
    outcome run(double rate, double seconds);
    // Gives one prefix in `every` a next hop that no packet to it has had, or the right one again.
    void mislead(unsigned every, bool wrong);

  private:
    using clock = std::chrono::steady_clock;
    void one_change();
    result<void> announce(const change& now);
    double wait_for_workers(clock::time_point start);

    churn_router& router_;
    std::vector<change> changes_;
    std::mt19937_64 random_{11};
    std::uint64_t done_ = 0;
    changes_made made_;
};

} // namespace pantala::bench
