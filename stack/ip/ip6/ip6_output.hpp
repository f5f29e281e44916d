// IPv6 output: packets of our own.
#pragma once

#include "stack/ip/ip6/ip6_context.hpp"
#include "stack/wire/ipv4.hpp" // ip_protocol

#include <cstdint>
#include <optional>

namespace pantala {

// What the header of a packet of our own shall say.
struct ip6_packet {
    wire::ipv6_address destination;
    wire::ipv6_address source{}; // unspecified: chosen by RFC 6724
    iface_id link{};             // where a link-local or group destination lies
    wire::ip_protocol protocol{};
    std::uint8_t traffic_class = 0;
    std::uint8_t hop_limit = 0; // 0: what routers of the link say, else settings.hop_limit
    std::uint8_t table = 0;     // routing table
    // ICMPv6: its checksum covers the addresses, so it is filled in here.
    bool fill_icmp_checksum = false;
};

// A packet for our own use with room for all headers in front; nullptr: none left (counted).
rte_mbuf* ip6_allocate(ip6_context& context);

// Puts an IPv6 header in front of `payload` (data at the transport header, headroom for the rest)
// and sends it on its way: through the routing table, cut if it is larger than the way out or than
// what the host cache knows of the path. Takes the packet.
void ip6_output(ip6_context& context, rte_mbuf* payload, const ip6_packet& header);

// Where a packet of our own to `destination` goes: by the routing table, or to the link itself for
// what has no meaning beyond. Of kind none: nowhere.
adjacency ip6_way(
    const ip6_context& context, const wire::ipv6_address& destination, iface_id link,
    std::uint8_t table, std::uint32_t flow_hash);

// Sends finished packets of our own, data at the IPv6 header, without extension headers, through
// the main routing table; what is larger than the path carries is cut. A hop limit of 0, and TCP's
// usual one, becomes what routers of the link say, else settings.hop_limit. A link-local
// destination is on the link that has the source address. Those to addresses of our own come back:
// they go to context.local, for the next round. Takes all and empties the burst. Cost: packets that
// follow one another between the same addresses share the lookup.
void ip6_output_finished(ip6_context& context, mbuf_burst& packets);

// What the way to `destination` carries, in bytes of L3; 0: there is no way.
std::uint16_t ip6_path_mtu(const ip6_context& context, const wire::ipv6_address& destination);
// The address of ours to speak to `destination` with; nothing: there is no way, or we have none. A
// link-local destination has a way if one interface alone is up: nothing says on which it is.
std::optional<wire::ipv6_address>
ip6_source_for(const ip6_context& context, const wire::ipv6_address& destination);

} // namespace pantala
