// The RIB: control's master of routes, next hops and interfaces. Every change is checked and
// reserved first (the only place that can fail), then compiled once, and its difference goes down
// the route log to every worker. Words are iproute2's.
//
// Owner: the control thread; nothing here is safe from another. A control loop calls pump() once a
// turn: it moves on what the log had no credit for, and the routes that fall back.
//
//   route     prefix, metric, protocol and its targets; several routes of one prefix differ in
//             metric, the lowest live one is used; where none lives, a less specific prefix's
//   target    where a route leads: a gateway, a link, or a verdict (blackhole, ...); several are
//             ECMP by flow hash, with weights
//   hop       a target (or set of targets) interned to a nexthop_id; used by many routes. Its
//             record is what workers see: a change of an interface, or of the route to a gateway,
//             rewrites records and no table (prefix-independent convergence)
#pragma once

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"
#include "stack/route/interface.hpp"
#include "stack/route/nexthop.hpp"
#include "stack/route/prefix4.hpp"
#include "stack/route/prefix6.hpp"
#include "stack/route/replica.hpp"
#include "stack/route/route_log.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace pantala {

enum class route_protocol : std::uint8_t { kernel, boot, fixed, bgp, ospf, other }; // fixed: static

struct route_target {
    nexthop_kind kind = nexthop_kind::gateway;
    std::uint32_t gateway = 0;            // host order; kind gateway
    std::optional<iface_id> interface {}; // gateway: none means "as the table says"
    std::uint16_t weight = 1;             // 1..256
    // Kind gateway of an IPv6 route: the gateway. A link-local one needs an interface.
    std::optional<address6> gateway6{};

    bool operator==(const route_target&) const = default;
};

inline constexpr unsigned route_targets_max = 64;

// Whether a target that a deletion names is this one of a route; what it leaves open fits any.
bool names(const route_target& named, const route_target& target);

struct route {
    prefix4 prefix;
    std::uint8_t table = 0;
    route_protocol protocol = route_protocol::boot;
    std::optional<std::uint32_t> metric{}; // lower is better; none: 0, or to del() the lowest
    std::uint16_t mtu = 0;                 // bytes of L3 (IPv6: from 1280 on); 0: the interface's
    std::vector<route_target> targets;
    // Told by find and visit: an address's own route to the prefix is used instead, until it goes.
    // To add, replace and append: so be it, if there is one.
    bool aside = false;
};

// The same of IPv6.
struct route6 {
    prefix6 prefix;
    std::uint8_t table = 0;
    route_protocol protocol = route_protocol::boot;
    std::optional<std::uint32_t> metric{};
    std::uint16_t mtu = 0;
    std::vector<route_target> targets;
    bool aside = false;
};

// Where a walk in an order that restores is (rib::visit_to_restore, which alone looks inside).
template <class Prefix>
struct restore_walk {
    using key = std::pair<Prefix, std::uint32_t>; // a route: with its metric
    std::optional<Prefix> next = Prefix{};
    std::vector<key> told; // in order, those when it was their turn
    std::set<key> ahead;   // those before, for others
    std::vector<key> late; // those that led nowhere, in order, and how many of them are told
    std::size_t late_told = 0;
};

// A feed's view of a route: no strings, no allocation.
template <class Prefix>
struct basic_feed_route {
    Prefix prefix;
    nexthop_id hop; // from rib::hop
};
using feed_route = basic_feed_route<prefix4>;
using feed_route6 = basic_feed_route<prefix6>;

// What a feed's routes of this protocol have: 20 for bgp, 110 for ospf, else 0.
constexpr std::uint32_t metric_of(route_protocol protocol) {
    return protocol == route_protocol::bgp ? 20 : protocol == route_protocol::ospf ? 110 : 0;
}

// Of one routing table.
struct table_counts {
    bool there = false; // it has routes or interfaces, or is the main one
    std::size_t routes4 = 0;
    std::size_t routes6 = 0;
    std::size_t interfaces = 0;
    std::size_t replica_bytes4 = 0; // resident memory of one worker
    std::size_t replica_bytes6 = 0;
    std::size_t authority_bytes = 0; // control's own
};

struct rib_counts {
    std::size_t routes4 = 0; // prefixes of the main table
    std::size_t routes6 = 0;
    std::size_t hops = 0;
    std::size_t replica_bytes4 = 0; // of one worker
    std::size_t replica_bytes6 = 0;
    std::size_t authority_bytes = 0; // control's own
    std::uint64_t generation = 0;
    std::uint64_t changes = 0;  // since the start
    std::uint64_t revised = 0;  // prefixes looked at because next hops were dead
    std::uint64_t given_up = 0; // times that a worker was stuck
};

// What a worker has applied.
struct replica_state {
    unsigned reader = 0;
    std::uint64_t generation = 0;
    std::uint64_t behind = 0; // log entries
    bool given_up = false;    // it is stuck, or its image is not there yet
    std::uint64_t hash = 0;   // by hash_replicas()
    bool alike = false;       // its hash is the master's
};

