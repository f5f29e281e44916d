#include "stack/ip/ip6/ip6_single.hpp"

#include "stack/ether/addresses6.hpp"
#include "stack/ether/packet_meta.hpp"
#include "stack/ip/icmp/icmp6_error.hpp"
#include "stack/ip/ip4_input.hpp" // ip4_trim
#include "stack/ip/ip6/ip6_forward.hpp"
#include "stack/ip/ip6/ip6_input.hpp"
#include "stack/ip/ip6/ip6_local.hpp"
#include "stack/wire/ip6/ip6_chain.hpp"
#include "stack/wire/ipv6.hpp"

#include <cstring>

namespace pantala {
namespace {

constexpr std::uint32_t hop_by_hop_bytes_max = wire::ipv6_header_bytes + 256;

// A packet to an address whose scope is the link: for us or for nobody (RFC 4291 2.5.6).
void to_link_local(ip6_context& context, rte_mbuf* packet, const wire::ipv6_header& ip) {
    const iface& here = context.links[meta_of(*packet).iface];
    const iface_address6* mine = find_address(here, ip.destination);
    if (mine != nullptr && is_usable(*mine)) {
        return context.local.push(packet);
    }
    context.worker.drops.drop(packet, drop_reason::ip6_scope);
}

// A sound packet, data at its header, by the kinds of its addresses.
void sort(ip6_context& context, rte_mbuf* packet, const wire::ipv6_header& ip) {
    const iface& here = context.links[meta_of(*packet).iface];
    if (ip.destination.is_multicast()) {
        if (has_joined(here, ip.destination)) {
            return context.local.push(packet);
        }
        return context.worker.drops.drop(packet, drop_reason::ip6_multicast);
    }
    if (ip.destination.is_link_local()) {
        return to_link_local(context, packet, ip);
    }
    const nexthop_id hop = context.routes.lookup6(here.table, halves_of(ip.destination));
    const adjacency_kind kind = context.next[hop].kind;
    if (ip.source.is_link_local() && kind != adjacency_kind::local) {
        // RFC 4291 2.5.6, RFC 4443 3.1 code 2. (On the same link it would not have come to us.)
        icmp6_unreachable(context, *packet, wire::icmp6_unreachable::beyond_scope);
        return context.worker.drops.drop(packet, drop_reason::ip6_scope);
    }
    ip6_forward_one(context, packet, hop);
}

// The hop-by-hop options, which every router reads here (RFC 8200 4.3). False: the packet is gone.
bool judge_hop_by_hop(ip6_context& context, rte_mbuf* packet) {
    ip6_gather(*packet, hop_by_hop_bytes_max);
    const std::span<const std::uint8_t> bytes(
        rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len);
    const wire::ip6_chain chain = wire::ip6_walk_hop_by_hop(bytes);
    if (chain.fault == wire::ip6_fault::none) {
        return true;
    }
    ip6_refuse_chain(context, packet, chain);
    return false;
}

void input_one(ip6_context& context, rte_mbuf* packet, std::uint8_t* header, std::uint32_t bytes) {
    wire::ipv6_header ip;
    std::memcpy(&ip, header, sizeof ip);
    const drop_reason verdict = ip6_check(ip, bytes);
    if (verdict != drop_reason::none) {
        return context.worker.drops.drop(packet, verdict);
    }
    rte_pktmbuf_adj(
        packet, static_cast<std::uint16_t>(header - rte_pktmbuf_mtod(packet, std::uint8_t*)));
    ip4_trim(*packet, wire::ipv6_header_bytes + ip.payload_length.host());
    if (ip.next_header == static_cast<std::uint8_t>(wire::ip_protocol::hop_by_hop) &&
        !judge_hop_by_hop(context, packet)) {
        return;
    }
    sort(context, packet, ip);
}

} // namespace

void ip6_single(ip6_context& context, l3_burst& packets) {
    for (unsigned i = 0; i < packets.count; ++i) {
        input_one(context, packets.packets[i], packets.header[i], packets.bytes[i]);
    }
    packets.clear();
}

} // namespace pantala
