// Routes all of whose next hops are dead fall back to a less specific one.
//
// The record of a dead hop is that of the default route already, on every worker, at once and for
// however many prefixes. What is left are prefixes with a live cover longer than the default: they
// are taken *out* of the compiled table, so that the cover shows, and put in again when their hop
// lives. That is a walk through the tables, a part each pump(), in the order of prefixes: a prefix
// is looked at after all that cover it.
#include "stack/route/rib/rib_state.hpp"

#include <algorithm>

namespace pantala {

namespace {

constexpr std::size_t prefixes_a_slice = 512;
constexpr std::size_t prefixes_a_slice_more = 100'000; // big tables go by several slices a turn
constexpr std::size_t entries_ahead = 8;

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
    if (goes) {
        entry.out = true;
        compile_out(in, prefix);
    } else if (in.reserve_again(prefix).ok()) { // else it stays out: no room has been left for it
        entry.out = false;
        compile(in, prefix, entry.hop, true);
    }
}

template <class Prefix>
std::optional<Prefix> rib_state::revise(unsigned number, const Prefix& from) {
    auto* in = tables<Prefix>()[number].get();
    if (in == nullptr) {
        return std::nullopt;
    }
    std::vector<Prefix> prefixes;
    const std::optional<Prefix> next = in->walk(from, prefixes_a_slice, prefixes);
    for (std::size_t i = 0; i < prefixes.size(); ++i) {
        in->prefetch(prefixes[std::min(i + entries_ahead, prefixes.size() - 1)]);
        if (auto* entry = in->find(prefixes[i]); entry != nullptr) {
            revise_entry(*in, *entry);
        }
    }
    return next;
}

bool rib_state::walk_on() {
    if (!walk.going && !walk.again) [[likely]] {
        return true;
    }
    if (writer.congested()) {
        return false;
    }
    if (!walk.going) {
        walk = {};
        walk.going = true;
    }
    const std::size_t prefixes = tables4[0]->size() + tables6[0]->size();
    for (std::size_t left = 1 + prefixes / prefixes_a_slice_more; left > 0 && walk.going; --left) {
        walk_slice();
    }
    return !walk.going && !walk.again;
}

void rib_state::walk_slice() {
    const auto next4 = walk.six ? std::nullopt : revise(walk.table, walk.at4);
    const auto next6 = walk.six ? revise(walk.table, walk.at6) : std::nullopt;
    walk.at4 = next4.value_or(prefix4{});
    walk.at6 = next6.value_or(prefix6{});
    if (!next4 && !next6) { // on to the next table
        walk.table += walk.six ? 1 : 0;
        walk.six = !walk.six;
        walk.going = walk.table < tables_max;
    }
}

} // namespace pantala
