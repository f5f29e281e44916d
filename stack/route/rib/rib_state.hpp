// What the RIB is made of. Private to stack/route/rib. Owner: control.
#pragma once

#include "stack/route/rib.hpp"
#include "stack/route/rib/hop_table.hpp"
#include "stack/route/rib/rib_table.hpp"
#include "stack/route/rib/route_writer.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace pantala {

// The table of a family, by the type of its prefixes.
template <class Prefix>
using rib_table = std::conditional_t<std::is_same_v<Prefix, prefix4>, rib_table4, rib_table6>;

template <class Prefix>
using basic_route = std::conditional_t<std::is_same_v<Prefix, prefix4>, route, route6>;

inline constexpr unsigned mtu6_min = 1280; // of every link that IPv6 goes over: RFC 8200 5

template <class Prefix>
error no_such_route(const Prefix& prefix) {
    return {ESRCH, "there is no such route to " + format(prefix)};
}

struct rib_state {
    explicit rib_state(route_log& to);

    // --- tables (rib_tables.cpp): for prefix4 and prefix6 ---
    template <class Prefix>
    using table_set = std::array<std::unique_ptr<rib_table<Prefix>>, tables_max>;
    template <class Prefix>
    table_set<Prefix>& tables() {
        if constexpr (std::is_same_v<Prefix, prefix4>) {
            return tables4;
        } else {
            return tables6;
        }
    }
    // Makes it where it is not there yet. Errors: EINVAL, ENOMEM, ENOSPC.
    template <class Prefix>
    result<rib_table<Prefix>*> table(unsigned number);
    result<void> make_tables(unsigned number); // of both families
    template <class Prefix>
    const rib_table<Prefix>* table_if(unsigned number) const {
        return number < tables_max ? const_cast<rib_state*>(this)->tables<Prefix>()[number].get()
                                   : nullptr;
    }
    // Takes away what of a table has neither routes nor interfaces; never of the main one.
    void drop_unused(unsigned number);
    template <class Prefix>
    void drop_if_empty(unsigned number);
    // The route of an entry that has just one.
    template <class Entry>
    static candidate only_route(const Entry& entry) {
        const auto protocol = static_cast<route_protocol>(entry.protocol);
        return {metric_of(protocol), protocol, entry.hop};
    }
    template <class Table>
    candidates routes_of(const Table& in, const typename Table::entry& entry) const;
    // Makes `routes` (their uses are the caller's to have taken) the routes of a prefix, compiles
    // the difference, and releases what was there. Room has been reserved.
    template <class Prefix>
    void store(unsigned number, const Prefix& prefix, candidates routes);
    // The fast way in and out for a prefix whose one route is of this protocol; false: not so.
    template <class Prefix>
    bool swap_only(unsigned number, const Prefix& prefix, nexthop_id hop, route_protocol protocol);
    template <class Prefix>
    bool erase_only(unsigned number, const Prefix& prefix, route_protocol protocol);
    template <class Table>
    void compile(Table& in, const typename Table::prefix& prefix, nexthop_id value, bool is_new);
    template <class Table>
    void compile_out(Table& in, const typename Table::prefix& prefix);
    // After a change of `prefix`: gateways that are reached through it, dead routes below it.
    // `was_live`: before, it had a live next hop.
    template <class Prefix>
    void settle(unsigned number, const Prefix& prefix, bool was_live);
    void refresh();
    template <class Prefix>
    std::optional<hop_table::way> find_way(
        unsigned number, const typename rib_table<Prefix>::address& address, unsigned below) const;
    nexthop_id choose(const candidates& routes);
    template <class Table>
    result<void> may_change(const Table& in, const typename Table::prefix& prefix) const;
    template <class Table>
    result<void>
    may_change_all(const Table& in, std::span<const typename Table::prefix> prefixes) const;
    // Compiles a table from its map and swaps it in everywhere. `images`: empty ones, the master's
    // and one a worker in their order (prepare_images).
    template <class Table>
    void rebuild(Table& in, typename Table::image_set images);

