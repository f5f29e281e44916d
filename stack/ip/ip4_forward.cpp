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

#include <algorithm>
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

// A packet to an untagged interface as it leaves: 14 bytes of link header by loads and stores that
// overlap, and the aged word of the network header.
[[gnu::always_inline]] inline void
write_untagged(std::uint8_t* header, const adjacency& via, std::uint32_t aged) {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::memcpy(&first, via.rewrite.data(), sizeof first);
    std::memcpy(&last, via.rewrite.data() + 6, sizeof last);
    std::memcpy(header - 14, &first, sizeof first);
    std::memcpy(header - 8, &last, sizeof last);
    std::memcpy(header + 8, &aged, sizeof aged);
}

// Data begins at the link header that was written and ends with the datagram. One segment.
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

// The first word of an adjacency: kind, rewrite_length, mtu, port, iface, from the low end up.
std::uint64_t head_of(const adjacency& via) {
    std::uint64_t head = 0;
    static_assert(offsetof(adjacency, rewrite_length) == 1 && offsetof(adjacency, mtu) == 2);
    static_assert(offsetof(adjacency, port) == 4 && offsetof(adjacency, iface) == 6);
    std::memcpy(&head, &via, sizeof head);
    return head;
}
constexpr std::uint64_t head_kind_and_length = 0xffff;
constexpr std::uint64_t head_way = 0xffff'ffff'0000'0000;
constexpr std::uint64_t head_untagged = std::uint64_t{wire::ethernet_header_bytes} << 8;
static_assert(static_cast<std::uint8_t>(adjacency_kind::forward) == 0);

std::uint32_t mtu_of(std::uint64_t head) {
    return static_cast<std::uint16_t>(head >> 16);
}
// Port and interface as one word.
std::uint32_t way_of(std::uint64_t head) {
    return static_cast<std::uint32_t>(head >> 32);
}
port_id port_of(std::uint32_t way) {
    return port_id{static_cast<std::uint16_t>(way)};
}
iface_id iface_of(std::uint32_t way) {
    return iface_id{static_cast<std::uint16_t>(way >> 16)};
}

// The burst that is being forwarded.
struct forwarded_burst {
    forwarded_burst(const l3_burst& burst, const wire::ip4_plain& known)
        : packets(burst), plain(known) {}

    const l3_burst& packets;
    const wire::ip4_plain& plain;
    std::uint64_t differ = 0; // bits in which the heads are not all alike
    std::uint64_t slow = 0;   // bit i: packet i was not written
    nexthop_id nexthops[burst_max];
    std::uint64_t head[burst_max]; // of the adjacency that a packet leaves by, if it is written
};

// The common kind of packet: its next hop is a resolved gateway behind an untagged interface, and
// it fits the MTU. `differ`: the heads of all that is asked about, `head` one of them.
bool are_common(std::uint64_t head, std::uint64_t differ, std::uint32_t longest) {
    return (differ & ~head_way) == 0 && (head & head_kind_and_length) == head_untagged &&
           longest <= mtu_of(head);
}

// Ends a packet where its datagram ends and begins it at the untagged link header.
void set_frames(const forwarded_burst& burst, unsigned first, unsigned last) {
    const l3_burst& packets = burst.packets;
    if (burst.plain.padded || packets.tagged) {
        for (unsigned i = first; i < last; ++i) {
            set_frame(
                *packets.packets[i], packets.header[i], burst.plain.total[i],
                wire::ethernet_header_bytes);
        }
    }
}

// Looks up and writes packets while they are of the common kind and of the first one's length of
// header and MTU; returns how many. What differs between their heads is left in burst.differ, their
// next hops in burst.nexthops. One loop: while a packet's lines are on their way, others are
// written. Not inlined, so that a profile shows it.
[[gnu::noinline]] unsigned
write_common(forwarded_burst& burst, fib4_reader<> routes, const adjacency* table) {
    const unsigned count = burst.packets.count;
    const fib4_node* const* const node = burst.packets.node;
    std::uint8_t* const* const header = burst.packets.header;
    const std::uint32_t* const destination = burst.plain.destination;
    const std::uint32_t* const aged = burst.plain.aged;
    const std::uint16_t leader = routes.slot(node[0], destination[0]);
    const std::uint64_t like = head_of(table[leader & (nexthops_max - 1)]);
    std::uint64_t differ = 0;
    unsigned i = 0;
    if (are_common(like, 0, burst.plain.longest)) {
        for (; i < count; ++i) {
            std::uint16_t answer = routes.slot(node[i], destination[i]);
            if ((answer & fib4_long_flag) != 0) [[unlikely]] {
                answer = routes.longer(answer, destination[i]);
            }
            const adjacency& via = table[answer];
            const std::uint64_t other = head_of(via) ^ like;
            if ((other & ~head_way) != 0) [[unlikely]] {
                break;
            }
            differ |= other;
            burst.nexthops[i] = nexthop_id{answer};
            write_untagged(header[i], via, aged[i]);
        }
    }
    burst.differ = differ;
    set_frames(burst, 0, i);
    return i;
}

