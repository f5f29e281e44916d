#include "stack/ether/ether_input.hpp"

#include "stack/ether/packet_meta.hpp"
#include "stack/wire/arp.hpp"
#include "stack/wire/ethernet.hpp"
#include "stack/wire/ipv4.hpp"
#include "stack/wire/ipv6.hpp"

#include <bit>
#include <cstring>

#include <rte_prefetch.h>

namespace pantala {
namespace {

constexpr std::uint32_t plain_ip4_min = wire::ethernet_header_bytes + wire::ipv4_header_min_bytes;
constexpr std::uint16_t ip4_type_raw =
    be16::from(static_cast<std::uint16_t>(wire::ether_type::ipv4)).raw();

template <class T>
T load(const std::uint8_t* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

// To the address in `match`, from a station, and IPv4: all by one comparison.
bool is_plain_ip4(const std::uint8_t* data, std::uint64_t match) {
    const std::uint64_t addresses = (load<std::uint64_t>(data) & mac_and_group_mask) ^ match;
    return (addresses | (load<std::uint16_t>(data + 12) ^ ip4_type_raw)) == 0;
}

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
        if (link.type == wire::ether_type::arp) {
            rte_pktmbuf_adj(frame, link.bytes);
            return sorted.arp.push(frame);
        }
        const bool common =
            !link.destination.is_group() && here.table == common_table && frame->nb_segs == 1;
        const bool is_ip4 = link.type == wire::ether_type::ipv4;
        l3_burst& to = is_ip4 ? (common ? sorted.ip4 : sorted.ip4_single)
                              : (common ? sorted.ip6 : sorted.ip6_single);
        to.tagged |= link.bytes != wire::ethernet_header_bytes;
        to.push(
            frame, rte_pktmbuf_mtod_offset(frame, std::uint8_t*, link.bytes),
            frame->pkt_len - link.bytes);
    }
};

// The frames of a port that are plain IPv4 to its own address, moved to a burst.
struct plain_frames {
    std::uint64_t others = 0; // bit i: frame i is none and stays
    std::uint64_t bytes = 0;  // of all that were moved, with link header
};

// No call in this loop, so that all of it stays in registers.
plain_frames take_plain(
    const link_table::port_link& link, const mbuf_burst& frames, l3_burst& ip4,
    fib4_reader<> directory) {
    const unsigned count = frames.count;
    // All frames' first lines at once: a device may have left them in a distant cache.
    std::uint8_t* frame_data[burst_max];
    for (unsigned i = 0; i < count; ++i) {
        frame_data[i] = rte_pktmbuf_mtod(frames.packets[i], std::uint8_t*);
        rte_prefetch0(frame_data[i]);
    }
    plain_frames done;
    const packet_meta meta{link.untagged, false};
    const std::uint64_t match = link.match;
    unsigned kept = 0;
    for (unsigned i = 0; i < count; ++i) {
        rte_mbuf* frame = frames.packets[i];
        std::uint8_t* data = frame_data[i];
        const std::uint32_t bytes = frame->data_len;
        if (bytes < plain_ip4_min || frame->nb_segs != 1 || !is_plain_ip4(data, match))
            [[unlikely]] {
            done.others |= std::uint64_t{1} << i;
            continue;
        }
        directory.prefetch_root(load<be32>(data + plain_ip4_min - 4).host());
        set_meta(*frame, meta);
        ip4.packets[kept] = frame;
        ip4.header[kept] = data + wire::ethernet_header_bytes;
        ip4.bytes[kept] = bytes - wire::ethernet_header_bytes;
        done.bytes += bytes;
        ++kept;
    }
    ip4.count = static_cast<std::uint16_t>(kept);
    return done;
}

} // namespace

void ether_input(
    const link_table& links, port_id port, mbuf_burst& frames, ether_sorted& sorted,
    link_counters& counters, drop_sink& drops, fib4_reader<> directory) {
    const link_table::port_link link = links.port(port); // a copy: in registers
    const plain_frames plain = take_plain(link, frames, sorted.ip4, directory);
    if (const unsigned count = sorted.ip4.count; count != 0) {
        counters[link.untagged].in_packets.add(count);
        counters[link.untagged].in_bytes.add(plain.bytes - count * wire::ethernet_header_bytes);
    }
    sorter slow{links, port, link.table, sorted, counters, drops};
    for (std::uint64_t left = plain.others; left != 0; left &= left - 1) {
        slow.sort(frames.packets[std::countr_zero(left)]);
    }
    frames.clear();
}

} // namespace pantala
