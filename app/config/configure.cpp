// What a configuration says of links, addresses, tables and routes, made so on a router.
#include "app/run/router.hpp"

#include <future>

#include <fmt/format.h>

namespace pantala::app {

namespace {

dad_mode dad_of(const addr_config& from) {
    return from.dad == "off"      ? dad_mode::off
           : from.dad == "strict" ? dad_mode::strict
                                  : dad_mode::optimistic;
}

// The table of a record of the configuration that has `vrf` and `table`.
template <class Record>
result<table_word> table_of(const Record& from) {
    table_word table;
    if (!from.vrf.empty() && from.table != 0) {
        return error{EINVAL, "'vrf' and 'table' say the same: one of them will do"};
    }
    const auto good = !from.vrf.empty() ? set_table("vrf", from.vrf, table)
                      : from.table != 0 ? set_table("table", std::to_string(from.table), table)
                                        : result<void>();
    return good ? result<table_word>(table) : good.failure();
}

} // namespace

// The names of tables, and which interface is in which: before addresses, which may overlap.
result<void> router::configure_tables(const config& from) {
    for (const vrf_config& wanted : from.vrfs) {
        link_change made;
        made.name = wanted.name;
        made.table.emplace();
        auto done = set_table("table", std::to_string(wanted.table), *made.table);
        done = done ? add_vrf(made) : done;
        if (!done) {
            return at_line(from, wanted.line, done.failure());
        }
    }
    for (const iface_config& wanted : from.ifaces) {
        if (wanted.vrf.empty() && wanted.table == 0) {
            continue;
        }
        const auto table = table_of(wanted);
        const auto dev = links_.find(wanted.dev);
        const auto done = !table ? table.failure() : !dev ? dev.failure() : put_into(*dev, *table);
        if (!done) {
            return at_line(from, wanted.line, done.failure());
        }
    }
    return {};
}

result<void> router::configure_links(const config& from) {
    for (const link_config& wanted : from.links) {
        auto port = links_.find(wanted.port);
        if (!port) {
            return at_line(from, wanted.line, port.failure());
        }
        if (links_.find(wanted.name)) {
            return at_line(
                from, wanted.line,
                {EEXIST, fmt::format("two interfaces are called '{}'", wanted.name)});
        }
        const link named{
            .name = wanted.name,
            .port_name = port->port_name,
            .port = port->port,
            .vlan = static_cast<std::uint16_t>(wanted.vlan)};
        const auto mtu = wanted.mtu != 0 ? static_cast<std::uint16_t>(wanted.mtu)
                                         : rib_->interface(port->id).mtu;
        if (auto added = add_link(named, mtu, wanted.up); !added) {
            return at_line(from, wanted.line, added.failure());
        }
    }
    return {};
}

result<void> router::configure(const config& from) {
    auto ready = configure_links(from);
    ready = ready ? configure_tables(from) : ready;
    if (!ready) {
        return ready;
    }
    for (const addr_config& wanted : from.addrs) {
        addr_change made;
        made.dev = wanted.dev;
        made.dad = dad_of(wanted);
        auto done = set_address(wanted.address, made);
        if (done) {
            done = change(made);
        }
        if (!done) {
            return at_line(from, wanted.line, done.failure());
        }
    }
    for (const iface_config& wanted : from.ifaces) {
        link_change made;
        made.name = wanted.dev;
        made.ra = ra_of(wanted.ra);
        made.rpf = rpf_of(wanted.rpf);
        made.ra_interval = static_cast<std::uint16_t>(wanted.ra_interval);
        made.ra_lifetime = static_cast<std::uint16_t>(wanted.ra_lifetime);
        if (auto done = change(made); !done) {
            return at_line(from, wanted.line, done.failure());
        }
    }
    return configure_routes(from);
}

namespace {

result<route_change> change_of(const route_config& wanted) {
    route_change made;
    made.mtu = static_cast<std::uint16_t>(wanted.mtu);
    auto done = take(table_of(wanted), made.table);
    done = done ? set_next_hops(made, wanted.to, wanted.via, wanted.dev) : done;
    done = done ? finish_route(made, wanted.kind) : done;
    return done ? result<route_change>(std::move(made)) : done.failure();
}

} // namespace

// In any order: what finds no way to its gateway is tried again when others have been made.
result<void> router::configure_routes(const config& from) {
    std::vector<const route_config*> left;
    for (const route_config& wanted : from.routes) {
        left.push_back(&wanted);
    }
    while (!left.empty()) {
        result<void> first_failure;
        std::vector<const route_config*> later;
        for (const route_config* wanted : left) {
            const auto made = change_of(*wanted);
            const auto done = made ? change(*made) : result<void>(made.failure());
            if (done) {
                continue;
            }
            const error failure = at_line(from, wanted->line, done.failure());
            if (failure.code != ENETUNREACH) {
                return failure;
            }
            later.push_back(wanted);
            first_failure = first_failure ? result<void>(failure) : first_failure;
        }
        if (later.size() == left.size()) {
            return first_failure;
        }
        left = std::move(later);
    }
    return {};
}

result<void> router::load_tables(const config& from, const progress_report& progress) {
    for (const table_config& wanted : from.tables) {
        load_change how;
        if (auto good = take(table_of(wanted), how.table); !good) {
            return at_line(from, wanted.line, good.failure());
        }
        for (const std::string& text : wanted.via) {
            route_hop hop;
            if (auto good = set_gateway(text, hop); !good) {
                return at_line(from, wanted.line, good.failure());
            }
            if (hop.via6) {
                how.via6.push_back(*hop.via6);
            } else {
                how.via.push_back(hop.via);
            }
        }
        std::string path = wanted.file;
        if (const auto slash = from.file.rfind('/');
            slash != std::string::npos && !path.starts_with('/')) {
            path = from.file.substr(0, slash + 1) + path;
        }
        auto reading =
            std::async(std::launch::async, [&] { return read_table(path, wanted.limit); });
        while (reading.wait_for(std::chrono::seconds(1)) != std::future_status::ready) {
            progress("reading " + path, 0, 0);
        }
        const auto contents = reading.get();
        if (!contents) {
            return at_line(from, wanted.line, contents.failure());
        }
        if (auto loaded = load(*contents, how); !loaded) {
            return at_line(from, wanted.line, loaded.failure());
        }
    }
    return {};
}

result<void> router::add_neighbors(const config& from) {
    for (const neigh_config& neigh : from.neighs) {
        neigh_change wanted{
            .verb = change_verb::replace,
            .address = 0,
            .lladdr = *parse_mac(neigh.lladdr),
            .dev = neigh.dev};
        auto done = set_address(neigh.address, wanted);
        if (done) {
            done = change(wanted);
        }
        if (!done) {
            return at_line(from, neigh.line, done.failure());
        }
    }
    return {};
}

} // namespace pantala::app
