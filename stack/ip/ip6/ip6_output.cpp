#include "stack/ip/ip6/ip6_output.hpp"

#include "stack/ether/addresses6.hpp"
#include "stack/ether/ether_output.hpp"
#include "stack/ip/fragment/ip6_fragment.hpp"
#include "stack/ip/ip6/ip6_flow_hash.hpp"
#include "stack/ip/ip6/ip6_forward.hpp"
#include "stack/ip/packet_sum.hpp"
#include "stack/wire/checksum.hpp"
#include "stack/wire/icmp6.hpp"
#include "stack/wire/ipv6.hpp"

#include <cstring>

namespace pantala {
namespace {

bool can_send(adjacency_kind kind) {
    return kind == adjacency_kind::forward || kind == adjacency_kind::resolve ||
           kind == adjacency_kind::connected;
}

void fill_icmp_checksum(rte_mbuf& packet, const wire::ipv6_header& ip) {
    constexpr std::size_t at = wire::ipv6_header_bytes + offsetof(wire::icmp6_header, checksum);
    auto* place = rte_pktmbuf_mtod_offset(&packet, std::uint8_t*, at);
    const std::uint32_t length = packet.pkt_len - wire::ipv6_header_bytes;
    be16 sum{};
    std::memcpy(place, &sum, sizeof sum);
    sum = wire::checksum_of(
        wire::sum_pseudo_header(ip.source, ip.destination, wire::ip_protocol::icmpv6, length) +
        sum_packet(packet, wire::ipv6_header_bytes, length));
    std::memcpy(place, &sum, sizeof sum);
}

} // namespace

rte_mbuf* ip6_allocate(ip6_context& context) {
    rte_mbuf* packet = rte_pktmbuf_alloc(context.worker.pool);
    if (packet == nullptr) {
        context.worker.drops.count(drop_reason::no_mbuf);
        return nullptr;
    }
    packet->vlan_tci_outer = 0;
    return packet;
}

adjacency ip6_way(
    const ip6_context& context, const wire::ipv6_address& destination, iface_id link,
    std::uint8_t table, std::uint32_t flow_hash) {
    const iface& here = context.links[link];
    if (destination.is_multicast()) {
        return make_adjacency(here, link, wire::multicast_mac(destination));
    }
    if (destination.is_link_local()) {
        adjacency way = make_adjacency(here, link, {});
        way.kind = way.kind == adjacency_kind::forward ? adjacency_kind::connected : way.kind;
        return way;
    }
    const adjacency* via = &context.next[context.routes.lookup6(table, halves_of(destination))];
    if (via->kind == adjacency_kind::group) {
        via = &context.next[context.routes.bucket(
            group_bucket(via->group_first, via->group_count, flow_hash))];
    }
    return *via;
}

void ip6_output(ip6_context& context, rte_mbuf* payload, const ip6_packet& header) {
    const std::uint32_t length = payload->pkt_len;
    char* at = rte_pktmbuf_prepend(payload, wire::ipv6_header_bytes);
    if (at == nullptr || length > 0xffff) {
        return context.worker.drops.drop(payload, drop_reason::no_mbuf);
    }
    wire::ipv6_header ip;
    ip.version_class_flow = be32::from(6u << 28 | std::uint32_t{header.traffic_class} << 20);
    ip.payload_length = be16::from(static_cast<std::uint16_t>(length));
    ip.next_header = static_cast<std::uint8_t>(header.protocol);
    ip.hop_limit = header.hop_limit != 0 ? header.hop_limit : context.settings.hop_limit;
    ip.source = header.source;
    ip.destination = header.destination;
    std::memcpy(at, &ip, sizeof ip); // the flow hash reads it
    const std::uint32_t hash = ip6_flow_hash(
        reinterpret_cast<const std::uint8_t*>(at), payload->data_len, context.settings.flow_seed);
    const adjacency via = ip6_way(context, header.destination, header.link, header.table, hash);
    if (!can_send(via.kind)) {
        return context.worker.drops.drop(payload, drop_reason::ip6_no_route);
    }
    if (ip.source.is_unspecified()) {
        const auto source = select_source(context.links, via.iface, header.destination);
        if (!source) {
            return context.worker.drops.drop(payload, drop_reason::ip6_no_source);
        }
        ip.source = *source;
    }
    std::memcpy(at, &ip, sizeof ip);
    if (header.fill_icmp_checksum) {
        fill_icmp_checksum(*payload, ip);
    }
    context.counters.originated.add(1);
    if (payload->pkt_len > via.mtu) {
        return ip6_fragment(context, via, payload);
    }
    ip6_send(context, via, payload);
}

} // namespace pantala
