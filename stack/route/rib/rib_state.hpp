// What the RIB is made of. Private to stack/route/rib. Owner: control.
#pragma once

#include "stack/route/fib/fib4_compiler.hpp"
#include "stack/route/rib.hpp"
#include "stack/route/rib/hop_table.hpp"
#include "stack/route/rib/prefix_index4.hpp"
#include "stack/route/rib/prefix_map4.hpp"
#include "stack/route/rib/route_writer.hpp"

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

namespace pantala {

// One of the routes of a prefix.
struct candidate {
    std::uint32_t metric = 0;
    route_protocol protocol = route_protocol::boot;
    nexthop_id hop{};
};
using candidates = std::vector<candidate>; // by metric, each once

struct rib_table4 {
    rib_table4(nexthop_id of_default, bool big) : default_id(of_default), index(big) {}

    nexthop_id default_id; // the next hop where no prefix of a bit or more matches
    prefix_map4 map;       // with length 0
    prefix_index4 index;   // without
    std::unique_ptr<fib4_compiler> compiler;
    std::vector<candidates> more{1}; // rib_entry4::more; 0 is unused
    std::vector<std::uint32_t> free_more;
};

struct rib_state {
    explicit rib_state(route_log& to);

    // --- tables (rib_tables.cpp) ---
    // Makes it where it is not there yet. Errors: EINVAL, ENOMEM.
    result<rib_table4*> table(unsigned number);
    const rib_table4* table_if(unsigned number) const {
        return number < tables_max ? tables[number].get() : nullptr;
    }
    candidates routes_of(const rib_table4& in, const rib_entry4& entry) const;
    // Makes `routes` (their uses are the caller's to have taken) the routes of a prefix, compiles
    // the difference, and releases what was there. Room has been reserved.
    void store(unsigned number, const prefix4& prefix, candidates routes);
    // The fast way in and out for a prefix whose one route is of this protocol; false: not so.
    bool swap_only(const prefix4& prefix, nexthop_id hop, route_protocol protocol);
    bool erase_only(const prefix4& prefix, route_protocol protocol);
    void compile(rib_table4& in, const prefix4& prefix, nexthop_id value, bool is_new);
    void compile_out(rib_table4& in, const prefix4& prefix);
    // After a change of `prefix`: gateways that are reached through it.
    void settle(unsigned number, const prefix4& prefix);
    void refresh();
    std::optional<nexthop_id> find_hop(unsigned number, std::uint32_t address) const;
    nexthop_id best(const candidates& routes) const;
    result<void> may_change(const rib_table4& in, const prefix4& prefix) const;
    // Empty images: the master's, and one a worker in their order.
    using image_set = std::vector<std::unique_ptr<fib4_image>>;
    result<image_set> prepare(unsigned number) const; // errors: ENOMEM
    // Compiles a table from its map and swaps it in everywhere.
    void rebuild(unsigned number, image_set images);

    // --- interfaces (rib_interfaces.cpp) ---
    result<iface*> iface_at(iface_id id);
    void write_iface(iface_id id);
    // The routes that an address of an interface brings.
    struct own_route {
        prefix4 prefix;
        nexthop_kind kind;
    };
    static std::vector<own_route> routes_of(const iface_address4& address, bool up);
    result<void> add_own(iface_id id, const own_route& added);
    void del_own(iface_id id, const own_route& gone);
    bool still_owned(iface_id id, const own_route& route, bool up) const;

    // --- workers (rib_workers.cpp) ---
    struct worker {
        route_replica* replica = nullptr;
        unsigned reader = 0;
        std::array<fib4_image*, tables_max> images{}; // that later patches go to
    };
    struct shipment {
        std::uint64_t generation; // freed once every worker has come so far
        std::unique_ptr<std::unique_ptr<fib4_image>[]> images;
    };
    // Gives every worker a twin of the master's image, in `images` from the second on.
    void ship(unsigned number, image_set images);
    void populate(unsigned number, std::uint32_t units, std::uint32_t words);
    std::uint64_t slowest_generation() const;

    route_log& log;
    route_writer writer;
    std::unique_ptr<route_records> records = std::make_unique<route_records>();
    hop_table hops;
    std::array<std::unique_ptr<rib_table4>, tables_max> tables;
    std::vector<worker> workers;
    std::deque<shipment> shipments;
    std::uint64_t changes = 0;
};

} // namespace pantala
