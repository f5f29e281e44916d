#include "stack/ip/icmp/icmp4_input.hpp"

#include "stack/ether/packet_meta.hpp"
#include "stack/ip/ip4_output.hpp"
#include "stack/ip/packet_sum.hpp"
#include "stack/wire/checksum.hpp"
#include "stack/wire/icmp4.hpp"
#include "stack/wire/ipv4.hpp"

#include <cstring>

namespace pantala {
namespace {

void answer_echo(
    ip4_context& context, rte_mbuf* packet, const wire::ipv4_header& ip, wire::icmp4_header icmp) {
    const std::uint8_t table = context.links[meta_of(*packet).iface].table;
    const bool to_host =
        ip4_kind_of(context.links, ip.destination, table) == ip4_destination_kind::host;
    if (meta_of(*packet).link_group || !to_host) {
        // RFC 1122 3.2.2.6 and RFC 1812 4.3.3.6 leave it open; an amplifier is nobody's friend.
        return context.worker.drops.drop(packet, drop_reason::icmp4_broadcast);
    }
    if (!context.echo_budget.take(context.now)) {
        return context.worker.drops.drop(packet, drop_reason::icmp4_rate);
    }
    wire::icmp4_header answer = icmp;
    answer.type = static_cast<std::uint8_t>(wire::icmp4_type::echo_reply);
    const be16 before = be16::from(static_cast<std::uint16_t>(icmp.type << 8 | icmp.code));
    const be16 after = be16::from(static_cast<std::uint16_t>(answer.type << 8 | answer.code));
    answer.checksum = wire::checksum_update(icmp.checksum, before, after);
    auto* at = rte_pktmbuf_adj(packet, static_cast<std::uint16_t>(ip.header_bytes()));
    std::memcpy(at, &answer, sizeof answer);
    ip4_packet header;
    header.destination = ip.source;
    header.source = ip.destination;
    header.protocol = wire::ip_protocol::icmp;
    header.type_of_service = ip.type_of_service; // RFC 1349 5.1
    header.table = table;
    context.counters.echo_replies.add(1);
    ip4_output(context, packet, header);
}

void input_one(ip4_context& context, rte_mbuf* packet, mbuf_burst& errors) {
    drop_sink& drops = context.worker.drops;
    wire::ipv4_header ip;
    std::memcpy(&ip, rte_pktmbuf_mtod(packet, const void*), sizeof ip);
    const std::uint32_t length = packet->pkt_len - ip.header_bytes();
    if (length < wire::icmp4_header_bytes ||
        packet->data_len < ip.header_bytes() + wire::icmp4_header_bytes) {
        return drops.drop(packet, drop_reason::icmp4_short);
    }
    if (!wire::checksum_valid(sum_packet(*packet, ip.header_bytes(), length))) {
        return drops.drop(packet, drop_reason::icmp4_checksum);
    }
    wire::icmp4_header icmp;
    std::memcpy(
        &icmp, rte_pktmbuf_mtod_offset(packet, const void*, ip.header_bytes()), sizeof icmp);
    if (icmp.kind() == wire::icmp4_type::echo) {
        return answer_echo(context, packet, ip, icmp);
    }
    if (icmp.is_error()) {
        return errors.push(packet);
    }
    drops.drop(packet, drop_reason::icmp4_type);
}

} // namespace

void icmp4_input(ip4_context& context, mbuf_burst& packets, mbuf_burst& errors) {
    for (rte_mbuf* packet : packets) {
        input_one(context, packet, errors);
    }
    packets.clear();
}

} // namespace pantala
