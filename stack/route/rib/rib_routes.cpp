// Routes as people name them: add, replace, append, delete, get, list.
#include "stack/route/rib/rib_state.hpp"

#include <algorithm>

namespace pantala {

namespace {

route to_route(
    const hop_table& hops, const prefix4& prefix, unsigned table, const candidate& from) {
    const hop_table::spec& what = hops.of(from.hop);
    return {prefix,      static_cast<std::uint8_t>(table), from.protocol, from.metric, what.mtu,
            what.targets};
}

auto at_metric(candidates& routes, std::uint32_t metric) {
    return std::find_if(
        routes.begin(), routes.end(), [&](const candidate& each) { return each.metric == metric; });
}

error no_way(const route& asked, const hop_table& hops, nexthop_id hop) {
    const route_target& target = hops.of(hop).targets.front();
    return {
        ENETUNREACH, "no way to the gateway " + format_address4(target.gateway) + " of " +
                         format(asked.prefix) + ": add a route to it, or set its interface up"};
}

// A route of this kind may be added only if it leads somewhere now.
bool must_resolve(const route& asked) {
    return std::any_of(asked.targets.begin(), asked.targets.end(), [](const route_target& target) {
        return target.kind == nexthop_kind::gateway && !target.interface;
    });
}

enum class on_same { refuse, replace, append };

// The routes of a prefix with one more use of each hop, for store().
candidates taken(rib_state& state, rib_table4& in, const prefix4& prefix) {
    const rib_entry4* entry = in.map.find(prefix);
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

result<void> put(rib_state& state, const route& asked, on_same same) {
    result<rib_table4*> in = state.table(asked.table);
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
    hop_table::spec what{asked.targets, asked.mtu, asked.table};
    std::optional<nexthop_id> like;
    if (there && same == on_same::refuse) {
        untake(state, routes);
        return error{
            EEXIST, "there is a route to " + format(asked.prefix) + " of metric " +
                        std::to_string(metric) + " already; replace or append"};
    }
    if (there && same == on_same::append) {
        like = old->hop;
        std::vector<route_target> all = state.hops.of(old->hop).targets;
        all.insert(all.end(), what.targets.begin(), what.targets.end());
        what.targets = std::move(all);
    }
    result<nexthop_id> hop = state.hops.take(what, like);
    if (!hop) {
        untake(state, routes);
        return hop.failure();
    }
    if (must_resolve(asked) && !state.hops.live(*hop)) {
        error refused = no_way(asked, state.hops, *hop);
        state.hops.release(*hop);
        untake(state, routes);
        return refused;
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

// Whether a target that a deletion names is this one; what it leaves open fits any.
bool names(const route_target& named, const route_target& target) {
    return named.kind == target.kind && named.gateway == target.gateway &&
           (!named.interface || named.interface == target.interface);
}

error no_such_route(const prefix4& prefix) {
    return {ESRCH, "there is no such route to " + format(prefix)};
}

// What is left of a route's targets. Errors: ESRCH, when one of `gone` is not among them.
result<std::vector<route_target>> without(std::vector<route_target> targets, const route& gone) {
    for (const route_target& named : gone.targets) {
        if (std::erase_if(targets, [&](const auto& each) { return names(named, each); }) == 0) {
            return no_such_route(gone.prefix);
        }
    }
    return targets;
}

} // namespace

result<void> rib::add(const route& added) {
    return put(*state_, added, on_same::refuse);
}

result<void> rib::replace(const route& changed) {
    return put(*state_, changed, on_same::replace);
}

result<void> rib::append(const route& added) {
    return put(*state_, added, on_same::append);
}

result<void> rib::del(const route& gone) {
    rib_state& state = *state_;
    if (state.table_if(gone.table) == nullptr) {
        return no_such_route(gone.prefix);
    }
    rib_table4& in = *state.tables[gone.table];
    if (result<void> room = state.may_change(in, gone.prefix); !room) {
        return room;
    }
    candidates routes = taken(state, in, gone.prefix);
    const auto which = gone.metric ? at_metric(routes, *gone.metric) : routes.begin();
    if (which == routes.end()) {
        untake(state, routes);
        return no_such_route(gone.prefix);
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
    return {};
}

result<route> rib::get(std::uint32_t address, unsigned table) const {
    const rib_table4* in = state_->table_if(table);
    if (in == nullptr) {
        return error{ENETUNREACH, "there is no table " + std::to_string(table)};
    }
    const prefix4 prefix = make_prefix4(address, in->compiler->match_length(address));
    const rib_entry4* entry = in->map.find(prefix);
    if (entry == nullptr) {
        return error{ENETUNREACH, "no route to " + format_address4(address)};
    }
    for (const candidate& each : state_->routes_of(*in, *entry)) {
        if (each.hop == entry->hop) {
            return to_route(state_->hops, prefix, table, each);
        }
    }
    return error{ENETUNREACH, "no route to " + format_address4(address)};
}

std::vector<route> rib::find(const prefix4& prefix, unsigned table) const {
    std::vector<route> found;
    const rib_table4* in = state_->table_if(table);
    const rib_entry4* entry = in != nullptr ? in->map.find(prefix) : nullptr;
    if (entry != nullptr) {
        for (const candidate& each : state_->routes_of(*in, *entry)) {
            found.push_back(to_route(state_->hops, prefix, table, each));
        }
    }
    return found;
}

std::optional<prefix4> rib::visit(
    unsigned table, const prefix4& from, std::size_t count,
    const std::function<void(const route&)>& each) const {
    const rib_table4* in = state_->table_if(table);
    if (in == nullptr) {
        return std::nullopt;
    }
    const auto show = [&](const prefix4& prefix) {
        if (const rib_entry4* entry = in->map.find(prefix); entry != nullptr) {
            for (const candidate& route : state_->routes_of(*in, *entry)) {
                each(to_route(state_->hops, prefix, table, route));
            }
        }
    };
    std::vector<prefix4> prefixes;
    if (from == prefix4{} && count > 0) {
        prefixes.push_back(prefix4{}); // the default comes first; the index does not have it
    }
    std::optional<prefix4> next = from;
    while (next && prefixes.size() <= count) {
        next = in->index.walk(*next, prefixes);
    }
    const std::size_t shown = std::min(count, prefixes.size());
    std::for_each(prefixes.begin(), prefixes.begin() + static_cast<std::ptrdiff_t>(shown), show);
    return shown < prefixes.size() ? std::optional{prefixes[shown]} : next;
}

} // namespace pantala
