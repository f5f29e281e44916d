#include "stack/ip/ip6/ip6_local.hpp"

#include "stack/ether/packet_meta.hpp"
#include "stack/ip/icmp/icmp6_error.hpp"
#include "stack/wire/ipv6.hpp"

#include <algorithm>
#include <cstring>

namespace pantala {
namespace {

constexpr unsigned headers_bytes_max = 511;  // what an mbuf's l3_len can say
constexpr unsigned transport_bytes_max = 60; // of a header of TCP; others' are shorter

std::span<const std::uint8_t> front_of(const rte_mbuf& packet) {
    return {rte_pktmbuf_mtod(&packet, const std::uint8_t*), packet.data_len};
}

// The chain of a packet. Headers that lie in several pieces are gathered into one, if they fit.
wire::ip6_chain walk(rte_mbuf& packet) {
    wire::ip6_chain chain = wire::ip6_walk(front_of(packet));
    if (chain.fault == wire::ip6_fault::truncated && ip6_gather(packet, headers_bytes_max)) {
        chain = wire::ip6_walk(front_of(packet));
    }
    if (chain.fault == wire::ip6_fault::none && chain.offset > headers_bytes_max) {
        chain.fault = wire::ip6_fault::limit;
    }
    return chain;
}

bool is_fragment(const wire::ip6_chain& chain) {
    return chain.upper == static_cast<std::uint8_t>(wire::ip_protocol::fragment);
}

// Does a first fragment hold all headers (RFC 7112 5)?
bool holds_chain(const rte_mbuf& packet, const wire::ip6_chain& chain) {
    wire::ipv6_fragment_header fragment;
    std::memcpy(
        &fragment, rte_pktmbuf_mtod_offset(&packet, const void*, chain.fragment), sizeof fragment);
    if (fragment.offset_bytes() != 0) {
        return true;
    }
    const wire::ip6_chain all = wire::ip6_find_upper(front_of(packet));
    return all.fault != wire::ip6_fault::truncated &&
           (all.offset < packet.pkt_len ||
            all.upper == static_cast<std::uint8_t>(wire::ip_protocol::none));
}

// The whole packet, or nullptr while pieces are missing or if it was refused.
rte_mbuf* make_whole(
    ip6_context& context, ip6_reassembly& reassembly, rte_mbuf* packet, wire::ip6_chain& chain) {
    context.counters.fragments_in.add(1);
    if (!holds_chain(*packet, chain)) {
        icmp6_parameter_problem(context, *packet, wire::icmp6_parameter::first_fragment, 0);
        context.worker.drops.drop(packet, drop_reason::ip6_headers);
        return nullptr;
    }
    const std::uint8_t table = context.links[meta_of(*packet).iface].table;
    const ip6_fragment_result result = reassembly.add(packet, chain, table, context.now);
    if (result.refused != nullptr) { // RFC 8200 4.5: sizes that no fragment may have
        icmp6_parameter_problem(
            context, *result.refused, wire::icmp6_parameter::header_field, result.pointer);
        context.worker.drops.drop(result.refused, drop_reason::ip6_fragment);
    }
    if (result.whole == nullptr) {
        return nullptr;
    }
    context.counters.reassembled.add(1);
    packet_meta meta = meta_of(*result.whole);
    meta.fragmented = true;
    set_meta(*result.whole, meta);
    result.whole->ol_flags &= ~RTE_MBUF_F_RX_L4_CKSUM_MASK; // a fragment's says nothing
    chain = walk(*result.whole);
    return result.whole;
}

void sort(
    ip6_context& context, rte_mbuf* packet, const wire::ip6_chain& chain, ip6_delivered& sorted) {
    packet->l3_len = chain.offset;
    ip6_gather(*packet, chain.offset + transport_bytes_max);
    switch (static_cast<wire::ip_protocol>(chain.upper)) {
    case wire::ip_protocol::icmpv6:
        return sorted.icmp.push(packet);
    case wire::ip_protocol::tcp:
        return sorted.tcp.push(packet);
    case wire::ip_protocol::udp:
        return sorted.udp.push(packet);
    case wire::ip_protocol::none:
        return context.worker.drops.drop(packet, drop_reason::ip6_protocol); // RFC 8200 4.7
    default:
        icmp6_parameter_problem(
            context, *packet, wire::icmp6_parameter::next_header, chain.named_at);
        return context.worker.drops.drop(packet, drop_reason::ip6_protocol);
    }
}

} // namespace

bool ip6_gather(rte_mbuf& packet, std::uint32_t bytes) {
    return packet.data_len >= std::min(bytes, packet.pkt_len) ||
           rte_pktmbuf_linearize(&packet) == 0;
}

void ip6_refuse_chain(ip6_context& context, rte_mbuf* packet, const wire::ip6_chain& chain) {
    if (chain.fault == wire::ip6_fault::problem) {
        icmp6_parameter_problem(
            context, *packet, chain.code, chain.pointer, !chain.unless_multicast);
    }
    const bool options =
        chain.fault == wire::ip6_fault::discard || chain.code == wire::icmp6_parameter::option;
    context.worker.drops.drop(
        packet, options ? drop_reason::ip6_options : drop_reason::ip6_headers);
}

void ip6_local(ip6_context& context, ip6_reassembly& reassembly, ip6_delivered& sorted) {
    for (rte_mbuf* packet : context.local) {
        context.counters.delivered.add(1);
        wire::ip6_chain chain = walk(*packet);
        if (chain.fault == wire::ip6_fault::none && is_fragment(chain)) {
            packet = make_whole(context, reassembly, packet, chain);
            if (packet == nullptr) {
                continue;
            }
        }
        if (chain.fault != wire::ip6_fault::none || is_fragment(chain)) {
            ip6_refuse_chain(context, packet, chain);
            continue;
        }
        sort(context, packet, chain, sorted);
    }
    context.local.clear();
}

} // namespace pantala
