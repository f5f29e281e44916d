#include "stack/ip/icmp/icmp6_redirect.hpp"

#include "stack/ether/addresses6.hpp"
#include "stack/ether/packet_meta.hpp"
#include "stack/ip/ip6/ip6_forward.hpp"
#include "stack/ip/ip6/ip6_output.hpp"
#include "stack/wire/ethernet.hpp"
#include "stack/wire/icmp6.hpp"
#include "stack/wire/ipv6.hpp"

#include <algorithm>
#include <cstring>

namespace pantala {
namespace {

// What the source should send to instead; unspecified: nothing that it may be told.
wire::ipv6_address better_hop(
    const ip6_context& context, iface_id out, const std::uint8_t* header, std::uint32_t bytes,
    const wire::ipv6_address& destination) {
    const nexthop_id hop = context.routes.lookup6(context.links[out].table, halves_of(destination));
    const adjacency& via = ip6_select(context, hop, header, bytes);
    if (via.kind == adjacency_kind::connected) {
        return destination;
    }
    wire::ipv6_address gateway;
    gateway.bytes = via.gateway6;
    return gateway.is_link_local() ? gateway : wire::ipv6_address{};
}

// The link address of the target, if it is known, then as much of the packet as fits.
bool append_options(
    ip6_context& context, rte_mbuf& message, iface_id out, const wire::ipv6_address& target,
    std::span<const std::uint8_t> packet) {
    const adjacency* way = context.neighbors.resolved(make_neighbor_key(out, target));
    if (way != nullptr) {
        wire::nd_link_address_option link;
        link.type = static_cast<std::uint8_t>(wire::nd_option_type::target_link_address);
        link.length = 1;
        std::memcpy(link.address.bytes.data(), way->rewrite.data(), link.address.bytes.size());
        char* at = rte_pktmbuf_append(&message, sizeof link);
        if (at == nullptr) {
            return false;
        }
        std::memcpy(at, &link, sizeof link);
    }
    constexpr std::size_t head = 8; // of a redirected header option
    const std::size_t room =
        wire::ipv6_minimum_mtu_bytes - wire::ipv6_header_bytes - message.pkt_len - head;
    const std::size_t quote = std::min(packet.size(), room) & ~std::size_t{7};
    char* at = rte_pktmbuf_append(&message, static_cast<std::uint16_t>(head + quote));
    if (at == nullptr) {
        return false;
    }
    std::memset(at, 0, head);
    at[0] = static_cast<char>(wire::nd_option_type::redirected_header);
    at[1] = static_cast<char>((head + quote) / 8);
    std::memcpy(at + head, packet.data(), quote);
    return true;
}

void redirect(
    ip6_context& context, iface_id out, const wire::ipv6_header& ip,
    const wire::ipv6_address& target, std::span<const std::uint8_t> packet) {
    const auto source =
        select_source(context.links, out, target.is_link_local() ? target : wire::ipv6_all_nodes);
    if (!source || !source->is_link_local()) {
        return; // hosts believe link-local routers only
    }
    rte_mbuf* message = ip6_allocate(context);
    if (message == nullptr) {
        return;
    }
    wire::nd_redirect fixed;
    fixed.icmp.type = static_cast<std::uint8_t>(wire::icmp6_type::redirect);
    fixed.target = target;
    fixed.destination = ip.destination;
    char* at = rte_pktmbuf_append(message, sizeof fixed);
    if (at == nullptr) {
        return context.worker.drops.drop(message, drop_reason::no_mbuf);
    }
    std::memcpy(at, &fixed, sizeof fixed);
    if (!append_options(context, *message, out, target, packet)) {
        return context.worker.drops.drop(message, drop_reason::no_mbuf);
    }
    ip6_packet header;
    header.destination = ip.source;
    header.source = *source;
    header.link = out;
    header.protocol = wire::ip_protocol::icmpv6;
    header.hop_limit = wire::nd_hop_limit;
    header.table = context.links[out].table;
    header.fill_icmp_checksum = true;
    context.counters.redirects_sent.add(1);
    ip6_output(context, message, header);
}

} // namespace

void icmp6_redirect_frames(ip6_context& context, std::span<rte_mbuf* const> frames, iface_id out) {
    const iface& link = context.links[out];
    const std::uint16_t link_bytes = link.vlan == vlan_none
                                         ? wire::ethernet_header_bytes
                                         : wire::ethernet_header_bytes + sizeof(wire::vlan_tag);
    for (const rte_mbuf* frame : frames) {
        if (meta_of(*frame).iface != out || context.redirect_budget.empty(context.now)) {
            continue;
        }
        const auto* header = rte_pktmbuf_mtod_offset(frame, const std::uint8_t*, link_bytes);
        const std::uint32_t bytes = frame->data_len - std::uint32_t{link_bytes};
        wire::ipv6_header ip;
        std::memcpy(&ip, header, sizeof ip);
        const wire::ipv6_address target = better_hop(context, out, header, bytes, ip.destination);
        if (target.is_unspecified() || !is_on_link(link, ip.source) || target == ip.source ||
            !context.redirect_budget.take(context.now)) {
            continue;
        }
        redirect(context, out, ip, target, {header, bytes});
    }
}

} // namespace pantala
