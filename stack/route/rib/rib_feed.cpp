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

result<nexthop_id>
rib::hop(std::span<const route_target> targets, std::uint16_t mtu, unsigned table) {
    if (table >= tables_max) {
        return error{EINVAL, "tables are numbered 0 to 63"};
    }
    return state_->hops.take(
        {{targets.begin(), targets.end()}, mtu, static_cast<std::uint8_t>(table)});
}

void rib::release(nexthop_id hop) {
    state_->hops.release(hop);
}

bool rib::idle(nexthop_id hop) const {
    return state_->hops.uses(hop) == 1;
}

void rib::prefetch(const prefix4& prefix) const {
    const rib_table4& main = *state_->tables4[0];
    main.map.prefetch(prefix);
    main.index.prefetch(prefix);
    main.compiler->prefetch(prefix);
}

namespace {

// Where a feed's routes go to, and of what protocol they are.
struct feed_place {
    unsigned number;
    route_protocol protocol;
};

template <class Prefix>
result<void>
announce_in(rib_state& state, const basic_feed_route<Prefix>& added, const feed_place& to) {
    const auto [number, protocol] = to;
    auto& in = *state.tables<Prefix>()[number];
    if (result<void> room = state.may_change(in, added.prefix); !room) {
        return room;
    }
    if (!state.hops.in_use(added.hop)) {
        return error{EINVAL, "this next hop has been given back"};
    }
    if (state.swap_only(number, added.prefix, added.hop, protocol)) {
        return {};
    }
    const auto* entry = in.find(added.prefix);
    candidates routes = entry != nullptr ? state.routes_of(in, *entry) : candidates{};
    const std::uint32_t metric = metric_of(protocol);
    if (!routes.empty() && routes.front().protocol == route_protocol::kernel &&
        routes.front().metric == metric) { // an address's own
        if (state.aside_of(number, added.prefix) == nullptr) {
            return error{
                EBUSY, "the route to " + format(added.prefix) +
                           " belongs to an address of an interface: 'addr del' takes it away"};
        }
        state.hops.use(added.hop);
        state.set_aside(number, added.prefix, {metric, protocol, added.hop});
        return {};
    }
    std::erase_if(routes, [&](const candidate& each) { return each.metric == metric; });
    const auto place = std::find_if(
        routes.begin(), routes.end(), [&](const candidate& each) { return each.metric > metric; });
    routes.insert(place, {metric, protocol, added.hop});
    for (const candidate& each : routes) {
        state.hops.use(each.hop);
    }
    state.store(number, added.prefix, std::move(routes));
    return {};
}

// Makes the table where it is not there; one that stays empty goes again.
template <class Prefix, class Make>
result<void> in_table(rib_state& state, unsigned number, const Make& make) {
    if (number == 0) [[likely]] {
        return make();
    }
    result<rib_table<Prefix>*> in = state.table<Prefix>(number);
    result<void> done = in ? make() : result<void>(in.failure());
    state.drop_unused(number);
    return done;
}

template <class Prefix>
result<void>
announce(rib_state& state, const basic_feed_route<Prefix>& added, const feed_place& to) {
    return in_table<Prefix>(state, to.number, [&] { return announce_in(state, added, to); });
}

template <class Prefix>
result<void> withdraw(rib_state& state, const Prefix& prefix, const feed_place& from) {
    const auto [number, protocol] = from;
    if (state.table_if<Prefix>(number) == nullptr) {
        return no_such_route(prefix);
    }
    auto& in = *state.tables<Prefix>()[number];
    if (result<void> room = state.may_change(in, prefix); !room) {
        return room;
    }
    if (state.erase_only(number, prefix, protocol)) {
        return {};
    }
    const auto* entry = in.find(prefix);
    candidates routes = entry != nullptr ? state.routes_of(in, *entry) : candidates{};
    const bool was_aside = state.drop_aside(number, prefix, protocol);
    if (std::erase_if(routes, [which = protocol](const candidate& each) {
            return each.protocol == which;
        }) == 0) {
        return was_aside ? result<void>{} : no_such_route(prefix);
    }
    for (const candidate& each : routes) {
        state.hops.use(each.hop);
    }
    state.store(number, prefix, std::move(routes));
    return {};
}

// Whether so many routes have room, before any is put. (Slots with longer prefixes are of 16 bits
// in a small table, and below each of 24.)
result<void> reserve_all(const rib_table4& in, std::span<const feed_route> routes) {
    if (!in.may_rebuild(routes.size())) {
        return error{
            ENOMEM, "more than 6,000,000 IPv4 prefixes are too many to be loaded at once; nothing "
                    "was loaded"};
    }
    std::unordered_set<std::uint64_t> long_slots;
    for (const feed_route& each : routes) {
        for (unsigned length = in.master().shape().slot_length(); length < each.prefix.length;
             length += 8) {
            const prefix4 slot = make_prefix4(each.prefix.address, length);
            if (!in.compiler->has_longer(slot)) {
                long_slots.insert(std::uint64_t{slot.address} << 8 | length);
            }
        }
    }
    if (long_slots.size() + in.compiler->longs() > fib4_longs_max) {
        return error{ENOMEM, "too many ranges with longer prefixes (32,768); nothing was loaded"};
    }
    return {};
}

result<void> reserve_all(const rib_table6& in, std::span<const feed_route6> routes) {
    std::vector<prefix6> prefixes;
    prefixes.reserve(routes.size());
    for (const feed_route6& each : routes) {
        prefixes.push_back(each.prefix);
    }
    return in.compiler->reserve(prefixes);
}

template <class Prefix>
result<void> load_in(
    rib& of, rib_state& state, std::span<const basic_feed_route<Prefix>> routes,
    const feed_place& to) {
    auto& in = *state.tables<Prefix>()[to.number];
    if (routes.size() < rebuild_from) {
        for (const auto& each : routes) {
            result<void> done = announce_in(state, each, to);
            if (!done && done.failure().code != EBUSY) {
                return done;
            }
            of.pump();
        }
        return {};
    }
    if (state.writer
            .congested()) { // what a swap cannot say goes through the log, and must not fail
        return error{EAGAIN, "workers do not keep up with route changes; try again"};
    }
    if (result<void> room = reserve_all(in, routes); !room) {
        return room;
    }
    auto images = prepare_images(in, state.workers.size());
    if (!images) {
        return images.failure();
    }
    in.reserve_entries(in.size() + routes.size());
    in.compiler->pause();
    state.hops.hold();
    for (const auto& each : routes) {
        if (!state.swap_only(to.number, each.prefix, each.hop, to.protocol)) {
            const result<void> done = announce_in(state, each, to);
            PANTALA_ASSERT(done.ok() || done.failure().code == EBUSY); // an address's own stays
        }
    }
    state.rebuild(in, std::move(*images));
    state.refresh();
    state.hops.let_go();
    of.pump();
    return {};
}

template <class Prefix>
result<void> load(
    rib& of, rib_state& state, std::span<const basic_feed_route<Prefix>> routes,
    const feed_place& to) {
    return in_table<Prefix>(
        state, to.number, [&] { return load_in<Prefix>(of, state, routes, to); });
}

template <class Prefix>
result<void> flush(rib& of, rib_state& state, const feed_place& from, std::size_t& deleted) {
    if (state.writer.congested()) {
        return error{EAGAIN, "workers do not keep up with route changes; try again"};
    }
    if (state.table_if<Prefix>(from.number) == nullptr) {
        return {};
    }
    auto& in = *state.tables<Prefix>()[from.number];
    std::vector<Prefix> gone;
    in.for_each([&](const auto& entry) {
        const candidates routes = state.routes_of(in, entry);
        if (std::any_of(routes.begin(), routes.end(), [&](const candidate& each) {
                return each.protocol == from.protocol;
            })) {
            gone.push_back(entry.prefix());
        }
    });
    using image_set = typename rib_table<Prefix>::image_set;
    result<image_set> images = error{};
    if (gone.size() >= rebuild_from && in.may_rebuild(0)) {
        images = prepare_images(in, state.workers.size()); // no memory for it: one by one
    }
    if (images) {
        in.compiler->pause();
        state.hops.hold();
    }
    result<void> done;
    for (const Prefix& prefix : gone) {
        if (done = withdraw(state, prefix, from); !done.ok()) {
            break;
        }
        ++deleted;
    }
    if (images) {
        state.rebuild(in, std::move(*images));
        state.refresh();
        state.hops.let_go();
    }
    deleted += std::erase_if(state.aside<Prefix>(), [&](const auto& each) {
        const bool its = each.first.first == from.number && each.second.protocol == from.protocol;
        if (its) {
            state.hops.release(each.second.hop);
        }
        return its;
    });
    state.drop_unused(from.number);
    of.pump();
    return done;
}

} // namespace

