// Routes all of whose next hops are dead fall back to a less specific one.
//
// The record of a dead hop is that of the default route already, on every worker, at once and for
// however many prefixes. What is left are prefixes with a live cover longer than the default: they
// are taken *out* of the compiled table, so that the cover shows, and put in again when their hop
// lives. When next hops die or live again, that is a walk through the tables, a part each pump(),
// in the order of prefixes: a prefix is looked at after all that cover it. When a prefix changes
// while next hops are dead, only it and what it covers are looked at: churn costs what it changes.
#include "stack/route/rib/rib_state.hpp"

#include <algorithm>

namespace pantala {

namespace {

constexpr std::size_t prefixes_a_slice = 512;
constexpr std::size_t prefixes_a_slice_more = 100'000; // big tables go by several slices a turn
constexpr std::size_t entries_ahead = 8;
constexpr std::size_t touched_max = 4096; // more at a time are a walk through everything

template <class Table>
bool has_live_cover(const Table& in, const hop_table& hops, const typename Table::prefix& prefix) {
    const auto* wider = in.cover(prefix);
    while (wider != nullptr && !hops.live(wider->hop)) {
        wider = in.cover(wider->prefix());
    }
    return wider != nullptr;
}

} // namespace

template <class Table>
void rib_state::revise_entry(Table& in, typename Table::entry& entry) {
    const auto prefix = entry.prefix();
    const bool goes = !hops.live(entry.hop) && has_live_cover(in, hops, prefix);
    if (prefix.length == 0 || goes == (entry.out != 0)) {
        return;
    }
    // Without room to go it keeps the default's record, without room to come back it stays out.
    if (goes && in.reserve_out(prefix).ok()) {
        entry.out = true;
        compile_out(in, prefix);
    } else if (!goes && in.reserve_again(prefix).ok()) {
        entry.out = false;
        compile(in, prefix, entry.hop, true);
    }
}

template <class Table>
std::size_t rib_state::revise(Table& in, const std::vector<typename Table::prefix>& prefixes) {
    for (std::size_t i = 0; i < prefixes.size(); ++i) {
        in.prefetch(prefixes[std::min(i + entries_ahead, prefixes.size() - 1)]);
        if (auto* entry = in.find(prefixes[i]); entry != nullptr) {
            revise_entry(in, *entry);
        }
    }
    revised += prefixes.size();
    return prefixes.size();
}

// The default covers nothing by its place in the table: what is dead has its record anyway.
template <class Prefix>
void rib_state::touch(unsigned number, const Prefix& prefix, bool was_live) {
    if (prefix.length == 0 || walk.again) {
        return;
    }
    const auto* entry = tables<Prefix>()[number]->find(prefix);
    const bool live = entry != nullptr && hops.live(entry->hop);
    if (live == was_live && (live || entry == nullptr)) {
        return; // nobody below sees a difference
    }
    if (touched4.size() + touched6.size() >= touched_max) {
        return look_for_dead();
    }
    auto& place = touched<Prefix>()[{number, prefix}];
    if (live != was_live || place) {
        place = prefix; // all of it again, wherever a walk of it was: it has left the prefix itself
                        // behind
    }
}

// One of them: itself, or a part of what it covers.
template <class Prefix>
std::size_t rib_state::revise_touched() {
    auto& all = touched<Prefix>();
    const auto first = all.begin();
    const auto [number, top] = first->first;
    auto& in = *tables<Prefix>()[number];
    std::vector<Prefix> prefixes;
    if (!first->second) {
        prefixes.push_back(top);
    } else {
        first->second = in.walk_in(top, *first->second, prefixes_a_slice, prefixes);
    }
    if (!first->second) {
        all.erase(first);
    }
    return 1 + revise(in, prefixes);
}

bool rib_state::walk_on() {
    if (walked()) [[likely]] {
        return true;
    }
    if (writer.congested()) {
        return false;
    }
    const std::size_t prefixes = tables4[0]->size() + tables6[0]->size();
    const std::size_t budget = prefixes_a_slice * (1 + prefixes / prefixes_a_slice_more);
    std::size_t looked_at = 0;
    if (walk.again && !walk.going) {
        walk = {};
        walk.going = true;
        touched4.clear(); // it will come by
        touched6.clear();
    }
    while (looked_at < budget && !(touched4.empty() && touched6.empty())) {
        looked_at += touched4.empty() ? revise_touched<prefix6>() : revise_touched<prefix4>();
    }
    while (looked_at < budget && walk.going) {
        looked_at += walk_slice();
    }
    return walked();
}

// The next part of the walk through everything. Returns how many prefixes it met, and one.
std::size_t rib_state::walk_slice() {
    std::size_t met = 1;
    const auto part = [&]<class Prefix>(table_set<Prefix>& all, Prefix& at) {
        std::optional<Prefix> next;
        if (auto* in = all[walk.table].get(); in != nullptr) {
            std::vector<Prefix> prefixes;
            next = in->walk(at, prefixes_a_slice, prefixes);
            met += revise(*in, prefixes);
        }
        at = next.value_or(Prefix{});
        return next.has_value();
    };
    const bool more = walk.six ? part(tables6, walk.at6) : part(tables4, walk.at4);
    if (!more) { // on to the next table
        walk.table += walk.six ? 1 : 0;
        walk.six = !walk.six;
        walk.going = walk.table < tables_max;
    }
    return met;
}

template void rib_state::touch(unsigned, const prefix4&, bool);
template void rib_state::touch(unsigned, const prefix6&, bool);

} // namespace pantala