    // --- dead routes (rib_fallback.cpp) ---
    // Next hops died or live again: every prefix may be concerned.
    void look_for_dead() { walk.again = true; }
    // A prefix changed: itself, and if it is live where it was not, or not where it was, what it
    // covers.
    template <class Prefix>
    void touch(unsigned number, const Prefix& prefix, bool was_live);
    // Looks at some of what must be looked at; true: at the end, and nothing has changed since.
    bool walk_on();
    bool walked() const {
        return !walk.going && !walk.again && touched4.empty() && touched6.empty();
    }
    std::size_t walk_slice();
    template <class Prefix>
    std::size_t revise_touched();
    template <class Table>
    std::size_t revise(Table& in, const std::vector<typename Table::prefix>& prefixes);
    template <class Table>
    void revise_entry(Table& in, typename Table::entry& entry);

    // --- interfaces (rib_interfaces.cpp), and what their addresses bring (rib_own.cpp) ---
    result<iface*> iface_at(iface_id id);
    void write_iface(iface_id id);
    void turn_down(iface_id id);
    // The routes that an address of an interface brings.
    template <class Prefix>
    struct own_route {
        Prefix prefix;
        nexthop_kind kind;
    };
    using own_routes4 = std::vector<own_route<prefix4>>;
    using own_routes6 = std::vector<own_route<prefix6>>;
    static own_routes4 routes_of(const iface_address4& address, bool up);
    static own_routes6 routes_of(const iface_address6& address, bool up);
    // The same with a use of each one's next hop.
    template <class Prefix>
    struct taken_route {
        Prefix prefix;
        nexthop_id hop;
    };
    template <class Prefix>
    using taken_routes = std::vector<taken_route<Prefix>>;
    struct taken_own {
        taken_routes<prefix4> four;
        taken_routes<prefix6> six;
    };
    // Room and next hops for these routes of an interface, or for those of all its addresses as it
    // is to be, in a table that is there; of all or none. Errors: EAGAIN, ENOMEM, ENOSPC.
    template <class Prefix>
    result<void> take_own(
        unsigned number, iface_id id, const std::vector<own_route<Prefix>>& routes,
        taken_routes<Prefix>& taken);
    result<taken_own> take_own(iface_id id, const iface& as);
    template <class Prefix>
    void give_back(taken_routes<Prefix>& taken);
    // Into a table; with the use of the next hop.
    void put_own(unsigned number, const taken_own& taken);
    template <class Prefix>
    void put_own(unsigned number, const Prefix& prefix, nexthop_id hop);
    template <class Prefix>
    void lead_own(unsigned number, const Prefix& prefix, std::optional<nexthop_id> hop);
    template <class Prefix>
    void del_own(unsigned number, iface_id id, const own_route<Prefix>& gone);
    // What stands aside for an address's own route to a prefix, in the place of what did; with the
    // use of its next hop.
    template <class Prefix>
    void set_aside(unsigned number, const Prefix& prefix, const candidate& route);
    // Forgets what stands aside; false: nothing does, or not of this protocol.
    template <class Prefix>
    bool drop_aside(
        unsigned number, const Prefix& prefix, std::optional<route_protocol> only = std::nullopt);
    void take_own_away(unsigned number, iface_id id); // of all its addresses
    void drop_own(iface_id id);                       // those that they bring no more
    void move(iface_id id, const iface& wanted, const taken_own& own); // to another table
    // Whether an interface may have an address, or all of its own, in a table, for what is there.
    // Errors: EEXIST.
    result<void> may_have(const iface& of, unsigned number, const iface_address4& made) const;
    result<void> may_have(const iface& of, unsigned number, const iface_address6& made) const;
    result<void> may_join(const iface& of, unsigned number) const;
    // Whether an address of the interface brings this route.
    template <class Prefix>
    bool still_owned(iface_id id, const own_route<Prefix>& what) const;
    template <class Address>
    result<void> set_flags(iface_id id, Address& of, std::uint8_t flags);

