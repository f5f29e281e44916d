// Adjacencies: next hops resolved to the bytes that a packet leaves with. One 64-byte line each,
// indexed by nexthop_id; the worker's own (never shared), rebuilt by its stack when the next hop's
// record, its interface or the neighbour behind it changes. Forwarding reads fib4 and this, nothing
// else.
#pragma once

#include "engine/base/byte_order.hpp"
#include "engine/base/cache_line.hpp"
#include "engine/ids.hpp"
#include "stack/route/nexthop.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace pantala {

// What becomes of a packet that the replica sends here. `forward` is 0, so that a burst can be
// tested for "all may be forwarded" by one OR.
enum class adjacency_kind : std::uint8_t {
    forward,   // copy the rewrite, send on `port`
    resolve,   // the gateway's link address is not known yet: queue and ask
    connected, // the neighbour is the packet's own destination: look it up
    group,     // choose a member by flow hash, then look at that member's adjacency
    local,     // for us
    broadcast, // a broadcast address of `iface`
    multicast,
    none, // no route
    blackhole,
    unreachable,
    prohibit,
    down, // the interface is down
};

inline constexpr unsigned rewrite_bytes_max = 24; // Ethernet and two VLAN tags, rounded up

struct alignas(cache_line_bytes) adjacency {
    adjacency_kind kind = adjacency_kind::none;
    std::uint8_t rewrite_length = 0; // bytes of L2 header, 14, 18 or 22
    std::uint16_t mtu = 0;           // bytes of IPv4 that may leave here
    port_id port{};
    iface_id iface{};
    std::uint16_t group_first = 0; // kind group: buckets [first, first + count) of the group table
    std::uint16_t group_count = 0;
    be32 gateway4{};                                       // kinds forward and resolve
    std::array<std::uint8_t, rewrite_bytes_max> rewrite{}; // destination MAC first
    std::array<std::uint8_t, 16> gateway6{};
    std::uint16_t mtu6 = 0; // bytes of IPv6 that may leave here
};

static_assert(sizeof(adjacency) == 64);
static_assert(offsetof(adjacency, rewrite) == 16, "one aligned 16-byte load and one of 8");

// 2 MiB, so that every nexthop_id may index it unchecked.
class adjacency_table {
  public:
    adjacency_table() : entries_(std::make_unique<adjacency[]>(nexthops_max)) {}

    adjacency& operator[](nexthop_id id) { return entries_[id.value]; }
    const adjacency& operator[](nexthop_id id) const { return entries_[id.value]; }
    const adjacency* data() const { return entries_.get(); }

  private:
    std::unique_ptr<adjacency[]> entries_;
};

} // namespace pantala
