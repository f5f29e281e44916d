// Route churn on request: a running router changes its own routes at a given rate, each between the
// gateway that the rule gives and the one that the rule with another seed gives. For measuring what
// updates cost the forwarding. Control thread only.
#pragma once

#include "engine/base/result.hpp"
#include "stack/route/rib.hpp"

#include <chrono>
#include <cstdint>
#include <vector>

#include <nlohmann/json.hpp>

namespace pantala::app {

class churn {
  public:
    struct member {
        prefix4 prefix;
        nexthop_id usual; // by the rule
        nexthop_id other; // by the rule with the other seed
        bool changed = false;
    };

    // `members`: the routes that change, in the order in which they do, again and again.
    churn(rib& routes, std::vector<member> members, std::uint64_t rate);

    // Makes the changes that are due, some thousand at most. An error ends it.
    result<void> turn();
    // There are changes to be made at once.
    bool due() const;
    // Makes every route as it was, a part at a time; true when all are.
    result<bool> restore();
    nlohmann::json report() const;

  private:
    result<bool> flip(member& one);
    double elapsed() const;

    rib& routes_;
    std::vector<member> members_;
    std::uint64_t rate_;
    std::size_t at_ = 0;
    std::size_t restored_ = 0;
    std::uint64_t made_ = 0;
    std::uint64_t behind_ = 0; // turns in which the workers did not keep up
    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
    double seconds_ = 0;
};

} // namespace pantala::app
