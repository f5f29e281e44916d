// The routes that the addresses of interfaces bring.
//
// They have metric 0 and the protocol kernel; another's route of metric 0 stands aside meanwhile.
// Several interfaces may bring a route to one prefix: the link that two of them are on, its router
// anycast address (RFC 4291 2.6.1), the last address of links one within the other. The one that
// came first is in the table, unless a later one means an address of ours; the others stand behind
// it, each with its next hop, so that the next takes over without asking for anything.
#include "stack/route/rib/rib_state.hpp"

#include <algorithm>

namespace pantala {

// An address is ours whether or not the link is up, but only once it is usable; its link is reached
// only when it is up.
rib_state::own_routes4 rib_state::routes_of(const iface_address4& address, bool up) {
    const std::uint32_t host = address.address.host();
    own_routes4 routes;
    if (address_usable(address.flags)) {
        routes.push_back({prefix4{host, 32}, nexthop_kind::local});
    }
    if (up && address.prefix_length < 32) {
        const prefix4 link = make_prefix4(host, address.prefix_length);
        routes.push_back({link, nexthop_kind::connected});
        if (address.prefix_length < 31) {
            routes.push_back({prefix4{link.last(), 32}, nexthop_kind::broadcast});
        }
    }
    return routes;
}

// The subnet's router anycast address is a router's own, too (RFC 4291 2.6.1); a link of two has
// none (RFC 6164).
rib_state::own_routes6 rib_state::routes_of(const iface_address6& address, bool up) {
    if (address.is_link_local()) {
        return {};
    }
    own_routes6 routes;
    const address6 host = address6::from_bytes(address.address);
    const bool ours = address_usable(address.flags);
    if (ours) {
        routes.push_back({prefix6{host, 128}, nexthop_kind::local});
    }
    if (up && address.prefix_length < 128) {
        const prefix6 link = make_prefix6(host, address.prefix_length);
        routes.push_back({link, nexthop_kind::connected});
        if (ours && address.prefix_length < 127 && link.address != host) {
            routes.push_back({prefix6{link.address, 128}, nexthop_kind::local});
        }
    }
    return routes;
}

namespace {

std::span<const iface_address4> addresses_of(const iface& record, const prefix4&) {
    return record.ip4();
}
std::span<const iface_address6> addresses_of(const iface& record, const prefix6&) {
    return record.ip6();
}

} // namespace

template <class Prefix>
bool rib_state::still_owned(iface_id id, const own_route<Prefix>& what) const {
    const iface& record = records->ifaces[id.value];
    for (const auto& address : addresses_of(record, what.prefix)) {
        for (const auto& own : routes_of(address, record.up)) {
            if (own.prefix == what.prefix && own.kind == what.kind) {
                return true;
            }
        }
    }
    return false;
}

// Of two routes to one prefix: an address of ours is ours, whatever link it is the end of.
namespace {

bool stands_before(nexthop_kind one, nexthop_kind other) {
    return one == nexthop_kind::local && other != nexthop_kind::local;
}

} // namespace

template <class Prefix>
result<void> rib_state::take_own(
    unsigned number, iface_id id, const std::vector<own_route<Prefix>>& routes,
    taken_routes<Prefix>& taken) {
    std::vector<Prefix> prefixes;
    prefixes.reserve(routes.size());
    for (const auto& own : routes) {
        prefixes.push_back(own.prefix);
    }
    const rib_table<Prefix>& in = *tables<Prefix>()[number];
    if (result<void> room = may_change_all(in, prefixes); !room) {
        return room;
    }
    for (const auto& own : routes) {
        const hop_table::spec what{{{own.kind, 0, id, 1}}, 0, static_cast<std::uint8_t>(number)};
        result<nexthop_id> hop = hops.take(what);
        if (!hop) {
            give_back(taken);
            return hop.failure();
        }
        taken.push_back({own.prefix, *hop});
    }
    return {};
}

template <class Prefix>
void rib_state::give_back(taken_routes<Prefix>& taken) {
    for (const auto& each : taken) {
        hops.release(each.hop);
    }
    taken.clear();
}

namespace {

template <class Prefix, class Address>
std::vector<rib_state::own_route<Prefix>>
all_routes_of(std::span<const Address> addresses, bool up) {
    std::vector<rib_state::own_route<Prefix>> all;
    for (const Address& address : addresses) {
        const auto routes = rib_state::routes_of(address, up);
        all.insert(all.end(), routes.begin(), routes.end());
    }
    return all;
}

} // namespace

result<rib_state::taken_own> rib_state::take_own(iface_id id, const iface& as) {
    taken_own taken;
    result<void> done = take_own(as.table, id, all_routes_of<prefix4>(as.ip4(), as.up), taken.four);
    done = done ? take_own(as.table, id, all_routes_of<prefix6>(as.ip6(), as.up), taken.six) : done;
    if (!done) {
        give_back(taken.four);
        return done.failure();
    }
    return taken;
}

void rib_state::put_own(unsigned number, const taken_own& taken) {
    for (const auto& each : taken.four) {
        put_own(number, each.prefix, each.hop);
    }
    for (const auto& each : taken.six) {
        put_own(number, each.prefix, each.hop);
    }
}

template <class Prefix>
void rib_state::put_own(unsigned number, const Prefix& prefix, nexthop_id hop) {
    auto& in = *tables<Prefix>()[number];
    const auto* entry = in.find(prefix);
    candidates routes = entry != nullptr ? routes_of(in, *entry) : candidates{};
    const bool taken = !routes.empty() && routes.front().metric == 0;
    if (taken && routes.front().protocol == route_protocol::kernel) {
        const nexthop_id there = routes.front().hop;
        auto& behind = owned_too<Prefix>()[{number, prefix}];
        const auto kind_of = [this](nexthop_id own) { return hops.of(own).targets.front().kind; };
        if (hop == there || std::ranges::find(behind, hop) != behind.end()) {
            hops.release(hop); // by another address of the interface
        } else if (!stands_before(kind_of(hop), kind_of(there))) {
            behind.push_back(hop);
        } else {
            hops.use(there);
            behind.insert(behind.begin(), there);
            lead_own(number, prefix, hop);
        }
        if (behind.empty()) {
            owned_too<Prefix>().erase({number, prefix});
        }
        return;
    }
    lead_own(number, prefix, hop);
}

// What an operator or a feed had at metric 0 stands aside, and comes back with the last of ours.
template <class Prefix>
void rib_state::lead_own(unsigned number, const Prefix& prefix, std::optional<nexthop_id> hop) {
    auto& in = *tables<Prefix>()[number];
    const auto* entry = in.find(prefix);
    candidates routes = entry != nullptr ? routes_of(in, *entry) : candidates{};
    if (!routes.empty() && routes.front().metric == 0) {
        if (routes.front().protocol != route_protocol::kernel) {
            hops.use(routes.front().hop);
            set_aside(number, prefix, routes.front());
        }
        routes.erase(routes.begin());
    }
    for (const candidate& kept : routes) {
        hops.use(kept.hop);
    }
    if (hop) {
        routes.insert(routes.begin(), {0, route_protocol::kernel, *hop});
    } else if (const auto back = aside<Prefix>().find({number, prefix});
               back != aside<Prefix>().end()) {
        routes.insert(routes.begin(), back->second);
        aside<Prefix>().erase(back);
    }
    store(number, prefix, std::move(routes));
}

template <class Prefix>
void rib_state::set_aside(unsigned number, const Prefix& prefix, const candidate& route) {
    drop_aside(number, prefix);
    aside<Prefix>().emplace(std::pair(number, prefix), route);
}

template <class Prefix>
bool rib_state::drop_aside(
    unsigned number, const Prefix& prefix, std::optional<route_protocol> only) {
    const auto at = aside<Prefix>().find({number, prefix});
    if (at == aside<Prefix>().end() || (only && at->second.protocol != *only)) {
        return false;
    }
    hops.release(at->second.hop);
    aside<Prefix>().erase(at);
    return true;
}

template <class Prefix>
void rib_state::del_own(unsigned number, iface_id id, const own_route<Prefix>& gone) {
    const auto* entry = tables<Prefix>()[number]->find(gone.prefix);
    if (entry == nullptr) {
        return;
    }
    const auto is_it = [&](nexthop_id own) {
        const route_target& target = hops.of(own).targets.front();
        return target.kind == gone.kind && target.interface == id;
    };
    const candidate first = routes_of(*tables<Prefix>()[number], *entry).front();
    const bool leads =
        first.metric == 0 && first.protocol == route_protocol::kernel && is_it(first.hop);
    const auto others = owned_too<Prefix>().find({number, gone.prefix});
    if (others == owned_too<Prefix>().end()) {
        if (leads) {
            lead_own(number, gone.prefix, std::nullopt);
        }
        return;
    }
    std::vector<nexthop_id>& behind = others->second;
    const auto at = leads ? behind.begin() : std::ranges::find_if(behind, is_it);
    if (at == behind.end()) {
        return;
    }
    const nexthop_id taken = *at;
    behind.erase(at);
    if (behind.empty()) {
        owned_too<Prefix>().erase(others);
    }
    if (leads) {
        lead_own(number, gone.prefix, taken);
    } else {
        hops.release(taken);
    }
}

namespace {

// Each route that the addresses of an interface may bring.
template <class Each>
void each_own(const iface& record, const Each& each) {
    const auto all = [&](auto address) {
        address.flags = 0;
        std::ranges::for_each(rib_state::routes_of(address, true), each);
    };
    std::ranges::for_each(record.ip4(), all);
    std::ranges::for_each(record.ip6(), all);
}

} // namespace

void rib_state::take_own_away(unsigned number, iface_id id) {
    each_own(records->ifaces[id.value], [&](const auto& own) { del_own(number, id, own); });
}

void rib_state::drop_own(iface_id id) {
    each_own(records->ifaces[id.value], [&](const auto& own) {
        if (!still_owned(id, own)) {
            del_own(records->ifaces[id.value].table, id, own);
        }
    });
}

template <class Address>
result<void> rib_state::set_flags(iface_id id, Address& of, std::uint8_t flags) {
    using Prefix = std::conditional_t<std::is_same_v<Address, iface_address4>, prefix4, prefix6>;
    const iface& record = records->ifaces[id.value];
    Address made = of;
    made.flags = flags;
    taken_routes<Prefix> taken;
    if (auto done = take_own(record.table, id, routes_of(made, record.up), taken); !done) {
        return done;
    }
    of.flags = flags;
    write_iface(id);
    drop_own(id);
    for (const auto& each : taken) {
        put_own(record.table, each.prefix, each.hop);
    }
    return {};
}

#define PANTALA_RIB_OWN(family)                                                                    \
    template bool rib_state::still_owned(iface_id, const own_route<prefix##family>&) const;        \
    template result<void> rib_state::take_own(                                                     \
        unsigned, iface_id, const std::vector<own_route<prefix##family>>&,                         \
        taken_routes<prefix##family>&);                                                            \
    template void rib_state::give_back(taken_routes<prefix##family>&);                             \
    template void rib_state::put_own(unsigned, const prefix##family&, nexthop_id);                 \
    template void rib_state::del_own(unsigned, iface_id, const own_route<prefix##family>&);        \
    template void rib_state::set_aside(unsigned, const prefix##family&, const candidate&);         \
    template bool rib_state::drop_aside(                                                           \
        unsigned, const prefix##family&, std::optional<route_protocol>);                           \
    template result<void> rib_state::set_flags(iface_id, iface_address##family&, std::uint8_t);

PANTALA_RIB_OWN(4)
PANTALA_RIB_OWN(6)
#undef PANTALA_RIB_OWN

} // namespace pantala
