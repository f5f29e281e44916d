#include "stack/route/rib/hop_table.hpp"

#include "stack/route/fib/bucket_shares.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
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

// --- groups ---

namespace {

constexpr unsigned group_run_max = 1024; // buckets of one group
constexpr unsigned buckets_a_write = 256;

bool same_way(route_target one, const route_target& other) {
    one.weight = other.weight;
    return one == other;
}

// By target of `before`, its place in `now`, or nobody's.
std::vector<std::uint16_t>
places_in(const std::vector<route_target>& before, const std::vector<route_target>& now) {
    std::vector<std::uint16_t> places(before.size(), bucket_of_nobody);
    std::vector<bool> taken(now.size(), false);
    for (std::size_t i = 0; i < before.size(); ++i) {
        for (std::size_t k = 0; k < now.size() && places[i] == bucket_of_nobody; ++k) {
            if (!taken[k] && same_way(before[i], now[k])) {
                places[i] = static_cast<std::uint16_t>(k);
                taken[k] = true;
            }
        }
    }
    return places;
}

} // namespace

result<void> hop_table::make_group(entry& made, std::optional<nexthop_id> like) {
    const auto release_members = [&] {
        for (const nexthop_id member : made.members) {
            release(member);
        }
        made.members.clear();
    };
    for (route_target target : made.what.targets) {
        target.weight = 1;
        result<nexthop_id> member = take({{target}, made.what.mtu, made.what.table});
        if (!member) {
            release_members();
            return member.failure();
        }
        made.members.push_back(*member);
    }
    const unsigned enough = buckets_for(made, false);
    const entry* before = like && entries_[like->value].group() ? &entries_[like->value] : nullptr;
    const auto were = before != nullptr ? static_cast<unsigned>(before->owners.size()) : 0U;
    unsigned count = std::max(buckets_for(made, true), were);
    std::optional<std::uint16_t> first = space_.take(count);
    if (!first && count > enough) {
        count = enough;
        first = space_.take(count);
    }
    if (!first) {
        release_members();
        return error{ENOSPC, "all 65,536 ECMP buckets are in use"};
    }
    made.first_bucket = *first;
    made.owners.assign(count, bucket_of_nobody);
    made.served.assign(made.members.size(), false);
    made.leads.assign(count, nexthop_none);
    made.inner.assign(made.members.size(), 0);
    if (before != nullptr) {
        lay_out(made, *before);
    }
    return {};
}

// Eight buckets a weight: shares are within an eighth of a bucket's weight of what was asked.
// `nested`: and half of its buckets for each group that a member is reached over.
unsigned hop_table::buckets_for(const entry& group, bool nested) const {
    unsigned weights = 0;
    for (const route_target& target : group.what.targets) {
        weights += target.weight;
    }
    unsigned enough = weights * 8;
    for (std::size_t m = 0; nested && m < group.members.size(); ++m) {
        const nexthop& record = records_.hops[group.members[m].value];
        if (record.kind == nexthop_kind::group) {
            enough = std::max(
                enough, record.group_count * weights / (2U * group.what.targets[m].weight));
        }
    }
    return std::min(std::bit_ceil(enough), group_run_max);
}

// Where a member has come to be reached over a large group. No flow moves; where there is no room,
// the group stays as it is.
void hop_table::grow(entry& group) {
    const auto before = static_cast<unsigned>(group.owners.size());
    const unsigned wanted = buckets_for(group, true);
    const std::optional<std::uint16_t> first =
        wanted > before ? space_.take(wanted) : std::optional<std::uint16_t>();
    if (!first) {
        return;
    }
    retired_.emplace_back(group.first_bucket, before);
    group.first_bucket = *first;
    for (unsigned i = before; i < wanted; ++i) {
        group.owners.push_back(group.owners[i % before]);
        group.leads.push_back(group.leads[i % before]);
    }
}

// Once no record names them: what is written into them from now on is another's.
void hop_table::give_retired() {
    for (const auto& [first, count] : retired_) {
        space_.give(first, count);
    }
    retired_.clear();
}

void hop_table::drop_group(entry& gone) {
    if (!gone.owners.empty()) {
        space_.give(gone.first_bucket, static_cast<unsigned>(gone.owners.size()));
    }
    for (const nexthop_id member : gone.members) {
        release(member);
    }
}

void hop_table::lay_out(entry& made, const entry& like) {
    const auto places = places_in(like.what.targets, made.what.targets);
    for (std::size_t i = 0; i < made.owners.size(); ++i) {
        const std::uint16_t owner = like.owners[i % like.owners.size()];
        made.owners[i] = owner == bucket_of_nobody ? bucket_of_nobody : places[owner];
        made.leads[i] = like.leads[i % like.leads.size()];
    }
    bool reweighed = false;
    for (std::size_t m = 0; m < places.size(); ++m) {
        if (places[m] != bucket_of_nobody) {
            made.served[places[m]] = like.served[m];
            made.inner[places[m]] = like.inner[m];
            const bool other = like.what.targets[m].weight != made.what.targets[places[m]].weight;
            reweighed = reweighed || (other && like.served[m]); // the dead come anew anyway
        }
    }
    if (reweighed) {
        made.served.assign(made.served.size(), false);
    }
}

