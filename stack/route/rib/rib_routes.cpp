// Routes as people name them: add, replace, append, delete.
#include "stack/route/rib/rib_state.hpp"

#include <algorithm>
#include <array>

namespace pantala {

namespace {

auto at_metric(candidates& routes, std::uint32_t metric) {
    return std::find_if(
        routes.begin(), routes.end(), [&](const candidate& each) { return each.metric == metric; });
}

template <class Route>
error no_way(const Route& asked, const hop_table& hops, nexthop_id hop) {
    const route_target& target = hops.of(hop).targets.front();
    return {
        ENETUNREACH, "no way to the gateway " + format_gateway(target) + " of " +
                         format(asked.prefix) + ": add a route to it, or set its interface up"};
}

// Gateways are of the route's own family.
template <class Route>
result<void> check_family(const Route& asked) {
    constexpr bool is6 = std::is_same_v<Route, route6>;
    for (const route_target& target : asked.targets) {
        if (target.kind == nexthop_kind::gateway && target.gateway6.has_value() != is6) {
            return error{
                EINVAL, "the gateway " + format_gateway(target) + " of " + format(asked.prefix) +
                            " is of the other family"};
        }
    }
    return {};
}

result<void> check_mtu(const rib_state&, const route&) {
    return {};
}

// No host would believe that less of IPv6 fits (RFC 8201 4).
result<void> check_mtu(const rib_state& state, const route6& asked) {
    if (asked.mtu != 0 && asked.mtu < mtu6_min) {
        return error{
            EINVAL, "the MTU of the IPv6 route to " + format(asked.prefix) +
                        " is 1280 bytes at least (RFC 8200 5)"};
    }
    for (const route_target& target : asked.targets) {
        const iface* over =
            target.interface ? &state.records->ifaces[target.interface->value] : nullptr;
        if (over != nullptr && over->present && over->mtu < mtu6_min) {
            return error{
                EINVAL, "the IPv6 route to " + format(asked.prefix) +
                            " would go over a link of less than 1280 bytes (RFC 8200 5)"};
        }
    }
    return {};
}

// A route of this kind may be added only if it leads somewhere now.
template <class Route>
bool must_resolve(const Route& asked) {
    return std::any_of(asked.targets.begin(), asked.targets.end(), [](const route_target& target) {
        return target.kind == nexthop_kind::gateway && !target.interface;
    });
}

enum class on_same { refuse, replace, append };

// What an address brought is that address's to take away.
bool is_own(const candidate& each) {
    return each.protocol == route_protocol::kernel;
}

template <class Prefix>
error owned(const Prefix& prefix) {
    return {
        EBUSY, "the route to " + format(prefix) +
                   " belongs to an address of an interface: 'addr del' takes it away, "
                   "another may stand 'aside' meanwhile"};
}

// The routes of a prefix with one more use of each hop, for store().
template <class Table>
candidates taken(rib_state& state, Table& in, const typename Table::prefix& prefix) {
    const auto* entry = in.find(prefix);
    candidates routes = entry != nullptr ? state.routes_of(in, *entry) : candidates{};
    for (const candidate& each : routes) {
        state.hops.use(each.hop);
    }
    return routes;
}

void untake(rib_state& state, const candidates& routes) {
    for (const candidate& each : routes) {
        state.hops.release(each.hop);
    }
}

// The next hop of a route that is put where `old` is, or nothing, with a use. Errors: what take()
// says, ENETUNREACH.
template <class Route>
result<nexthop_id>
take_hop(rib_state& state, const Route& asked, const candidate* old, on_same same) {
    hop_table::spec what{asked.targets, asked.mtu, asked.table};
    std::optional<nexthop_id> like;
    if (old != nullptr) {
        like = old->hop;
    }
    if (old != nullptr && same == on_same::append) {
        std::vector<route_target> all = state.hops.of(old->hop).targets;
        all.insert(all.end(), what.targets.begin(), what.targets.end());
        what.targets = std::move(all);
        what.mtu = asked.mtu != 0 ? asked.mtu : state.hops.of(old->hop).mtu;
    }
    result<nexthop_id> hop = state.hops.take(what, like);
    if (hop && must_resolve(asked) && !state.hops.live(*hop)) {
        error refused = no_way(asked, state.hops, *hop);
        state.hops.release(*hop);
        return refused;
    }
    return hop;
}

// Where an address's own route has the place: it is used once that one goes.
template <class Route>
result<void> put_aside(rib_state& state, const Route& asked, on_same same) {
    const candidate* old = state.aside_of(asked.table, asked.prefix);
    if (!asked.aside && (same == on_same::refuse || old == nullptr)) {
        return owned(asked.prefix);
    }
    if (same == on_same::refuse && old != nullptr) {
        return error{
            EEXIST, "a route to " + format(asked.prefix) +
                        " stands aside for an address's own already; replace or append"};
    }
    const result<nexthop_id> hop = take_hop(state, asked, old, same);
    if (!hop) {
        return hop.failure();
    }
    state.set_aside(asked.table, asked.prefix, {0, asked.protocol, *hop});
    return {};
}

// A table that was made for it goes again where this fails.
template <class Route>
result<void> put_in_place(rib_state& state, const Route& asked, on_same same) {
    using Prefix = decltype(asked.prefix);
    result<rib_table<Prefix>*> in = state.table<Prefix>(asked.table);
    if (!in) {
        return in.failure();
    }
    if (result<void> room = state.may_change(**in, asked.prefix); !room) {
        return room;
    }
    const std::uint32_t metric = asked.metric.value_or(0);
    candidates routes = taken(state, **in, asked.prefix);
    const auto old = at_metric(routes, metric);
    const bool there = old != routes.end();
    if (there && is_own(*old)) {
        untake(state, routes);
        return put_aside(state, asked, same);
    }
    if (there && same == on_same::refuse) {
        untake(state, routes);
        return error{
            EEXIST, "there is a route to " + format(asked.prefix) + " of metric " +
                        std::to_string(metric) + " already; replace or append"};
    }
    const result<nexthop_id> hop = take_hop(state, asked, there ? &*old : nullptr, same);
    if (!hop) {
        untake(state, routes);
        return hop.failure();
    }
    if (there) {
        state.hops.release(old->hop);
        *old = {metric, asked.protocol, *hop};
    } else {
        const auto place = std::find_if(routes.begin(), routes.end(), [&](const candidate& each) {
            return each.metric > metric;
        });
        routes.insert(place, {metric, asked.protocol, *hop});
    }
    state.store(asked.table, asked.prefix, std::move(routes));
    return {};
}

template <class Route>
result<void> put(rib_state& state, const Route& asked, on_same same) {
    result<void> done = check_family(asked);
    done = done ? check_mtu(state, asked) : done;
    done = done ? put_in_place(state, asked, same) : done;
    if (!done) {
        state.drop_unused(asked.table);
    }
    return done;
}

// What is left of a route's targets. Errors: ESRCH, when one of `gone` is not among them.
template <class Route>
result<std::vector<route_target>> without(std::vector<route_target> targets, const Route& gone) {
    for (const route_target& named : gone.targets) {
        if (std::erase_if(targets, [&](const auto& each) { return names(named, each); }) == 0) {
            return no_such_route(gone.prefix);
        }
    }
    return targets;
}

// Of a prefix whose route is an address's own: what stands aside for it may go.
template <class Route>
result<void> take_aside_away(rib_state& state, const Route& gone) {
    const candidate* there = state.aside_of(gone.table, gone.prefix);
    if (there == nullptr) {
        return owned(gone.prefix);
    }
    const hop_table::spec old = state.hops.of(there->hop);
    const auto left = without(old.targets, gone);
    if (!left) {
        return left.failure();
    }
    if (gone.targets.empty() || left->empty()) {
        state.drop_aside(gone.table, gone.prefix);
        return {};
    }
    const result<nexthop_id> hop = state.hops.take({*left, old.mtu, old.table}, there->hop);
    if (!hop) {
        return hop.failure();
    }
    state.set_aside(gone.table, gone.prefix, {0, there->protocol, *hop});
    return {};
}

template <class Route>
result<void> take_away(rib_state& state, const Route& gone) {
    using Prefix = decltype(gone.prefix);
    if (state.table_if<Prefix>(gone.table) == nullptr) {
        return no_such_route(gone.prefix);
    }
    auto& in = *state.tables<Prefix>()[gone.table];
    if (result<void> room = state.may_change(in, gone.prefix); !room) {
        return room;
    }
    candidates routes = taken(state, in, gone.prefix);
    const auto which = gone.metric ? at_metric(routes, *gone.metric) : routes.begin();
    if (which == routes.end()) {
        untake(state, routes);
        return no_such_route(gone.prefix);
    }
    if (is_own(*which)) {
        untake(state, routes);
        return take_aside_away(state, gone);
    }
    const hop_table::spec old = state.hops.of(which->hop);
    result<std::vector<route_target>> left = without(old.targets, gone);
    if (!left) {
        untake(state, routes);
        return left.failure();
    }
    const nexthop_id before = which->hop;
    if (gone.targets.empty() || left->empty()) {
        routes.erase(which);
    } else {
        result<nexthop_id> hop = state.hops.take({*left, old.mtu, old.table}, before);
        if (!hop) {
            untake(state, routes);
            return hop.failure();
        }
        which->hop = *hop;
    }
    state.hops.release(before);
    state.store(gone.table, gone.prefix, std::move(routes));
    state.drop_unused(gone.table);
    return {};
}

} // namespace

bool names(const route_target& named, const route_target& target) {
    return named.kind == target.kind && named.gateway == target.gateway &&
           named.gateway6 == target.gateway6 &&
           (!named.interface || named.interface == target.interface);
}

result<void> rib::add(const route& added) {
    return put(*state_, added, on_same::refuse);
}
result<void> rib::add(const route6& added) {
    return put(*state_, added, on_same::refuse);
}
result<void> rib::replace(const route& changed) {
    return put(*state_, changed, on_same::replace);
}
result<void> rib::replace(const route6& changed) {
    return put(*state_, changed, on_same::replace);
}
result<void> rib::append(const route& added) {
    return put(*state_, added, on_same::append);
}
result<void> rib::append(const route6& added) {
    return put(*state_, added, on_same::append);
}
result<void> rib::del(const route& gone) {
    return take_away(*state_, gone);
}
result<void> rib::del(const route6& gone) {
    return take_away(*state_, gone);
}

bool rib::has_table(unsigned table) const {
    return state_->table_if<prefix4>(table) != nullptr ||
           state_->table_if<prefix6>(table) != nullptr;
}

} // namespace pantala