// Next hops of packets from `first` on, which are not of the common kind, or that of another MTU.
[[gnu::noinline, gnu::cold]] void
look_up(forwarded_burst& burst, unsigned first, fib4_reader<> routes) {
    for (unsigned i = first; i < burst.packets.count; ++i) {
        const std::uint32_t destination = burst.plain.destination[i];
        const std::uint16_t answer = routes.slot(burst.packets.node[i], destination);
        burst.nexthops[i] = nexthop_id{
            (answer & fib4_long_flag) != 0 ? routes.longer(answer, destination) : answer};
    }
}

// The same of any kind, one by one; what needs more than this is marked slow.
void write_each(ip4_context& context, forwarded_burst& burst, unsigned first, unsigned last) {
    const l3_burst& packets = burst.packets;
    const adjacency* const table = context.next.data();
    for (unsigned i = first; i < last; ++i) {
        std::uint8_t* header = packets.header[i];
        const adjacency* via = table + burst.nexthops[i].value;
        if (via->kind != adjacency_kind::forward) {
            via = find_forward(context, via, *packets.packets[i], header);
        }
        const std::uint32_t total = burst.plain.total[i];
        if (via == nullptr || total > via->mtu) [[unlikely]] {
            burst.slow |= std::uint64_t{1} << i;
            continue;
        }
        std::memcpy(header - via->rewrite_length, via->rewrite.data(), via->rewrite_length);
        std::memcpy(header + 8, &burst.plain.aged[i], sizeof burst.plain.aged[i]);
        set_frame(*packets.packets[i], header, total, via->rewrite_length);
        burst.head[i] = head_of(*via);
    }
}

// Packets whose kind is asked for together: one that is not common slows down its step alone.
constexpr unsigned write_step = 16;

// Packets from `first` on, whose next hops are known.
void write_by_steps(ip4_context& context, forwarded_burst& burst, unsigned first) {
    const unsigned count = burst.packets.count;
    const adjacency* const table = context.next.data();
    for (unsigned last = 0; first < count; first = last) {
        last = std::min(first + write_step, count);
        std::uint64_t differ = 0;
        for (unsigned i = first; i < last; ++i) {
            differ |= burst.head[i] ^ burst.head[first];
        }
        if (!are_common(burst.head[first], differ, burst.plain.longest)) {
            write_each(context, burst, first, last);
            continue;
        }
        for (unsigned i = first; i < last; ++i) {
            const adjacency& via = table[burst.nexthops[i].value];
            write_untagged(burst.packets.header[i], via, burst.plain.aged[i]);
        }
        set_frames(burst, first, last);
    }
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
[[gnu::noinline]] void send_mixed(ip4_context& context, const forwarded_burst& burst) {
    const l3_burst& packets = burst.packets;
    const auto is_slow = [&](unsigned i) { return (burst.slow >> i & 1) != 0; };
    for (unsigned i = 0; i < packets.count;) {
        if (is_slow(i)) {
            forward_unusual(
                context, packets.packets[i], packets.header[i], burst.plain.total[i],
                burst.nexthops[i]);
            ++i;
            continue;
        }
        const std::uint32_t way = way_of(burst.head[i]);
        unsigned end = i;
        std::uint64_t bytes = 0;
        while (end < packets.count && !is_slow(end) && way_of(burst.head[end]) == way) {
            bytes += burst.plain.total[end++];
        }
        send_run(context, std::span(packets.packets + i, end - i), way, bytes);
        i = end;
    }
}

// All next hops are known; packets from `first` on are not written.
[[gnu::noinline]] void
forward_known(ip4_context& context, forwarded_burst& burst, l3_burst& packets, unsigned first) {
    for (unsigned i = 0; i < packets.count; ++i) {
        burst.head[i] = head_of(context.next[burst.nexthops[i]]);
    }
    write_by_steps(context, burst, first);
    packets.mark(); // some may stay, or have a detour told of them
    send_mixed(context, burst);
    packets.clear();
}

} // namespace

void ip4_forward(ip4_context& context, l3_burst& packets, const wire::ip4_plain& plain) {
    if (packets.empty()) {
        return;
    }
    forwarded_burst burst(packets, plain);
    const fib4_reader<> routes = context.routes.fib4();
    const unsigned written = write_common(burst, routes, context.next.data());
    if (written == packets.count && (burst.differ & head_way) == 0) [[likely]] {
        const std::uint32_t way = way_of(head_of(context.next[burst.nexthops[0]]));
        if (port_of(way) != context.input_port) [[likely]] {
            send_run(context, std::span(packets.packets, packets.count), way, plain.total_sum);
            return packets.clear();
        }
    }
    look_up(burst, written, routes);
    forward_known(context, burst, packets, written);
}

void ip4_forward(
    ip4_context& context, l3_burst& packets, const wire::ip4_plain& plain,
    const nexthop_id* nexthops) {
    if (!packets.empty()) {
        forwarded_burst burst(packets, plain);
        std::copy_n(nexthops, packets.count, burst.nexthops);
        forward_known(context, burst, packets, 0);
    }
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
