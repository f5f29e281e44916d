// The host cache: what a worker remembers of single destinations that it speaks with itself. The
// modern form of cloned host routes: an entry holds a path MTU and what connections measured, and
// hangs on the route that packets to the destination take.
//
//   use        a connection attaches to its destination's entry when it begins and releases it with
//              what it found; an entry with users stays
//   expiring   the last user's release marks an entry: it goes `expire` later. A new user takes the
//              mark away. With `expire` 0 it goes at once
//   sweep      when the first marked entry is due, after 1 s at the soonest, every `sweep` at the
//              latest. If more than `max_cache` marked ones are left, `expire` becomes two thirds
//              of itself, not under `min_expire`, at most once in `sweep`; what is marked for
//              longer is marked for so long
//   drain      memory is short: all that are marked go
//   route      an entry knows its next hop as it was. Whoever uses the entry compares generations;
//              if routes have changed and the way is another one, what is remembered is forgotten
//   full       no more entries than the settings say: the one marked longest ago makes room; where
//              all have users, a destination is not remembered
//
// Owner: one worker. Work in a round is bounded by the budget of expire(). Memory is reserved at
// construction and touched as it is used: some 100 bytes an entry.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/base/siphash.hpp"
#include "engine/counters.hpp"
#include "stack/route/host_cache/path_metrics.hpp"
#include "stack/wire/flow.hpp"

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace pantala {

class route_replica;

inline constexpr std::uint32_t host_cache_entries_most = 1U << 20;

struct host_cache_settings {
    std::uint32_t expire_s = 3'600;
    std::uint32_t min_expire_s = 10;
    std::uint32_t sweep_s = 600;     // 1 or more
    std::uint32_t max_cache = 4'096; // marked entries; BSD had 128
    std::uint32_t entries = 65'536;  // in all, 1 to host_cache_entries_most
    std::uint32_t path_mtu_s = 600;  // RFC 1191 6.3, RFC 8201 4
    bool seed_connections = true;    // false: path MTUs only
};

struct host_cache_counters {
    counter added;
    counter removed;   // for whatever reason; added - removed: there now
    counter used;      // connections that began with what is remembered
    counter updated;   // connections that left something
    counter path_mtus; // learned
    counter rerouted;  // forgotten: the route is another one
    counter expired;
    counter evicted; // made room for others
    counter drained;
    counter full;      // destinations without an entry
    counter shortened; // times that `expire` became two thirds of itself
};

struct host_cache_counter_name {
    const char* name;
    counter host_cache_counters::*member;
};
inline constexpr host_cache_counter_name host_cache_counter_names[] = {
    {"hostcache_added", &host_cache_counters::added},
    {"hostcache_removed", &host_cache_counters::removed},
    {"hostcache_used", &host_cache_counters::used},
    {"hostcache_updated", &host_cache_counters::updated},
    {"hostcache_path_mtus", &host_cache_counters::path_mtus},
    {"hostcache_rerouted", &host_cache_counters::rerouted},
    {"hostcache_expired", &host_cache_counters::expired},
    {"hostcache_evicted", &host_cache_counters::evicted},
    {"hostcache_drained", &host_cache_counters::drained},
    {"hostcache_full", &host_cache_counters::full},
    {"hostcache_shortened", &host_cache_counters::shortened},
};

// An entry as it is shown.
struct host_cache_row {
    ip_address remote;
    path_metrics metrics;
    std::uint32_t users = 0;
    std::uint32_t expires_s = 0;  // of an entry without users
    std::uint32_t mtu_left_s = 0; // until the path MTU is forgotten
    std::uint16_t mtu = 0;        // 0: not known
};

class host_cache {
  public:
    static constexpr std::uint16_t no_mtu = 0xffff;
    // Nobody has to believe less: IPv6's least link (RFC 8200 5); of IPv4 what Linux believes
    // (min_pmtu): what is less is for routers to cut (stack/tcp).
    static constexpr std::uint16_t least_mtu4 = 552;
    static constexpr std::uint16_t least_mtu6 = 1'280;

    // `routes` outlives it.
    host_cache(
        siphash_key key, const route_replica& routes, const host_cache_settings& settings = {});
    host_cache(const host_cache&) = delete;
    host_cache& operator=(const host_cache&) = delete;

    // --- connections ---

    // One more user of what is remembered of `remote`. Nowhere: there is no room.
    host_place attach(const ip_address& remote, instant now);
    // What a connection may begin with; nothing: not known, changed since, or not wanted.
    path_metrics remembered(host_place at, instant now);
    // One user less, and what it found (0: nothing). That counts for half, beside what is known,
    // and not at all if the route has changed meanwhile.
    void release(host_place at, const path_metrics& found, instant now);

    // --- path MTUs, of any protocol ---

    // Keeps the smaller of this and what is known.
    void learn_mtu(
        const ip_address& remote, std::uint16_t mtu, instant now, mtu_for whom = mtu_for::all);
    // no_mtu: the way out says all there is. Cost: nothing as long as nothing was learned.
    std::uint16_t find_mtu(const ip_address& remote, instant now, mtu_for whom = mtu_for::all);

    // --- time ---

    // Sweeps and drains; `budget` bounds the entries looked at. Returns how many were.
    unsigned expire(instant now, unsigned budget);
    instant next_deadline() const;
    // Everything that is marked now goes, a budget each round, from the next one on.
    void drain() { drain_left_ = expiring_; }
    bool draining() const { return drain_left_ != 0; }

    // --- the operator ---

    // Forgets: what has no users goes, what has them begins anew. By cursor, as list().
    bool flush(std::uint32_t& cursor, unsigned looked_at_max);
    bool flush_one(const ip_address& remote);
    // `expire` as the settings say: after a flush.
    void restart() { expire_ns_ = std::uint64_t{settings_.expire_s} * ns_per_s; }
    // The next entry from `cursor` on; false: there is none within `looked_at_max` or at all, and
    // `cursor` is then at_end() or where to go on.
    bool list(std::uint32_t& cursor, unsigned looked_at_max, host_cache_row& row);
    bool at_end(std::uint32_t cursor) const { return cursor >= high_water_; }
    bool look_at(const ip_address& remote, host_cache_row& row);

    const host_cache_counters& counts() const { return counts_; }
    const host_cache_settings& settings() const { return settings_; }
    std::uint32_t size() const { return size_; }
    std::uint32_t expiring() const { return expiring_; } // marked
    std::uint64_t expire_s() const { return expire_ns_ / ns_per_s; }

  private:
    static constexpr std::uint32_t none = 0xffff'ffff;

    struct entry {
        ip_address remote;
        path_metrics metrics;
        instant expires; // without users
        instant mtu_until;
        instant datagram_mtu_until;
        std::uint64_t generation; // routes at which `way` was last found to be so
        std::uint64_t way;        // the next hop and what its record says, in a sum
        std::uint32_t users;
        std::uint32_t epoch;    // how often it began anew
        std::uint32_t previous; // marked ones, the soonest first; free ones: next
        std::uint32_t next;
        std::uint32_t next_in_bucket; // as a bucket
        std::uint16_t mtu;            // no_mtu: not known
        std::uint16_t datagram_mtu;   // the same, for datagrams alone
        bool taken;
    };
    struct free_deleter {
        void operator()(void* memory) const { std::free(memory); }
    };
    template <class T>
    using zeroed = std::unique_ptr<T[], free_deleter>;
    template <class T>
    static zeroed<T> reserve(std::size_t count);

    std::uint32_t bucket_of(const ip_address& remote) const;
    std::uint32_t find(const ip_address& remote) const;
    std::uint32_t find_or_make(const ip_address& remote, instant now);
    std::uint32_t take_free();
    void erase(std::uint32_t at);
    void mark(std::uint32_t at, instant now);
    void unmark(std::uint32_t at);
    void check(entry& one, instant now);
    void forget(entry& one);
    void drop_mtu(std::uint16_t& mtu);
    std::uint64_t way_to(const ip_address& remote) const;
    unsigned erase_due(instant now, unsigned budget);
    unsigned shorten(unsigned budget);
    void end_sweep(instant now);
    host_cache_row row_of(const entry& one) const;
    entry* at_place(host_place at) const;

    const route_replica& routes_;
    host_cache_settings settings_;
    siphash_key key_;
    std::uint32_t mask_;
    zeroed<std::uint32_t> buckets_; // index + 1 of a chain's first entry; 0: none
    zeroed<entry> entries_;
    std::uint32_t high_water_ = 0;
    std::uint32_t free_ = none;
    std::uint32_t size_ = 0;
    std::uint32_t mtus_ = 0;     // path MTUs in the entries
    std::uint32_t first_ = none; // marked ones, the soonest first
    std::uint32_t last_ = none;
    std::uint32_t expiring_ = 0;
    std::uint32_t drain_left_ = 0;
    std::uint32_t shorten_at_ = none; // where the walk from the last one on is; none: no walk
    instant shorten_to_{};
    std::uint64_t expire_ns_;
    instant sweep_at_ = instant::never();
    instant adjusted_{};
    instant now_{};
    host_cache_counters counts_;
};

} // namespace pantala
