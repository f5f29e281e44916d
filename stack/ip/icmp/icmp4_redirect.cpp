#include "stack/ip/icmp/icmp4_redirect.hpp"

#include "stack/ether/packet_meta.hpp"
#include "stack/ip/icmp/icmp4_error.hpp"
#include "stack/ip/ip4_forward.hpp"
#include "stack/wire/ethernet.hpp"
#include "stack/wire/ipv4.hpp"

#include <cstring>

namespace pantala {
namespace {

// The gateway of a frame as forwarding chose it; zero: there is none.
be32 gateway_of(
    const ip4_context& context, iface_id in, const std::uint8_t* header, std::uint32_t bytes) {
    wire::ipv4_header ip;
    std::memcpy(&ip, header, sizeof ip);
    const std::uint8_t table = context.links[in].table;
    const nexthop_id hop = context.routes.lookup4(table, ip.destination.host());
    const adjacency& via = ip4_select(context, hop, header, bytes);
    return via.kind == adjacency_kind::connected ? ip.destination.value : via.gateway4;
}

} // namespace

void icmp4_redirect(ip4_context& context, const rte_mbuf& packet, iface_id out, be32 gateway) {
    if (!context.settings.send_redirects || meta_of(packet).iface != out) {
        return;
    }
    wire::ipv4_header ip;
    std::memcpy(&ip, rte_pktmbuf_mtod(&packet, const void*), sizeof ip);
    const iface& link = context.links[out];
    const iface_address4* subnet = link.on_link(ip.source.value);
    if (subnet == nullptr || subnet != link.on_link(gateway) || gateway == ip.source.value ||
        !context.redirect_budget.take(context.now)) {
        return;
    }
    icmp4_redirect_host(context, packet, gateway);
}

void icmp4_redirect_frames(ip4_context& context, std::span<rte_mbuf* const> frames, iface_id out) {
    if (!context.settings.send_redirects) {
        return;
    }
    const std::uint16_t link_bytes = context.links[out].vlan == vlan_none
                                         ? wire::ethernet_header_bytes
                                         : wire::ethernet_header_bytes + sizeof(wire::vlan_tag);
    for (rte_mbuf* frame : frames) {
        if (meta_of(*frame).iface != out || context.redirect_budget.empty(context.now)) {
            continue;
        }
        const auto* header = reinterpret_cast<const std::uint8_t*>(
            rte_pktmbuf_adj(frame, link_bytes)); // and back below
        icmp4_redirect(context, *frame, out, gateway_of(context, out, header, frame->data_len));
        rte_pktmbuf_prepend(frame, link_bytes);
    }
}

} // namespace pantala
