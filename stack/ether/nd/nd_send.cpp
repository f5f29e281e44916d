#include "stack/ether/nd/nd_send.hpp"

#include "stack/ether/addresses6.hpp"
#include "stack/ether/ether_output.hpp"
#include "stack/ether/packet_meta.hpp"
#include "stack/wire/checksum.hpp"

#include <array>
#include <cstring>

namespace pantala {
namespace {

// The packet, data at the IPv6 header; nullptr: no mbuf (counted).
rte_mbuf* build(nd_context& context, const nd_packet& message) {
    rte_mbuf* packet = rte_pktmbuf_alloc(context.worker.pool);
    if (packet == nullptr) {
        context.worker.drops.count(drop_reason::no_mbuf);
        return nullptr;
    }
    set_meta(*packet, {});
    const std::size_t length = wire::icmp6_header_bytes + message.content.size();
    char* at =
        rte_pktmbuf_append(packet, static_cast<std::uint16_t>(wire::ipv6_header_bytes + length));
    if (at == nullptr) {
        context.worker.drops.drop(packet, drop_reason::no_mbuf);
        return nullptr;
    }
    wire::ipv6_header ip;
    ip.version_class_flow = be32::from(6u << 28);
    ip.payload_length = be16::from(static_cast<std::uint16_t>(length));
    ip.next_header = static_cast<std::uint8_t>(wire::ip_protocol::icmpv6);
    ip.hop_limit = wire::nd_hop_limit;
    ip.source = message.source;
    ip.destination = message.destination;
    std::memcpy(at, &ip, sizeof ip);
    write_icmp6(at + sizeof ip, ip, message);
    return packet;
}

struct target_and_link {
    wire::ipv6_address target;
    wire::nd_link_address_option link;

    std::span<const std::uint8_t> bytes(bool with_link) const {
        return {
            reinterpret_cast<const std::uint8_t*>(this), with_link ? sizeof *this : sizeof target};
    }
};
static_assert(sizeof(target_and_link) == 24);

target_and_link
content_of(const iface& here, const wire::ipv6_address& target, wire::nd_option_type type) {
    target_and_link content;
    content.target = target;
    content.link.type = static_cast<std::uint8_t>(type);
    content.link.length = 1;
    content.link.address.bytes = here.mac;
    return content;
}

// What we speak with anyway, if it is of this link; else any address of the interface (RFC 4861
// 7.2.2), from which the answer finds back if one does. nullptr: it has none.
const iface_address6*
asking_address(const link_table& links, iface_id id, const wire::ipv6_address& target) {
    const auto source = select_source(links, id, target);
    const iface_address6* best = source ? find_address(links[id], *source) : nullptr;
    if (best != nullptr) {
        return best;
    }
    const auto rank = [&target](const iface_address6& mine) {
        return mine.on_link(target.bytes) ? 2 : mine.is_link_local() ? 1 : 0;
    };
    for (const iface_address6& mine : links[id].ip6()) {
        if (is_usable(mine) && (best == nullptr || rank(mine) > rank(*best))) {
            best = &mine;
        }
    }
    return best;
}

} // namespace

void write_icmp6(char* at, const wire::ipv6_header& ip, const nd_packet& message) {
    const std::size_t length = wire::icmp6_header_bytes + message.content.size();
    wire::icmp6_header icmp;
    icmp.type = static_cast<std::uint8_t>(message.type);
    icmp.rest = be32::from(message.rest);
    std::memcpy(at, &icmp, sizeof icmp);
    std::memcpy(at + sizeof icmp, message.content.data(), message.content.size());
    icmp.checksum = wire::checksum_of(
        wire::sum_pseudo_header(
            ip.source, ip.destination, wire::ip_protocol::icmpv6,
            static_cast<std::uint32_t>(length)) +
        wire::sum_bytes(at, length));
    std::memcpy(at, &icmp, sizeof icmp);
}

void nd_send(
    nd_context& context, iface_id id, const nd_packet& message, const wire::mac_address* to) {
    const iface& here = context.links[id];
    if (!here.present || !here.up) {
        return;
    }
    rte_mbuf* packet = build(context, message);
    if (packet == nullptr) {
        return;
    }
    const wire::mac_address group = wire::multicast_mac(message.destination);
    if (message.destination.is_multicast()) {
        to = &group;
    }
    if (to != nullptr) {
        if (!ether_prepend(here, *to, wire::ether_type::ipv6, *packet)) {
            return context.worker.drops.drop(packet, drop_reason::no_mbuf);
        }
        return ether_send_frame(context.worker.tx, here.port, packet);
    }
    const neighbor_key key = make_neighbor_key(id, message.destination);
    if (const adjacency* out = context.neighbors.resolved(key); out != nullptr) {
        return ether_send(context.worker.tx, *out, packet);
    }
    context.neighbors.wait(key, packet, false);
}

void nd_solicit(
    nd_context& context, iface_id id, const wire::ipv6_address& target,
    const wire::mac_address* known) {
    const iface_address6* mine = asking_address(context.links, id, target);
    if (mine == nullptr) {
        return;
    }
    const target_and_link content =
        content_of(context.links[id], target, wire::nd_option_type::source_link_address);
    nd_packet message;
    message.type = wire::icmp6_type::neighbor_solicitation;
    message.content = content.bytes(!address_on_trust(mine->flags)); // RFC 4429 3.2
    message.source = address_of(*mine);
    message.destination = known != nullptr ? target : wire::solicited_node(target);
    context.counters.solicitations_out.add(1);
    nd_send(context, id, message, known);
}

void nd_advertise(
    nd_context& context, iface_id id, const nd_answer& answer, const wire::mac_address* to) {
    const target_and_link content =
        content_of(context.links[id], answer.target, wire::nd_option_type::target_link_address);
    nd_packet message;
    message.type = wire::icmp6_type::neighbor_advertisement;
    message.rest = wire::nd_flag_router | (answer.solicited ? wire::nd_flag_solicited : 0) |
                   (answer.override_known ? wire::nd_flag_override : 0);
    message.content = content.bytes(true);
    message.source = answer.source.is_unspecified() ? answer.target : answer.source;
    message.destination = answer.destination;
    context.counters.advertisements_out.add(1);
    nd_send(context, id, message, to);
}

} // namespace pantala
