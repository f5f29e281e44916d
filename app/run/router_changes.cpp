#include "app/monitor/router_watch.hpp"
#include "app/run/port_settings.hpp"
#include "app/run/router.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace pantala::app {

namespace {

// Of an address that is added.
std::uint8_t initial_flags(dad_mode dad) {
    switch (dad) {
    case dad_mode::strict:
        return address_probed | address_tentative;
    case dad_mode::optimistic:
        return address_probed | address_tentative | address_optimistic;
    case dad_mode::off:
        break;
    }
    return 0;
}

prefix4 to_prefix(ip4_prefix prefix) {
    return {prefix.address, prefix.length};
}

void set_prefix(route& wanted, const route_change& change) {
    wanted.prefix = to_prefix(change.to);
}
void set_prefix(route6& wanted, const route_change& change) {
    wanted.prefix = *change.to6;
}

// Link-local: what the addresses of an interface are made from (RFC 4291 2.5.6, appendix A).
address6 link_local_of(const iface& record) {
    wire::mac_address mac;
    mac.bytes = record.mac;
    return {std::uint64_t{0xfe80} << 48, wire::eui64_identifier(mac)};
}

} // namespace

// A gateway is reached over the link that is named: one of its addresses has it on its link.
result<void> router::on_link(const link& dev, std::uint32_t gateway, change_verb verb) const {
    const auto addresses = rib_->interface(dev.id).ip4();
    const bool near =
        std::any_of(addresses.begin(), addresses.end(), [&](const iface_address4& own) {
            return own.on_link(be32::from(gateway));
        });
    if (verb == change_verb::del || gateway == 0 || near) {
        return {};
    }
    return error{
        ENETUNREACH, fmt::format(
                         "the gateway {} is on no link of '{}': 'addr' shows its addresses",
                         format_ip4(gateway), dev.name)};
}

template <class Route>
result<Route> router::to_route(const route_change& change, unsigned slot) const {
    Route wanted;
    set_prefix(wanted, change);
    wanted.table = static_cast<std::uint8_t>(slot);
    wanted.mtu = change.mtu;
    wanted.aside = change.aside;
    wanted.protocol = change.protocol.value_or(route_protocol::fixed);
    wanted.metric = change.metric;
    if (!wanted.metric && change.verb != change_verb::del) {
        wanted.metric = metric_of(wanted.protocol);
    }
    for (const route_hop& hop : change.hops) {
        const bool direct = hop.via == 0 && !hop.via6;
        route_target target;
        target.kind = direct ? nexthop_kind::connected : nexthop_kind::gateway;
        target.gateway = hop.via;
        target.gateway6 = hop.via6;
        target.weight = hop.weight;
        if (!hop.dev.empty()) {
            auto dev = links_.find(hop.dev);
            if (!dev) {
                return dev.failure();
            }
            target.interface = dev->id;
            if (auto near = on_link(*dev, hop.via, change.verb); !near) {
                return near.failure();
            }
        }
        wanted.targets.push_back(target);
    }
    const bool refusing = change.kind != nexthop_kind::gateway;
    if (change.hops.empty() && (change.verb != change_verb::del || refusing)) {
        wanted.targets.push_back({.kind = change.kind});
    }
    return wanted;
}

// Of the routes of a prefix that a deletion may mean, the best that has all targets it names. If
// none has, the best, which can say why.
template <class Route>
result<Route> router::deletion(Route wanted, const route_change& change) const {
    std::vector<Route> meant = rib_->find(wanted.prefix, wanted.table);
    std::erase_if(meant, [&](const Route& one) {
        return (change.metric && one.metric.value_or(0) != *change.metric) ||
               (change.protocol && one.protocol != *change.protocol);
    });
    const auto best = std::ranges::find_if(meant, [&](const Route& one) {
        return std::ranges::all_of(wanted.targets, [&](const route_target& named) {
            return std::ranges::any_of(
                one.targets, [&](const route_target& each) { return names(named, each); });
        });
    });
    if (!meant.empty()) {
        wanted.metric = (best != meant.end() ? *best : meant.front()).metric.value_or(0);
        return wanted;
    }
    return error{
        ESRCH, fmt::format(
                   "there is no such route to {0}: 'route show {0}{1}' shows those there are",
                   format(wanted.prefix),
                   wanted.table == 0 ? std::string()
                                     : fmt::format(" table {}", tables_.number_at(wanted.table)))};
}

template <class Route>
result<void> router::change_route(const route_change& change, unsigned slot) {
    auto wanted = to_route<Route>(change, slot);
    if (!wanted) {
        return wanted.failure();
    }
    switch (change.verb) {
    case change_verb::add:
        return rib_->add(*wanted);
    case change_verb::replace:
        return rib_->replace(*wanted);
    case change_verb::append:
        return rib_->append(*wanted);
    case change_verb::del:
        wanted = deletion(std::move(*wanted), change);
        return wanted ? rib_->del(*wanted) : result<void>(wanted.failure());
    }
    return {};
}

