// Routes as feeds give them: many, over few hops.
#include "stack/route/rib/rib_state.hpp"

#include <algorithm>
#include <unordered_set>

namespace pantala {

namespace {

// From this many changes on, compiling anew is cheaper than patching.
constexpr std::size_t rebuild_from = 16384;

} // namespace

rib::rib(std::unique_ptr<rib_state> made) : state_(std::move(made)) {}
rib::~rib() = default;

result<std::unique_ptr<rib>> rib::make(route_log& log) {
    auto state = std::make_unique<rib_state>(log);
    if (result<rib_table4*> main = state->table(0); !main) {
        return main.failure();
    }
    return std::unique_ptr<rib>(new rib(std::move(state)));
}

const nexthop& rib::record(nexthop_id id) const {
    return state_->records->hops[id.value];
}

result<nexthop_id> rib::hop(std::span<const route_target> targets, std::uint16_t mtu) {
    return state_->hops.take({{targets.begin(), targets.end()}, mtu, 0});
}

void rib::release(nexthop_id hop) {
    state_->hops.release(hop);
}

void rib::prefetch(const prefix4& prefix) const {
    const rib_table4& main = *state_->tables[0];
    main.map.prefetch(prefix);
    main.index.prefetch(prefix);
    main.compiler->prefetch(prefix);
}

result<void> rib::announce(const feed_route& added, route_protocol protocol) {
    rib_state& state = *state_;
    if (result<void> room = state.may_change(*state.tables[0], added.prefix); !room) {
        return room;
    }
    if (!state.hops.in_use(added.hop)) {
        return error{EINVAL, "this next hop has been given back"};
    }
    if (state.swap_only(added.prefix, added.hop, protocol)) {
        return {};
    }
    const rib_entry4* entry = state.tables[0]->map.find(added.prefix);
    candidates routes = entry != nullptr ? state.routes_of(*state.tables[0], *entry) : candidates{};
    const std::uint32_t metric = metric_of(protocol);
    std::erase_if(routes, [&](const candidate& each) { return each.metric == metric; });
    const auto place = std::find_if(
        routes.begin(), routes.end(), [&](const candidate& each) { return each.metric > metric; });
    routes.insert(place, {metric, protocol, added.hop});
    for (const candidate& each : routes) {
        state.hops.use(each.hop);
    }
    state.store(0, added.prefix, std::move(routes));
    return {};
}

result<void> rib::withdraw(const prefix4& prefix, route_protocol protocol) {
    rib_state& state = *state_;
    rib_table4& main = *state.tables[0];
    if (result<void> room = state.may_change(main, prefix); !room) {
        return room;
    }
    if (state.erase_only(prefix, protocol)) {
        return {};
    }
    const rib_entry4* entry = main.map.find(prefix);
    candidates routes = entry != nullptr ? state.routes_of(main, *entry) : candidates{};
    if (std::erase_if(routes, [&](const candidate& each) { return each.protocol == protocol; }) ==
        0) {
        return error{ESRCH, "there is no such route to " + format(prefix)};
    }
    for (const candidate& each : routes) {
        state.hops.use(each.hop);
    }
    state.store(0, prefix, std::move(routes));
    return {};
}

result<void> rib::load(std::span<const feed_route> routes, route_protocol protocol) {
    rib_state& state = *state_;
    rib_table4& main = *state.tables[0];
    if (routes.size() < rebuild_from) {
        for (const feed_route& each : routes) {
            if (result<void> done = announce(each, protocol); !done) {
                return done;
            }
            pump();
        }
        return {};
    }
    std::unordered_set<std::uint32_t> long_slots;
    for (const feed_route& each : routes) {
        if (each.prefix.length > 24) {
            long_slots.insert(each.prefix.address >> 8);
        }
    }
    if (long_slots.size() + main.compiler->longs() > fib4_longs_max) {
        return error{ENOMEM, "too many /24s with longer prefixes (32,768); nothing was loaded"};
    }
    result<rib_state::image_set> images = state.prepare(0);
    if (!images) {
        return images.failure();
    }
    main.map.reserve(main.map.size() + routes.size());
    main.compiler->pause();
    for (const feed_route& each : routes) {
        if (!state.swap_only(each.prefix, each.hop, protocol)) {
            PANTALA_ASSERT(announce(each, protocol).ok());
        }
    }
    state.rebuild(0, std::move(*images));
    state.refresh();
    pump();
    return {};
}

std::size_t rib::flush(route_protocol protocol) {
    rib_state& state = *state_;
    rib_table4& main = *state.tables[0];
    std::vector<prefix4> gone;
    main.map.for_each([&](const rib_entry4& entry) {
        const candidates routes = state.routes_of(main, entry);
        if (std::any_of(routes.begin(), routes.end(), [&](const candidate& each) {
                return each.protocol == protocol;
            })) {
            gone.push_back(entry.prefix());
        }
    });
    result<rib_state::image_set> images = error{};
    if (gone.size() >= rebuild_from) {
        images = state.prepare(0); // without memory for it: one by one
    }
    if (images) {
        main.compiler->pause();
    }
    for (const prefix4& prefix : gone) {
        while (!withdraw(prefix, protocol).ok()) {
            pump();
        }
    }
    if (images) {
        state.rebuild(0, std::move(*images));
        state.refresh();
    }
    pump();
    return gone.size();
}

} // namespace pantala
