#include "stack/tcp/open/tcp_syn_cache.hpp"

#include "engine/base/serial.hpp"

#include <algorithm>
#include <bit>

namespace pantala::tcp {

syn_cache::syn_cache(const syn_cache_limits& limits)
    : entries(limits.entries), limits_(limits),
      mask_(std::bit_ceil(std::max(limits.entries / std::max(limits.bucket / 2, 1U), 1U)) - 1),
      buckets_(std::size_t{mask_} + 1), by_peer_(limits.accounts), by_listener_(limits.listeners) {
    limits_.bucket = std::max(limits.bucket, 1U);
    limits_.peer = std::max(limits.peer, 1U);
    limits_.listener = std::max(limits.listener, 1U);
}

std::uint32_t syn_cache::find(std::uint64_t hash, const flow_key& key) const {
    std::uint32_t id = bucket_of(hash).head;
    while (id != no_id && !(entries[id].hash == hash && entries[id].key == key)) {
        id = entries[id].bucket_next;
    }
    return id;
}

syn_full syn_cache::full_for(const syn_entry& entry) const {
    return bucket_of(entry.hash).count >= limits_.bucket            ? syn_full::bucket
           : by_peer_[entry.account].count >= limits_.peer          ? syn_full::peer
           : by_listener_[entry.listener].count >= limits_.listener ? syn_full::listener
           : entries.used() == entries.capacity()                   ? syn_full::cache
                                                                    : syn_full::no;
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

std::uint32_t syn_cache::victim_for(const syn_entry& entry) const {
    switch (full_for(entry)) {
    case syn_full::bucket:
        return oldest_of(bucket_of(entry.hash));
    case syn_full::peer:
        return by_peer_[entry.account].head;
    case syn_full::listener:
        return by_listener_[entry.listener].head;
    case syn_full::cache:
        return oldest();
    case syn_full::no:
        break;
    }
    return no_id;
}

std::uint32_t syn_cache::add(const syn_entry& entry) {
    // After the first victim another limit may still stand in the way: four at most.
    for (std::uint32_t victim = victim_for(entry); victim != no_id; victim = victim_for(entry)) {
        remove(victim);
    }
    const std::uint32_t id = entries.allocate();
    if (id == no_id) {
        return no_id;
    }
    entries[id] = entry;
    entries[id].asked_ms = entry.began_ms;
    bucket& line = bucket_of(entry.hash);
    entries[id].bucket_next = line.head;
    line.head = id;
    ++line.count;
    append(by_retry_[entry.retries], &syn_entry::in_retry, id);
    append(by_peer_[entry.account], &syn_entry::in_peer, id);
    append(by_listener_[entry.listener], &syn_entry::in_listener, id);
    return id;
}

void syn_cache::remove(std::uint32_t id) {
    const syn_entry& entry = entries[id];
    unlink(by_retry_[entry.retries], &syn_entry::in_retry, id);
    unlink(by_peer_[entry.account], &syn_entry::in_peer, id);
    unlink(by_listener_[entry.listener], &syn_entry::in_listener, id);
    bucket& line = bucket_of(entry.hash);
    std::uint32_t* at = &line.head;
    while (*at != id) {
        at = &entries[*at].bucket_next;
    }
    *at = entry.bucket_next;
    --line.count;
    entries.release(id);
}

void syn_cache::retry_later(std::uint32_t id, std::uint32_t now_ms) {
    unlink(by_retry_[entries[id].retries], &syn_entry::in_retry, id);
    ++entries[id].retries;
    entries[id].asked_ms = now_ms;
    append(by_retry_[entries[id].retries], &syn_entry::in_retry, id);
}

std::uint32_t syn_cache::due(std::uint32_t now_ms, std::uint32_t interval_ms) const {
    for (unsigned retries = 0; retries < by_retry_.size(); ++retries) {
        const std::uint32_t first = by_retry_[retries].head;
        if (first != no_id && now_ms - entries[first].asked_ms >= interval_ms << retries) {
            return first;
        }
    }
    return no_id;
}

instant syn_cache::next_deadline(instant now, std::uint32_t interval_ms) const {
    instant earliest = instant::never();
    for (unsigned retries = 0; retries < by_retry_.size(); ++retries) {
        if (const std::uint32_t first = by_retry_[retries].head; first != no_id) {
            const std::uint32_t waited =
                static_cast<std::uint32_t>(now.ms()) - entries[first].asked_ms;
            const std::uint32_t whole = interval_ms << retries;
            const std::uint32_t ahead = whole - std::min(waited, whole);
            earliest = std::min(earliest, instant{(now.ms() + ahead) * ns_per_ms});
        }
    }
    return earliest;
}

void syn_cache::append(list& order, link_of link, std::uint32_t id) {
    entries[id].*link = {order.tail, no_id};
    (order.tail == no_id ? order.head : (entries[order.tail].*link).next) = id;
    order.tail = id;
    ++order.count;
}

void syn_cache::unlink(list& order, link_of link, std::uint32_t id) {
    const syn_link at = entries[id].*link;
    (at.previous == no_id ? order.head : (entries[at.previous].*link).next) = at.next;
    (at.next == no_id ? order.tail : (entries[at.next].*link).previous) = at.previous;
    --order.count;
}

} // namespace pantala::tcp
