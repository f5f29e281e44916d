#include "stack/ip/ip6/ip6_output.hpp"

#include "stack/ether/addresses6.hpp"
#include "stack/ether/ether_output.hpp"
#include "stack/ether/packet_meta.hpp"
#include "stack/ip/fragment/ip6_fragment.hpp"
#include "stack/ip/ip6/ip6_flow_hash.hpp"
#include "stack/ip/ip6/ip6_forward.hpp"
#include "stack/ip/packet_sum.hpp"
#include "stack/route/host_cache/host_cache.hpp"
#include "stack/wire/checksum.hpp"
#include "stack/wire/icmp6.hpp"
#include "stack/wire/ipv6.hpp"

#include <algorithm>
#include <cstring>

namespace pantala {
namespace {

bool can_send(adjacency_kind kind) {
    return kind == adjacency_kind::forward || kind == adjacency_kind::resolve ||
           kind == adjacency_kind::connected;
}

void fill_icmp_checksum(rte_mbuf& packet, const wire::ipv6_header& ip) {
    constexpr std::size_t at = wire::ipv6_header_bytes + offsetof(wire::icmp6_header, checksum);
    auto* place = rte_pktmbuf_mtod_offset(&packet, std::uint8_t*, at);
    const std::uint32_t length = packet.pkt_len - wire::ipv6_header_bytes;
    be16 sum{};
    std::memcpy(place, &sum, sizeof sum);
    sum = wire::checksum_of(
        wire::sum_pseudo_header(ip.source, ip.destination, wire::ip_protocol::icmpv6, length) +
        sum_packet(packet, wire::ipv6_header_bytes, length));
    std::memcpy(place, &sum, sizeof sum);
}

// Where finished packets between these addresses go.
struct finished_way {
    adjacency via{};
    wire::ipv6_address source;
    wire::ipv6_address destination;
    std::uint16_t mtu = 0;
    std::uint16_t datagram_mtu = 0;
    std::uint8_t hop_limit = 0; // of packets that say none
    bool shared = false; // by other flows between the two: not where paths are chosen by flow
};

bool is_group_way(const ip6_context& context, const wire::ipv6_address& destination) {
    return context.next[context.routes.lookup6(0, halves_of(destination))].kind ==
           adjacency_kind::group;
}

// The interface of the main table that has this address of ours; of a link-local one that is on
// several the first.
iface_id link_of(const link_table& links, const wire::ipv6_address& source) {
    return owner_of(links, source, 0).value_or(iface_id{});
}

bool is_ours_on(const iface& here, const wire::ipv6_address& address) {
    const iface_address6* mine = find_address(here, address);
    return mine != nullptr && is_usable(*mine);
}

// RFC 4861 6.3.4: what routers of the link say, unless somebody has said otherwise here.
std::uint8_t hop_limit_on(const ip6_context& context, iface_id link) {
    const std::uint8_t said = context.links[link].hop_limit6;
    return said != 0 ? said : context.settings.hop_limit;
}

// Of a packet that says none, or TCP's that says what is usual.
void set_hop_limit(const ip6_context& context, rte_mbuf& packet, std::uint8_t limit) {
    constexpr std::size_t next_header_at = offsetof(wire::ipv6_header, next_header);
    auto* header = rte_pktmbuf_mtod(&packet, std::uint8_t*);
    std::uint8_t& of = header[offsetof(wire::ipv6_header, hop_limit)];
    const bool is_tcp = header[next_header_at] == static_cast<std::uint8_t>(wire::ip_protocol::tcp);
    if (of != limit && (of == 0 || (is_tcp && of == context.settings.hop_limit))) {
        of = limit;
    }
}

finished_way find_way(
    ip6_context& context, const rte_mbuf& packet, const wire::ipv6_address& source,
    const wire::ipv6_address& destination) {
    // What has a meaning beyond its link is found by the routing table.
    const bool here = destination.is_link_local() || destination.is_multicast();
    const iface_id link = here ? link_of(context.links, source) : iface_id{};
    const std::uint32_t hash = ip6_flow_hash(
        rte_pktmbuf_mtod(&packet, const std::uint8_t*), packet.data_len,
        context.settings.flow_seed);
    finished_way way;
    way.via = ip6_way(context, destination, link, 0, hash);
    way.source = source;
    way.destination = destination;
    way.shared = true;
    if (here && is_ours_on(context.links[link], destination)) {
        way.via.kind = adjacency_kind::local;
    } else if (!here) {
        way.shared = !is_group_way(context, destination);
    }
    if (way.via.kind == adjacency_kind::connected) {
        const neighbor_key key = make_neighbor_key(way.via.iface, destination);
        const adjacency* direct = context.neighbors.resolved(key);
        way.via = direct != nullptr && direct->mtu6 <= way.via.mtu6 ? *direct : way.via;
    }
    way.hop_limit = hop_limit_on(context, way.via.iface);
    const ip_address to = ip_address::from(destination);
    way.mtu = std::min(way.via.mtu6, context.hosts.find_mtu(to, context.now));
    way.datagram_mtu =
        std::min(way.via.mtu6, context.hosts.find_mtu(to, context.now, mtu_for::datagrams));
    return way;
}

// To ourselves: as if it had come in by the interface that the route names, as one to a subnet's
// router anycast address does, too, which no interface has among its own.
void send_back(ip6_context& context, rte_mbuf* packet, const finished_way& way) {
    if (context.local.full()) {
        return context.worker.drops.drop(packet, drop_reason::ip6_loop_full);
    }
    set_meta(*packet, {way.via.iface, false});
    // Checksums left to a device are nobody's business here.
    packet->ol_flags = (packet->ol_flags & RTE_MBUF_F_TX_L4_MASK) != 0 ? RTE_MBUF_F_RX_L4_CKSUM_GOOD
                                                                       : std::uint64_t{0};
    context.local.push(packet);
}

void send_finished(ip6_context& context, const finished_way& way, rte_mbuf* packet) {
    set_hop_limit(context, *packet, way.hop_limit);
    if (way.via.kind == adjacency_kind::local) {
        return send_back(context, packet, way);
    }
    if (!can_send(way.via.kind)) {
        return context.worker.drops.drop(packet, drop_reason::ip6_no_route);
    }
    context.counters.originated.add(1);
    packet->vlan_tci_outer = 0;
    packet->l2_len = way.via.rewrite_length; // what a device that fills checksums wants to know
    constexpr std::size_t next_header_at = 6;
    const bool datagram = *rte_pktmbuf_mtod_offset(packet, const std::uint8_t*, next_header_at) ==
                          static_cast<std::uint8_t>(wire::ip_protocol::udp);
    const std::uint16_t mtu = datagram ? way.datagram_mtu : way.mtu;
    if (packet->pkt_len > mtu) {
        adjacency narrow = way.via;
        narrow.mtu6 = mtu;
        return ip6_fragment(context, narrow, packet);
    }
    ip6_send(context, way.via, packet);
}

// Up, and of the main table.
bool is_usable_link(const link_table& links, iface_id id) {
    return links.valid(id) && links[id].up && links[id].table == 0;
}

// The interface that a link-local destination is on: the only one that is up.
std::optional<iface_id> only_link(const link_table& links) {
    std::optional<iface_id> found;
    for (std::uint16_t id = 0; id < links.end(); ++id) {
        if (is_usable_link(links, iface_id{id})) {
            if (found) {
                return std::nullopt;
            }
            found = iface_id{id};
        }
    }
    return found;
}

// The way without a packet at hand: of a group that of its first member.
std::optional<adjacency>
plain_way(const ip6_context& context, const wire::ipv6_address& destination) {
    if (!destination.is_link_local() && !destination.is_multicast()) {
        return ip6_way(context, destination, {}, 0, 0);
    }
    const auto link = only_link(context.links);
    return link ? std::optional(ip6_way(context, destination, *link, 0, 0)) : std::nullopt;
}

// The least MTU of the interfaces that are up.
std::uint16_t least_mtu(const link_table& links) {
    std::uint16_t least = host_cache::no_mtu;
    for (std::uint16_t id = 0; id < links.end(); ++id) {
        least = is_usable_link(links, iface_id{id})
                    ? std::min(least, links[iface_id{id}].link_mtu6())
                    : least;
    }
    return least == host_cache::no_mtu ? std::uint16_t{0} : least;
}

std::uint16_t group_mtu(const ip6_context& context, const adjacency& group) {
    std::uint16_t least = host_cache::no_mtu;
    for (unsigned i = 0; i < group.group_count; ++i) {
        const adjacency& member = context.next[context.routes.bucket(group.group_first + i)];
        least = can_send(member.kind) ? std::min(least, member.mtu6) : least;
    }
    return least == host_cache::no_mtu ? std::uint16_t{0} : least;
}

std::uint16_t first_hop_mtu(const ip6_context& context, const wire::ipv6_address& destination) {
    if (destination.is_link_local() || destination.is_multicast()) {
        return least_mtu(context.links);
    }
    const adjacency& via = context.next[context.routes.lookup6(0, halves_of(destination))];
    if (via.kind == adjacency_kind::group) {
        return group_mtu(context, via);
    }
    if (via.kind == adjacency_kind::local) {
        return host_cache::no_mtu;
    }
    return can_send(via.kind) ? via.mtu6 : std::uint16_t{0};
}

} // namespace

rte_mbuf* ip6_allocate(ip6_context& context) {
    rte_mbuf* packet = rte_pktmbuf_alloc(context.worker.pool);
    if (packet == nullptr) {
        context.worker.drops.count(drop_reason::no_mbuf);
        return nullptr;
    }
    packet->vlan_tci_outer = 0;
    return packet;
}

adjacency ip6_way(
    const ip6_context& context, const wire::ipv6_address& destination, iface_id link,
    std::uint8_t table, std::uint32_t flow_hash) {
    const iface& here = context.links[link];
    if (destination.is_multicast()) {
        return make_adjacency(here, link, wire::multicast_mac(destination));
    }
    if (destination.is_link_local()) {
        adjacency way = make_adjacency(here, link, {});
        way.kind = way.kind == adjacency_kind::forward ? adjacency_kind::connected : way.kind;
        return way;
    }
    const adjacency* via = &context.next[context.routes.lookup6(table, halves_of(destination))];
    if (via->kind == adjacency_kind::group) {
        via = &context.next[context.routes.bucket(
            group_bucket(via->group_first, via->group_count, flow_hash))];
    }
    return *via;
}

void ip6_output(ip6_context& context, rte_mbuf* payload, const ip6_packet& header) {
    const std::uint32_t length = payload->pkt_len;
    char* at = rte_pktmbuf_prepend(payload, wire::ipv6_header_bytes);
    if (at == nullptr || length > 0xffff) {
        return context.worker.drops.drop(payload, drop_reason::no_mbuf);
    }
    wire::ipv6_header ip;
    ip.version_class_flow = be32::from(6u << 28 | std::uint32_t{header.traffic_class} << 20);
    ip.payload_length = be16::from(static_cast<std::uint16_t>(length));
    ip.next_header = static_cast<std::uint8_t>(header.protocol);
    ip.source = header.source;
    ip.destination = header.destination;
    std::memcpy(at, &ip, sizeof ip); // the flow hash reads it
    const std::uint32_t hash = ip6_flow_hash(
        reinterpret_cast<const std::uint8_t*>(at), payload->data_len, context.settings.flow_seed);
    const adjacency via = ip6_way(context, header.destination, header.link, header.table, hash);
    if (!can_send(via.kind)) {
        return context.worker.drops.drop(payload, drop_reason::ip6_no_route);
    }
    ip.hop_limit = header.hop_limit != 0 ? header.hop_limit : hop_limit_on(context, via.iface);
    if (ip.source.is_unspecified()) {
        const auto source = select_source(context.links, via.iface, header.destination);
        if (!source) {
            return context.worker.drops.drop(payload, drop_reason::ip6_no_source);
        }
        ip.source = *source;
    }
    std::memcpy(at, &ip, sizeof ip);
    if (header.fill_icmp_checksum) {
        fill_icmp_checksum(*payload, ip);
    }
    context.counters.originated.add(1);
    // What was learned of paths is the main table's (RFC 8201 4: the source cuts, no router does).
    const std::uint16_t known = header.table == 0 ? context.hosts.find_mtu(
                                                        ip_address::from(header.destination),
                                                        context.now, mtu_for::datagrams)
                                                  : host_cache::no_mtu;
    if (payload->pkt_len > std::min(via.mtu6, known)) {
        adjacency narrow = via;
        narrow.mtu6 = std::min(via.mtu6, known);
        return ip6_fragment(context, narrow, payload);
    }
    ip6_send(context, via, payload);
}

void ip6_output_finished(ip6_context& context, mbuf_burst& packets) {
    finished_way way;
    for (rte_mbuf* packet : packets) {
        wire::ipv6_header ip;
        std::memcpy(&ip, rte_pktmbuf_mtod(packet, const void*), sizeof ip);
        if (!way.shared || ip.destination != way.destination || ip.source != way.source) {
            way = find_way(context, *packet, ip.source, ip.destination);
        }
        send_finished(context, way, packet);
    }
    packets.clear();
}

std::uint16_t ip6_path_mtu(const ip6_context& context, const wire::ipv6_address& destination) {
    return std::min(
        first_hop_mtu(context, destination),
        context.hosts.find_mtu(ip_address::from(destination), context.now));
}

std::optional<wire::ipv6_address>
ip6_source_for(const ip6_context& context, const wire::ipv6_address& destination) {
    const auto via = plain_way(context, destination);
    if (via && via->kind == adjacency_kind::local) {
        return destination;
    }
    return via && can_send(via->kind) ? select_source(context.links, via->iface, destination)
                                      : std::nullopt;
}

} // namespace pantala