// A replica's answer that is not the RIB's.
struct wrong_answer {
    unsigned reader;
    std::string prefix;
    nexthop_id got;
    nexthop_id expected;
};

template <class Prefix>
struct verified {
    std::optional<Prefix> next; // where to go on; nothing: at the end
    std::size_t addresses = 0;  // compared, on every worker
};

struct rib_state; // rib/rib_state.hpp

class rib {
  public:
    // Errors: ENOMEM.
    static result<std::unique_ptr<rib>> make(route_log& log);
    ~rib();
    rib(const rib&) = delete;
    rib& operator=(const rib&) = delete;

    // --- interfaces ---

    // Errors: ENOSPC, EEXIST (the port and VLAN are taken), EINVAL.
    result<iface_id> add_interface(const iface& made);
    result<void> del_interface(iface_id id);
    // Down: routes through it lead nowhere, at once; up: they are back, and its addresses are asked
    // for anew that want it (address_probed). Errors, up alone: ENOSPC, ENOMEM, EAGAIN; it stays
    // down.
    result<void> set_up(iface_id id, bool up);
    // Errors: EINVAL: under 68, or under 1280 with IPv6 addresses or routes on it.
    result<void> set_mtu(iface_id id, std::uint16_t mtu);
    // What routers on the link say of IPv6 packets; 0: nothing. Errors: EINVAL: under 1280 or over
    // the interface's own.
    result<void> set_mtu6(iface_id id, std::uint16_t mtu);
    // The same of the hop limit of our own IPv6 packets.
    result<void> set_hop_limit6(iface_id id, std::uint8_t limit);
    result<void> set_mac(iface_id id, std::array<std::uint8_t, 6> mac);
    // Puts it into another routing table, with the routes that its addresses bring; routes that
    // name it stay where they are. All of it or nothing. Errors: EINVAL, EEXIST (another interface
    // there has one of its addresses or links), ENOMEM, ENOSPC, EAGAIN.
    result<void> set_table(iface_id id, unsigned table);
    // Both at once: all of it or nothing.
    result<void> set_table_and_up(iface_id id, unsigned table, bool up);
    // `duties`: iface_*. Errors: EINVAL: advertising and believing others at once, strict and loose
    // at once, or a time out of range (RFC 4861 6.2.1).
    result<void> set_duties(
        iface_id id, std::uint8_t duties, std::uint16_t ra_interval_s = 600,
        std::uint16_t ra_lifetime_s = 1800);
    // Adds or deletes an address with its connected, local and broadcast routes; others' to the
    // same prefixes and of metric 0 stand aside as long as those are there. `flags`: address_*;
    // what is tentative or a duplicate has no local route.
    result<void>
    add_address(iface_id id, std::uint32_t address, unsigned prefix_length, std::uint8_t flags = 0);
    result<void> del_address(iface_id id, std::uint32_t address, unsigned prefix_length);
    // The same of IPv6: connected and local routes, and one for the subnet's router anycast address
    // (RFC 4291 2.6.1). Several interfaces may be on one link: the first has its routes, and each
    // other after it. A link-local address brings no routes: its scope is the link, which is the
    // stack's to see to.
    result<void> add_address(
        iface_id id, const address6& address, unsigned prefix_length, std::uint8_t flags = 0);
    result<void> del_address(iface_id id, const address6& address, unsigned prefix_length);
    // Of an address that is there. Errors: ENOSPC, ENOMEM, EAGAIN; the flags are as they were.
    result<void> set_address_flags(iface_id id, std::uint32_t address, std::uint8_t flags);
    result<void> set_address_flags(iface_id id, const address6& address, std::uint8_t flags);
    const iface& interface(iface_id id) const;

    // --- tables ---

    // 0 is the main one. Another is made when a route or an interface first is in it, and goes with
    // the last of them; each family of it for itself where no interface is.
    bool has_table(unsigned table) const;
    table_counts counts_of(unsigned table) const;

    // --- routes ---

    // A new route. Errors: EEXIST (same prefix and metric), EBUSY (an address's own has the place,
    // and it is not to stand aside), ENETUNREACH (no way to the gateway), EINVAL, ENOMEM, EAGAIN
    // (workers do not keep up: pump and try again).
    result<void> add(const route& added);
    // Adds, or takes the place of the one of the same metric, or of what stands aside.
    result<void> replace(const route& changed);
    // Adds targets to the route of the same metric (ECMP), or adds it.
    result<void> append(const route& added);
    // Deletes the targets named from the route of this metric; without targets, the route.
    // Errors: ESRCH.
    result<void> del(const route& gone);
    // The route that packets to `address` take. Errors: ENETUNREACH.
    result<route> get(std::uint32_t address, unsigned table = 0) const;
    // All routes of exactly this prefix, best first.
    std::vector<route> find(const prefix4& prefix, unsigned table = 0) const;
    // Those that stand aside, of all tables.
    std::vector<route> aside4() const;
    std::vector<route6> aside6() const;
    // Visits at most `count` prefixes' routes in order, from `from` on; returns where to go on, or
    // nothing at the end. Changes in between are seen or not, never torn.
    std::optional<prefix4> visit(
        unsigned table, const prefix4& from, std::size_t count,
        const std::function<void(const route&)>& each) const;