    // --- workers (rib_workers.cpp) ---
    struct worker {
        route_replica* replica = nullptr;
        unsigned reader = 0;
        std::array<fib4_image*, tables_max> images4{}; // that later patches go to
        std::array<fib6_image*, tables_max> images6{};
        std::unique_ptr<route_image> image; // for one that comes back, or what it left behind
        std::uint64_t words = 0;            // where it was in the log, and since when
        instant since{};
        auto& images(const rib_table4&) { return images4; }
        auto& images(const rib_table6&) { return images6; }
    };
    struct shipment {
        std::uint64_t generation; // freed once every worker has come so far
        std::unique_ptr<std::unique_ptr<fib4_image>[]> images4;
        std::unique_ptr<std::unique_ptr<fib6_image>[]> images6;
    };
    // Gives every worker a twin of the master's image, in `images` from the second on.
    template <class Table>
    void ship(Table& in, typename Table::image_set images);
    // Takes a table away from every worker.
    template <class Table>
    void withdraw_images(Table& in);
    template <class Table>
    void send_images(Table& in, std::unique_ptr<std::unique_ptr<typename Table::image>[]> slots);
    template <class Table>
    void populate(const Table& in, std::uint32_t units, std::uint32_t words);
    std::uint64_t slowest_generation() const;
    // All tables as they stand, to be changed by the log from its present end on. Errors: ENOMEM.
    result<std::unique_ptr<route_image>> image_for(worker& to) const;
    void mind(worker& each, instant now, std::uint64_t stuck_ns);
    void give_up(worker& stuck);
    void bring_back(worker& returned, instant now);

    route_log& log;
    route_writer writer;
    std::unique_ptr<route_records> records = std::make_unique<route_records>();
    hop_table hops;
    table_set<prefix4> tables4;
    table_set<prefix6> tables6;
    std::array<std::uint16_t, tables_max> interfaces_in{}; // by table
    std::vector<worker> workers;
    std::deque<shipment> shipments;
    std::uint64_t changes = 0;
    struct dead_walk {
        bool again = false; // from the start, once it is at the end
        bool going = false;
        unsigned table = 0;
        bool six = false;
        prefix4 at4;
        prefix6 at6;
    } walk;
    // Changed prefixes, with their table; what they cover as well: where to go on with it.
    template <class Prefix>
    using touched_set = std::map<std::pair<unsigned, Prefix>, std::optional<Prefix>>;
    touched_set<prefix4> touched4;
    touched_set<prefix6> touched6;
    template <class Prefix>
    touched_set<Prefix>& touched() {
        if constexpr (std::is_same_v<Prefix, prefix4>) {
            return touched4;
        } else {
            return touched6;
        }
    }
    // Next hops of routes that stand behind another interface's to the same prefix, each with a
    // use, in the order in which they take over.
    template <class Prefix>
    using owned_set = std::map<std::pair<unsigned, Prefix>, std::vector<nexthop_id>>;
    owned_set<prefix4> owned_too4;
    owned_set<prefix6> owned_too6;
    template <class Prefix>
    owned_set<Prefix>& owned_too() {
        if constexpr (std::is_same_v<Prefix, prefix4>) {
            return owned_too4;
        } else {
            return owned_too6;
        }
    }
    // Routes of metric 0 whose place an address's own has taken, each with a use of its next hop.
    // Where one is, the prefix has an own route.
    template <class Prefix>
    using aside_set = std::map<std::pair<unsigned, Prefix>, candidate>;
    aside_set<prefix4> aside4;
    aside_set<prefix6> aside6;
    template <class Prefix>
    const aside_set<Prefix>& aside() const {
        if constexpr (std::is_same_v<Prefix, prefix4>) {
            return aside4;
        } else {
            return aside6;
        }
    }
    template <class Prefix>
    aside_set<Prefix>& aside() {
        return const_cast<aside_set<Prefix>&>(std::as_const(*this).template aside<Prefix>());
    }
    template <class Prefix>
    const candidate* aside_of(unsigned number, const Prefix& prefix) const {
        const auto& all = aside<Prefix>();
        const auto at = all.empty() ? all.end() : all.find({number, prefix});
        return at != all.end() ? &at->second : nullptr;
    }
    std::uint64_t revised = 0; // prefixes looked at so
    std::uint64_t given_up = 0;
};

} // namespace pantala
