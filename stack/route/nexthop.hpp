// Next hops: what a route says about its packets, before any neighbour is asked. Records are
// written by control through the route log and are alike on every worker; what a worker knows of
// the neighbour behind one (its adjacency) is the worker's own (adjacency.hpp).
#pragma once

#include "engine/base/byte_order.hpp"
#include "engine/base/strong_index.hpp"

#include <cstdint>

namespace pantala {

// Index into the next-hop table. 15 bits: the 16th marks longer routes inside the replica.
using nexthop_id = strong_index<struct nexthop_tag, std::uint16_t>;
inline constexpr unsigned nexthops_max = 32768;

// The next hop of the default route, always 0: changing the default is one record write.
inline constexpr nexthop_id nexthop_default{0};

// An interface: a port, or a VLAN on a port. Dense, made by control.
using iface_id = strong_index<struct iface_tag, std::uint16_t>;
inline constexpr unsigned ifaces_max = 256;

enum class nexthop_kind : std::uint8_t {
    none,        // no route
    gateway,     // by way of `gateway` on `iface`
    connected,   // on the link of `iface`: the packet's own destination is the neighbour
    local,       // one of our addresses
    broadcast,   // a broadcast address of `iface`
    multicast,   // group traffic
    blackhole,   // drop in silence
    unreachable, // drop, ICMP host unreachable
    prohibit,    // drop, ICMP administratively prohibited
    group,       // ECMP: `group_first`, `group_count` in the member table
};

struct nexthop {
    nexthop_kind kind = nexthop_kind::none;
    iface_id iface{};
    std::uint16_t mtu = 0; // bytes of L3; 0: the interface's
    std::uint16_t group_first = 0;
    std::uint16_t group_count = 0;
    be32 gateway4{};

    bool operator==(const nexthop&) const = default;
};

} // namespace pantala
