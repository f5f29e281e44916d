// IPv4 output: packets of our own.
#pragma once

#include "stack/ip/ip4_context.hpp"
#include "stack/wire/ipv4.hpp"

#include <cstdint>

namespace pantala {

enum class ip4_destination_kind : std::uint8_t { host, broadcast, multicast, nowhere };

// What kind of destination an address is by itself: `nowhere` is 0/8, 127/8 and 240/4.
ip4_destination_kind ip4_kind_of(const link_table& links, wire::ipv4_address address);

// What the header of a packet of our own shall say.
struct ip4_packet {
    wire::ipv4_address destination;
    wire::ipv4_address source{}; // zero: the address of the interface it leaves by
    be32 fallback_source{};      // where that interface has none
    wire::ip_protocol protocol{};
    std::uint8_t type_of_service = 0;
    std::uint8_t time_to_live = 0; // 0: settings.time_to_live
    bool dont_fragment = false;
    std::uint8_t table = 0; // routing table
};

// A packet for our own use with room for all headers in front; nullptr: none left (counted).
rte_mbuf* ip4_allocate(ip4_context& context);

// Puts an IPv4 header in front of `payload` (data at the transport header, headroom for the rest)
// and sends it on its way: through the routing table, cut if it is larger than the way out. Takes
// the packet.
void ip4_output(ip4_context& context, rte_mbuf* payload, const ip4_packet& header);

} // namespace pantala
