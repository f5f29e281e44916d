// Half-open passive connections (RFC 4987 section 3.3): what a SYN said, in a small record, until
// the handshake completes. A bucket holds a limited number, so that a flood reaches only its own
// buckets; the oldest of all gives way when the records run out. Retransmission of SYN-ACKs goes by
// FIFO lists, one for each retry: within a list all wait equally long.
#pragma once

#include "engine/base/clock.hpp"
#include "stack/tcp/tcp_table.hpp"
#include "stack/wire/flow.hpp"
#include "stack/wire/tcp.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace pantala::tcp {

inline constexpr unsigned syn_ack_retries_max = 3; // classic BSD: 1, 2, 4 s, then forgotten

struct syn_entry {
    flow_key key;
    tcp_seq iss;
    std::uint64_t hash = 0;
    tcp_seq irs;
    std::uint32_t ts_recent = 0;
    std::uint32_t listener = no_id;
    std::uint32_t deadline_ms = 0;
    std::uint32_t bucket_next = no_id;
    std::uint32_t previous = no_id; // in the list of its retry
    std::uint32_t next = no_id;
    std::uint32_t began_ms = 0;
    std::uint32_t asked_us = 0; // when the first SYN-ACK left: its ACK times the round trip
    std::uint16_t peer_mss = 0;
    std::uint16_t path_mtu = 0;
    std::uint8_t snd_wscale = 0;
    std::uint8_t retries = 0;
    bool window_scale = false;
    bool sack = false;
    bool timestamps = false;
    bool ecn = false;
};
static_assert(sizeof(syn_entry) <= 104);

class syn_cache {
  public:
    syn_cache(std::uint32_t entries, std::uint32_t bucket_limit);

    slab<syn_entry> entries;

    std::uint32_t find(std::uint64_t hash, const flow_key& key) const;
    // Is there room for this hash without dropping anyone?
    bool has_room(std::uint64_t hash) const;
    // Enters a filled record; the bucket's oldest, or the oldest of all, gives way (returned
    // through `dropped`, so that its listener can be told; the id is free again). no_id: no records
    // at all.
    std::uint32_t add(const syn_entry& entry, std::uint32_t interval_ms, syn_entry* dropped);
    void remove(std::uint32_t id);
    // To the next retry's list.
    void retry_later(std::uint32_t id, std::uint32_t deadline_ms);
    // The first whose time has come, or no_id.
    std::uint32_t due(std::uint32_t now_ms) const;
    std::uint32_t size() const { return entries.used(); }
    instant next_deadline(instant now) const;
    bool bucket_full(std::uint64_t hash) const;

  private:
    struct bucket {
        std::uint32_t head = no_id;
        std::uint32_t count = 0;
    };
    struct list {
        std::uint32_t head = no_id;
        std::uint32_t tail = no_id;
    };
    std::uint32_t oldest_of(const bucket& line) const;
    std::uint32_t oldest() const;
    void append(std::uint32_t id);
    void unlink(std::uint32_t id);
    bucket& bucket_of(std::uint64_t hash) { return buckets_[(hash >> 20) & mask_]; }
    const bucket& bucket_of(std::uint64_t hash) const { return buckets_[(hash >> 20) & mask_]; }

    std::uint32_t limit_;
    std::uint32_t mask_;
    std::vector<bucket> buckets_;
    std::array<list, syn_ack_retries_max + 1> by_retry_;
};

} // namespace pantala::tcp
