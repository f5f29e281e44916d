// The next hops of the gateways that feeds name: found fast, and given back when no route has them
// any more. Those that lead nowhere are not kept: a feed of gateways out of reach takes nothing.
// Owner: control.
#pragma once

#include "stack/route/rib.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <utility>

namespace pantala {

class feed_hops {
  public:
    static constexpr std::size_t idle_max = 256; // more are given back by tidy()

    // The hop of a gateway that is looked up in this table. It is there until the next tidy(), and
    // as long as a route has it. Errors: ENETUNREACH (no way to the gateway), ENOSPC, EINVAL.
    result<nexthop_id> hop(rib& of, std::uint32_t gateway, unsigned table);
    result<nexthop_id> hop(rib& of, const address6& gateway, unsigned table);
    // Gives back what no route has, if that may be many; `all`: in any case. Not while somebody
    // has hops that no route has yet.
    void tidy(rib& of, bool all = false);
    std::size_t size() const { return hops4_.size() + hops6_.size(); }

  private:
    template <class Key, class Known>
    result<nexthop_id>
    find(rib& of, const Key& key, const route_target& target, unsigned table, Known& known);

    std::unordered_map<std::uint64_t, nexthop_id> hops4_; // by table and gateway
    std::map<std::pair<unsigned, address6>, nexthop_id> hops6_;
    std::size_t left_ = 0; // by the last tidy()
};

} // namespace pantala
