// fib6: the IPv6 forwarding table as a worker reads it. Addresses are two host-order halves
// (prefix6.hpp). The answer is a next hop of the same table as IPv4's; the main table's default is
// nexthop_default6.
//
// The space is cut into intervals of equal next hop; a lookup finds the interval by binary search.
#pragma once

#include "stack/route/nexthop.hpp"
#include "stack/route/prefix6.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pantala {

// Reads an image; holds no memory of its own. Valid until the replica applies the log again.
class fib6_reader {
  public:
    fib6_reader(std::span<const address6> lasts, const nexthop_id* hops)
        : lasts_(lasts), hops_(hops) {}

    // One address; for slow paths.
    nexthop_id lookup(const address6& address) const {
        const auto at = std::lower_bound(lasts_.begin(), lasts_.end(), address);
        return hops_[at - lasts_.begin()];
    }

    // All of `addresses` to `answers`, which is as long; any number, best in bursts of 32 or more.
    void lookup(std::span<const address6> addresses, nexthop_id* answers) const {
        for (std::size_t i = 0; i < addresses.size(); ++i) {
            answers[i] = lookup(addresses[i]);
        }
    }

  private:
    std::span<const address6> lasts_; // of each interval
    const nexthop_id* hops_;
};

} // namespace pantala
