#include "stack/ip/icmp/icmp6_input.hpp"

#include "stack/ether/packet_meta.hpp"
#include "stack/ip/ip6/ip6_output.hpp"
#include "stack/ip/packet_sum.hpp"
#include "stack/wire/checksum.hpp"
#include "stack/wire/icmp6.hpp"
#include "stack/wire/ipv6.hpp"

#include <cstring>

namespace pantala {
namespace {

void answer_echo(
    ip6_context& context, rte_mbuf* packet, const wire::ipv6_header& ip, wire::icmp6_header icmp) {
    if (meta_of(*packet).link_group || ip.destination.is_multicast() ||
        ip.source.is_unspecified()) {
        // RFC 4443 4.2 leaves it open; an amplifier is nobody's friend.
        return context.worker.drops.drop(packet, drop_reason::icmp6_multicast);
    }
    if (!context.echo_budget.take(context.now)) {
        return context.worker.drops.drop(packet, drop_reason::icmp6_rate);
    }
    icmp.type = static_cast<std::uint8_t>(wire::icmp6_type::echo_reply);
    auto* at = rte_pktmbuf_adj(packet, static_cast<std::uint16_t>(packet->l3_len));
    std::memcpy(at, &icmp, sizeof icmp);
    ip6_packet header;
    header.destination = ip.source;
    header.source = ip.destination;
    header.link = meta_of(*packet).iface;
    header.protocol = wire::ip_protocol::icmpv6;
    header.traffic_class = ip.traffic_class();
    header.table = context.links[header.link].table;
    header.fill_icmp_checksum = true;
    context.counters.echo_replies.add(1);
    if (header.table == 0) { // errors of others are not believed (stack::deliver)
        context.echoes.sent(
            {header.source, header.destination, icmp.rest},
            packet->pkt_len + std::uint32_t{wire::ipv6_header_bytes}, context.now);
    }
    ip6_output(context, packet, header);
}

bool is_discovery(const wire::icmp6_header& icmp) {
    return icmp.kind() == wire::icmp6_type::listener_query ||
           (icmp.type >= static_cast<std::uint8_t>(wire::icmp6_type::router_solicitation) &&
            icmp.type <= static_cast<std::uint8_t>(wire::icmp6_type::redirect));
}

void input_one(ip6_context& context, rte_mbuf* packet, ip6_delivered& sorted) {
    drop_sink& drops = context.worker.drops;
    wire::ipv6_header ip;
    std::memcpy(&ip, rte_pktmbuf_mtod(packet, const void*), sizeof ip);
    const std::uint32_t length = packet->pkt_len - packet->l3_len;
    if (length < wire::icmp6_header_bytes ||
        packet->data_len < packet->l3_len + wire::icmp6_header_bytes) {
        return drops.drop(packet, drop_reason::icmp6_short);
    }
    const wire::partial_sum sum =
        wire::sum_pseudo_header(ip.source, ip.destination, wire::ip_protocol::icmpv6, length);
    if (!wire::checksum_valid(sum + sum_packet(*packet, packet->l3_len, length))) {
        return drops.drop(packet, drop_reason::icmp6_checksum);
    }
    wire::icmp6_header icmp;
    std::memcpy(&icmp, rte_pktmbuf_mtod_offset(packet, const void*, packet->l3_len), sizeof icmp);
    if (icmp.kind() == wire::icmp6_type::echo_request) {
        return answer_echo(context, packet, ip, icmp);
    }
    if (icmp.is_error()) {
        return sorted.errors.push(packet);
    }
    if (is_discovery(icmp)) {
        return sorted.discovery.push(packet);
    }
    drops.drop(packet, drop_reason::icmp6_type);
}

} // namespace

void icmp6_input(ip6_context& context, ip6_delivered& packets) {
    for (rte_mbuf* packet : packets.icmp) {
        input_one(context, packet, packets);
    }
    packets.icmp.clear();
}

} // namespace pantala
