// Reassembly of IPv4 fragments for this host (RFC 791 3.2, RFC 815). Owner: one worker.
#pragma once

#include "stack/ip/fragment/datagram_table.hpp"
#include "stack/wire/address.hpp"

#include <cstdint>

namespace pantala {

inline constexpr std::uint64_t reassembly_ns = 30 * ns_per_s; // RFC 1122 3.3.2 names 60 to 120 s

class ip4_reassembly {
  public:
    explicit ip4_reassembly(drop_sink& drops);

    // Takes a fragment (data at its sound header, nothing behind the datagram). Returns the whole
    // packet when this was the last one missing: the first one's header, corrected, and all data;
    // else nullptr. Fragments of another routing table are another packet's.
    rte_mbuf* add(rte_mbuf* fragment, std::uint8_t routing_table, instant now);

    // Gives up what has waited too long, at most `budget` datagrams. First fragments of these go to
    // `late`, for an ICMP error about them (RFC 792: only if the first one came), until it is full.
    void expire(instant now, unsigned budget, mbuf_burst& late) {
        table_.expire(now, budget, late);
    }
    instant next_deadline() const { return table_.next_deadline(); }

    unsigned waiting() const { return table_.waiting(); }
    unsigned mbufs() const { return table_.mbufs(); }

  private:
    struct datagram_key {
        wire::ipv4_address source;
        wire::ipv4_address destination;
        be16 identification;
        std::uint8_t protocol = 0;
        std::uint8_t routing_table = 0;
        bool operator==(const datagram_key&) const = default;
        std::uint32_t hash() const;
    };
    using table = datagram_table<datagram_key>;

    static rte_mbuf* join(table::datagram& which);

    drop_sink& drops_;
    table table_;
};

} // namespace pantala
