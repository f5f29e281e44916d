// Tables of the RIB: storing the routes of a prefix and compiling what changes.
#include "stack/route/rib/rib_state.hpp"

#include <algorithm>

namespace pantala {

rib_state::rib_state(route_log& to)
    : log(to), writer(to), hops(*records, writer, [this](unsigned number, std::uint32_t address) {
          return find_hop(number, address);
      }) {}

result<rib_table4*> rib_state::table(unsigned number) {
    if (number >= tables_max) {
        return error{EINVAL, "tables are numbered 0 to 63"};
    }
    if (tables[number]) {
        return tables[number].get();
    }
    nexthop_id default_id = nexthop_default;
    if (number != 0) {
        result<nexthop_id> alias = hops.take_alias();
        if (!alias) {
            return alias.failure();
        }
        default_id = *alias;
    }
    const bool big = number == 0;
    auto made = std::make_unique<rib_table4>(default_id, big);
    auto compiler = fib4_compiler::make(
        big ? fib4_root_bits_main : fib4_root_bits_small, static_cast<std::uint8_t>(number),
        default_id, writer);
    if (!compiler) {
        return compiler.failure();
    }
    made->compiler = std::move(*compiler);
    made->compiler->on_populate([this, number](std::uint32_t units, std::uint32_t words) {
        populate(number, units, words);
    });
    tables[number] = std::move(made);
    result<image_set> images = prepare(number);
    if (!images) {
        tables[number].reset();
        return images.failure();
    }
    ship(number, std::move(*images));
    return tables[number].get();
}

candidates rib_state::routes_of(const rib_table4& in, const rib_entry4& entry) const {
    if (entry.more != 0) {
        return in.more[entry.more];
    }
    const auto protocol = static_cast<route_protocol>(entry.protocol);
    return {{metric_of(protocol), protocol, entry.hop}};
}

// The live one of the lowest metric; the lowest where none is live.
nexthop_id rib_state::best(const candidates& routes) const {
    const auto found = std::find_if(routes.begin(), routes.end(), [this](const candidate& route) {
        return hops.live(route.hop);
    });
    return found == routes.end() ? routes.front().hop : found->hop;
}

result<void> rib_state::may_change(const rib_table4& in, const prefix4& prefix) const {
    if (writer.congested()) {
        return error{EAGAIN, "workers do not keep up with route changes; try again"};
    }
    return prefix.length == 0 ? result<void>{} : in.compiler->reserve(prefix);
}

void rib_state::compile(rib_table4& in, const prefix4& prefix, nexthop_id value, bool is_new) {
    ++changes;
    if (prefix.length == 0) {
        hops.point_alias(in.default_id, value);
    } else {
        in.compiler->set(prefix, value, is_new);
    }
}

void rib_state::compile_out(rib_table4& in, const prefix4& prefix) {
    ++changes;
    if (prefix.length == 0) {
        hops.point_alias(in.default_id, std::nullopt);
        return;
    }
    const std::optional<prefix4> wider = in.index.covering(prefix);
    in.compiler->clear(
        prefix, wider ? fib4_entry{*wider, in.map.find(*wider)->hop}
                      : fib4_entry{prefix4{}, in.default_id});
}

void rib_state::store(unsigned number, const prefix4& prefix, candidates routes) {
    rib_table4& in = *tables[number];
    rib_entry4* entry = in.map.find(prefix);
    const candidates before = entry != nullptr ? routes_of(in, *entry) : candidates{};
    if (routes.empty()) {
        if (entry == nullptr) {
            return;
        }
        if (entry->more != 0) {
            in.free_more.push_back(entry->more);
            in.more[entry->more].clear();
        }
        in.map.erase(entry);
        if (prefix.length != 0) {
            in.index.remove(prefix);
        }
        compile_out(in, prefix);
    } else {
        const bool is_new = entry == nullptr;
        if (is_new) {
            entry = &in.map.insert(prefix);
            if (prefix.length != 0) {
                in.index.add(prefix);
            }
        }
        const nexthop_id hop = best(routes);
        const bool moved = is_new || entry->hop != hop;
        const candidate& first = routes.front();
        const bool plain = routes.size() == 1 && first.metric == metric_of(first.protocol);
        entry->hop = hop;
        entry->protocol = static_cast<std::uint8_t>(first.protocol);
        if (plain && entry->more != 0) {
            in.free_more.push_back(entry->more);
            in.more[entry->more].clear();
            entry->more = 0;
        } else if (!plain) {
            if (entry->more == 0 && in.free_more.empty()) {
                entry->more = static_cast<std::uint32_t>(in.more.size());
                in.more.emplace_back();
            } else if (entry->more == 0) {
                entry->more = in.free_more.back();
                in.free_more.pop_back();
            }
            in.more[entry->more] = std::move(routes);
        }
        if (moved) {
            compile(in, prefix, hop, is_new);
        }
    }
    for (const candidate& gone : before) {
        hops.release(gone.hop);
    }
    settle(number, prefix);
}

// The common case of a feed: the prefix is new, or has one plain route of the same protocol.
bool rib_state::swap_only(const prefix4& prefix, nexthop_id hop, route_protocol protocol) {
    rib_table4& in = *tables[0];
    rib_entry4* entry = in.map.find(prefix);
    const bool is_new = entry == nullptr;
    if (prefix.length == 0 ||
        (!is_new && (entry->more != 0 || entry->protocol != static_cast<std::uint8_t>(protocol)))) {
        return false;
    }
    if (!is_new && entry->hop == hop) {
        return true;
    }
    if (is_new) {
        entry = &in.map.insert(prefix);
        entry->protocol = static_cast<std::uint8_t>(protocol);
        in.index.add(prefix);
    }
    const nexthop_id before = entry->hop;
    entry->hop = hop;
    hops.use(hop);
    compile(in, prefix, hop, is_new);
    if (!is_new) {
        hops.release(before);
    }
    settle(0, prefix);
    return true;
}

bool rib_state::erase_only(const prefix4& prefix, route_protocol protocol) {
    rib_table4& in = *tables[0];
    rib_entry4* entry = in.map.find(prefix);
    if (entry == nullptr || prefix.length == 0 || entry->more != 0 ||
        entry->protocol != static_cast<std::uint8_t>(protocol)) {
        return false;
    }
    const nexthop_id before = entry->hop;
    in.map.erase(entry);
    in.index.remove(prefix);
    compile_out(in, prefix);
    hops.release(before);
    settle(0, prefix);
    return true;
}

void rib_state::settle(unsigned number, const prefix4& prefix) {
    if (hops.concerns(number, prefix)) {
        refresh();
    }
}

// Records first; then, where hops died or came to life, prefixes that have a choice choose anew.
void rib_state::refresh() {
    if (!hops.refresh()) {
        return;
    }
    for (const auto& in : tables) {
        if (!in || in->more.size() == 1 + in->free_more.size()) {
            continue;
        }
        in->map.for_each([&](rib_entry4& entry) {
            if (entry.more == 0) {
                return;
            }
            const nexthop_id hop = best(in->more[entry.more]);
            if (hop != entry.hop) {
                entry.hop = hop;
                compile(*in, entry.prefix(), hop, false);
            }
        });
    }
    hops.refresh();
}

std::optional<nexthop_id> rib_state::find_hop(unsigned number, std::uint32_t address) const {
    const rib_table4* in = table_if(number);
    const unsigned length = in != nullptr ? in->compiler->match_length(address) : 0;
    if (length == 0) {
        return std::nullopt;
    }
    const rib_entry4* entry = in->map.find(make_prefix4(address, length));
    return entry != nullptr ? std::optional{entry->hop} : std::nullopt;
}

result<rib_state::image_set> rib_state::prepare(unsigned number) const {
    image_set images;
    const rib_table4& in = *tables[number];
    for (std::size_t i = 0; i <= workers.size(); ++i) {
        auto made = fib4_image::make(in.compiler->image().shape().root_bits, in.default_id);
        if (!made) {
            return made.failure();
        }
        images.push_back(std::move(*made));
    }
    return images;
}

void rib_state::rebuild(unsigned number, image_set images) {
    rib_table4& in = *tables[number];
    std::vector<fib4_entry> entries;
    entries.reserve(in.map.size());
    in.map.for_each([&](const rib_entry4& entry) {
        if (entry.length != 0) {
            entries.push_back({entry.prefix(), entry.hop});
        }
    });
    in.compiler->load(entries, std::move(images.front()));
    ship(number, std::move(images));
}

} // namespace pantala
