#include "stack/tcp/open/tcp_syn_cache.hpp"

#include "engine/base/serial.hpp"

#include <algorithm>
#include <bit>

namespace pantala::tcp {

syn_cache::syn_cache(std::uint32_t count, std::uint32_t bucket_limit)
    : entries(count), limit_(std::max(bucket_limit, 1U)),
      mask_(std::bit_ceil(std::max(count / std::max(bucket_limit / 2, 1U), 1U)) - 1),
      buckets_(std::size_t{mask_} + 1) {}

std::uint32_t syn_cache::find(std::uint64_t hash, const flow_key& key) const {
    std::uint32_t id = bucket_of(hash).head;
    while (id != no_id && !(entries[id].hash == hash && entries[id].key == key)) {
        id = entries[id].bucket_next;
    }
    return id;
}

bool syn_cache::bucket_full(std::uint64_t hash) const {
    return bucket_of(hash).count >= limit_;
}

bool syn_cache::has_room(std::uint64_t hash) const {
    return !bucket_full(hash) && entries.used() < entries.capacity();
}

// New entries go to the front: the oldest is the last.
std::uint32_t syn_cache::oldest_of(const bucket& line) const {
    std::uint32_t id = line.head;
    while (id != no_id && entries[id].bucket_next != no_id) {
        id = entries[id].bucket_next;
    }
    return id;
}

std::uint32_t syn_cache::oldest() const {
    std::uint32_t best = no_id;
    for (const list& order : by_retry_) {
        if (order.head != no_id &&
            (best == no_id || serial_less(entries[order.head].began_ms, entries[best].began_ms))) {
            best = order.head;
        }
    }
    return best;
}

std::uint32_t
syn_cache::add(const syn_entry& entry, std::uint32_t interval_ms, syn_entry* dropped) {
    const std::uint32_t victim = bucket_full(entry.hash) ? oldest_of(bucket_of(entry.hash))
                                 : entries.used() == entries.capacity() ? oldest()
                                                                        : no_id;
    if (victim != no_id) {
        *dropped = entries[victim];
        remove(victim);
    }
    const std::uint32_t id = entries.allocate();
    if (id == no_id) {
        return no_id;
    }
    entries[id] = entry;
    entries[id].deadline_ms = entry.began_ms + interval_ms;
    bucket& line = bucket_of(entry.hash);
    entries[id].bucket_next = line.head;
    line.head = id;
    ++line.count;
    append(id);
    return id;
}

void syn_cache::remove(std::uint32_t id) {
    unlink(id);
    bucket& line = bucket_of(entries[id].hash);
    std::uint32_t* link = &line.head;
    while (*link != id) {
        link = &entries[*link].bucket_next;
    }
    *link = entries[id].bucket_next;
    --line.count;
    entries.release(id);
}

void syn_cache::retry_later(std::uint32_t id, std::uint32_t deadline_ms) {
    unlink(id);
    ++entries[id].retries;
    entries[id].deadline_ms = deadline_ms;
    append(id);
}

std::uint32_t syn_cache::due(std::uint32_t now_ms) const {
    for (const list& order : by_retry_) {
        if (order.head != no_id && !serial_less(now_ms, entries[order.head].deadline_ms)) {
            return order.head;
        }
    }
    return no_id;
}

instant syn_cache::next_deadline(instant now) const {
    instant earliest = instant::never();
    for (const list& order : by_retry_) {
        if (order.head != no_id) {
            const std::uint32_t ahead =
                entries[order.head].deadline_ms - static_cast<std::uint32_t>(now.ms());
            const bool past = static_cast<std::int32_t>(ahead) <= 0;
            earliest = std::min(earliest, instant{(now.ms() + (past ? 0 : ahead)) * ns_per_ms});
        }
    }
    return earliest;
}

void syn_cache::append(std::uint32_t id) {
    list& order = by_retry_[entries[id].retries];
    entries[id].previous = order.tail;
    entries[id].next = no_id;
    (order.tail == no_id ? order.head : entries[order.tail].next) = id;
    order.tail = id;
}

void syn_cache::unlink(std::uint32_t id) {
    const syn_entry& entry = entries[id];
    list& order = by_retry_[entry.retries];
    (entry.previous == no_id ? order.head : entries[entry.previous].next) = entry.next;
    (entry.next == no_id ? order.tail : entries[entry.next].previous) = entry.previous;
}

} // namespace pantala::tcp