result<void> router::change(const route_change& change) {
    const auto slot =
        change.verb == change_verb::del ? table_there(change.table) : table_for(change.table);
    if (!slot) {
        return slot.failure();
    }
    return change.to6 ? watched_change(
                            *slot, *change.to6, [&] { return change_route<route6>(change, *slot); })
                      : watched_change(*slot, to_prefix(change.to), [&] {
                            return change_route<route>(change, *slot);
                        });
}

result<void> router::change(const addr_change& change) {
    return then_look([&] { return make_change(change); });
}
result<void> router::change(const neigh_change& change) {
    return then_look([&] { return make_change(change); });
}
result<void> router::change(const link_change& change) {
    return then_look([&] { return make_change(change); });
}

// If the interface has none yet.
result<void> router::add_link_local(iface_id id, std::uint8_t flags) {
    const iface& record = rib_->interface(id);
    const bool has_one = std::ranges::any_of(
        record.ip6(), [](const iface_address6& mine) { return mine.is_link_local(); });
    return has_one ? result<void>() : rib_->add_address(id, link_local_of(record), 64, flags);
}

// Both kinds of speaking to routers and hosts of a link want a link-local address.
result<void> router::set_duties(const link& of, const link_change& change) {
    const iface& record = rib_->interface(of.id);
    unsigned duties = record.duties;
    if (change.ra) {
        duties &= ~unsigned{iface_advertise | iface_accept_ra};
        duties |= *change.ra == ra_mode::send     ? iface_advertise
                  : *change.ra == ra_mode::accept ? iface_accept_ra
                                                  : 0U;
    }
    if (change.rpf) {
        duties &= ~unsigned{iface_rpf_strict | iface_rpf_loose};
        duties |= *change.rpf == rpf_mode::strict  ? iface_rpf_strict
                  : *change.rpf == rpf_mode::loose ? iface_rpf_loose
                                                   : 0U;
    }
    auto done = rib_->set_duties(
        of.id, static_cast<std::uint8_t>(duties), change.ra_interval.value_or(record.ra_interval_s),
        change.ra_lifetime.value_or(record.ra_lifetime_s));
    const bool speaks = (duties & (iface_advertise | iface_accept_ra)) != 0;
    return done && speaks ? add_link_local(of.id, initial_flags(dad_mode::strict)) : done;
}

// The first IPv6 address of an interface brings its link-local one along.
result<void> router::change_address6(const addr_change& change, iface_id id) {
    const prefix6 wanted = *change.six;
    if (change.verb == change_verb::del) {
        return rib_->del_address(id, wanted.address, wanted.length);
    }
    const std::uint8_t flags = initial_flags(change.dad);
    const bool is_link_local = wanted.address.high >> 54 == 0xfe80 >> 6;
    if (!is_link_local) {
        if (auto made = add_link_local(id, flags); !made) {
            return made;
        }
    }
    auto added = rib_->add_address(id, wanted.address, wanted.length, flags);
    const bool fine =
        change.verb == change_verb::replace && !added && added.failure().code == EEXIST;
    return fine ? result<void>() : added;
}

result<void> router::make_change(const addr_change& change) {
    auto dev = links_.find(change.dev);
    if (!dev) {
        return dev.failure();
    }
    if (change.six) {
        return change_address6(change, dev->id);
    }
    switch (change.verb) {
    case change_verb::del:
        return rib_->del_address(dev->id, change.address.address, change.address.length);
    case change_verb::add:
    case change_verb::replace:
    case change_verb::append:
        break;
    }
    auto added = rib_->add_address(
        dev->id, change.address.address, change.address.length, initial_flags(change.dad));
    const bool fine =
        change.verb == change_verb::replace && !added && added.failure().code == EEXIST;
    return fine ? result<void>() : added;
}

// Another station on the link, with a station's Ethernet address.
result<void> router::may_be_neighbor(const link& dev, const neigh_change& change) const {
    if (auto good = is_station_mac(change.lladdr.value_or(mac_address{})); !good) {
        return good;
    }
    if (change.six) {
        return {};
    }
    const std::string name = format_ip4(change.address);
    for (const iface_address4& own : rib_->interface(dev.id).ip4()) {
        if (own.address == be32::from(change.address)) {
            return error{EINVAL, fmt::format("{} is the router's own address", name)};
        }
    }
    return on_link(dev, change.address, change.verb)
               ? result<void>()
               : error{ENETUNREACH, fmt::format("{} is on no link of '{}'", name, dev.name)};
}

