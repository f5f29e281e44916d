#include "stack/ip/ip4_output.hpp"

#include "stack/ip/ip4_forward.hpp"
#include "stack/ip/ip4_input.hpp"
#include "stack/wire/checksum.hpp"

#include <cstring>

namespace pantala {

ip4_destination_kind ip4_kind_of(const link_table& links, wire::ipv4_address address) {
    if (address.is_multicast()) {
        return ip4_destination_kind::multicast;
    }
    if (address.is_limited_broadcast() || links.is_broadcast(address.value)) {
        return ip4_destination_kind::broadcast;
    }
    return ip4_routable(address.host()) ? ip4_destination_kind::host
                                        : ip4_destination_kind::nowhere;
}

rte_mbuf* ip4_allocate(ip4_context& context) {
    rte_mbuf* packet = rte_pktmbuf_alloc(context.worker.pool);
    if (packet == nullptr) {
        context.worker.drops.count(drop_reason::no_mbuf);
        return nullptr;
    }
    packet->vlan_tci_outer = 0;
    return packet;
}

void ip4_output(ip4_context& context, rte_mbuf* payload, const ip4_packet& header) {
    char* at = rte_pktmbuf_prepend(payload, wire::ipv4_header_min_bytes);
    if (at == nullptr) {
        return context.worker.drops.drop(payload, drop_reason::no_mbuf);
    }
    wire::ipv4_header ip;
    ip.version_ihl = 0x45;
    ip.type_of_service = header.type_of_service;
    ip.total_length = be16::from(static_cast<std::uint16_t>(payload->pkt_len));
    ip.identification = be16::from(context.next_identification++);
    ip.flags_offset =
        be16::from(header.dont_fragment ? wire::ipv4_header::dont_fragment : std::uint16_t{0});
    ip.time_to_live =
        header.time_to_live != 0 ? header.time_to_live : context.settings.time_to_live;
    ip.protocol = static_cast<std::uint8_t>(header.protocol);
    ip.source = header.source;
    ip.destination = header.destination;
    std::memcpy(at, &ip, sizeof ip); // the flow hash reads it
    const nexthop_id hop = context.routes.lookup4(header.table, header.destination.host());
    const adjacency& via =
        ip4_select(context, hop, reinterpret_cast<const std::uint8_t*>(at), payload->data_len);
    const bool sendable = via.kind == adjacency_kind::forward ||
                          via.kind == adjacency_kind::resolve ||
                          via.kind == adjacency_kind::connected;
    if (!sendable) {
        return context.worker.drops.drop(payload, drop_reason::ip4_no_route);
    }
    if (ip.source.is_zero()) {
        ip.source.value = context.links.source_for(via.iface, header.destination.value);
        if (context.links[via.iface].ip4().empty()) {
            ip.source.value = header.fallback_source;
        }
    }
    ip.checksum = wire::checksum_of(wire::sum_ipv4_header20(&ip));
    std::memcpy(at, &ip, sizeof ip);
    context.counters.originated.add(1);
    ip4_send(context, via, payload);
}

} // namespace pantala