bool hop_table::goes_on(const entry& before, const entry& now) {
    if (!before.group() || !now.group() || &before == &now) {
        return true;
    }
    const auto places = places_in(before.what.targets, now.what.targets);
    std::vector<bool> came(now.members.size(), true);
    for (const std::uint16_t place : places) {
        if (place != bucket_of_nobody) {
            came[place] = false;
        }
    }
    const std::size_t count = std::max(before.owners.size(), now.owners.size());
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint16_t was = before.owners[i % before.owners.size()];
        const std::uint16_t is = now.owners[i % now.owners.size()];
        const bool there =
            was != bucket_of_nobody && places[was] != bucket_of_nobody && is != bucket_of_nobody;
        if (there && is != places[was] && !came[is]) {
            return false;
        }
    }
    return true;
}

void hop_table::spread(entry& group) {
    const std::size_t members = group.members.size();
    std::vector<unsigned> weights(members, 0);
    for (std::size_t m = 0; m < members; ++m) {
        weights[m] = live(group.members[m]) ? group.what.targets[m].weight : 0U;
    }
    if (std::ranges::all_of(weights, [](unsigned weight) { return weight == 0; })) {
        return;
    }
    grow(group);
    bucket_shares shares(group.owners, weights);
    shares.give_out_free();
    for (std::uint16_t m = 0; m < members; ++m) {
        if (weights[m] != 0 && !group.served[m]) {
            shares.serve(m);
        }
        group.served[m] = weights[m] != 0;
    }
    write_buckets(group);
}

// Among the hops of the group that a member is reached over, as that has shared itself out: those
// that lead to one of them already go on to do so, unless one has just come, or the group is
// another.
void hop_table::share_inner(entry& group, std::uint16_t member, const nexthop& over) {
    std::map<std::uint16_t, unsigned> shares_of; // by hop
    for (unsigned i = 0; i < over.group_count; ++i) {
        ++shares_of[records_.buckets[over.group_first + i].value];
    }
    std::vector<nexthop_id> hops;
    std::vector<unsigned> weights;
    for (const auto& [hop, share] : shares_of) {
        hops.push_back(nexthop_id{hop});
        weights.push_back(share);
    }
    std::vector<std::size_t> places; // of the member's buckets
    std::vector<std::uint16_t> owners;
    std::vector<bool> there(hops.size(), false);
    for (std::size_t i = 0; i < group.owners.size(); ++i) {
        if (group.owners[i] != member) {
            continue;
        }
        const auto known = std::ranges::find(hops, group.leads[i]);
        const auto at = static_cast<std::uint16_t>(known - hops.begin());
        places.push_back(i);
        owners.push_back(known != hops.end() ? at : bucket_of_nobody);
        if (known != hops.end()) {
            there[at] = true;
        }
    }
    bucket_shares shares(owners, weights);
    shares.give_out_free();
    const std::uint32_t name = std::uint32_t{over.group_first} + 1;
    for (const bool those_there : {false, true}) {
        for (std::uint16_t h = 0; h < hops.size() && !owners.empty(); ++h) {
            if (there[h] == those_there && (!those_there || group.inner[member] != name)) {
                shares.serve(h);
            }
        }
    }
    group.inner[member] = name;
    for (std::size_t i = 0; i < places.size(); ++i) {
        group.leads[places[i]] = hops[owners[i]];
    }
}

// A member that is itself reached over ECMP lends that one's hops: groups never nest.
void hop_table::write_buckets(entry& group) {
    const auto count = static_cast<unsigned>(group.owners.size());
    for (std::uint16_t m = 0; m < group.members.size(); ++m) {
        const nexthop& record = records_.hops[group.members[m].value];
        if (record.kind == nexthop_kind::group) {
            share_inner(group, m, record);
        } else {
            group.inner[m] = 0;
        }
    }
    for (unsigned i = 0; i < count; ++i) {
        if (group.inner[group.owners[i]] == 0) {
            group.leads[i] = group.members[group.owners[i]];
        }
    }
    const std::vector<nexthop_id>& now = group.leads;
    nexthop_id* written = &records_.buckets[group.first_bucket];
    if (std::ranges::equal(now, std::span(written, count))) {
        return;
    }
    std::ranges::copy(now, written);
    for (unsigned done = 0; done < count; done += buckets_a_write) {
        const unsigned some = std::min(count - done, buckets_a_write);
        std::array<std::uint64_t, 1 + buckets_a_write * sizeof(nexthop_id) / 8> body{};
        body[0] = some;
        std::memcpy(&body[1], &now[done], some * sizeof(nexthop_id));
        const auto words = static_cast<std::uint16_t>(2 + (some * sizeof(nexthop_id) + 7) / 8);
        writer_.write({words, route_op::group_write, 0, group.first_bucket + done}, body.data());
    }
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
