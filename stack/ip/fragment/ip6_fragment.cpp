#include "stack/ip/fragment/ip6_fragment.hpp"

#include "stack/ip/fragment/packet_copy.hpp"
#include "stack/ip/ip6/ip6_forward.hpp"
#include "stack/wire/ipv6.hpp"

#include <cstring>

namespace pantala {
namespace {

constexpr std::uint32_t front_bytes = wire::ipv6_header_bytes + wire::ipv6_fragment_header_bytes;

struct piece {
    std::uint32_t offset; // in the packet's payload
    std::uint32_t bytes;
    bool last;
};

// One fragment, finished; nullptr: no mbuf left.
rte_mbuf* make_fragment(
    ip6_context& context, const rte_mbuf& packet, const piece& part, be32 identification) {
    rte_mbuf* made = rte_pktmbuf_alloc(context.worker.pool);
    if (made == nullptr) {
        return nullptr;
    }
    made->vlan_tci_outer = packet.vlan_tci_outer;
    wire::ipv6_header ip;
    std::memcpy(&ip, rte_pktmbuf_mtod(&packet, const void*), sizeof ip);
    wire::ipv6_fragment_header header;
    header.next_header = ip.next_header;
    header.offset_more =
        be16::from(static_cast<std::uint16_t>(part.offset | (part.last ? 0u : 1u)));
    header.identification = identification;
    ip.next_header = static_cast<std::uint8_t>(wire::ip_protocol::fragment);
    ip.payload_length =
        be16::from(static_cast<std::uint16_t>(wire::ipv6_fragment_header_bytes + part.bytes));
    char* at = rte_pktmbuf_append(made, front_bytes);
    std::memcpy(at, &ip, sizeof ip);
    std::memcpy(at + sizeof ip, &header, sizeof header);
    if (!append_packet(
            context.worker.pool, *made, packet, wire::ipv6_header_bytes + part.offset,
            part.bytes)) {
        rte_pktmbuf_free(made);
        return nullptr;
    }
    return made;
}

} // namespace

void ip6_fragment(ip6_context& context, const adjacency& via, rte_mbuf* packet) {
    if (via.mtu6 < front_bytes + 8) {
        return context.worker.drops.drop(packet, drop_reason::ip6_too_big);
    }
    const std::uint32_t room = (via.mtu6 - front_bytes) & ~7u;
    const std::uint32_t payload = packet->pkt_len - wire::ipv6_header_bytes;
    // Nobody can guess the next one (RFC 7739).
    const be32 identification =
        be32::from(static_cast<std::uint32_t>(context.worker.random.next()));
    // All or nothing: pieces without the rest only cost the receiver memory.
    mbuf_burst made;
    for (std::uint32_t offset = 0; offset < payload; offset += room) {
        const bool last = payload - offset <= room;
        const piece part{offset, last ? payload - offset : room, last};
        rte_mbuf* fragment =
            made.full() ? nullptr : make_fragment(context, *packet, part, identification);
        if (fragment == nullptr) {
            rte_pktmbuf_free_bulk(made.packets, made.count);
            return context.worker.drops.drop(packet, drop_reason::ip6_too_big);
        }
        made.push(fragment);
    }
    context.counters.fragmented.add(1);
    context.counters.fragments_made.add(made.count);
    for (rte_mbuf* fragment : made) {
        ip6_send(context, via, fragment);
    }
    rte_pktmbuf_free(packet);
}

} // namespace pantala
