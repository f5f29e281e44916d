#include "stack/ip/icmp/icmp6_error.hpp"

#include "stack/ether/addresses6.hpp"
#include "stack/ether/packet_meta.hpp"
#include "stack/ip/ip6/ip6_output.hpp"
#include "stack/wire/ip6/ip6_chain.hpp"
#include "stack/wire/ipv6.hpp"

#include <algorithm>
#include <cstring>

namespace pantala {
namespace {

struct message {
    wire::icmp6_type type;
    std::uint8_t code = 0;
    std::uint32_t rest = 0;
    bool even_to_group = false;
};

// Is `packet` an ICMPv6 error or a redirect? One too short to say is taken for one.
bool is_icmp_error(const rte_mbuf& packet) {
    const auto* bytes = rte_pktmbuf_mtod(&packet, const std::uint8_t*);
    const wire::ip6_chain chain = wire::ip6_find_upper({bytes, packet.data_len});
    if (chain.upper != static_cast<std::uint8_t>(wire::ip_protocol::icmpv6)) {
        return false;
    }
    if (chain.fragment != 0) { // a later one has no type
        wire::ipv6_fragment_header fragment;
        std::memcpy(&fragment, bytes + chain.fragment, sizeof fragment);
        if (fragment.offset_bytes() != 0) {
            return true;
        }
    }
    wire::icmp6_header room;
    const void* found = rte_pktmbuf_read(&packet, chain.offset, 1, &room);
    if (found == nullptr) {
        return true;
    }
    std::memcpy(&room.type, found, 1);
    return room.is_error() || room.kind() == wire::icmp6_type::redirect;
}

// RFC 4443 2.4 (e).
bool may_be_told(
    const ip6_context& context, const rte_mbuf& packet, const wire::ipv6_header& ip,
    bool even_to_group) {
    const bool group = meta_of(packet).link_group || ip.destination.is_multicast();
    const std::uint8_t table = context.links[meta_of(packet).iface].table;
    return (!group || even_to_group) && !ip.source.is_unspecified() && !ip.source.is_multicast() &&
           !owner_of(context.links, ip.source, table) && !is_icmp_error(packet);
}

// Header and quotation behind each other; false: no room.
bool write(rte_mbuf& error, const rte_mbuf& packet, const message& what) {
    const std::uint32_t quote = std::min<std::uint32_t>(
        packet.pkt_len,
        wire::ipv6_minimum_mtu_bytes - wire::ipv6_header_bytes - wire::icmp6_header_bytes);
    char* at =
        rte_pktmbuf_append(&error, static_cast<std::uint16_t>(wire::icmp6_header_bytes + quote));
    if (at == nullptr) {
        return false;
    }
    char* quoted = at + wire::icmp6_header_bytes;
    const void* bytes = rte_pktmbuf_read(&packet, 0, quote, quoted);
    if (bytes != quoted) {
        std::memcpy(quoted, bytes, quote);
    }
    wire::icmp6_header icmp;
    icmp.type = static_cast<std::uint8_t>(what.type);
    icmp.code = what.code;
    icmp.rest = be32::from(what.rest);
    std::memcpy(at, &icmp, sizeof icmp);
    return true;
}

void send(ip6_context& context, const rte_mbuf& packet, const message& what) {
    wire::ipv6_header about;
    std::memcpy(&about, rte_pktmbuf_mtod(&packet, const void*), sizeof about);
    if (!may_be_told(context, packet, about, what.even_to_group)) {
        return;
    }
    if (!context.error_budget.take_blurred(context.now, context.worker.random)) {
        return context.worker.drops.count(drop_reason::icmp6_rate);
    }
    rte_mbuf* error = ip6_allocate(context);
    if (error == nullptr) {
        return;
    }
    if (!write(*error, packet, what)) {
        return context.worker.drops.drop(error, drop_reason::no_mbuf);
    }
    const iface_id came_in = meta_of(packet).iface;
    ip6_packet answer;
    answer.destination = about.source;
    answer.link = came_in;
    answer.protocol = wire::ip_protocol::icmpv6;
    answer.table = context.links[came_in].table;
    answer.fill_icmp_checksum = true;
    // RFC 4443 2.2 (a): the address it was sent to, where that is ours alone.
    const iface_address6* mine = find_address(context.links[came_in], about.destination);
    if (owner_of(context.links, about.destination, answer.table) &&
        (mine != nullptr || !about.destination.is_link_local())) {
        answer.source = about.destination;
    }
    context.counters.errors_sent.add(1);
    ip6_output(context, error, answer);
}

} // namespace

void icmp6_unreachable(ip6_context& context, const rte_mbuf& packet, wire::icmp6_unreachable code) {
    send(
        context, packet,
        {wire::icmp6_type::destination_unreachable, static_cast<std::uint8_t>(code)});
}

void icmp6_packet_too_big(ip6_context& context, const rte_mbuf& packet, std::uint16_t mtu) {
    const auto least = static_cast<std::uint16_t>(wire::ipv6_minimum_mtu_bytes); // RFC 8200 5
    send(context, packet, {wire::icmp6_type::packet_too_big, 0, std::max(mtu, least), true});
}

void icmp6_time_exceeded(
    ip6_context& context, const rte_mbuf& packet, wire::icmp6_time_exceeded code) {
    send(context, packet, {wire::icmp6_type::time_exceeded, static_cast<std::uint8_t>(code)});
}

void icmp6_parameter_problem(
    ip6_context& context, const rte_mbuf& packet, wire::icmp6_parameter code, std::uint32_t pointer,
    bool even_to_group) {
    send(
        context, packet,
        {wire::icmp6_type::parameter_problem, static_cast<std::uint8_t>(code), pointer,
         even_to_group});
}

} // namespace pantala
