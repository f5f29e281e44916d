// Routes as people look at them: get, find, visit, and in an order that restores.
#include "stack/route/rib/rib_state.hpp"

#include <algorithm>
#include <vector>

namespace pantala {

namespace {

constexpr std::size_t visit_ahead = 8; // entries under way while one is shown

// Into a route that may have been another before: its targets keep their memory.
template <class Prefix>
void fill_route(
    basic_route<Prefix>& made, const hop_table& hops, const Prefix& prefix, unsigned table,
    const candidate& from) {
    const hop_table::spec& what = hops.of(from.hop);
    made.prefix = prefix;
    made.table = static_cast<std::uint8_t>(table);
    made.protocol = from.protocol;
    made.metric = from.metric;
    made.mtu = what.mtu;
    made.targets = what.targets;
    made.aside = false;
}

template <class Prefix>
basic_route<Prefix>
to_route(const hop_table& hops, const Prefix& prefix, unsigned table, const candidate& from) {
    basic_route<Prefix> made;
    fill_route(made, hops, prefix, table, from);
    return made;
}

template <class Prefix>
result<basic_route<Prefix>> route_of(
    const rib_state& state, const typename rib_table<Prefix>::address& address,
    const std::string& text, unsigned table) {
    const auto* in = state.table_if<Prefix>(table);
    if (in == nullptr) {
        return error{ENETUNREACH, "no route to " + text};
    }
    const auto* entry = in->longest(address);
    while (entry != nullptr && !state.hops.live(entry->hop)) {
        entry = in->cover(entry->prefix());
    }
    entry = entry != nullptr ? entry : in->find(Prefix{});
    if (entry != nullptr && state.hops.live(entry->hop)) {
        for (const candidate& each : state.routes_of(*in, *entry)) {
            if (state.hops.live(each.hop)) {
                return to_route(state.hops, entry->prefix(), table, each);
            }
        }
    }
    return error{ENETUNREACH, "no route to " + text};
}

template <class Prefix>
std::vector<basic_route<Prefix>>
routes_at(const rib_state& state, const Prefix& prefix, unsigned table) {
    std::vector<basic_route<Prefix>> found;
    const auto* in = state.table_if<Prefix>(table);
    const auto* entry = in != nullptr ? in->find(prefix) : nullptr;
    if (entry != nullptr) {
        for (const candidate& each : state.routes_of(*in, *entry)) {
            found.push_back(to_route(state.hops, prefix, table, each));
        }
    }
    if (const candidate* aside = state.aside_of(table, prefix); aside != nullptr) {
        const auto behind_own = found.begin() + 1;
        found.insert(behind_own, to_route(state.hops, prefix, table, *aside))->aside = true;
    }
    return found;
}

template <class Prefix>
std::vector<basic_route<Prefix>> all_aside(const rib_state& state) {
    std::vector<basic_route<Prefix>> found;
    for (const auto& [where, each] : state.aside<Prefix>()) {
        found.push_back(to_route(state.hops, where.second, where.first, each));
        found.back().aside = true;
    }
    return found;
}

template <class Prefix>
std::optional<Prefix> visit_some(
    const rib_state& state, unsigned table, const Prefix& from, std::size_t count,
    const std::function<void(const basic_route<Prefix>&)>& each) {
    const auto* in = state.table_if<Prefix>(table);
    if (in == nullptr) {
        return std::nullopt;
    }
    std::vector<Prefix> prefixes;
    const std::optional<Prefix> next = in->walk(from, count, prefixes);
    const std::size_t shown = std::min(count, prefixes.size());
    basic_route<Prefix> one;
    for (std::size_t i = 0; i < shown; ++i) {
        in->prefetch(prefixes[std::min(i + visit_ahead, shown - 1)]);
        const auto* entry = in->find(prefixes[i]);
        if (entry == nullptr) {
            continue;
        }
        if (entry->more == 0) {
            const candidate only = rib_state::only_route(*entry);
            fill_route(one, state.hops, prefixes[i], table, only);
            each(one);
        } else {
            for (const candidate& choice : in->more.at(entry->more)) {
                fill_route(one, state.hops, prefixes[i], table, choice);
                each(one);
            }
        }
        if (const candidate* aside = state.aside_of(table, prefixes[i]); aside != nullptr) {
            fill_route(one, state.hops, prefixes[i], table, *aside);
            one.aside = true;
            each(one);
        }
    }
    return shown < prefixes.size() ? std::optional{prefixes[shown]} : next;
}

const std::uint32_t& gateway_of(const route_target& target, const prefix4&) {
    return target.gateway;
}
const address6& gateway_of(const route_target& target, const prefix6&) {
    return *target.gateway6;
}

// Some of a restore_walk: what is told while nothing changes.
template <class Prefix>
class restore_turn {
  public:
    using teller = std::function<void(const basic_route<Prefix>&)>;
    restore_turn(
        const rib_state& state, unsigned table, restore_walk<Prefix>& walk, const teller& each)
        : hops_(state.hops), state_(state), in_(*state.table_if<Prefix>(table)), table_(table),
          walk_(walk), each_(each), ways_(nexthop_none.value) {}