result<void> rib::announce(const feed_route& added, route_protocol protocol, unsigned table) {
    return pantala::announce(*state_, added, {table, protocol});
}
result<void> rib::announce(const feed_route6& added, route_protocol protocol, unsigned table) {
    return pantala::announce(*state_, added, {table, protocol});
}
result<void> rib::withdraw(const prefix4& prefix, route_protocol protocol, unsigned table) {
    const auto done = pantala::withdraw(*state_, prefix, {table, protocol});
    state_->drop_unused(table);
    return done;
}
result<void> rib::withdraw(const prefix6& prefix, route_protocol protocol, unsigned table) {
    const auto done = pantala::withdraw(*state_, prefix, {table, protocol});
    state_->drop_unused(table);
    return done;
}
result<void>
rib::load(std::span<const feed_route> routes, route_protocol protocol, unsigned table) {
    return pantala::load<prefix4>(*this, *state_, routes, {table, protocol});
}
result<void>
rib::load(std::span<const feed_route6> routes, route_protocol protocol, unsigned table) {
    return pantala::load<prefix6>(*this, *state_, routes, {table, protocol});
}
result<void> rib::flush(route_protocol protocol, std::size_t& deleted, unsigned table) {
    const feed_place from{table, protocol};
    if (auto done = pantala::flush<prefix4>(*this, *state_, from, deleted); !done) {
        return done;
    }
    return pantala::flush<prefix6>(*this, *state_, from, deleted);
}

} // namespace pantala
