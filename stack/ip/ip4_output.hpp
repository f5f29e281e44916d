// IPv4 output: packets of our own.
#pragma once

#include "stack/ip/ip4_context.hpp"
#include "stack/wire/ipv4.hpp"

#include <cstdint>

namespace pantala {

enum class ip4_destination_kind : std::uint8_t { host, broadcast, multicast, nowhere };

// What kind of destination an address is by itself, in a routing table: `nowhere` is 0/8, 127/8 and
// 240/4.
ip4_destination_kind
ip4_kind_of(const link_table& links, wire::ipv4_address address, unsigned table);

// What the header of a packet of our own shall say.
struct ip4_packet {
    wire::ipv4_address destination;
    wire::ipv4_address source{}; // zero: the address of the interface it leaves by
    be32 fallback_source{};      // where that interface has none
    wire::ip_protocol protocol{};
    std::uint8_t type_of_service = 0;
    std::uint8_t time_to_live = 0; // 0: settings.time_to_live
    bool dont_fragment = false;
    std::uint8_t table = 0; // where the way is looked up
};

// A packet for our own use with room for all headers in front; nullptr: none left (counted).
rte_mbuf* ip4_allocate(ip4_context& context);

// Puts an IPv4 header in front of `payload` (data at the transport header, headroom for the rest)
// and sends it on its way: through the routing table, cut if it is larger than the way out. Takes
// the packet.
void ip4_output(ip4_context& context, rte_mbuf* payload, const ip4_packet& header);

// Sends finished packets of our own, data at the IPv4 header with its checksum filled in, through
// the main routing table. Those to addresses of our own come back: they go to context.local, for
// the next round. Takes all and empties the burst. Cost: packets that follow one another to one
// destination share the lookup.
void ip4_output_finished(ip4_context& context, mbuf_burst& packets);

// What the way to `destination` carries, in bytes of L3; 0: there is no way.
std::uint16_t ip4_path_mtu(const ip4_context& context, wire::ipv4_address destination);
// The address of ours to speak to `destination` with; zero: there is no way, or we have none.
wire::ipv4_address ip4_source_for(const ip4_context& context, wire::ipv4_address destination);

} // namespace pantala
