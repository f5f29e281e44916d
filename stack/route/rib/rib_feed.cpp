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
    if (result<rib_table4*> main = state->table<prefix4>(0); !main) {
        return main.failure();
    }
    if (result<rib_table6*> main = state->table<prefix6>(0); !main) {
        return main.failure();
    }
    return std::unique_ptr<rib>(new rib(std::move(state)));
}

const nexthop& rib::record(nexthop_id id) const {
    return state_->records->hops[id.value];
}

bool rib::live(nexthop_id id) const {
    return state_->hops.live(id);
}

result<nexthop_id> rib::hop(std::span<const route_target> targets, std::uint16_t mtu) {
    return state_->hops.take({{targets.begin(), targets.end()}, mtu, 0});
}

void rib::release(nexthop_id hop) {
    state_->hops.release(hop);
}

void rib::prefetch(const prefix4& prefix) const {
    const rib_table4& main = *state_->tables4[0];
    main.map.prefetch(prefix);
    main.index.prefetch(prefix);
    main.compiler->prefetch(prefix);
}

namespace {

template <class Prefix>
result<void>
announce(rib_state& state, const basic_feed_route<Prefix>& added, route_protocol protocol) {
    auto& main = *state.tables<Prefix>()[0];
    if (result<void> room = state.may_change(main, added.prefix); !room) {
        return room;
    }
    if (!state.hops.in_use(added.hop)) {
        return error{EINVAL, "this next hop has been given back"};
    }
    if (state.swap_only(added.prefix, added.hop, protocol)) {
        return {};
    }
    const auto* entry = main.find(added.prefix);
    candidates routes = entry != nullptr ? state.routes_of(main, *entry) : candidates{};
    const std::uint32_t metric = metric_of(protocol);
    const bool own = std::any_of(routes.begin(), routes.end(), [&](const candidate& each) {
        return each.metric == metric && each.protocol == route_protocol::kernel;
    });
    if (own) {
        return error{
            EBUSY, "the route to " + format(added.prefix) +
                       " belongs to an address of an interface: 'addr del' takes it away"};
    }
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

template <class Prefix>
result<void> withdraw(rib_state& state, const Prefix& prefix, route_protocol protocol) {
    auto& main = *state.tables<Prefix>()[0];
    if (result<void> room = state.may_change(main, prefix); !room) {
        return room;
    }
    if (state.erase_only(prefix, protocol)) {
        return {};
    }
    const auto* entry = main.find(prefix);
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

// Whether so many routes have room, before any is put.
result<void> reserve_all(const rib_table4& main, std::span<const feed_route> routes) {
    std::unordered_set<std::uint32_t> long_slots;
    for (const feed_route& each : routes) {
        if (each.prefix.length > 24) {
            long_slots.insert(each.prefix.address >> 8);
        }
    }
    if (long_slots.size() + main.compiler->longs() > fib4_longs_max) {
        return error{ENOMEM, "too many /24s with longer prefixes (32,768); nothing was loaded"};
    }
    return {};
}

result<void> reserve_all(const rib_table6& main, std::span<const feed_route6> routes) {
    std::vector<prefix6> prefixes;
    prefixes.reserve(routes.size());
    for (const feed_route6& each : routes) {
        prefixes.push_back(each.prefix);
    }
    return main.compiler->reserve(prefixes);
}

template <class Prefix>
result<void> load(
    rib& of, rib_state& state, std::span<const basic_feed_route<Prefix>> routes,
    route_protocol protocol) {
    auto& main = *state.tables<Prefix>()[0];
    if (routes.size() < rebuild_from) {
        for (const auto& each : routes) {
            result<void> done = announce(state, each, protocol);
            if (!done && done.failure().code != EBUSY) {
                return done;
            }
            of.pump();
        }
        return {};
    }
    if (result<void> room = reserve_all(main, routes); !room) {
        return room;
    }
    auto images = prepare_images(main, state.workers.size());
    if (!images) {
        return images.failure();
    }
    main.reserve_entries(main.size() + routes.size());
    main.compiler->pause();
    for (const auto& each : routes) {
        if (!state.swap_only(each.prefix, each.hop, protocol)) {
            const result<void> done = announce(state, each, protocol);
            PANTALA_ASSERT(done.ok() || done.failure().code == EBUSY); // an address's own stays
        }
    }
    state.rebuild(main, std::move(*images));
    state.refresh();
    of.pump();
    return {};
}

template <class Prefix>
result<void> flush(rib& of, rib_state& state, route_protocol protocol, std::size_t& deleted) {
    if (state.writer.congested()) {
        return error{EAGAIN, "workers do not keep up with route changes; try again"};
    }
    auto& main = *state.tables<Prefix>()[0];
    std::vector<Prefix> gone;
    main.for_each([&](const auto& entry) {
        const candidates routes = state.routes_of(main, entry);
        if (std::any_of(routes.begin(), routes.end(), [&](const candidate& each) {
                return each.protocol == protocol;
            })) {
            gone.push_back(entry.prefix());
        }
    });
    using image_set = typename rib_table<Prefix>::image_set;
    result<image_set> images = error{};
    if (gone.size() >= rebuild_from) {
        images = prepare_images(main, state.workers.size()); // no memory for it: one by one
    }
    if (images) {
        main.compiler->pause();
    }
    result<void> done;
    for (const Prefix& prefix : gone) {
        if (done = withdraw(state, prefix, protocol); !done.ok()) {
            break;
        }
        ++deleted;
    }
    if (images) {
        state.rebuild(main, std::move(*images));
        state.refresh();
    }
    of.pump();
    return done;
}

} // namespace

result<void> rib::announce(const feed_route& added, route_protocol protocol) {
    return pantala::announce(*state_, added, protocol);
}
result<void> rib::announce(const feed_route6& added, route_protocol protocol) {
    return pantala::announce(*state_, added, protocol);
}
result<void> rib::withdraw(const prefix4& prefix, route_protocol protocol) {
    return pantala::withdraw(*state_, prefix, protocol);
}
result<void> rib::withdraw(const prefix6& prefix, route_protocol protocol) {
    return pantala::withdraw(*state_, prefix, protocol);
}
result<void> rib::load(std::span<const feed_route> routes, route_protocol protocol) {
    return pantala::load(*this, *state_, routes, protocol);
}
result<void> rib::load(std::span<const feed_route6> routes, route_protocol protocol) {
    return pantala::load(*this, *state_, routes, protocol);
}
result<void> rib::flush(route_protocol protocol, std::size_t& deleted) {
    if (auto done = pantala::flush<prefix4>(*this, *state_, protocol, deleted); !done) {
        return done;
    }
    return pantala::flush<prefix6>(*this, *state_, protocol, deleted);
}

} // namespace pantala