    // The routes of so many prefixes that lead somewhere, and what they need.
    void go_on(std::size_t count) {
        std::vector<Prefix> prefixes;
        const std::optional<Prefix> next = in_.walk(*walk_.next, count, prefixes);
        const std::size_t shown = std::min(count, prefixes.size());
        for (std::size_t i = 0; i < shown; ++i) {
            in_.prefetch(prefixes[std::min(i + visit_ahead, shown - 1)]);
            visit(prefixes[i]);
        }
        walk_.next = shown < prefixes.size() ? std::optional{prefixes[shown]} : next;
    }
    // So many of those that led nowhere when it was their turn.
    void go_on_late(std::size_t count) {
        const std::size_t end = std::min(walk_.late_told + count, walk_.late.size());
        while (walk_.late_told < end) {
            const typename restore_walk<Prefix>::key key = walk_.late[walk_.late_told++];
            if (walk_.ahead.contains(key)) {
                continue;
            }
            each_route(key.first, [&](const candidate& route, bool aside) {
                if (route.metric == key.second && route.protocol != route_protocol::kernel) {
                    tell_ways(route.hop, 0);
                    tell(key.first, route, aside);
                }
            });
        }
    }

  private:
    static constexpr unsigned ways_deep_max = 8; // more than next hops are resolved by

    // What stands aside first: so the order is that of the metrics.
    template <class Each>
    void each_route(const Prefix& prefix, const Each& each) {
        if (const candidate* aside = state_.aside_of(table_, prefix); aside != nullptr) {
            each(*aside, true);
        }
        if (const auto* entry = in_.find(prefix); entry != nullptr) {
            for (const candidate& route : state_.routes_of(in_, *entry)) {
                each(route, false);
            }
        }
    }

    void visit(const Prefix& prefix) {
        each_route(prefix, [&](const candidate& route, bool aside) {
            const typename restore_walk<Prefix>::key key{prefix, route.metric};
            if (route.protocol == route_protocol::kernel) {
                tell(prefix, route, aside); // an address's: by itself
            } else if (walk_.ahead.contains(key)) {
                return;
            } else if (hops_.live(route.hop) && tell_ways(route.hop, 0)) {
                walk_.told.push_back(key);
                tell(prefix, route, aside);
            } else {
                walk_.late.push_back(key);
            }
        });
    }

    bool is_told(const typename restore_walk<Prefix>::key& key) const {
        const auto late_end = walk_.late.begin() + static_cast<std::ptrdiff_t>(walk_.late_told);
        return walk_.ahead.contains(key) || std::ranges::binary_search(walk_.told, key) ||
               std::binary_search(walk_.late.begin(), late_end, key);
    }

    void tell(const Prefix& prefix, const candidate& route, bool aside) {
        fill_route(one_, hops_, prefix, table_, route);
        one_.aside = aside;
        each_(one_);
    }

    // Whether what it takes to reach one of the gateways is told, now at the latest. Not if that
    // needs the hop itself: it is another's then to be told first.
    bool tell_ways(nexthop_id hop, unsigned level) {
        way_state& state = ways_[hop.value];
        if (level == ways_deep_max || state != way_state::unknown) {
            return state == way_state::told;
        }
        state = way_state::asked;
        const bool live = hops_.live(hop);
        bool any = false;
        for (const route_target& target : hops_.of(hop).targets) {
            const bool far = target.kind == nexthop_kind::gateway && !target.interface;
            any = (far ? tell_way(target, live, level) : true) || any;
        }
        if (any) {
            ways_[hop.value] = way_state::told;
        }
        return any;
    }