    // The same in an order that restores: each route behind one that its gateways are reached by,
    // those that lead nowhere last. What is there all the time is told once, whatever dies or comes
    // alive meanwhile. Until it answers true. Memory: some 12 bytes a route (IPv6: 32).
    bool visit_to_restore(
        unsigned table, restore_walk<prefix4>& walk, std::size_t count,
        const std::function<void(const route&)>& each) const;
    bool visit_to_restore(
        unsigned table, restore_walk<prefix6>& walk, std::size_t count,
        const std::function<void(const route6&)>& each) const;

    // The same for IPv6.
    result<void> add(const route6& added);
    result<void> replace(const route6& changed);
    result<void> append(const route6& added);
    result<void> del(const route6& gone);
    result<route6> get(const address6& address, unsigned table = 0) const;
    std::vector<route6> find(const prefix6& prefix, unsigned table = 0) const;
    std::optional<prefix6> visit(
        unsigned table, const prefix6& from, std::size_t count,
        const std::function<void(const route6&)>& each) const;

    // --- feeds: many routes, few hops (metric_of(protocol)) ---

    // The hop of these targets, with one more use; release() gives it back. `table`: where gateways
    // are looked up.
    result<nexthop_id>
    hop(std::span<const route_target> targets, std::uint16_t mtu = 0, unsigned table = 0);
    void release(nexthop_id hop);
    // No route has it, and of those that asked for it, only one.
    bool idle(nexthop_id hop) const;
    // Adds or replaces, then withdraws, one route. Errors: EAGAIN, ENOMEM, ESRCH. Cost: 0.2 to
    // 0.5 us for a /24.
    result<void> announce(
        const feed_route& added, route_protocol protocol = route_protocol::bgp, unsigned table = 0);
    result<void> withdraw(
        const prefix4& prefix, route_protocol protocol = route_protocol::bgp, unsigned table = 0);
    // Loads the lines that a change of this prefix in the main table will touch: some 8 changes
    // ahead is best.
    void prefetch(const prefix4& prefix) const;
    // Announces many at once. From some thousands on the table is compiled anew in parallel and
    // swapped in by one message. Errors: ENOMEM; nothing is changed then.
    result<void> load(
        std::span<const feed_route> routes, route_protocol protocol = route_protocol::bgp,
        unsigned table = 0);
    result<void> announce(
        const feed_route6& added, route_protocol protocol = route_protocol::bgp,
        unsigned table = 0);
    result<void> withdraw(
        const prefix6& prefix, route_protocol protocol = route_protocol::bgp, unsigned table = 0);
    result<void> load(
        std::span<const feed_route6> routes, route_protocol protocol = route_protocol::bgp,
        unsigned table = 0);
    // Deletes all routes of this protocol of a table, both families; `deleted` grows by how many.
    // Errors: EAGAIN, ENOMEM, with some left.
    result<void> flush(route_protocol protocol, std::size_t& deleted, unsigned table = 0);

    // --- workers ---

    // A replica as of now, attached to the log. Errors: ENOSPC (no reader slot), ENOMEM.
    result<std::unique_ptr<route_replica>> join();
    // The worker has stopped using it.
    void leave(route_replica& replica);
    // Moves waiting entries to the log, publishes, and frees what readers have left behind. True:
    // nothing waits.
    bool pump();
    // A worker that has read nothing for so long while others wait for it is given up: the log goes
    // on without it, and it forwards by what it has. When it reads again it gets a fresh image,
    // some 10 ms of control's time with full tables. Once a turn.
    static constexpr std::uint64_t stuck_ns_default = ns_per_s;
    void mind_workers(instant now, std::uint64_t stuck_ns = stuck_ns_default);
    // Every worker has applied everything, and every route has fallen back that must.
    bool settled() const;
    // What replica.hash() must be at generation().
    std::uint64_t hash() const;
    std::uint64_t generation() const;
    rib_counts counts() const;
    std::vector<replica_state> replicas() const;
    // Hashes every replica's memory: some 10 ms each with full tables. The workers are not held up:
    // control reads, and while it writes nothing nobody does. Errors: EAGAIN, a worker is behind.
    result<std::vector<replica_state>> hash_replicas() const;
    // Asks every replica for the first and the last address of about `count` prefixes from `from`
    // on, and tells what is not the next hop that the RIB's own maps give. Errors: EAGAIN.
    result<verified<prefix4>> verify(
        unsigned table, const prefix4& from, std::size_t count,
        const std::function<void(const wrong_answer&)>& each) const;
    result<verified<prefix6>> verify(
        unsigned table, const prefix6& from, std::size_t count,
        const std::function<void(const wrong_answer&)>& each) const;

    const nexthop& record(nexthop_id id) const;
    // It leads somewhere itself; else its record is the default route's, or of kind none.
    bool live(nexthop_id id) const;

  private:
    explicit rib(std::unique_ptr<rib_state> made);
    std::unique_ptr<rib_state> state_;
};

} // namespace pantala
