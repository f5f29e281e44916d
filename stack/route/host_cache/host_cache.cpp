#include "stack/route/host_cache/host_cache.hpp"

#include "engine/base/check.hpp"
#include "stack/route/replica.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <new>

namespace pantala {

namespace {

constexpr std::uint32_t index_bits = 20;
constexpr std::uint32_t index_mask = host_cache_entries_most - 1;
constexpr std::uint32_t epoch_mask = (1U << (32 - index_bits)) - 1;

std::uint64_t mixed(std::uint64_t sum, std::uint64_t with) {
    sum = (sum ^ with) * 0x9e37'79b9'7f4a'7c15;
    return sum ^ sum >> 29;
}

// All that a record says about where packets go. The buckets of a group are not in it.
std::uint64_t sum_of(std::uint64_t sum, nexthop_id id, const nexthop& hop) {
    sum = mixed(sum, std::uint64_t{id.value} << 32 | static_cast<unsigned>(hop.kind));
    sum = mixed(
        sum,
        std::uint64_t{hop.iface.value} << 48 | std::uint64_t{hop.mtu} << 32 | hop.gateway4.raw());
    std::array<std::uint64_t, 2> six;
    static_assert(sizeof six == sizeof hop.gateway6);
    std::memcpy(six.data(), hop.gateway6.data(), sizeof six);
    return hop.via6 ? mixed(mixed(sum, six[0]), six[1]) : sum;
}

// What is known and what a connection found weigh the same (RFC 9040 5.1: "merge").
void merge(std::uint32_t& known, std::uint32_t found) {
    if (found != 0) {
        known = known == 0 ? found : known / 2 + found / 2 + (known & found & 1);
    }
}

std::uint32_t seconds_until(instant then, instant now) {
    return then <= now ? 0 : static_cast<std::uint32_t>((then - now + ns_per_s - 1) / ns_per_s);
}

} // namespace

// calloc: large blocks are fresh pages of zeros that nobody has touched.
template <class T>
host_cache::zeroed<T> host_cache::reserve(std::size_t count) {
    auto* memory = static_cast<T*>(std::calloc(count, sizeof(T)));
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return zeroed<T>(memory);
}

host_cache::host_cache(
    siphash_key key, const route_replica& routes, const host_cache_settings& settings)
    : routes_(routes), settings_(settings), key_(key), mask_(std::bit_ceil(settings.entries) - 1),
      buckets_(reserve<std::uint32_t>(mask_ + 1)), entries_(reserve<entry>(settings.entries)),
      expire_ns_(std::uint64_t{settings.expire_s} * ns_per_s) {
    // A place that is nowhere is no entry's.
    PANTALA_ASSERT(settings.entries >= 1 && settings.entries < host_cache_entries_most);
    PANTALA_ASSERT(settings.sweep_s >= 1);
}

// ---------------------------------------------------------------------------------------------
// Entries: found by destination, and in the list of those that are marked.

// Keyed: nobody can choose destinations that share a chain.
std::uint32_t host_cache::bucket_of(const ip_address& remote) const {
    siphash13 sum(key_);
    sum.word(remote.words[0]);
    sum.word(remote.words[1]);
    return static_cast<std::uint32_t>(sum.finish(0, 16)) & mask_;
}

std::uint32_t host_cache::find(const ip_address& remote) const {
    std::uint32_t at = buckets_[bucket_of(remote)] - 1;
    while (at != none && !(entries_[at].remote == remote)) {
        at = entries_[at].next_in_bucket - 1;
    }
    return at;
}

std::uint32_t host_cache::take_free() {
    if (free_ != none) {
        const std::uint32_t at = free_;
        free_ = entries_[at].next;
        return at;
    }
    if (high_water_ < settings_.entries) {
        return high_water_++;
    }
    if (first_ == none) {
        return none;
    }
    counts_.evicted.add(1);
    erase(first_);
    return take_free();
}

// A new one has no users and is not marked: that is the caller's.
std::uint32_t host_cache::find_or_make(const ip_address& remote, instant now) {
    std::uint32_t at = find(remote);
    if (at != none) {
        check(entries_[at], now);
        return at;
    }
    at = take_free();
    if (at == none) {
        counts_.full.add(1);
        return none;
    }
    entry& fresh = entries_[at];
    const std::uint32_t epoch = fresh.epoch + 1;
    std::uint32_t& bucket = buckets_[bucket_of(remote)];
    fresh = entry{};
    fresh.remote = remote;
    fresh.generation = routes_.generation();
    fresh.way = way_to(remote);
    fresh.epoch = epoch;
    fresh.previous = none;
    fresh.next = none;
    fresh.next_in_bucket = bucket;
    fresh.mtu = no_mtu;
    fresh.datagram_mtu = no_mtu;
    fresh.taken = true;
    bucket = at + 1;
    ++size_;
    counts_.added.add(1);
    return at;
}

void host_cache::erase(std::uint32_t at) {
    entry& one = entries_[at];
    if (one.expires.ns != 0) {
        unmark(at);
    }
    forget(one);
    std::uint32_t* link = &buckets_[bucket_of(one.remote)];
    while (*link != at + 1) {
        link = &entries_[*link - 1].next_in_bucket;
    }
    *link = one.next_in_bucket;
    one.taken = false;
    one.next = free_;
    free_ = at;
    --size_;
    counts_.removed.add(1);
}

// Later than all that are marked, so the list is in order of time. (`expire` may shrink; then
// shorten() makes the rest follow.)
void host_cache::mark(std::uint32_t at, instant now) {
    if (expire_ns_ == 0) {
        return erase(at);
    }
    entry& one = entries_[at];
    one.expires = now + expire_ns_;
    one.previous = last_;
    one.next = none;
    (last_ == none ? first_ : entries_[last_].next) = at;
    last_ = at;
    ++expiring_;
    const std::uint64_t sweep_ns = settings_.sweep_s * ns_per_s;
    sweep_at_ = std::min(sweep_at_, now + std::clamp(expire_ns_, ns_per_s, sweep_ns));
}

void host_cache::unmark(std::uint32_t at) {
    entry& one = entries_[at];
    if (shorten_at_ == at) {
        shorten_at_ = one.previous;
    }
    (one.previous == none ? first_ : entries_[one.previous].next) = one.next;
    (one.next == none ? last_ : entries_[one.next].previous) = one.previous;
    one.expires = {};
    --expiring_;
    drain_left_ = std::min(drain_left_, expiring_);
    if (expiring_ == 0) {
        sweep_at_ = instant::never();
    }
}

// ---------------------------------------------------------------------------------------------
// What is remembered, and whether it still holds.

std::uint64_t host_cache::way_to(const ip_address& remote) const {
    const wire::ipv6_address six = remote.v6();
    if (!remote.is_v4() && six.is_link_local()) {
        return 0; // no route leads there
    }
    const nexthop_id id = remote.is_v4() ? routes_.lookup4(0, remote.v4().host())
                                         : routes_.lookup6(0, address6::from_bytes(six.bytes));
    const nexthop& hop = routes_.hop(id);
    std::uint64_t sum = sum_of(1, id, hop);
    if (hop.kind != nexthop_kind::group) {
        return sum;
    }
    nexthop_id before = id;
    for (unsigned i = 0; i < hop.group_count; ++i) { // at most 1,024
        const nexthop_id member = routes_.bucket(hop.group_first + i);
        if (member != before) {
            sum = sum_of(sum + i, member, routes_.hop(member));
            before = member;
        }
    }
    return sum;
}

void host_cache::check(entry& one, instant now) {
    if (one.expires.ns != 0 && one.expires <= now) {
        forget(one); // due, and only not swept yet
    }
    if (one.generation == routes_.generation()) {
        return;
    }
    one.generation = routes_.generation();
    const std::uint64_t way = way_to(one.remote);
    if (way != one.way) {
        one.way = way;
        counts_.rerouted.add(1);
        forget(one);
    }
}

void host_cache::forget(entry& one) {
    drop_mtu(one.mtu);
    drop_mtu(one.datagram_mtu);
    one.metrics = {};
    ++one.epoch;
}

void host_cache::drop_mtu(std::uint16_t& mtu) {
    if (mtu != no_mtu) {
        mtu = no_mtu;
        --mtus_;
    }
}

// ---------------------------------------------------------------------------------------------
// Connections.

host_cache::entry* host_cache::at_place(host_place at) const {
    return at.is_somewhere() ? &entries_[at.value & index_mask] : nullptr;
}

host_place host_cache::attach(const ip_address& remote, instant now) {
    const std::uint32_t at = find_or_make(remote, now);
    if (at == none) {
        return {};
    }
    entry& one = entries_[at];
    if (one.users++ == 0 && one.expires.ns != 0) {
        unmark(at);
    }
    counts_.used.add(settings_.seed_connections && one.metrics.any() ? 1 : 0);
    return {(one.epoch & epoch_mask) << index_bits | at};
}

path_metrics host_cache::remembered(host_place at, instant now) {
    entry* one = at_place(at);
    if (one == nullptr || !settings_.seed_connections) {
        return {};
    }
    check(*one, now);
    return (one->epoch & epoch_mask) == at.value >> index_bits ? one->metrics : path_metrics{};
}

void host_cache::release(host_place at, const path_metrics& found, instant now) {
    entry* one = at_place(at);
    if (one == nullptr) {
        return;
    }
    PANTALA_ASSERT(one->users > 0);
    check(*one, now);
    if (found.any() && (one->epoch & epoch_mask) == at.value >> index_bits) {
        merge(one->metrics.srtt_us, found.srtt_us);
        merge(one->metrics.rttvar_us, found.rttvar_us);
        merge(one->metrics.ssthresh, found.ssthresh);
        merge(one->metrics.cwnd, found.cwnd);
        counts_.updated.add(1);
    }
    if (--one->users == 0) {
        mark(at.value & index_mask, now);
    }
}

// ---------------------------------------------------------------------------------------------
// Path MTUs.

void host_cache::learn_mtu(const ip_address& remote, std::uint16_t mtu, instant now, mtu_for whom) {
    const std::uint32_t at = find_or_make(remote, now);
    if (at == none) {
        return;
    }
    entry& one = entries_[at];
    mtu = std::max(mtu, remote.is_v4() ? least_mtu4 : least_mtu6);
    std::uint16_t& known = whom == mtu_for::all ? one.mtu : one.datagram_mtu;
    instant& until = whom == mtu_for::all ? one.mtu_until : one.datagram_mtu_until;
    if (known == no_mtu) {
        ++mtus_;
    } else if (until > now) {
        mtu = std::min(mtu, known);
    }
    known = mtu;
    until = now + std::uint64_t{settings_.path_mtu_s} * ns_per_s;
    counts_.path_mtus.add(1);
    if (one.users == 0) { // datagrams have no connection: to hear of it is a use
        if (one.expires.ns != 0) {
            unmark(at);
        }
        mark(at, now);
    }
}

std::uint16_t host_cache::find_mtu(const ip_address& remote, instant now, mtu_for whom) {
    if (mtus_ == 0) [[likely]] {
        return no_mtu;
    }
    const std::uint32_t at = find(remote);
    if (at == none) {
        return no_mtu;
    }
    entry& one = entries_[at];
    check(one, now);
    if (one.mtu_until <= now) {
        drop_mtu(one.mtu);
    }
    if (one.datagram_mtu_until <= now) {
        drop_mtu(one.datagram_mtu);
    }
    return whom == mtu_for::all ? one.mtu : std::min(one.mtu, one.datagram_mtu);
}

// ---------------------------------------------------------------------------------------------
// Time.

unsigned host_cache::erase_due(instant now, unsigned budget) {
    unsigned gone = 0;
    for (; gone < budget && first_ != none && entries_[first_].expires <= now; ++gone) {
        counts_.expired.add(1);
        erase(first_);
    }
    return gone;
}

// From the last marked one towards the first, until one is marked for no longer than the rest.
unsigned host_cache::shorten(unsigned budget) {
    unsigned looked_at = 0;
    for (; looked_at < budget && shorten_at_ != none; ++looked_at) {
        entry& one = entries_[shorten_at_];
        if (one.expires <= shorten_to_) {
            shorten_at_ = none;
            break;
        }
        one.expires = shorten_to_;
        shorten_at_ = one.previous;
    }
    return looked_at;
}

void host_cache::end_sweep(instant now) {
    const std::uint64_t sweep_ns = settings_.sweep_s * ns_per_s;
    const std::uint64_t least_ns = settings_.min_expire_s * ns_per_s;
    const bool settled = counts_.shortened.read() == 0 || now - adjusted_ >= sweep_ns;
    if (expiring_ > settings_.max_cache && settled && expire_ns_ > least_ns) {
        expire_ns_ = std::max(expire_ns_ / 3 * 2, least_ns);
        adjusted_ = now;
        counts_.shortened.add(1);
        shorten_at_ = last_;
        shorten_to_ = now + expire_ns_;
    }
    if (first_ == none) {
        sweep_at_ = instant::never();
        return;
    }
    const instant due = std::min(entries_[first_].expires, now + expire_ns_);
    sweep_at_ = now + (due <= now ? ns_per_s : std::clamp(due - now, ns_per_s, sweep_ns));
}

unsigned host_cache::expire(instant now, unsigned budget) {
    now_ = now;
    unsigned done = 0;
    for (; done < budget && drain_left_ != 0; ++done) {
        --drain_left_;
        counts_.drained.add(1);
        erase(first_);
    }
    done += shorten(budget - done);
    if (sweep_at_ <= now && done < budget) {
        done += erase_due(now, budget - done);
        if (first_ == none || entries_[first_].expires > now) {
            end_sweep(now);
        }
    }
    return done;
}

instant host_cache::next_deadline() const {
    return draining() || shorten_at_ != none ? now_ : sweep_at_;
}

// ---------------------------------------------------------------------------------------------
// The operator.

bool host_cache::flush(std::uint32_t& cursor, unsigned looked_at_max) {
    for (unsigned i = 0; i < looked_at_max && !at_end(cursor); ++i, ++cursor) {
        if (entries_[cursor].taken) {
            entries_[cursor].users == 0 ? erase(cursor) : forget(entries_[cursor]);
        }
    }
    return at_end(cursor);
}

bool host_cache::flush_one(const ip_address& remote) {
    const std::uint32_t at = find(remote);
    if (at == none) {
        return false;
    }
    entries_[at].users == 0 ? erase(at) : forget(entries_[at]);
    return true;
}

host_cache_row host_cache::row_of(const entry& one) const {
    host_cache_row row{.remote = one.remote, .metrics = one.metrics, .users = one.users};
    row.expires_s = one.expires.ns == 0 ? 0 : seconds_until(one.expires, now_);
    if (one.mtu != no_mtu && one.mtu_until > now_) {
        row.mtu = one.mtu;
        row.mtu_left_s = seconds_until(one.mtu_until, now_);
    }
    return row;
}

bool host_cache::list(std::uint32_t& cursor, unsigned looked_at_max, host_cache_row& row) {
    for (unsigned i = 0; i < looked_at_max && !at_end(cursor); ++i) {
        entry& one = entries_[cursor++];
        if (one.taken) {
            check(one, now_);
            row = row_of(one);
            return true;
        }
    }
    return false;
}

bool host_cache::look_at(const ip_address& remote, host_cache_row& row) {
    const std::uint32_t at = find(remote);
    if (at != none) {
        check(entries_[at], now_);
        row = row_of(entries_[at]);
    }
    return at != none;
}

} // namespace pantala
