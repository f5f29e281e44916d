// Groups of next hops: their members, their buckets and how these are laid out anew.
#include "stack/route/fib/bucket_shares.hpp"
#include "stack/route/rib/hop_table.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <iterator>

namespace pantala {

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
    count = may_grow(count) ? count : std::max(enough, were);
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
        if (live(group.members[m]) && record.kind == nexthop_kind::group) { // else its fallback's
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
        wanted > before && may_grow(wanted) ? space_.take(wanted) : std::optional<std::uint16_t>();
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

} // namespace pantala
