// Half-open passive connections (RFC 4987 section 3.3): what a SYN said, in a small record, until
// the handshake completes. A bucket, a peer and a listener hold a limited number each, so that a
// flood reaches only its own; where there is no room the oldest of the same bucket, peer or
// listener gives way, and when the records run out the oldest of all. Retransmission of SYN-ACKs
// goes by FIFO lists, one for each retry, in the order in which the last SYN-ACKs left: within a
// list all wait equally long, however long that now is.
#pragma once

#include "engine/base/clock.hpp"
#include "stack/tcp/tcp_table.hpp"
#include "stack/wire/flow.hpp"
#include "stack/wire/tcp.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace pantala::tcp {

inline constexpr unsigned syn_ack_retries_max = 7;

// Neighbours in one of the lists that an entry stands in.
struct syn_link {
    std::uint32_t previous = no_id;
    std::uint32_t next = no_id;
};

struct syn_entry {
    flow_key key;
    tcp_seq iss;
    std::uint64_t hash = 0;
    tcp_seq irs;
    std::uint32_t ts_recent = 0;
    std::uint32_t listener = no_id;
    std::uint32_t account = 0;  // of its peer (tcp_memory.hpp)
    std::uint32_t asked_ms = 0; // the last SYN-ACK left
    std::uint32_t bucket_next = no_id;
    syn_link in_retry;
    syn_link in_peer;
    syn_link in_listener;
    std::uint32_t began_ms = 0;
    std::uint32_t challenged_ms = 0; // the last challenge ACK (tcp_answers.hpp)
    std::uint32_t asked_us = 0;      // when the first SYN-ACK left: its ACK times the round trip
    std::uint16_t peer_mss = 0;
    std::uint16_t path_mtu = 0;
    std::uint8_t snd_wscale = 0;
    std::uint8_t retries = 0;
    bool window_scale = false;
    bool sack = false;
    bool timestamps = false;
    bool ecn = false;
    bool fast_open = false; // the SYN-ACK gives a cookie (RFC 7413)
};
static_assert(sizeof(syn_entry) <= 128);

struct syn_cache_limits {
    std::uint32_t entries = 0; // in all
    std::uint32_t bucket = 1;
    std::uint32_t peer = 1;
    std::uint32_t listener = 1;
    std::uint32_t listeners = 0; // how many there may be
    std::uint32_t accounts = 0;  // of peers
};

// Why there is no room for an entry without dropping another.
enum class syn_full : std::uint8_t { no, bucket, peer, listener, cache };

class syn_cache {
  public:
    explicit syn_cache(const syn_cache_limits& limits);

    slab<syn_entry> entries;

    std::uint32_t find(std::uint64_t hash, const flow_key& key) const;
    // Reads its hash, account and listener.
    syn_full full_for(const syn_entry& entry) const;
    // Enters a filled record; where there is no room the oldest that stands in its way goes. no_id:
    // no records at all.
    std::uint32_t add(const syn_entry& entry);
    void remove(std::uint32_t id);
    // To the next retry's list.
    void retry_later(std::uint32_t id, std::uint32_t now_ms);
    // The first whose time has come, or no_id. `interval_ms`: after the first SYN-ACK, doubled with
    // each retry.
    std::uint32_t due(std::uint32_t now_ms, std::uint32_t interval_ms) const;
    // The oldest of a listener, or no_id.
    std::uint32_t oldest_of_listener(std::uint32_t listener) const {
        return by_listener_[listener].head;
    }
    std::uint32_t size() const { return entries.used(); }
    instant next_deadline(instant now, std::uint32_t interval_ms) const;

  private:
    struct bucket {
        std::uint32_t head = no_id;
        std::uint32_t count = 0;
    };
    struct list {
        std::uint32_t head = no_id; // the oldest
        std::uint32_t tail = no_id;
        std::uint32_t count = 0;
    };
    using link_of = syn_link syn_entry::*;

    std::uint32_t oldest_of(const bucket& line) const;
    std::uint32_t oldest() const;
    std::uint32_t victim_for(const syn_entry& entry) const;
    void append(list& order, link_of link, std::uint32_t id);
    void unlink(list& order, link_of link, std::uint32_t id);
    bucket& bucket_of(std::uint64_t hash) { return buckets_[(hash >> 20) & mask_]; }
    const bucket& bucket_of(std::uint64_t hash) const { return buckets_[(hash >> 20) & mask_]; }

    syn_cache_limits limits_;
    std::uint32_t mask_;
    std::vector<bucket> buckets_;
    std::array<list, syn_ack_retries_max + 1> by_retry_;
    std::vector<list> by_peer_;
    std::vector<list> by_listener_;
};

} // namespace pantala::tcp
