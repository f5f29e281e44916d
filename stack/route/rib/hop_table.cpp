#include "stack/route/rib/hop_table.hpp"

#include <algorithm>
#include <iterator>

namespace pantala {

namespace {

constexpr std::ptrdiff_t layouts_max = 16; // groups of the same members, but other buckets

} // namespace

std::string format_gateway(const route_target& target) {
    return target.gateway6 ? format_address6(*target.gateway6) : format_address4(target.gateway);
}

hop_table::hop_table(route_records& records, route_writer& writer, route_finder finder)
    : records_(records), writer_(writer), find_(std::move(finder)) {
    entries_.resize(2); // 0 and 1: the main tables' defaults
    for (entry& main : entries_) {
        main.alias = true;
        main.used = true;
    }
    defaults_ = {{{0, false}, nexthop_default}, {{0, true}, nexthop_default6}};
}

hop_table::key hop_table::key_of(const spec& wanted) {
    key made;
    made.first = wanted.mtu | std::uint64_t{wanted.table} << 16;
    for (const route_target& target : wanted.targets) {
        const std::uint64_t port = target.interface ? target.interface->value : 0xffffU;
        made.second.push_back(
            static_cast<std::uint64_t>(target.kind) << 56 | std::uint64_t{target.weight} << 40 |
            port);
        made.second.push_back(target.gateway | std::uint64_t{target.gateway6.has_value()} << 32);
        if (target.gateway6) {
            made.second.push_back(target.gateway6->high);
            made.second.push_back(target.gateway6->low);
        }
    }
    return made;
}

hop_table::key hop_table::key_of(std::span<const nexthop_id> choice) {
    key made{~std::uint64_t{0}, {}};
    for (const nexthop_id each : choice) {
        made.second.push_back(each.value);
    }
    return made;
}

namespace {

result<void> check_gateway(const route_target& target) {
    if (target.kind != nexthop_kind::gateway) {
        return {};
    }
    const bool none = target.gateway6 ? *target.gateway6 == address6{} : target.gateway == 0;
    const bool group =
        target.gateway6 ? target.gateway6->high >> 56 == 0xff : target.gateway >> 28 == 14;
    if (none || group) {
        return error{EINVAL, format_gateway(target) + " is no gateway"};
    }
    const bool link_local = target.gateway6 && target.gateway6->high >> 54 == 0xfe80 >> 6;
    if (link_local && !target.interface) {
        return error{
            EINVAL,
            "the link-local gateway " + format_gateway(target) + " needs an interface (dev NAME)"};
    }
    return {};
}

} // namespace

result<void> hop_table::check(const spec& wanted) const {
    if (wanted.targets.empty() || wanted.targets.size() > route_targets_max) {
        return error{EINVAL, "a route needs one to 64 targets"};
    }
    for (const route_target& target : wanted.targets) {
        const bool needs_iface = target.kind == nexthop_kind::connected ||
                                 target.kind == nexthop_kind::local ||
                                 target.kind == nexthop_kind::broadcast;
        if (needs_iface && !target.interface) {
            return error{EINVAL, "this kind of route needs an interface (dev NAME)"};
        }
        if (target.interface && !records_.ifaces[target.interface->value].present) {
            return error{ENODEV, "there is no such interface"};
        }
        if (result<void> gateway = check_gateway(target); !gateway) {
            return gateway;
        }
        constexpr unsigned least6 = 1280; // RFC 8200 5
        if (target.gateway6 && wanted.mtu != 0 && wanted.mtu < least6) {
            return error{EINVAL, "the MTU of an IPv6 route is 1280 bytes at least"};
        }
        if (wanted.targets.size() > 1 && target.kind != nexthop_kind::gateway &&
            target.kind != nexthop_kind::connected) {
            return error{EINVAL, "only gateways and links may share a route"};
        }
        if (target.weight == 0 || target.weight > 256) {
            return error{EINVAL, "a weight is 1 to 256"};
        }
    }
    return {};
}

std::optional<std::uint16_t> hop_table::free_id() {
    if (!free_.empty()) {
        const std::uint16_t id = free_.back();
        free_.pop_back();
        return id;
    }
    if (entries_.size() == nexthop_none.value) { // which is nobody's
        return std::nullopt;
    }
    entries_.emplace_back();
    return static_cast<std::uint16_t>(entries_.size() - 1);
}

result<nexthop_id> hop_table::take(const spec& wanted, std::optional<nexthop_id> like) {
    const key wanted_key = key_of(wanted);
    const auto [first, last] = ids_.equal_range(wanted_key);
    const auto fitting = std::find_if(first, last, [&](const auto& known) {
        return !like || goes_on(entries_[like->value], entries_[known.second]);
    });
    std::optional<nexthop_id> known;
    if (first != last) {
        known = nexthop_id{fitting != last ? fitting->second : first->second};
    }
    if (fitting == last && std::distance(first, last) < layouts_max) {
        result<nexthop_id> made = make(wanted, wanted_key, like);
        if (made || !known) {
            return made;
        }
    }
    use(*known);
    return *known;
}

result<nexthop_id>
hop_table::make(const spec& wanted, const key& wanted_key, std::optional<nexthop_id> like) {
    if (result<void> checked = check(wanted); !checked) {
        return checked.failure();
    }
    entry made;
    made.what = wanted;
    made.uses = 1;
    made.used = true;
    if (wanted.targets.size() > 1) {
        if (result<void> grouped = make_group(made, like); !grouped) {
            return grouped.failure();
        }
    }
    return keep(std::move(made), wanted_key);
}

result<nexthop_id> hop_table::take_choice(std::span<const nexthop_id> hops) {
    key wanted_key = key_of(hops);
    if (const auto known = ids_.find(wanted_key); known != ids_.end()) {
        ++entries_[known->second].uses;
        return nexthop_id{known->second};
    }
    entry made;
    made.members.assign(hops.begin(), hops.end());
    made.choice = true;
    made.uses = 1;
    made.used = true;
    for (const nexthop_id member : made.members) {
        use(member);
    }
    return keep(std::move(made), std::move(wanted_key));
}

// Gives it an id, or its members back.
result<nexthop_id> hop_table::keep(entry made, key made_key) {
    const std::optional<std::uint16_t> id = free_id();
    if (!id) {
        drop_group(made);
        return error{ENOSPC, "all 32,767 next hops are in use"};
    }
    ids_.emplace(std::move(made_key), *id);
    note_gateway(made, *id, true);
    entries_[*id] = std::move(made);
    ++dead_; // until it is seen to lead somewhere
    settle_one(nexthop_id{*id});
    return nexthop_id{*id};
}

void hop_table::release(nexthop_id id) {
    entry& gone = entries_[id.value];
    PANTALA_ASSERT(gone.uses > 0);
    if (holding_ && gone.uses == 1) {
        held_.push_back(id);
        return;
    }
    if (--gone.uses != 0) {
        return;
    }
    forget_key(gone.choice ? key_of(gone.members) : key_of(gone.what), id);
    note_gateway(gone, id.value, false);
    write(id.value, nexthop{});
    dead_ -= gone.live ? 0 : 1;
    entry old = std::move(gone);
    entries_[id.value] = entry{};
    free_.push_back(id.value);
    drop_group(old); // may release members, and so change entries_
}

void hop_table::let_go() {
    holding_ = false;
    for (const nexthop_id id : std::exchange(held_, {})) {
        release(id);
    }
}

bool hop_table::names(iface_id id) const {
    return std::ranges::any_of(entries_, [id](const entry& each) {
        return std::ranges::find(each.what.targets, id, &route_target::interface) !=
               each.what.targets.end();
    });
}

void hop_table::forget_key(const key& of, nexthop_id id) {
    const auto [first, last] = ids_.equal_range(of);
    ids_.erase(
        std::find_if(first, last, [&](const auto& known) { return known.second == id.value; }));
}

void hop_table::note_gateway(const entry& made, std::uint16_t id, bool there) {
    for (const route_target& target : made.what.targets) {
        if (target.kind != nexthop_kind::gateway || target.interface) {
            continue;
        }
        const lookup where{
            made.what.table, target.gateway6.has_value(),
            target.gateway6.value_or(address6{0, target.gateway}), id};
        if (there) {
            gateways_.insert(where);
        } else {
            gateways_.erase(where);
        }
    }
}

bool hop_table::concerns(unsigned table, const prefix4& prefix) const {
    const auto first = gateways_.lower_bound({table, false, {0, prefix.address}, 0});
    return first != gateways_.end() && *first <= lookup{table, false, {0, prefix.last()}, 0xffff};
}

bool hop_table::concerns(unsigned table, const prefix6& prefix) const {
    const auto first = gateways_.lower_bound({table, true, prefix.address, 0});
    return first != gateways_.end() && *first <= lookup{table, true, prefix.last(), 0xffff};
}

// --- aliases ---

result<nexthop_id> hop_table::take_alias(unsigned table, bool is6) {
    const std::optional<std::uint16_t> id = free_id();
    if (!id) {
        return error{ENOSPC, "all 32,767 next hops are in use"};
    }
    entries_[*id].alias = true;
    entries_[*id].used = true;
    defaults_[{table, is6}] = nexthop_id{*id};
    return nexthop_id{*id};
}

void hop_table::point_alias(nexthop_id alias, std::optional<nexthop_id> at) {
    entries_[alias.value].follows = at;
    settle_one(alias);
}

void hop_table::drop_alias(unsigned table, bool is6) {
    const auto at = defaults_.find({table, is6});
    PANTALA_ASSERT(at != defaults_.end() && !entries_[at->second.value].follows);
    write(at->second.value, nexthop{});
    entries_[at->second.value] = entry{};
    free_.push_back(at->second.value);
    defaults_.erase(at);
}

} // namespace pantala
