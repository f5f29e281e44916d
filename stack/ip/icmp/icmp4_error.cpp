#include "stack/ip/icmp/icmp4_error.hpp"

#include "stack/ether/packet_meta.hpp"
#include "stack/ip/ip4_input.hpp"
#include "stack/ip/ip4_output.hpp"
#include "stack/wire/checksum.hpp"
#include "stack/wire/ipv4.hpp"

#include <algorithm>
#include <cstring>

namespace pantala {
namespace {

constexpr std::uint32_t error_bytes_max = 576;                 // RFC 1812 4.3.2.3
constexpr std::uint8_t precedence_internetwork_control = 0xc0; // RFC 1812 4.3.2.5

struct message {
    wire::icmp4_type type;
    std::uint8_t code = 0;
    be16 rest_high{};
    be16 rest_low{};
};

// Is `packet` itself an ICMP error? One too short to say is taken for one.
bool is_icmp_error(const rte_mbuf& packet, const wire::ipv4_header& ip) {
    if (ip.protocol != static_cast<std::uint8_t>(wire::ip_protocol::icmp)) {
        return false;
    }
    wire::icmp4_header room;
    const void* found = rte_pktmbuf_read(&packet, ip.header_bytes(), 1, &room);
    if (found == nullptr) {
        return true;
    }
    std::memcpy(&room.type, found, 1);
    return room.is_error();
}

// RFC 1122 3.2.2 and RFC 1812 4.3.2.7.
bool may_be_told(const ip4_context& context, const rte_mbuf& packet, const wire::ipv4_header& ip) {
    const std::uint8_t table = context.links[meta_of(packet).iface].table;
    const ip4_destination_kind to = ip4_kind_of(context.links, ip.destination, table);
    return !meta_of(packet).link_group && to == ip4_destination_kind::host &&
           ip.fragment_offset_bytes() == 0 && ip4_routable(ip.source.host()) &&
           !context.links.is_broadcast(ip.source.value, table) &&
           !context.links.owner_of(ip.source.value, table) && !is_icmp_error(packet, ip);
}

void send(ip4_context& context, const rte_mbuf& packet, const message& what) {
    wire::ipv4_header about;
    std::memcpy(&about, rte_pktmbuf_mtod(&packet, const void*), sizeof about);
    if (!may_be_told(context, packet, about)) {
        return;
    }
    if (!context.error_budget.take_blurred(context.now, context.worker.random)) {
        return context.worker.drops.count(drop_reason::icmp4_rate);
    }
    const iface_id came_in = meta_of(packet).iface;
    ip4_packet answer;
    answer.destination = about.source;
    answer.protocol = wire::ip_protocol::icmp;
    answer.type_of_service = precedence_internetwork_control;
    answer.table = context.links[came_in].table;
    answer.fallback_source = context.links.source_for(came_in, about.source.value);
    rte_mbuf* error = ip4_allocate(context);
    if (error == nullptr) {
        return;
    }
    const std::uint32_t quote = std::min<std::uint32_t>(
        packet.pkt_len, error_bytes_max - wire::ipv4_header_min_bytes - wire::icmp4_header_bytes);
    char* at =
        rte_pktmbuf_append(error, static_cast<std::uint16_t>(wire::icmp4_header_bytes + quote));
    if (at == nullptr) {
        return context.worker.drops.drop(error, drop_reason::no_mbuf);
    }
    char* quoted = at + wire::icmp4_header_bytes;
    const void* bytes = rte_pktmbuf_read(&packet, 0, quote, quoted);
    if (bytes != quoted) {
        std::memcpy(quoted, bytes, quote);
    }
    wire::icmp4_header icmp;
    icmp.type = static_cast<std::uint8_t>(what.type);
    icmp.code = what.code;
    icmp.rest_high = what.rest_high;
    icmp.rest_low = what.rest_low;
    std::memcpy(at, &icmp, sizeof icmp);
    icmp.checksum = wire::checksum_of(wire::sum_bytes(at, wire::icmp4_header_bytes + quote));
    std::memcpy(at, &icmp, sizeof icmp);
    context.counters.errors_sent.add(1);
    ip4_output(context, error, answer);
}

} // namespace

void icmp4_unreachable(ip4_context& context, const rte_mbuf& packet, wire::icmp4_unreachable code) {
    send(
        context, packet,
        {wire::icmp4_type::destination_unreachable, static_cast<std::uint8_t>(code)});
}

void icmp4_fragmentation_needed(ip4_context& context, const rte_mbuf& packet, std::uint16_t mtu) {
    send(
        context, packet,
        {wire::icmp4_type::destination_unreachable,
         static_cast<std::uint8_t>(wire::icmp4_unreachable::fragmentation_needed), be16{},
         be16::from(mtu)});
}

void icmp4_time_exceeded(
    ip4_context& context, const rte_mbuf& packet, wire::icmp4_time_exceeded code) {
    send(context, packet, {wire::icmp4_type::time_exceeded, static_cast<std::uint8_t>(code)});
}

void icmp4_redirect_host(ip4_context& context, const rte_mbuf& packet, be32 gateway) {
    constexpr std::uint8_t for_host = 1;
    const std::uint32_t address = gateway.host();
    send(
        context, packet,
        {wire::icmp4_type::redirect, for_host,
         be16::from(static_cast<std::uint16_t>(address >> 16)),
         be16::from(static_cast<std::uint16_t>(address))});
}

void icmp4_parameter_problem(ip4_context& context, const rte_mbuf& packet, std::uint8_t pointer) {
    send(
        context, packet,
        {wire::icmp4_type::parameter_problem, 0,
         be16::from(static_cast<std::uint16_t>(pointer << 8))});
}

} // namespace pantala
