// Tables of the RIB: storing the routes of a prefix and compiling what changes. Written once for
// both families.
#include "stack/route/rib/rib_state.hpp"

#include <algorithm>
#include <iterator>

namespace pantala {

rib_state::rib_state(route_log& to)
    : log(to), writer(to),
      hops(*records, writer, [this](unsigned number, const route_target& what, unsigned below) {
          return what.gateway6 ? find_way<prefix6>(number, *what.gateway6, below)
                               : find_way<prefix4>(number, what.gateway, below);
      }) {}

template <class Prefix>
result<rib_table<Prefix>*> rib_state::table(unsigned number) {
    using table_type = rib_table<Prefix>;
    if (number >= tables_max) {
        return error{EINVAL, "tables are numbered 0 to 63"};
    }
    auto& place = tables<Prefix>()[number];
    if (place) {
        return place.get();
    }
    nexthop_id default_id = std::is_same_v<Prefix, prefix4> ? nexthop_default : nexthop_default6;
    if (number != 0) {
        result<nexthop_id> alias = hops.take_alias(number, std::is_same_v<Prefix, prefix6>);
        if (!alias) {
            return alias.failure();
        }
        default_id = *alias;
    }
    auto made = std::make_unique<table_type>(number, default_id);
    const table_type& in = *made;
    result<void> compiler =
        made->make_compiler(writer, [this, &in](std::uint32_t units, std::uint32_t words) {
            populate(in, units, words);
        });
    using image_set = typename table_type::image_set;
    auto images =
        compiler ? prepare_images(*made, workers.size()) : result<image_set>(compiler.failure());
    if (!images) {
        if (number != 0) {
            hops.drop_alias(number, std::is_same_v<Prefix, prefix6>);
        }
        return images.failure();
    }
    place = std::move(made);
    ship(*place, std::move(*images));
    return place.get();
}

result<void> rib_state::make_tables(unsigned number) {
    if (result<rib_table4*> in = table<prefix4>(number); !in) {
        return in.failure();
    }
    result<rib_table6*> in = table<prefix6>(number);
    if (!in) {
        drop_unused(number);
        return in.failure();
    }
    return {};
}

void rib_state::drop_unused(unsigned number) {
    if (number == 0 || number >= tables_max || interfaces_in[number] != 0) {
        return;
    }
    drop_if_empty<prefix4>(number);
    drop_if_empty<prefix6>(number);
}

// No route leads to its default's next hop any more, but an image may: that goes first.
template <class Prefix>
void rib_state::drop_if_empty(unsigned number) {
    auto& place = tables<Prefix>()[number];
    if (!place || place->size() != 0) {
        return;
    }
    withdraw_images(*place);
    hops.drop_alias(number, std::is_same_v<Prefix, prefix6>);
    std::erase_if(touched<Prefix>(), [&](const auto& each) { return each.first.first == number; });
    place.reset();
}

template <class Table>
candidates rib_state::routes_of(const Table& in, const typename Table::entry& entry) const {
    if (entry.more != 0) {
        return in.more.at(entry.more);
    }
    return {only_route(entry)};
}

// What the replicas get for the routes of a prefix. The next metric takes over only where there is
// a next hop to spare for the choice.
nexthop_id rib_state::choose(const candidates& routes) {
    if (routes.size() > 1) {
        std::vector<nexthop_id> by_metric;
        for (const candidate& each : routes) {
            by_metric.push_back(each.hop);
        }
        if (const result<nexthop_id> choice = hops.take_choice(by_metric); choice) {
            return *choice;
        }
    }
    return routes.front().hop;
}

template <class Table>
result<void> rib_state::may_change(const Table& in, const typename Table::prefix& prefix) const {
    if (writer.congested()) {
        return error{EAGAIN, "workers do not keep up with route changes; try again"};
    }
    return prefix.length == 0 ? result<void>{} : in.reserve(prefix, hops.may_be_wide());
}

template <class Table>
result<void>
rib_state::may_change_all(const Table& in, std::span<const typename Table::prefix> prefixes) const {
    if (writer.congested()) {
        return error{EAGAIN, "workers do not keep up with route changes; try again"};
    }
    return in.reserve(prefixes, hops.may_be_wide());
}

template <class Table>
void rib_state::compile(
    Table& in, const typename Table::prefix& prefix, nexthop_id value, bool is_new) {
    ++changes;
    if (prefix.length == 0) {
        hops.point_alias(in.default_id, value);
    } else {
        in.compile(prefix, value, is_new);
    }
}

template <class Table>
void rib_state::compile_out(Table& in, const typename Table::prefix& prefix) {
    ++changes;
    if (prefix.length == 0) {
        hops.point_alias(in.default_id, std::nullopt);
    } else {
        in.compile_out(prefix);
    }
}

template <class Prefix>
void rib_state::store(unsigned number, const Prefix& prefix, candidates routes) {
    auto& in = *tables<Prefix>()[number];
    auto* entry = in.find(prefix);
    const bool was_live = entry != nullptr && hops.live(entry->hop);
    const candidates before = entry != nullptr ? routes_of(in, *entry) : candidates{};
    const auto choice_before =
        entry != nullptr && hops.is_choice(entry->hop) ? std::optional(entry->hop) : std::nullopt;
    if (routes.empty()) {
        if (entry == nullptr) {
            return;
        }
        const bool was_out = entry->out;
        in.more.drop(entry->more);
        in.erase(entry);
        if (!was_out) {
            compile_out(in, prefix);
        }
    } else {
        const bool is_new = entry == nullptr;
        entry = is_new ? &in.insert(prefix) : entry;
        const nexthop_id hop = choose(routes);
        const bool comes_in = is_new || entry->out;
        const bool moved = comes_in || entry->hop != hop;
        const candidate& first = routes.front();
        const bool plain = routes.size() == 1 && first.metric == metric_of(first.protocol);
        entry->hop = hop;
        entry->out = false;
        entry->protocol = static_cast<std::uint8_t>(first.protocol);
        if (plain) {
            in.more.drop(entry->more);
        } else {
            in.more.put(entry->more, std::move(routes));
        }
        if (moved) {
            compile(in, prefix, hop, comes_in);
        }
    }
    settle(number, prefix, was_live); // what led through these leads elsewhere before they go
    for (const candidate& gone : before) {
        hops.release(gone.hop);
    }
    if (choice_before) {
        hops.release(*choice_before);
    }
}

// The common case of a feed: the prefix is new, or has one plain route of the same protocol.
template <class Prefix>
bool rib_state::swap_only(
    unsigned number, const Prefix& prefix, nexthop_id hop, route_protocol protocol) {
    auto& in = *tables<Prefix>()[number];
    auto* entry = in.find(prefix);
    const bool is_new = entry == nullptr;
    if (prefix.length == 0 ||
        (!is_new && (entry->more != 0 || entry->protocol != static_cast<std::uint8_t>(protocol)))) {
        return false;
    }
    if (!is_new && entry->hop == hop) {
        return true;
    }
    if (is_new) {
        entry = &in.insert(prefix);
        entry->protocol = static_cast<std::uint8_t>(protocol);
    }
    const nexthop_id before = entry->hop;
    const bool was_live = !is_new && hops.live(before);
    const bool comes_in = is_new || entry->out;
    entry->hop = hop;
    entry->out = false;
    hops.use(hop);
    compile(in, prefix, hop, comes_in);
    settle(number, prefix, was_live);
    if (!is_new) {
        hops.release(before);
    }
    return true;
}

template <class Prefix>
bool rib_state::erase_only(unsigned number, const Prefix& prefix, route_protocol protocol) {
    auto& in = *tables<Prefix>()[number];
    auto* entry = in.find(prefix);
    if (entry == nullptr || prefix.length == 0 || entry->more != 0 ||
        entry->protocol != static_cast<std::uint8_t>(protocol)) {
        return false;
    }
    const nexthop_id before = entry->hop;
    const bool was_live = hops.live(before);
    const bool was_out = entry->out;
    in.erase(entry);
    if (!was_out) {
        compile_out(in, prefix);
    }
    settle(number, prefix, was_live);
    hops.release(before);
    return true;
}

template <class Prefix>
void rib_state::settle(unsigned number, const Prefix& prefix, bool was_live) {
    if (hops.any_dead()) [[unlikely]] {
        touch(number, prefix, was_live); // it may be dead, or what a dead one falls back to
        if (prefix.length == 0) {
            refresh();
        }
    }
    if (hops.concerns(number, prefix)) {
        refresh();
    }
}

void rib_state::refresh() {
    if (hops.refresh()) {
        look_for_dead();
    }
}

template <class Prefix>
std::optional<hop_table::way> rib_state::find_way(
    unsigned number, const typename rib_table<Prefix>::address& address, unsigned below) const {
    const auto* in = table_if<Prefix>(number);
    const auto* entry = in != nullptr ? in->longest(address, below) : nullptr;
    return entry != nullptr ? std::optional(hop_table::way{entry->hop, entry->length})
                            : std::nullopt;
}

template <class Table>
void rib_state::rebuild(Table& in, typename Table::image_set images) {
    in.compile_all(std::move(images.front()));
    ship(in, std::move(images));
}

// --- IPv4 ---

result<void>
rib_table4::make_compiler(route_writer& writer, fib4_compiler::populate_hook populate) {
    auto made = fib4_compiler::make(
        number == 0 ? fib4_root_bits_main : fib4_root_bits_small, static_cast<std::uint8_t>(number),
        default_id, writer);
    if (!made) {
        return made.failure();
    }
    compiler = std::move(*made);
    compiler->on_populate(std::move(populate));
    return {};
}

const rib_entry4* rib_table4::longest(std::uint32_t host, unsigned below) const {
    if (below > 32) {
        if (const rib_entry4* found = map.find({host, 32}); found != nullptr) {
            return found;
        }
        below = 32;
    }
    const std::optional<prefix4> found = index.covering(make_prefix4(host, below));
    return found ? map.find(*found) : nullptr;
}

void rib_table4::compile_out(const prefix4& gone) {
    const rib_entry4* wider = cover(gone);
    while (wider != nullptr && wider->out) {
        wider = cover(wider->prefix());
    }
    compiler->clear(
        gone, wider != nullptr ? fib4_entry{wider->prefix(), wider->hop}
                               : fib4_entry{prefix4{}, default_id});
}

result<std::unique_ptr<fib4_image>> rib_table4::make_image() const {
    return fib4_image::make(compiler->image().shape().root_bits, default_id);
}

void rib_table4::compile_all(std::unique_ptr<fib4_image> into) {
    std::vector<fib4_entry> entries;
    entries.reserve(map.size());
    map.for_each([&](const rib_entry4& each) {
        if (each.length != 0 && !each.out) {
            entries.push_back({each.prefix(), each.hop});
        }
    });
    compiler->load(entries, std::move(into));
}

// The default comes first; the index does not have it.
std::optional<prefix4>
rib_table4::walk(const prefix4& from, std::size_t count, std::vector<prefix4>& out) const {
    if (from == prefix4{} && map.find(from) != nullptr) {
        out.push_back(from);
    }
    std::optional<prefix4> next = from;
    while (next && out.size() <= count) {
        next = index.walk(*next, out);
    }
    return next;
}

std::optional<prefix4> rib_table4::walk_in(
    const prefix4& top, const prefix4& from, std::size_t count, std::vector<prefix4>& out) const {
    if (top.length >= 16 || number != 0) { // small tables have no heaps
        index.inside(top, out);
        return std::nullopt;
    }
    const std::optional<prefix4> next = walk(from, count, out);
    std::erase_if(out, [&](const prefix4& each) {
        return each.length < top.length || !top.covers(each.address);
    });
    return next && top.covers(next->address) ? next : std::nullopt;
}

// --- IPv6 ---

result<void>
rib_table6::make_compiler(route_writer& writer, fib4_compiler::populate_hook populate) {
    auto made = fib6_compiler::make(trie, static_cast<std::uint8_t>(number), default_id, writer);
    if (!made) {
        return made.failure();
    }
    compiler = std::move(*made);
    compiler->on_populate(std::move(populate));
    return {};
}

result<void> rib_table6::reserve(std::span<const prefix6> all, bool) const {
    std::vector<prefix6> added;
    std::ranges::copy_if(all, std::back_inserter(added), [this](const prefix6& each) {
        const entry* there = trie.find(each);
        return there == nullptr || there->out;
    });
    return added.empty() ? result<void>{} : compiler->reserve(added);
}

result<std::unique_ptr<fib6_image>> rib_table6::make_image() const {
    return fib6_image::make(default_id, number != 0);
}

std::optional<prefix6>
rib_table6::walk(const prefix6& from, std::size_t count, std::vector<prefix6>& out) const {
    prefix_trie6::cursor cursor(trie, from.address);
    while (const rib_entry6* found = cursor.next()) {
        if (found->prefix() < from) {
            continue;
        }
        if (out.size() > count) {
            return found->prefix();
        }
        out.push_back(found->prefix());
    }
    return std::nullopt;
}

std::optional<prefix6> rib_table6::walk_in(
    const prefix6& top, const prefix6& from, std::size_t count, std::vector<prefix6>& out) const {
    prefix_trie6::cursor cursor(trie, from.address);
    for (const rib_entry6* found = cursor.next();
         found != nullptr && top.covers(found->prefix().address); found = cursor.next()) {
        if (found->prefix() < from) {
            continue; // it has the same address and is shorter
        }
        if (out.size() > count) {
            return found->prefix();
        }
        out.push_back(found->prefix());
    }
    return std::nullopt;
}

// --- both ---

#define PANTALA_RIB_TABLE(family)                                                                  \
    template result<rib_table##family*> rib_state::table<prefix##family>(unsigned);                \
    template candidates rib_state::routes_of(const rib_table##family&, const rib_entry##family&)   \
        const;                                                                                     \
    template void rib_state::store(unsigned, const prefix##family&, candidates);                   \
    template bool rib_state::swap_only(                                                            \
        unsigned, const prefix##family&, nexthop_id, route_protocol);                              \
    template bool rib_state::erase_only(unsigned, const prefix##family&, route_protocol);          \
    template void rib_state::compile(rib_table##family&, const prefix##family&, nexthop_id, bool); \
    template void rib_state::compile_out(rib_table##family&, const prefix##family&);               \
    template result<void> rib_state::may_change(const rib_table##family&, const prefix##family&)   \
        const;                                                                                     \
    template result<void> rib_state::may_change_all(                                               \
        const rib_table##family&, std::span<const prefix##family>) const;                          \
    template void rib_state::rebuild(rib_table##family&, rib_table##family::image_set);

PANTALA_RIB_TABLE(4)
PANTALA_RIB_TABLE(6)
#undef PANTALA_RIB_TABLE

} // namespace pantala