    // All routes to the gateway that lead somewhere: those that the longest is too far a way by may
    // do without it. Of a hop that leads nowhere all, those of hops that are being asked for last.
    bool tell_way(const route_target& target, bool live, unsigned level) {
        bool any = false;
        for (const bool asked : {false, true}) {
            const auto* way = in_.longest(gateway_of(target, Prefix{}));
            for (; way != nullptr; way = in_.cover(way->prefix())) {
                const bool leads = hops_.live(way->hop);
                any = (!live || leads) && tell_routes(*way, leads, asked, level + 1) ? true : any;
            }
        }
        return any;
    }

    template <class Entry>
    bool tell_routes(const Entry& way, bool leads, bool asked, unsigned level) {
        bool any = false;
        for (const candidate& route : state_.routes_of(in_, way)) {
            const bool its_turn = (ways_[route.hop.value] == way_state::asked) == asked;
            if (its_turn && (!leads || hops_.live(route.hop))) {
                any = tell_ahead(way.prefix(), route, leads, level) || any;
            }
        }
        return any;
    }

    // True: what leads somewhere is told, not asked for by itself.
    bool tell_ahead(const Prefix& prefix, const candidate& route, bool leads, unsigned level) {
        const typename restore_walk<Prefix>::key key{prefix, route.metric};
        if (route.protocol == route_protocol::kernel) {
            return leads;
        }
        if (is_told(key)) {
            return leads && ways_[route.hop.value] != way_state::asked;
        }
        if (!leads) {
            walk_.ahead.insert(key);
        }
        if (tell_ways(route.hop, level) || !leads) {
            walk_.ahead.insert(key);
            tell(prefix, route, false);
        }
        return leads && walk_.ahead.contains(key);
    }

    enum class way_state : std::uint8_t { unknown, asked, told };

    const hop_table& hops_;
    const rib_state& state_;
    const rib_table<Prefix>& in_;
    unsigned table_;
    restore_walk<Prefix>& walk_;
    const teller& each_;
    basic_route<Prefix> one_;
    std::vector<way_state> ways_; // by hop
};

template <class Prefix>
bool restore_some(
    const rib_state& state, unsigned table, restore_walk<Prefix>& walk, std::size_t count,
    const std::function<void(const basic_route<Prefix>&)>& each) {
    if (state.table_if<Prefix>(table) == nullptr) {
        return true;
    }
    restore_turn<Prefix> turn(state, table, walk, each);
    if (walk.next) {
        turn.go_on(count);
    } else {
        turn.go_on_late(count);
    }
    return !walk.next && walk.late_told == walk.late.size();
}

} // namespace

result<route> rib::get(std::uint32_t address, unsigned table) const {
    return route_of<prefix4>(*state_, address, format_address4(address), table);
}
result<route6> rib::get(const address6& address, unsigned table) const {
    return route_of<prefix6>(*state_, address, format_address6(address), table);
}

std::vector<route> rib::find(const prefix4& prefix, unsigned table) const {
    return routes_at(*state_, prefix, table);
}
std::vector<route6> rib::find(const prefix6& prefix, unsigned table) const {
    return routes_at(*state_, prefix, table);
}

std::vector<route> rib::aside4() const {
    return all_aside<prefix4>(*state_);
}
std::vector<route6> rib::aside6() const {
    return all_aside<prefix6>(*state_);
}

std::optional<prefix4> rib::visit(
    unsigned table, const prefix4& from, std::size_t count,
    const std::function<void(const route&)>& each) const {
    return visit_some(*state_, table, from, count, each);
}
std::optional<prefix6> rib::visit(
    unsigned table, const prefix6& from, std::size_t count,
    const std::function<void(const route6&)>& each) const {
    return visit_some(*state_, table, from, count, each);
}

bool rib::visit_to_restore(
    unsigned table, restore_walk<prefix4>& walk, std::size_t count,
    const std::function<void(const route&)>& each) const {
    return restore_some(*state_, table, walk, count, each);
}
bool rib::visit_to_restore(
    unsigned table, restore_walk<prefix6>& walk, std::size_t count,
    const std::function<void(const route6&)>& each) const {
    return restore_some(*state_, table, walk, count, each);
}

} // namespace pantala
