// Route churn on request, for measuring what updates cost the forwarding. A running router changes
// its own routes at a given rate, in such a way that of each packet it stays known where it may
// arrive:
//
//   one of six changes  announces the lower half of a route's prefix by that other gateway, if the
//                       table has no route for it
//   one                 withdraws such a half, the oldest, once there are more than a thousand
//   the others          move a route between the gateway that the rule gives it and the one that
//                       the rule with another seed gives
//
// and takes a spare link, if there is one, down and up a hundred times a second. Control thread
// only.
#pragma once

#include "engine/base/result.hpp"
#include "stack/route/rib.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

namespace pantala::app {

class churn {
  public:
    struct member {
        prefix4 prefix;
        nexthop_id usual;       // by the rule
        nexthop_id other;       // by the rule with the other seed
        bool may_halve = false; // no route of the table has the lower half of it
        bool changed = false;
        bool halved = false;
    };
    static constexpr std::size_t halves_kept = 1000; // before the oldest is withdrawn

    // `members`: the routes that change, in the order in which they do, again and again.
    churn(
        rib& routes, std::vector<member> members, std::uint64_t rate,
        std::optional<iface_id> spare = std::nullopt);

    // Makes the changes that are due, some thousand at most. An error ends it.
    result<void> turn();
    // There are changes to be made at once.
    bool due() const;
    // Makes every route as it was, a part at a time; true when all are.
    result<bool> restore();
    nlohmann::json report() const;

  private:
    result<bool> change();
    result<bool> next();
    result<bool> withdraw_oldest();
    result<bool> flip(member& one);
    result<bool> halve(member& one);
    result<void> flap(double seconds);
    double elapsed() const;

    rib& routes_;
    std::vector<member> members_;
    std::uint64_t rate_;
    std::size_t at_ = 0;
    std::deque<std::size_t> halves_; // announced, oldest first
    std::size_t restored_ = 0;
    std::uint64_t made_ = 0;
    std::uint64_t behind_ = 0;    // turns in which the workers did not keep up
    std::uint64_t announced_ = 0; // halves
    std::uint64_t withdrawn_ = 0;
    std::uint64_t flaps_ = 0; // of the spare link, down and up
    std::optional<iface_id> spare_;
    bool spare_up_ = true;
    double next_flap_ = 0;
    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
    double seconds_ = 0;
};

} // namespace pantala::app