result<void> router::make_change(const neigh_change& change) {
    auto dev = links_.find(change.dev);
    if (!dev) {
        return dev.failure();
    }
    if (change.verb != change_verb::del) {
        if (auto good = may_be_neighbor(*dev, change); !good) {
            return good;
        }
    }
    if (!engine_) {
        return {}; // a check: no worker has a table of them
    }
    worker_questions::question<neighbor_command> command(questions_);
    command->key = change.six ? neighbor_key{change.six->high, change.six->low, dev->id}
                              : make_neighbor_key(dev->id, be32::from(change.address));
    const std::string name = change.six ? format_address6(*change.six) : format_ip4(change.address);
    command->operation =
        change.verb == change_verb::del ? neighbor_operation::remove : neighbor_operation::add;
    if (change.lladdr) {
        command->mac.bytes = *change.lladdr;
    }
    if (auto answered = command.ask(engine_->control(), 0); !answered || command->done) {
        return answered;
    }
    return change.verb == change_verb::del
               ? error{ESRCH, fmt::format("no neighbour {} on {}", name, change.dev)}
               : error{ENOSPC, fmt::format("the neighbour table has no room for {}", name)};
}

result<void> router::make_change(const link_change& change) {
    if (change.verb == link_change::verbs::add && change.table) {
        return add_vrf(change);
    }
    if (change.verb == link_change::verbs::del && tables_.has(change.name)) {
        return del_vrf(change.name);
    }
    if (change.verb == link_change::verbs::add) {
        auto port = links_.find(change.port);
        if (!port) {
            return port.failure();
        }
        if (links_.find(change.name) || tables_.has(change.name)) {
            return error{EEXIST, fmt::format("interface '{}' exists", change.name)};
        }
        const link named{
            .name = change.name,
            .port_name = port->port_name,
            .port = port->port,
            .vlan = change.vlan};
        auto added = add_link(named, rib_->interface(port->id).mtu, true);
        return added ? result<void>() : added.failure();
    }
    auto dev = links_.find(change.name);
    if (!dev) {
        return dev.failure();
    }
    if (change.verb == link_change::verbs::del) {
        if (!dev->vlan) {
            return error{
                EBUSY, fmt::format(
                           "'{}' is a port; only VLANs can be deleted (set it "
                           "down instead)",
                           change.name)};
        }
        auto gone = rib_->del_interface(dev->id);
        if (gone) {
            links_.remove(dev->id);
        }
        return gone;
    }
    return set_link(*dev, change);
}

// All of it or nothing: what can be undone comes first, the table and whether it is up last, in one
// go. (A port that was made to carry more may go on doing so.)
result<void> router::set_link(const link& of, const link_change& change) {
    const iface before = rib_->interface(of.id);
    const auto slot = change.table ? table_for(*change.table) : result<unsigned>(before.table);
    result<void> done = slot ? result<void>() : slot.failure();
    done = done && change.mac ? may_set_mac(of, *change.mac) : done;
    if (done && change.mtu) {
        done = carry_mtu(of.port, of.port_name, *change.mtu, *engine_->pool());
        done = done ? rib_->set_mtu(of.id, *change.mtu) : done;
    }
    if (done && (change.ra || change.rpf)) {
        done = set_duties(of, change);
    }
    const bool renamed = done && change.mac;
    if (renamed) {
        done = change_mac(of, *change.mac);
    }
    done = done ? rib_->set_table_and_up(of.id, *slot, change.up.value_or(before.up)) : done;
    if (!done) {
        undo_link(of, before, renamed);
    }
    return done;
}

// What was there before cannot be refused.
void router::undo_link(const link& of, const iface& before, bool mac) {
    static_cast<void>(
        rib_->set_duties(of.id, before.duties, before.ra_interval_s, before.ra_lifetime_s));
    const std::size_t had = before.address6_count;
    if (const auto now = rib_->interface(of.id).ip6(); now.size() > had) { // a link-local one
        const iface_address6 added = now[had];
        static_cast<void>(
            rib_->del_address(of.id, address6::from_bytes(added.address), added.prefix_length));
    }
    static_cast<void>(rib_->set_mtu(of.id, before.mtu)); // may be less than an IPv6 address allows
    if (mac) {
        static_cast<void>(change_mac(of, before.mac));
    }
}

// A port has one address, and so have all interfaces on it.
result<void> router::may_set_mac(const link& of, const mac_address& mac) const {
    if (of.vlan) {
        return error{
            EOPNOTSUPP, fmt::format(
                            "'{}' has the Ethernet address of its port: set that of '{}'", of.name,
                            of.port_name)};
    }
    return is_station_mac(mac);
}

result<void> router::change_mac(const link& of, const mac_address& mac) {
    auto done = set_port_mac(of.port, of.name, mac);
    for (const link& each : links_.all()) {
        if (done && each.port == of.port) {
            done = rib_->set_mac(each.id, mac);
        }
    }
    return done;
}

} // namespace pantala::app
