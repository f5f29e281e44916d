#include "stack/ip/ip6/ip6_forward.hpp"

#include "stack/ether/ether_output.hpp"
#include "stack/ether/packet_meta.hpp"
#include "stack/ip/forward_run.hpp"
#include "stack/ip/icmp/icmp6_error.hpp"
#include "stack/ip/icmp/icmp6_redirect.hpp"
#include "stack/ip/ip4_input.hpp" // ip4_trim
#include "stack/ip/ip6/ip6_flow_hash.hpp"
#include "stack/wire/ipv6.hpp"

#include <algorithm>
#include <cstring>

namespace pantala {

// send_run's word for packets that leave by the port they came in on.
static void tell_detour(ip6_context& context, std::span<rte_mbuf* const> packets, iface_id out) {
    icmp6_redirect_frames(context, packets, out);
}

namespace {

constexpr std::size_t hop_limit_at = offsetof(wire::ipv6_header, hop_limit);

std::uint32_t total_of(const std::uint8_t* header) {
    be16 payload;
    std::memcpy(&payload, header + offsetof(wire::ipv6_header, payload_length), sizeof payload);
    return static_cast<std::uint32_t>(wire::ipv6_header_bytes) + payload.host();
}

wire::ipv6_address destination_of(const std::uint8_t* header) {
    wire::ipv6_address destination;
    std::memcpy(&destination, header + offsetof(wire::ipv6_header, destination), 16);
    return destination;
}

// The link header in front of the network header, by loads and stores that overlap instead of a
// loop over the length. An adjacency's rewrite ends with IPv4's type: here with IPv6's.
void copy_rewrite(std::uint8_t* header, const adjacency& via) {
    constexpr std::uint64_t type_mask = 0xffff'0000'0000'0000;
    constexpr std::uint64_t type = 0xdd86'0000'0000'0000;
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    if (via.rewrite_length != wire::ethernet_header_bytes) [[unlikely]] {
        std::memcpy(header - via.rewrite_length, via.rewrite.data(), via.rewrite_length - 8u);
    } else {
        std::memcpy(&first, via.rewrite.data(), 8);
        std::memcpy(header - 14, &first, 8);
    }
    std::memcpy(&last, via.rewrite.data() + via.rewrite_length - 8, 8);
    last = (last & ~type_mask) | type;
    std::memcpy(header - 8, &last, 8);
}

// The way of a packet whose next hop is not a resolved gateway; nullptr: the slow path knows.
const adjacency* find_forward(
    ip6_context& context, const adjacency* via, const rte_mbuf& packet,
    const std::uint8_t* header) {
    if (via->kind == adjacency_kind::group) {
        const auto offset = header - rte_pktmbuf_mtod(&packet, const std::uint8_t*);
        const auto contiguous = static_cast<std::uint32_t>(packet.data_len - offset);
        const std::uint32_t hash = ip6_flow_hash(header, contiguous, context.settings.flow_seed);
        via = &context.next[context.routes.bucket(
            group_bucket(via->group_first, via->group_count, hash))];
    }
    if (via->kind == adjacency_kind::connected) {
        const adjacency* out =
            context.neighbors.resolved(make_neighbor_key(via->iface, destination_of(header)));
        return out != nullptr && out->mtu6 <= via->mtu6 ? out : nullptr;
    }
    return via->kind == adjacency_kind::forward ? via : nullptr;
}

[[gnu::noinline, gnu::cold]] void forward_unusual(
    ip6_context& context, rte_mbuf* packet, const std::uint8_t* header, nexthop_id nexthop) {
    const std::uint32_t total = total_of(header);
    rte_pktmbuf_adj(
        packet, static_cast<std::uint16_t>(header - rte_pktmbuf_mtod(packet, const std::uint8_t*)));
    ip4_trim(*packet, total);
    ip6_forward_one(context, packet, nexthop);
}

// Writes packets as they leave, but for those that need more.
void write_packets(
    ip6_context& context, const l3_burst& packets, const nexthop_id* nexthops, written_burst& out) {
    const adjacency* const table = context.next.data();
    std::uint64_t slow = 0;
    std::uint64_t bytes = 0;
    std::uint32_t mixed = 0;
    const std::uint32_t common = way_of(table[nexthops[0].value]);
    out.way[0] = common;
    for (unsigned i = 0; i < packets.count; ++i) {
        std::uint8_t* header = packets.header[i];
        const adjacency* via = table + nexthops[i].value;
        if (via->kind != adjacency_kind::forward) [[unlikely]] {
            via = find_forward(context, via, *packets.packets[i], header);
        }
        const std::uint32_t total = total_of(header);
        const std::uint8_t hop_limit = header[hop_limit_at];
        if (via == nullptr || hop_limit <= 1 || total > via->mtu6) [[unlikely]] {
            slow |= std::uint64_t{1} << i;
            continue;
        }
        copy_rewrite(header, *via);
        header[hop_limit_at] = static_cast<std::uint8_t>(hop_limit - 1);
        if (total != packets.bytes[i] || packets.tagged ||
            via->rewrite_length != wire::ethernet_header_bytes) [[unlikely]] {
            set_frame(*packets.packets[i], header, total, via->rewrite_length);
        }
        const std::uint32_t way = way_of(*via);
        out.way[i] = way;
        out.length[i] = total;
        mixed |= way ^ common;
        bytes += total;
    }
    out.slow = slow;
    out.bytes = bytes;
    out.mixed = mixed;
}

} // namespace

void ip6_forward(ip6_context& context, l3_burst& packets, const nexthop_id* nexthops) {
    if (packets.empty()) {
        return;
    }
    written_burst done;
    write_packets(context, packets, nexthops, done);
    const std::span<rte_mbuf* const> all(packets.packets, packets.count);
    const bool alike = done.slow == 0 && done.mixed == 0;
    if (!alike || port_of(done.way[0]) == context.input_port) [[unlikely]] {
        packets.mark(); // some may stay, or have a detour told of them
    }
    if (alike) [[likely]] {
        send_run(context, all, done.way[0], done.bytes);
    } else {
        send_mixed(context, all, done, [&](unsigned i) {
            forward_unusual(context, packets.packets[i], packets.header[i], nexthops[i]);
        });
    }
    packets.clear();
}

const adjacency& ip6_select(
    const ip6_context& context, nexthop_id nexthop, const std::uint8_t* header,
    std::uint32_t contiguous) {
    const adjacency& via = context.next[nexthop];
    if (via.kind != adjacency_kind::group) {
        return via;
    }
    const std::uint32_t hash = ip6_flow_hash(header, contiguous, context.settings.flow_seed);
    return context
        .next[context.routes.bucket(group_bucket(via.group_first, via.group_count, hash))];
}

namespace {

struct refusal {
    drop_reason reason;
    bool told; // the source, by an ICMPv6 unreachable of `code`
    wire::icmp6_unreachable code;
};

refusal refusal_of(adjacency_kind kind) {
    switch (kind) {
    case adjacency_kind::none:
        return {drop_reason::ip6_no_route, true, wire::icmp6_unreachable::no_route};
    case adjacency_kind::unreachable:
        return {drop_reason::ip6_unreachable, true, wire::icmp6_unreachable::reject_route};
    case adjacency_kind::prohibit:
        return {drop_reason::ip6_prohibit, true, wire::icmp6_unreachable::prohibited};
    case adjacency_kind::down:
        return {drop_reason::ether_down, true, wire::icmp6_unreachable::address};
    default:
        return {drop_reason::ip6_blackhole, false, {}};
    }
}

void refuse(ip6_context& context, rte_mbuf* packet, adjacency_kind kind) {
    const refusal why = refusal_of(kind);
    if (why.told) {
        icmp6_unreachable(context, *packet, why.code);
    }
    context.worker.drops.drop(packet, why.reason);
}

// A packet that goes on by `via`: the duties of a router on its header.
void forward_by(ip6_context& context, rte_mbuf* packet, const adjacency& via) {
    auto* header = rte_pktmbuf_mtod(packet, std::uint8_t*);
    if (meta_of(*packet).link_group) {
        return context.worker.drops.drop(packet, drop_reason::ip6_link_multicast);
    }
    if (header[hop_limit_at] <= 1) {
        icmp6_time_exceeded(context, *packet, wire::icmp6_time_exceeded::in_transit);
        return context.worker.drops.drop(packet, drop_reason::ip6_hop_limit);
    }
    if (packet->pkt_len > via.mtu6) {
        icmp6_packet_too_big(context, *packet, via.mtu6);
        return context.worker.drops.drop(packet, drop_reason::ip6_too_big);
    }
    --header[hop_limit_at];
    context.counters.forwarded.add(1);
    ip6_send(context, via, packet);
}

} // namespace

void ip6_forward_one(ip6_context& context, rte_mbuf* packet, nexthop_id nexthop) {
    const adjacency& via = ip6_select(
        context, nexthop, rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len);
    switch (via.kind) {
    case adjacency_kind::forward:
    case adjacency_kind::resolve:
    case adjacency_kind::connected:
        return forward_by(context, packet, via);
    case adjacency_kind::local:
        return context.local.push(packet);
    default:
        return refuse(context, packet, via.kind);
    }
}

void ip6_send(ip6_context& context, const adjacency& via, rte_mbuf* packet) {
    count_out(context, via, packet->pkt_len);
    if (via.kind == adjacency_kind::forward) {
        return ether_send(context.worker.tx, via, packet);
    }
    if (via.kind == adjacency_kind::resolve) {
        return context.neighbors.wait(adjacencies::gateway_of(via), packet, true);
    }
    const neighbor_key key =
        make_neighbor_key(via.iface, destination_of(rte_pktmbuf_mtod(packet, const std::uint8_t*)));
    if (const adjacency* out = context.neighbors.resolved(key); out != nullptr) {
        return ether_send(context.worker.tx, *out, packet);
    }
    context.neighbors.wait(key, packet, false);
}

} // namespace pantala
