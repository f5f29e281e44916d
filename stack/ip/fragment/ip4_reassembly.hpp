// Reassembly of fragments for this host (RFC 791 3.2, RFC 815). Bounded in every direction; a
// datagram whose fragments overlap or contradict each other is given up as a whole, as RFC 5722 has
// it for IPv6 (an exact repetition of a fragment is only dropped). Owner: one worker.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/base/intrusive_list.hpp"
#include "engine/drop.hpp"
#include "engine/mbuf_burst.hpp"
#include "stack/wire/address.hpp"

#include <array>
#include <cstdint>
#include <memory>

namespace pantala {

inline constexpr unsigned reassembly_datagrams_max = 256;
inline constexpr unsigned reassembly_fragments_max = 64;      // of a datagram
inline constexpr unsigned reassembly_mbufs_max = 2048;        // held altogether
inline constexpr std::uint64_t reassembly_ns = 30 * ns_per_s; // RFC 1122 3.3.2 names 60 to 120 s

class ip4_reassembly {
  public:
    explicit ip4_reassembly(drop_sink& drops);
    ~ip4_reassembly();
    ip4_reassembly(const ip4_reassembly&) = delete;
    ip4_reassembly& operator=(const ip4_reassembly&) = delete;

    // Takes a fragment (data at its sound header, nothing behind the datagram). Returns the whole
    // packet when this was the last one missing: the first one's header, corrected, and all data;
    // else nullptr.
    rte_mbuf* add(rte_mbuf* fragment, instant now);

    // Gives up what has waited too long, at most `budget` datagrams. First fragments of these go to
    // `late`, for an ICMP error about them (RFC 792: only if the first one came), until it is full.
    void expire(instant now, unsigned budget, mbuf_burst& late);
    instant next_deadline() const;

    unsigned waiting() const { return waiting_; }
    unsigned mbufs() const { return mbufs_; }

  private:
    struct datagram_key {
        wire::ipv4_address source;
        wire::ipv4_address destination;
        be16 identification;
        std::uint8_t protocol = 0;
        bool operator==(const datagram_key&) const = default;
        std::uint32_t hash() const;
    };
    struct piece {
        std::uint32_t offset = 0;
        std::uint32_t end = 0;
        rte_mbuf* packet = nullptr;
    };
    struct datagram : list_hook<> {
        datagram_key key;
        datagram* hash_next = nullptr;
        instant started{};
        std::uint32_t received = 0; // bytes
        std::uint32_t total = 0;    // bytes; 0: the last fragment is not here yet
        std::uint16_t count = 0;
        std::array<piece, reassembly_fragments_max> pieces; // by offset
    };

    datagram* find(const datagram_key& key);
    datagram* begin(const datagram_key& key, instant now);
    void give_up(datagram& which, drop_reason reason, rte_mbuf* spared = nullptr);
    void end(datagram& which);
    static rte_mbuf* join(datagram& which);

    drop_sink& drops_;
    std::unique_ptr<datagram[]> datagrams_;
    std::array<datagram*, 256> buckets_{};
    intrusive_list<datagram> oldest_first_;
    datagram* free_ = nullptr;
    unsigned waiting_ = 0;
    unsigned mbufs_ = 0;
};

} // namespace pantala
