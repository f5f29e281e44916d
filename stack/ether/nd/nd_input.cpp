#include "stack/ether/nd/nd_input.hpp"

#include "stack/ether/addresses6.hpp"
#include "stack/ether/nd/nd_send.hpp"
#include "stack/ether/packet_meta.hpp"
#include "stack/wire/ip6/nd_options.hpp"
#include "stack/wire/ipv6.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

namespace pantala {
namespace {

constexpr std::size_t message_bytes_max = 1500; // of those that we look at

// A message in one piece.
struct nd_view {
    wire::ipv6_header ip;
    wire::icmp6_header icmp;
    iface_id arrived{};
    std::span<const std::uint8_t> bytes; // from the ICMPv6 header on

    // The message's fixed part, which is there.
    template <class Message>
    Message as() const {
        Message message;
        std::memcpy(&message, bytes.data(), sizeof message);
        return message;
    }
    template <class Message>
    std::optional<wire::nd_options> options() const {
        return bytes.size() < sizeof(Message)
                   ? std::nullopt
                   : wire::parse_nd_options(bytes.subspan(sizeof(Message)));
    }
};

drop_reason solicited(nd_context& context, const nd_view& view) {
    const auto options = view.options<wire::nd_message>();
    if (!options) {
        return drop_reason::nd_format;
    }
    const wire::ipv6_address target = view.as<wire::nd_message>().target;
    const bool probe = view.ip.source.is_unspecified(); // somebody wants this address (RFC 4862)
    if (target.is_multicast() ||
        (probe && (options->source || view.ip.destination != wire::solicited_node(target)))) {
        return drop_reason::nd_format; // RFC 4861 7.1.1
    }
    context.counters.solicitations_in.add(1);
    const iface& here = context.links[view.arrived];
    const iface_address6* mine = find_address(here, target);
    const iface_address6* anycast = mine == nullptr ? find_router_anycast(here, target) : nullptr;
    const bool ours = mine != nullptr || anycast != nullptr;
    if (options->source && is_on_link(here, view.ip.source)) {
        context.neighbors.report(
            ours ? neighbor_event::seen_asking : neighbor_event::seen,
            make_neighbor_key(view.arrived, view.ip.source), *options->source);
    }
    if (probe && mine != nullptr && (mine->flags & address_tentative) != 0) {
        wire::mac_address nonce;
        nonce.bytes = options->nonce.value_or(nonce.bytes);
        context.neighbors.report(
            neighbor_event::conflicted, make_neighbor_key(view.arrived, target), nonce);
        return drop_reason::nd_done; // RFC 4862 5.4.3
    }
    if (!ours || (mine != nullptr && !is_usable(*mine))) {
        return drop_reason::nd_done;
    }
    nd_answer answer{target, view.ip.source, !probe, false};
    if (mine != nullptr) {
        answer.override_known = !address_on_trust(mine->flags);
    } else { // another router's answer is as good (RFC 4861 7.2.7)
        answer.source = address_of(*anycast);
    }
    if (probe) {
        answer.destination = wire::ipv6_all_nodes;
    }
    nd_advertise(context, view.arrived, answer, options->source ? &*options->source : nullptr);
    return drop_reason::nd_done;
}

drop_reason advertised(nd_context& context, const nd_view& view) {
    const auto options = view.options<wire::nd_message>();
    if (!options) {
        return drop_reason::nd_format;
    }
    const wire::ipv6_address target = view.as<wire::nd_message>().target;
    const std::uint32_t flags = view.icmp.rest.host();
    const bool to_group = view.ip.destination.is_multicast();
    if (target.is_multicast() || (to_group && (flags & wire::nd_flag_solicited) != 0)) {
        return drop_reason::nd_format; // RFC 4861 7.1.2
    }
    context.counters.advertisements_in.add(1);
    const iface_address6* mine = find_address(context.links[view.arrived], target);
    if (mine != nullptr && (mine->flags & address_duplicate) == 0) {
        context.neighbors.report(
            neighbor_event::conflicted, make_neighbor_key(view.arrived, target), {});
        return drop_reason::nd_source;
    }
    context.neighbors.report_advertised(
        make_neighbor_key(view.arrived, target), options->target,
        {(flags & wire::nd_flag_solicited) != 0, (flags & wire::nd_flag_override) != 0,
         (flags & wire::nd_flag_router) != 0});
    return drop_reason::nd_done;
}

// RFC 4861 6.1.1, 6.2.6.
drop_reason router_solicited(nd_context& context, const nd_view& view) {
    const auto options = view.options<wire::icmp6_header>();
    if (!options || (view.ip.source.is_unspecified() && options->source)) {
        return drop_reason::nd_format;
    }
    context.counters.router_solicitations_in.add(1);
    const iface& here = context.links[view.arrived];
    if ((here.duties & iface_advertise) == 0) {
        return drop_reason::nd_ignored;
    }
    if (options->source && is_on_link(here, view.ip.source)) {
        context.neighbors.report(
            neighbor_event::seen_asking, make_neighbor_key(view.arrived, view.ip.source),
            *options->source);
    }
    context.neighbors.report(
        neighbor_event::router_asked, make_neighbor_key(view.arrived, view.ip.source), {});
    return drop_reason::nd_done;
}

void tell_control(nd_context& context, router_report& report, const neighbor_key& router) {
    report.handler = router_report_handler;
    report.on_reply = router_report_replied;
    report.home = &context.routers;
    report.iface = router.iface;
    report.router = wire::ipv6_address::from_halves(router.high, router.low);
    context.worker.messages.send(context.worker.workers, report);
}

// RFC 4861 6.1.2, 6.3.4. What follows of it is control's (autoconf.hpp).
drop_reason router_advertised(nd_context& context, const nd_view& view) {
    const auto options = view.options<wire::nd_router_advertisement>();
    if (!options || !view.ip.source.is_link_local()) {
        return drop_reason::nd_format;
    }
    context.counters.router_advertisements_in.add(1);
    const iface& here = context.links[view.arrived];
    if (find_address(here, view.ip.source) != nullptr) {
        return drop_reason::nd_source;
    }
    router_report* report = (here.duties & iface_accept_ra) != 0 ? context.routers.get() : nullptr;
    if (report == nullptr) {
        return drop_reason::nd_ignored;
    }
    const neighbor_key router = make_neighbor_key(view.arrived, view.ip.source);
    if (options->source) {
        context.neighbors.report(neighbor_event::seen, router, *options->source);
    }
    const auto said = view.as<wire::nd_router_advertisement>();
    if (said.lifetime_s() != 0) { // else we go on asking for others (RFC 4861 6.3.7)
        context.neighbors.report(neighbor_event::router_heard, router, {});
    }
    report->lifetime_s = said.lifetime_s();
    report->hop_limit = said.hop_limit();
    report->reachable_ms = said.reachable_ms.host();
    report->retransmit_ms = said.retransmit_ms.host();
    report->mtu = options->mtu;
    report->prefix_count = options->prefix_count;
    report->prefixes = options->prefixes;
    tell_control(context, *report, router);
    return drop_reason::nd_done;
}

// The longest time to answer in (RFC 3810 5.1.3; version 1: RFC 2710 3.4).
std::uint32_t response_ms(std::uint32_t code, bool version1) {
    if (version1 || code < 0x8000) {
        return code;
    }
    return ((code & 0xfff) | 0x1000) << ((code >> 12 & 7) + 3);
}

// A question for listeners (RFC 3810 6.2): from this link, marked by a hop-by-hop header.
drop_reason queried(nd_context& context, const nd_view& view) {
    constexpr std::size_t version1_bytes = 24;
    const bool version1 = view.bytes.size() == version1_bytes;
    const bool marked =
        view.ip.next_header == static_cast<std::uint8_t>(wire::ip_protocol::hop_by_hop);
    if (view.ip.hop_limit != 1 || !marked || !view.ip.source.is_link_local() ||
        view.icmp.code != 0 || (!version1 && view.bytes.size() < sizeof(wire::mld_query))) {
        return drop_reason::nd_format;
    }
    const wire::ipv6_address group = view.as<wire::nd_message>().target; // at the same place
    if (!group.is_unspecified() && !group.is_multicast()) {
        return drop_reason::nd_format;
    }
    context.counters.listener_queries_in.add(1);
    context.neighbors.report_query(
        make_neighbor_key(view.arrived, group), response_ms(view.icmp.rest.host() >> 16, version1),
        version1);
    return drop_reason::nd_done;
}

// Why the message is done with; what it says has taken effect then.
drop_reason consume(nd_context& context, const nd_view& view) {
    if (view.icmp.kind() == wire::icmp6_type::listener_query) {
        return queried(context, view);
    }
    // From this link and no other, and never a fragment (RFC 4861 7.1, RFC 6980 5).
    if (view.ip.hop_limit != wire::nd_hop_limit || view.icmp.code != 0) {
        return drop_reason::nd_format;
    }
    switch (view.icmp.kind()) {
    case wire::icmp6_type::router_solicitation:
        return router_solicited(context, view);
    case wire::icmp6_type::router_advertisement:
        return router_advertised(context, view);
    case wire::icmp6_type::neighbor_solicitation:
        return solicited(context, view);
    case wire::icmp6_type::neighbor_advertisement:
        return advertised(context, view);
    default:
        return drop_reason::nd_ignored;
    }
}

} // namespace

void nd_router_gone(nd_context& context, const neighbor_key& router) {
    const auto address = wire::ipv6_address::from_halves(router.high, router.low);
    const bool believed = (context.links[router.iface].duties & iface_accept_ra) != 0;
    router_report* report = believed && address.is_link_local() ? context.routers.get() : nullptr;
    if (report == nullptr) {
        return;
    }
    report->lifetime_s = 0;
    report->hop_limit = 0;
    report->reachable_ms = 0;
    report->retransmit_ms = 0;
    report->mtu = 0;
    report->prefix_count = 0;
    tell_control(context, *report, router);
}

void nd_input(nd_context& context, mbuf_burst& packets) {
    std::array<std::uint8_t, message_bytes_max> room;
    for (rte_mbuf* packet : packets) {
        const std::uint32_t length = packet->pkt_len - packet->l3_len;
        const bool refused = length > room.size() || meta_of(*packet).fragmented;
        const void* found =
            refused ? nullptr : rte_pktmbuf_read(packet, packet->l3_len, length, room.data());
        if (found == nullptr || length < wire::icmp6_header_bytes) {
            context.worker.drops.drop(packet, drop_reason::nd_format);
            continue;
        }
        nd_view view;
        std::memcpy(&view.ip, rte_pktmbuf_mtod(packet, const void*), sizeof view.ip);
        std::memcpy(&view.icmp, found, sizeof view.icmp);
        view.arrived = meta_of(*packet).iface;
        view.bytes = {static_cast<const std::uint8_t*>(found), length};
        context.worker.drops.drop(packet, consume(context, view));
    }
    packets.clear();
}

} // namespace pantala
