// Next hops: what a route says about its packets, before any neighbour is asked. Records are
// written by control through the route log and are alike on every worker; what a worker knows of
// the neighbour behind one (its adjacency) is the worker's own (adjacency.hpp).
#pragma once

#include "engine/base/byte_order.hpp"
#include "engine/base/strong_index.hpp"

#include <array>
#include <cstdint>

namespace pantala {

// Index into the next-hop table. 15 bits: the 16th marks longer routes inside the replica.
using nexthop_id = strong_index<struct nexthop_tag, std::uint16_t>;
inline constexpr unsigned nexthops_max = 32768;

// The next hop of the default route, always 0: changing the default is one record write.
inline constexpr nexthop_id nexthop_default{0};
// The same of the main IPv6 table.
inline constexpr nexthop_id nexthop_default6{1};

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
    group,       // ECMP: buckets `group_first`, `group_count` of the group table
};

struct nexthop {
    nexthop_kind kind = nexthop_kind::none;
    iface_id iface{};
    std::uint16_t mtu = 0; // bytes of L3; 0: the interface's
    std::uint16_t group_first = 0;
    std::uint16_t group_count = 0; // a power of two
    bool via6 = false;             // kind gateway: the neighbour is `gateway6`, else `gateway4`
    be32 gateway4{};
    std::array<std::uint8_t, 16> gateway6{};

    bool operator==(const nexthop&) const = default;
};

// The group table: each group is a run of buckets, each bucket a member's id. A member that leaves
// gives up its buckets only, so the flows of the others stay where they are (resilient ECMP).
inline constexpr unsigned group_buckets_max = 65536;
inline constexpr unsigned group_depth_max = 1; // a member is never a group itself

// The bucket of a flow, in [first, first + count).
constexpr unsigned group_bucket(unsigned first, unsigned count, std::uint32_t flow_hash) {
    return first + (flow_hash & (count - 1));
}

} // namespace pantala
