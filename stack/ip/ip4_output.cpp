#include "stack/ip/ip4_output.hpp"

#include "stack/ether/ether_output.hpp"
#include "stack/ether/packet_meta.hpp"
#include "stack/ip/ip4_forward.hpp"
#include "stack/ip/ip4_input.hpp"
#include "stack/wire/checksum.hpp"

#include <algorithm>
#include <cstring>

namespace pantala {
namespace {

bool can_send(adjacency_kind kind) {
    return kind == adjacency_kind::forward || kind == adjacency_kind::resolve ||
           kind == adjacency_kind::connected;
}

// The way of a finished packet. A group's member depends on the flow, all else on the destination.
const adjacency& way_of(const ip4_context& context, const rte_mbuf& packet, be32 destination) {
    const nexthop_id hop = context.routes.lookup4(0, destination.host());
    return ip4_select(
        context, hop, rte_pktmbuf_mtod(&packet, const std::uint8_t*), packet.data_len);
}

// To ourselves: as if it had come in by the interface that has the address.
void send_back(ip4_context& context, rte_mbuf* packet, be32 destination) {
    if (context.local.full()) {
        return context.worker.drops.drop(packet, drop_reason::ip4_loop_full);
    }
    set_meta(*packet, {context.links.owner_of(destination, 0).value_or(iface_id{}), false});
    // Checksums left to a device are nobody's business here.
    packet->ol_flags = (packet->ol_flags & RTE_MBUF_F_TX_L4_MASK) != 0
                           ? RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD
                           : 0;
    context.local.push(packet);
}

void send_finished(ip4_context& context, const adjacency& via, rte_mbuf* packet, be32 destination) {
    if (via.kind == adjacency_kind::local) {
        return send_back(context, packet, destination);
    }
    if (!can_send(via.kind)) {
        return context.worker.drops.drop(packet, drop_reason::ip4_no_route);
    }
    context.counters.originated.add(1);
    packet->vlan_tci_outer = 0;
    packet->l2_len = via.rewrite_length; // what a device that fills checksums wants to know
    ip4_send(context, via, packet);
}

} // namespace

ip4_destination_kind
ip4_kind_of(const link_table& links, wire::ipv4_address address, unsigned table) {
    if (address.is_multicast()) {
        return ip4_destination_kind::multicast;
    }
    if (address.is_limited_broadcast() || links.is_broadcast(address.value, table)) {
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
    if (!can_send(via.kind)) {
        return context.worker.drops.drop(payload, drop_reason::ip4_no_route);
    }
    if (ip.source.is_zero()) {
        ip.source.value = context.links.source_for(via.iface, header.destination.value);
        if (context.links[via.iface].ip4().empty()) {
            ip.source.value = header.fallback_source;
        }
    }
    if (!header.dont_fragment) { // else it means nothing (RFC 6864 4.1)
        ip.identification =
            context.ids.next(ip.source, ip.destination, header.protocol, context.worker.random);
    }
    ip.checksum = wire::checksum_of(wire::sum_ipv4_header20(&ip));
    std::memcpy(at, &ip, sizeof ip);
    context.counters.originated.add(1);
    ip4_send(context, via, payload);
}

void ip4_output_finished(ip4_context& context, mbuf_burst& packets) {
    const adjacency* via = nullptr; // of `known`
    be32 known{};
    for (rte_mbuf* packet : packets) {
        be32 destination;
        std::memcpy(
            &destination, rte_pktmbuf_mtod_offset(packet, const std::uint8_t*, 16),
            sizeof destination);
        if (via == nullptr || destination != known) {
            const nexthop_id hop = context.routes.lookup4(0, destination.host());
            const bool grouped = context.next[hop].kind == adjacency_kind::group;
            const adjacency& way = way_of(context, *packet, destination);
            const adjacency* resolved = &way;
            if (way.kind == adjacency_kind::connected) {
                const neighbor_key key = make_neighbor_key(way.iface, destination);
                const adjacency* direct = context.neighbors.resolved(key);
                resolved = direct != nullptr && direct->mtu <= way.mtu ? direct : &way;
            }
            send_finished(context, *resolved, packet, destination);
            via = grouped || resolved->kind != adjacency_kind::forward ? nullptr : resolved;
            known = destination;
            continue;
        }
        send_finished(context, *via, packet, destination);
    }
    packets.clear();
}

std::uint16_t ip4_path_mtu(const ip4_context& context, wire::ipv4_address destination) {
    const adjacency* via = &context.next[context.routes.lookup4(0, destination.host())];
    if (via->kind == adjacency_kind::group) {
        std::uint16_t least = 0xffff;
        for (unsigned i = 0; i < via->group_count; ++i) {
            const adjacency& member = context.next[context.routes.bucket(via->group_first + i)];
            least = can_send(member.kind) ? std::min(least, member.mtu) : least;
        }
        return least == 0xffff ? std::uint16_t{0} : least;
    }
    if (via->kind == adjacency_kind::local) {
        return 0xffff;
    }
    return can_send(via->kind) ? via->mtu : std::uint16_t{0};
}

wire::ipv4_address ip4_source_for(const ip4_context& context, wire::ipv4_address destination) {
    const adjacency* via = &context.next[context.routes.lookup4(0, destination.host())];
    if (via->kind == adjacency_kind::group) {
        via = &context.next[context.routes.bucket(via->group_first)];
    }
    if (via->kind == adjacency_kind::local) {
        return destination;
    }
    return can_send(via->kind)
               ? wire::ipv4_address{context.links.source_for(via->iface, destination.value)}
               : wire::ipv4_address{};
}

} // namespace pantala
