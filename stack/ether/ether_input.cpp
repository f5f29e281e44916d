#include "stack/ether/ether_input.hpp"

#include "stack/ether/packet_meta.hpp"
#include "stack/wire/arp.hpp"
#include "stack/wire/ethernet.hpp"
#include "stack/wire/ipv4.hpp"
#include "stack/wire/ipv6.hpp"

#include <cstring>

#include <rte_prefetch.h>

namespace pantala {
namespace {

constexpr std::uint32_t plain_ip4_min = wire::ethernet_header_bytes + wire::ipv4_header_min_bytes;
constexpr std::uint16_t ip4_type_raw =
    be16::from(static_cast<std::uint16_t>(wire::ether_type::ipv4)).raw();

struct link_header {
    wire::mac_address destination;
    wire::mac_address source;
    wire::ether_type type{};
    std::uint16_t vlan = vlan_none;
    std::uint16_t bytes = 0;
};

// False: the frame is shorter than its headers.
bool parse(const rte_mbuf& frame, link_header& out) {
    if (frame.data_len < wire::ethernet_header_bytes) {
        return false;
    }
    const auto* data = rte_pktmbuf_mtod(&frame, const std::uint8_t*);
    wire::ethernet_header header;
    std::memcpy(&header, data, sizeof header);
    out.destination = header.destination;
    out.source = header.source;
    out.type = header.ether();
    out.bytes = wire::ethernet_header_bytes;
    if (out.type == wire::ether_type::vlan) {
        if (frame.data_len < wire::ethernet_header_bytes + wire::vlan_tag_bytes) {
            return false;
        }
        wire::vlan_tag tag;
        std::memcpy(&tag, data + wire::ethernet_header_bytes, sizeof tag);
        // Identifier 0 carries a priority only: the frame is untagged (802.1Q 6.9).
        out.vlan = tag.identifier() == 0 ? vlan_none : tag.identifier();
        out.type = tag.ether();
        out.bytes += wire::vlan_tag_bytes;
    }
    return true;
}

// Header bytes that the next layer may rely on; 0: not a protocol of ours.
std::uint32_t least_bytes(wire::ether_type type) {
    switch (type) {
    case wire::ether_type::ipv4:
        return wire::ipv4_header_min_bytes;
    case wire::ether_type::arp:
        return sizeof(wire::arp_packet);
    case wire::ether_type::ipv6:
        return wire::ipv6_header_bytes;
    default:
        return 0;
    }
}

drop_reason too_short(wire::ether_type type) {
    switch (type) {
    case wire::ether_type::ipv4:
        return drop_reason::ip4_short;
    case wire::ether_type::arp:
        return drop_reason::arp_short;
    default:
        return drop_reason::ether_short;
    }
}

struct sorter {
    const link_table& links;
    port_id port;
    std::uint8_t common_table; // of the port's untagged interface
    ether_sorted& sorted;
    link_counters& counters;
    drop_sink& drops;

    // Every frame that is not plain IPv4 to the port's own address.
    [[gnu::noinline]] void sort(rte_mbuf* frame) {
        link_header link;
        if (!parse(*frame, link)) {
            return drops.drop(frame, drop_reason::ether_short);
        }
        if (link.source.is_group()) {
            return drops.drop(frame, drop_reason::ether_source);
        }
        const auto id = links.find(port, link.vlan);
        if (!id) {
            return drops.drop(frame, drop_reason::ether_vlan);
        }
        const iface& here = links[*id];
        if (!here.up) {
            return drops.drop(frame, drop_reason::ether_down);
        }
        if (!link.destination.is_group() && link.destination.bytes != here.mac) {
            return drops.drop(frame, drop_reason::ether_not_us);
        }
        counters[*id].in_packets.add(1);
        counters[*id].in_bytes.add(frame->pkt_len - link.bytes);
        const std::uint32_t least = least_bytes(link.type);
        if (least == 0) {
            return drops.drop(frame, drop_reason::ether_type);
        }
        // Layers above read their header in place: gather it if a device scattered it.
        if (frame->pkt_len < link.bytes + least ||
            (frame->data_len < link.bytes + least && rte_pktmbuf_linearize(frame) != 0)) {
            return drops.drop(frame, too_short(link.type));
        }
        set_meta(*frame, {*id, link.destination.is_group()});
        push(frame, link, here);
    }

    void push(rte_mbuf* frame, const link_header& link, const iface& here) {
        if (link.type == wire::ether_type::ipv4) {
            const bool common =
                !link.destination.is_group() && here.table == common_table && frame->nb_segs == 1;
            (common ? sorted.ip4 : sorted.ip4_single)
                .push(
                    frame, rte_pktmbuf_mtod_offset(frame, std::uint8_t*, link.bytes),
                    frame->pkt_len - link.bytes, static_cast<std::uint8_t>(link.bytes));
            return;
        }
        rte_pktmbuf_adj(frame, link.bytes);
        (link.type == wire::ether_type::arp ? sorted.arp : sorted.ip6).push(frame);
    }
};

} // namespace

void ether_input(
    const link_table& links, port_id port, mbuf_burst& frames, ether_sorted& sorted,
    link_counters& counters, drop_sink& drops, const fib4_reader<>& directory) {
    const link_table::port_link link = links.port(port); // a copy: in registers
    sorter slow{links, port, link.table, sorted, counters, drops};
    const unsigned count = frames.count;
    // All frames' first lines at once: a device may have left them in a distant cache.
    std::uint8_t* frame_data[burst_max];
    for (unsigned i = 0; i < count; ++i) {
        frame_data[i] = rte_pktmbuf_mtod(frames.packets[i], std::uint8_t*);
        rte_prefetch0(frame_data[i]);
    }
    std::uint64_t bytes = 0;
    std::uint64_t plain = 0;
    l3_burst& ip4 = sorted.ip4;
    unsigned kept =
        0; // ip4.count, in a register: the compiler cannot know that no store changes it
    for (unsigned i = 0; i < count; ++i) {
        rte_mbuf* frame = frames.packets[i];
        std::uint8_t* data = frame_data[i];
        const std::uint32_t data_bytes = frame->data_len;
        std::uint64_t addresses = 0;
        std::uint16_t type = 0;
        if (data_bytes >= plain_ip4_min && frame->nb_segs == 1) [[likely]] {
            std::memcpy(&addresses, data, sizeof addresses);
            std::memcpy(&type, data + 12, sizeof type);
        }
        // One comparison: to our address, and the source's group bit is clear.
        if ((addresses & mac_and_group_mask) == link.match && type == ip4_type_raw) [[likely]] {
            constexpr auto link_bytes = static_cast<std::uint8_t>(wire::ethernet_header_bytes);
            be32 destination;
            std::memcpy(&destination, data + plain_ip4_min - 4, sizeof destination);
            directory.prefetch_root(destination.host());
            bytes += data_bytes;
            ++plain;
            set_meta(*frame, {link.untagged, false});
            ip4.packets[kept] = frame;
            ip4.header[kept] = data + link_bytes;
            ip4.bytes[kept] = data_bytes - link_bytes;
            ip4.link_bytes[kept] = link_bytes;
            ++kept;
        } else {
            ip4.count = static_cast<std::uint16_t>(kept);
            slow.sort(frame);
            kept = ip4.count;
        }
    }
    ip4.count = static_cast<std::uint16_t>(kept);
    frames.clear();
    if (plain != 0) {
        counters[link.untagged].in_packets.add(plain);
        counters[link.untagged].in_bytes.add(bytes - plain * wire::ethernet_header_bytes);
    }
}

} // namespace pantala
