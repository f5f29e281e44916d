#include "stack/ip/fragment/ip4_fragment.hpp"

#include "stack/ip/fragment/packet_copy.hpp"
#include "stack/ip/icmp/icmp4_error.hpp"
#include "stack/ip/ip4_forward.hpp"
#include "stack/ip/ip4_options.hpp"
#include "stack/wire/checksum.hpp"
#include "stack/wire/ipv4.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace pantala {
namespace {

constexpr std::uint32_t datagram_bytes_max = 65535; // a total length's 16 bits

struct header_bytes {
    std::array<std::uint8_t, wire::ipv4_header_max_bytes> bytes{};
    std::uint32_t length = 0;
};

// The header of all fragments but the first: only options that are copied.
header_bytes later_header(const header_bytes& first) {
    header_bytes later;
    std::memcpy(later.bytes.data(), first.bytes.data(), wire::ipv4_header_min_bytes);
    const std::size_t options = ip4_copied_options(
        std::span(first.bytes)
            .subspan(wire::ipv4_header_min_bytes, first.length - wire::ipv4_header_min_bytes),
        later.bytes.data() + wire::ipv4_header_min_bytes);
    later.length = static_cast<std::uint32_t>(wire::ipv4_header_min_bytes + options);
    later.bytes[0] = static_cast<std::uint8_t>(0x40 | (later.length / 4));
    return later;
}

struct piece {
    std::uint32_t offset; // in the packet's payload
    std::uint32_t bytes;
    bool last;
};

// One fragment, finished; nullptr: no mbuf left.
rte_mbuf* make_fragment(
    ip4_context& context, const rte_mbuf& packet, const header_bytes& header,
    std::uint32_t payload_start, const piece& part) {
    rte_mbuf* fragment = rte_pktmbuf_alloc(context.worker.pool);
    if (fragment == nullptr) {
        return nullptr;
    }
    fragment->vlan_tci_outer = packet.vlan_tci_outer;
    wire::ipv4_header ip;
    std::memcpy(&ip, header.bytes.data(), sizeof ip);
    const std::uint16_t before = ip.flags_offset.host();
    const bool more = !part.last || (before & wire::ipv4_header::more_fragments) != 0;
    const std::uint32_t units = (before & wire::ipv4_header::offset_mask) + part.offset / 8;
    ip.flags_offset = be16::from(
        static_cast<std::uint16_t>(units | (more ? wire::ipv4_header::more_fragments : 0u)));
    ip.total_length = be16::from(static_cast<std::uint16_t>(header.length + part.bytes));
    ip.checksum = {};
    auto* at = reinterpret_cast<std::uint8_t*>(
        rte_pktmbuf_append(fragment, static_cast<std::uint16_t>(header.length)));
    std::memcpy(at, header.bytes.data(), header.length);
    std::memcpy(at, &ip, sizeof ip);
    ip.checksum = wire::checksum_of(wire::sum_bytes(at, header.length));
    std::memcpy(at, &ip, sizeof ip);
    if (!append_packet(
            context.worker.pool, *fragment, packet, payload_start + part.offset, part.bytes)) {
        rte_pktmbuf_free(fragment);
        return nullptr;
    }
    return fragment;
}

} // namespace

void ip4_fragment(ip4_context& context, const adjacency& via, rte_mbuf* packet) {
    wire::ipv4_header ip;
    std::memcpy(&ip, rte_pktmbuf_mtod(packet, const void*), sizeof ip);
    if (ip.may_not_fragment()) {
        icmp4_fragmentation_needed(context, *packet, via.mtu);
        return context.worker.drops.drop(packet, drop_reason::ip4_dont_fragment);
    }
    header_bytes first;
    first.length = ip.header_bytes();
    std::memcpy(first.bytes.data(), rte_pktmbuf_mtod(packet, const void*), first.length);
    const header_bytes later = later_header(first);
    if (via.mtu < first.length + 8) {
        return context.worker.drops.drop(packet, drop_reason::ip4_fragment);
    }
    const std::uint32_t payload = packet->pkt_len - first.length;
    // A fragment that ends behind the longest datagram (RFC 791 3.1): its pieces' offsets would
    // wrap.
    if (first.length + ip.fragment_offset_bytes() + payload > datagram_bytes_max) {
        return context.worker.drops.drop(packet, drop_reason::ip4_fragment);
    }
    // All or nothing: pieces without the rest only cost the receiver memory.
    mbuf_burst made;
    for (std::uint32_t offset = 0; offset < payload;) {
        const header_bytes& header = offset == 0 ? first : later;
        const std::uint32_t room = (via.mtu - header.length) & ~7u;
        const bool last = payload - offset <= via.mtu - header.length;
        const piece part{offset, last ? payload - offset : room, last};
        rte_mbuf* fragment =
            made.full() ? nullptr : make_fragment(context, *packet, header, first.length, part);
        if (fragment == nullptr) {
            rte_pktmbuf_free_bulk(made.packets, made.count);
            return context.worker.drops.drop(packet, drop_reason::ip4_fragment);
        }
        made.push(fragment);
        offset += part.bytes;
    }
    context.counters.fragmented.add(1);
    context.counters.fragments_made.add(made.count);
    for (rte_mbuf* fragment : made) {
        ip4_send(context, via, fragment);
    }
    rte_pktmbuf_free(packet);
}

} // namespace pantala
