#include "stack/ip/ip4_forward.hpp"

#include "stack/ether/ether_output.hpp"
#include "stack/ether/packet_meta.hpp"
#include "stack/ip/flow_hash.hpp"
#include "stack/ip/fragment/ip4_fragment.hpp"
#include "stack/ip/icmp/icmp4_error.hpp"
#include "stack/ip/icmp/icmp4_redirect.hpp"
#include "stack/ip/ip4_input.hpp"
#include "stack/ip/ip4_options.hpp"
#include "stack/wire/checksum.hpp"
#include "stack/wire/ipv4.hpp"

#include <cstddef>
#include <cstring>
#include <span>

namespace pantala {
namespace {

// 1 off the time to live, and the checksum as RFC 1624 has it.
void age(std::uint8_t* at, wire::ipv4_header ip) {
    const be16 before = be16::from(static_cast<std::uint16_t>(ip.time_to_live << 8 | ip.protocol));
    --ip.time_to_live;
    const be16 after = be16::from(static_cast<std::uint16_t>(ip.time_to_live << 8 | ip.protocol));
    ip.checksum = wire::checksum_update(ip.checksum, before, after);
    std::memcpy(at, &ip, sizeof ip);
}

// The link header in front of the network header, by loads and stores that overlap instead of a
// loop over the length.
void copy_rewrite(std::uint8_t* header, const adjacency& via) {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    if (via.rewrite_length == wire::ethernet_header_bytes) [[likely]] {
        std::memcpy(&first, via.rewrite.data(), 8);
        std::memcpy(&last, via.rewrite.data() + 6, 8);
        std::memcpy(header - 14, &first, 8);
        std::memcpy(header - 8, &last, 8);
        return;
    }
    std::memcpy(header - via.rewrite_length, via.rewrite.data(), via.rewrite_length);
}

// Data begins at the link header that copy_rewrite wrote and ends with the datagram. One segment.
void set_frame(
    rte_mbuf& packet, const std::uint8_t* header, std::uint32_t total, std::uint32_t rewrite) {
    const auto start = header - rewrite - static_cast<const std::uint8_t*>(packet.buf_addr);
    packet.data_off = static_cast<std::uint16_t>(start);
    packet.data_len = static_cast<std::uint16_t>(total + rewrite);
    packet.pkt_len = total + rewrite;
}

void count_out(ip4_context& context, const adjacency& via, std::uint32_t bytes) {
    link_counter& out = context.link_counts[via.iface];
    out.out_packets.add(1);
    out.out_bytes.add(bytes);
}

// The way of a packet whose next hop is not a resolved gateway; nullptr: the slow path knows.
const adjacency* find_forward(
    ip4_context& context, const adjacency* via, const rte_mbuf& packet,
    const std::uint8_t* header) {
    if (via->kind == adjacency_kind::group) {
        const auto offset = header - rte_pktmbuf_mtod(&packet, const std::uint8_t*);
        const auto contiguous = static_cast<std::uint32_t>(packet.data_len - offset);
        const std::uint32_t hash = ip4_flow_hash(header, contiguous, context.settings.flow_seed);
        via = &context.next[context.routes.bucket(
            group_bucket(via->group_first, via->group_count, hash))];
    }
    if (via->kind == adjacency_kind::connected) {
        be32 destination;
        std::memcpy(&destination, header + 16, sizeof destination);
        const adjacency* out =
            context.neighbors.resolved(make_neighbor_key(via->iface, destination));
        return out != nullptr && out->mtu <= via->mtu ? out : nullptr;
    }
    return via->kind == adjacency_kind::forward ? via : nullptr;
}

[[gnu::noinline, gnu::cold]] void forward_unusual(
    ip4_context& context, rte_mbuf* packet, const std::uint8_t* header, std::uint32_t total,
    nexthop_id nexthop) {
    rte_pktmbuf_adj(
        packet, static_cast<std::uint16_t>(header - rte_pktmbuf_mtod(packet, const std::uint8_t*)));
    ip4_trim(*packet, total);
    ip4_forward_one(context, packet, nexthop);
}

} // namespace

namespace {

// Port and interface of an adjacency as one word.
std::uint32_t way_of(const adjacency& via) {
    std::uint32_t way = 0;
    static_assert(offsetof(adjacency, iface) == offsetof(adjacency, port) + sizeof via.port);
    std::memcpy(&way, &via.port, sizeof way);
    return way;
}
port_id port_of(std::uint32_t way) {
    return port_id{static_cast<std::uint16_t>(way)};
}
iface_id iface_of(std::uint32_t way) {
    return iface_id{static_cast<std::uint16_t>(way >> 16)};
}

// The outcome of the first pass over a burst.
struct written {
    std::uint32_t way[burst_max];    // where a packet goes that was written
    std::uint32_t length[burst_max]; // its bytes of L3
    std::uint64_t slow = 0;          // bit i: packet i was not written
    std::uint64_t bytes = 0;         // of all that were
    std::uint32_t mixed = 0;         // 0: all go the same way as the first
};

// Writes packets [first, last) as they leave, but for those that need more. Each touches its
// adjacency, and in the packet the link header and one word of the network header.
[[gnu::always_inline]] inline void write_packets(
    ip4_context& context, const l3_burst& packets, const std::uint32_t* aged,
    const nexthop_id* nexthops, unsigned first, unsigned last, written& out) {
    const adjacency* const table = context.next.data();
    std::uint64_t slow = 0;
    std::uint64_t bytes = 0;
    std::uint32_t mixed = 0;
    const std::uint32_t common = first == 0 ? way_of(table[nexthops[0].value]) : out.way[0];
    out.way[0] = common;
    for (unsigned i = first; i < last; ++i) {
        std::uint8_t* header = packets.header[i];
        const adjacency* via = table + nexthops[i].value;
        if (via->kind != adjacency_kind::forward) [[unlikely]] {
            via = find_forward(context, via, *packets.packets[i], header);
        }
        be16 total_length;
        std::memcpy(&total_length, header + 2, sizeof total_length);
        const std::uint32_t total = total_length.host();
        const std::uint32_t word = aged[i];
        if (via == nullptr || !wire::ip4_lives(word) || total > via->mtu) [[unlikely]] {
            slow |= std::uint64_t{1} << i;
            continue;
        }
        copy_rewrite(header, *via);
        std::memcpy(header + 8, &word, sizeof word);
        if (total != packets.bytes[i] || via->rewrite_length != packets.link_bytes[i])
            [[unlikely]] {
            set_frame(*packets.packets[i], header, total, via->rewrite_length);
        }
        const std::uint32_t way = way_of(*via);
        out.way[i] = way;
        out.length[i] = total;
        mixed |= way ^ common;
        bytes += total;
    }
    out.slow |= slow;
    out.bytes += bytes;
    out.mixed |= mixed;
}

void send_run(
    ip4_context& context, std::span<rte_mbuf* const> packets, std::uint32_t way,
    std::uint64_t bytes) {
    if (port_of(way) == context.input_port) [[unlikely]] {
        icmp4_redirect_frames(context, packets, iface_of(way));
    }
    link_counter& out = context.link_counts[iface_of(way)];
    out.out_packets.add(packets.size());
    out.out_bytes.add(bytes);
    context.counters.forwarded.add(packets.size());
    context.worker.tx[port_of(way).value].push(packets);
}

// Packets that go different ways, or need more: in order, neighbours of one way together.
[[gnu::noinline]] void send_mixed(
    ip4_context& context, const l3_burst& packets, const nexthop_id* nexthops,
    const written& done) {
    const auto is_slow = [&](unsigned i) { return (done.slow >> i & 1) != 0; };
    for (unsigned i = 0; i < packets.count;) {
        if (is_slow(i)) {
            wire::ipv4_header ip;
            std::memcpy(&ip, packets.header[i], sizeof ip);
            forward_unusual(
                context, packets.packets[i], packets.header[i], ip.total_length.host(),
                nexthops[i]);
            ++i;
            continue;
        }
        unsigned end = i;
        std::uint64_t bytes = 0;
        while (end < packets.count && !is_slow(end) && done.way[end] == done.way[i]) {
            bytes += done.length[end++];
        }
        send_run(context, std::span(packets.packets + i, end - i), done.way[i], bytes);
        i = end;
    }
}

void send_written(
    ip4_context& context, l3_burst& packets, const nexthop_id* nexthops, const written& done) {
    if (done.slow == 0 && done.mixed == 0) [[likely]] {
        send_run(context, std::span(packets.packets, packets.count), done.way[0], done.bytes);
    } else {
        send_mixed(context, packets, nexthops, done);
    }
    packets.clear();
}

} // namespace

void ip4_forward(
    ip4_context& context, l3_burst& packets, const wire::ip4_plain& plain, fib4_walk& routes) {
    if (packets.empty()) {
        return;
    }
    nexthop_id nexthops[burst_max];
    written done;
    for (unsigned first = 0; first < packets.count;) {
        const unsigned last = routes.take(first, nexthops);
        write_packets(context, packets, plain.aged, nexthops, first, last, done);
        first = last;
    }
    send_written(context, packets, nexthops, done);
}

void ip4_forward(
    ip4_context& context, l3_burst& packets, const wire::ip4_plain& plain,
    const nexthop_id* nexthops) {
    if (packets.empty()) {
        return;
    }
    written done;
    write_packets(context, packets, plain.aged, nexthops, 0, packets.count, done);
    send_written(context, packets, nexthops, done);
}

const adjacency& ip4_select(
    const ip4_context& context, nexthop_id nexthop, const std::uint8_t* header,
    std::uint32_t contiguous) {
    const adjacency& via = context.next[nexthop];
    if (via.kind != adjacency_kind::group) {
        return via;
    }
    const std::uint32_t hash = ip4_flow_hash(header, contiguous, context.settings.flow_seed);
    return context
        .next[context.routes.bucket(group_bucket(via.group_first, via.group_count, hash))];
}

namespace {

struct refusal {
    drop_reason reason;
    bool told; // the source, by an ICMP unreachable of `code`
    wire::icmp4_unreachable code;
};

refusal refusal_of(adjacency_kind kind) {
    switch (kind) {
    case adjacency_kind::none:
        return {drop_reason::ip4_no_route, true, wire::icmp4_unreachable::net};
    case adjacency_kind::unreachable:
        return {drop_reason::ip4_unreachable, true, wire::icmp4_unreachable::host};
    case adjacency_kind::prohibit:
        return {drop_reason::ip4_prohibit, true, wire::icmp4_unreachable::prohibited};
    case adjacency_kind::down:
        return {drop_reason::ether_down, true, wire::icmp4_unreachable::host};
    case adjacency_kind::multicast:
        return {drop_reason::ip4_multicast, false, {}};
    default:
        return {drop_reason::ip4_blackhole, false, {}};
    }
}

void refuse(ip4_context& context, rte_mbuf* packet, adjacency_kind kind) {
    const refusal why = refusal_of(kind);
    if (why.told) {
        icmp4_unreachable(context, *packet, why.code);
    }
    context.worker.drops.drop(packet, why.reason);
}

// A packet that goes on by `via`: the duties of a router on its header.
void forward_by(ip4_context& context, rte_mbuf* packet, const adjacency& via) {
    auto* header = rte_pktmbuf_mtod(packet, std::uint8_t*);
    if (meta_of(*packet).link_group) {
        // RFC 1122 3.3.6, RFC 1812 5.3.4.
        return context.worker.drops.drop(packet, drop_reason::ip4_link_broadcast);
    }
    if (header[8] <= 1) {
        icmp4_time_exceeded(context, *packet, wire::icmp4_time_exceeded::in_transit);
        return context.worker.drops.drop(packet, drop_reason::ip4_ttl);
    }
    if ((header[0] & 0x0f) > 5 && !ip4_forward_options(context, *packet, via.iface)) {
        return context.worker.drops.drop(packet, drop_reason::ip4_options);
    }
    wire::ipv4_header ip;
    std::memcpy(&ip, header, sizeof ip); // with the options' new checksum
    if (packet->pkt_len > via.mtu && ip.may_not_fragment()) {
        icmp4_fragmentation_needed(context, *packet, via.mtu);
        return context.worker.drops.drop(packet, drop_reason::ip4_dont_fragment);
    }
    icmp4_redirect(
        context, *packet, via.iface,
        via.kind == adjacency_kind::connected ? ip.destination.value : via.gateway4);
    age(header, ip);
    context.counters.forwarded.add(1);
    ip4_send(context, via, packet);
}

} // namespace

void ip4_forward_one(ip4_context& context, rte_mbuf* packet, nexthop_id nexthop) {
    const adjacency& via = ip4_select(
        context, nexthop, rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len);
    switch (via.kind) {
    case adjacency_kind::forward:
    case adjacency_kind::resolve:
    case adjacency_kind::connected:
        return forward_by(context, packet, via);
    case adjacency_kind::local:
        return context.local.push(packet);
    case adjacency_kind::broadcast:
        // Ours if it is a broadcast of the link it came from; others' are not sent on (RFC 2644).
        if (via.iface == meta_of(*packet).iface) {
            return context.local.push(packet);
        }
        return context.worker.drops.drop(packet, drop_reason::ip4_directed_broadcast);
    default:
        return refuse(context, packet, via.kind);
    }
}

void ip4_send(ip4_context& context, const adjacency& via, rte_mbuf* packet) {
    if (packet->pkt_len > via.mtu) {
        return ip4_fragment(context, via, packet);
    }
    count_out(context, via, packet->pkt_len);
    if (via.kind == adjacency_kind::forward) {
        return ether_send(context.worker.tx, via, packet);
    }
    if (via.kind == adjacency_kind::resolve) {
        return context.neighbors.wait(adjacencies::gateway_of(via), packet, true);
    }
    wire::ipv4_header ip;
    std::memcpy(&ip, rte_pktmbuf_mtod(packet, const void*), sizeof ip);
    const neighbor_key key = make_neighbor_key(via.iface, ip.destination.value);
    if (const adjacency* out = context.neighbors.resolved(key); out != nullptr) {
        return ether_send(context.worker.tx, *out, packet);
    }
    context.neighbors.wait(key, packet, false);
}

} // namespace pantala
