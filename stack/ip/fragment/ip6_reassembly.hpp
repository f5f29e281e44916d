// Reassembly of IPv6 fragments for this host (RFC 8200 4.5, RFC 5722, 6946). Owner: one worker.
#pragma once

#include "stack/ip/fragment/datagram_table.hpp"
#include "stack/wire/address.hpp"
#include "stack/wire/ip6/ip6_chain.hpp"

#include <cstdint>

namespace pantala {

inline constexpr std::uint64_t ip6_reassembly_ns = 60 * ns_per_s; // RFC 8200 4.5

// At most one of the two is a packet; both nullptr: pieces are missing, or it was dropped.
struct ip6_fragment_result {
    rte_mbuf* whole = nullptr;   // the first one's headers without the fragment header, all data
    rte_mbuf* refused = nullptr; // the fragment: no datagram has such a place in it
    std::uint16_t pointer = 0;   // refused: of the octet at fault
};

class ip6_reassembly {
  public:
    explicit ip6_reassembly(drop_sink& drops);

    // Takes a fragment: data at its sound header, nothing behind the packet, `chain` its walk,
    // which ended at the fragment header. One that is a whole packet by itself waits for nothing;
    // fragments of another routing table are another packet's.
    ip6_fragment_result
    add(rte_mbuf* fragment, const wire::ip6_chain& chain, std::uint8_t routing_table, instant now);

    // Gives up what has waited too long, at most `budget` packets. First fragments of these go to
    // `late`, for an ICMPv6 error about them (RFC 4443 3.3), until it is full.
    void expire(instant now, unsigned budget, mbuf_burst& late) {
        table_.expire(now, budget, late);
    }
    instant next_deadline() const { return table_.next_deadline(); }

    unsigned waiting() const { return table_.waiting(); }
    unsigned mbufs() const { return table_.mbufs(); }

  private:
    struct packet_key {
        wire::ipv6_address source;
        wire::ipv6_address destination;
        be32 identification;
        std::uint8_t routing_table = 0;
        bool operator==(const packet_key&) const = default;
        std::uint32_t hash() const;
    };
    using table = datagram_table<packet_key>;

    static rte_mbuf* join(table::datagram& which);

    drop_sink& drops_;
    table table_;
};

} // namespace pantala
