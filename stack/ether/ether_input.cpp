#include "stack/ether/ether_input.hpp"

#include "stack/ether/packet_meta.hpp"
#include "stack/wire/arp.hpp"
#include "stack/wire/ethernet.hpp"
#include "stack/wire/ipv4.hpp"
#include "stack/wire/ipv6.hpp"

#include <bit>
#include <cstddef>
#include <cstring>

#include <immintrin.h>
#include <rte_prefetch.h>

namespace pantala {
namespace {

constexpr std::uint16_t raw_type(wire::ether_type type) {
    return be16::from(static_cast<std::uint16_t>(type)).raw();
}

template <class T>
T load(const std::uint8_t* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

// What the passes over plain frames do differently for the two families. `ask`: a header is near,
// so the first line that its lookup needs is asked for.
struct plain_ip4 {
    static constexpr std::uint16_t type = raw_type(wire::ether_type::ipv4);
    static constexpr std::uint32_t frame_min =
        wire::ethernet_header_bytes + wire::ipv4_header_min_bytes;
    fib4_reader<> directory;

    void ask(const std::uint8_t* header) const {
        directory.prefetch_root(load<be32>(header + 16).host());
    }
};
struct plain_ip6 {
    static constexpr std::uint16_t type = raw_type(wire::ether_type::ipv6);
    static constexpr std::uint32_t frame_min =
        wire::ethernet_header_bytes + wire::ipv6_header_bytes;

    void ask(const std::uint8_t*) const {} // 24 KiB of directories are near anyway
};

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
    bool chosen; // sorted.table
    ether_sorted& sorted;
    link_counters& counters;
    drop_sink& drops;

    // Every frame that is not plain: untagged IPv4 or IPv6 to the port's own address.
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
        const bool ordinary = !link.destination.is_group() && frame->nb_segs == 1;
        if (ordinary && !chosen) {
            sorted.table = here.table;
            chosen = true;
        }
        const bool common = ordinary && here.table == sorted.table;
        const bool is_ip4 = link.type == wire::ether_type::ipv4;
        l3_burst& to = is_ip4 ? (common ? sorted.ip4 : sorted.ip4_single)
                              : (common ? sorted.ip6 : sorted.ip6_single);
        to.tagged |= link.bytes != wire::ethernet_header_bytes;
        to.push(
            frame, rte_pktmbuf_mtod_offset(frame, std::uint8_t*, link.bytes),
            frame->pkt_len - link.bytes);
    }
};

// The frames of a port that are plain (IPv4 or IPv6 to its own address), moved to their bursts.
struct plain_frames {
    std::uint64_t others = 0; // bit i: frame i is none and stays
    std::uint64_t bytes = 0;  // of all that were moved, with link header
};

template <class T>
__m128i load16(const T* at) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

// First of two passes over frames [0, count), count a multiple of 4: their first lines are asked
// for, which a device may have left in a distant cache. True: all are of one segment and hold
// `frame_min` bytes, link and network header; `bytes` and `header` of `to` are written, and the sum
// of their lengths.
[[gnu::always_inline]] inline bool are_whole(
    rte_mbuf* const* frames, unsigned count, std::uint32_t frame_min, l3_burst& to,
    std::uint64_t& sum_bytes) {
    // As the mbuf's fields lie: nb_segs, and data_len in the low half of the third word.
    const __m128i one_segment = _mm_set_epi16(0, 0, 0, 0, 0, 1, 0, 0);
    static_assert(offsetof(rte_mbuf, nb_segs) == offsetof(rte_mbuf, data_off) + 4);
    static_assert(offsetof(rte_mbuf, data_len) == offsetof(rte_mbuf, packet_type) + 8);
    __m128i segments = _mm_setzero_si128();
    __m128i least = _mm_set1_epi32(-1);
    __m128i sum = _mm_setzero_si128();
    for (unsigned i = 0; i < count; i += 4) {
        __m128i about[4];
        for (unsigned j = 0; j < 4; ++j) {
            const rte_mbuf* frame = frames[i + j];
            auto* data = rte_pktmbuf_mtod(frame, std::uint8_t*);
            rte_prefetch0(data);
            to.header[i + j] = data + wire::ethernet_header_bytes;
            segments = _mm_or_si128(segments, _mm_xor_si128(load16(&frame->data_off), one_segment));
            about[j] = load16(&frame->packet_type);
        }
        const __m128i lengths = _mm_and_si128(
            _mm_unpacklo_epi64(
                _mm_unpackhi_epi32(about[0], about[1]), _mm_unpackhi_epi32(about[2], about[3])),
            _mm_set1_epi32(0xffff));
        least = _mm_min_epu32(least, lengths);
        sum = _mm_add_epi32(sum, lengths);
        _mm_storeu_si128(
            reinterpret_cast<__m128i*>(to.bytes + i),
            _mm_sub_epi32(lengths, _mm_set1_epi32(wire::ethernet_header_bytes)));
    }
    alignas(16) std::uint32_t lanes[4];
    _mm_store_si128(reinterpret_cast<__m128i*>(lanes), sum);
    sum_bytes = std::uint64_t{lanes[0]} + lanes[1] + lanes[2] + lanes[3];
    const __m128i limit = _mm_set1_epi32(static_cast<int>(frame_min));
    const __m128i long_enough = _mm_cmpeq_epi32(_mm_max_epu32(least, limit), least);
    const __m128i several = _mm_and_si128(segments, _mm_set_epi16(0, 0, 0, 0, 0, -1, 0, 0));
    return _mm_movemask_epi8(long_enough) == 0xffff && _mm_testz_si128(several, several) != 0;
}

// Second pass: the link headers, and the family asks. True: all are plain and of the family.
template <class Family>
[[gnu::always_inline]] inline bool
are_plain(Family family, std::uint64_t match, unsigned count, const l3_burst& packets) {
    const __m128i want =
        _mm_set_epi64x(std::int64_t{Family::type} << 32, static_cast<std::int64_t>(match));
    const __m128i mask =
        _mm_set_epi64x(std::int64_t{0xffff} << 32, static_cast<std::int64_t>(mac_and_group_mask));
    __m128i differ = _mm_setzero_si128();
    for (unsigned i = 0; i < count; ++i) {
        const std::uint8_t* header = packets.header[i];
        family.ask(header);
        differ =
            _mm_or_si128(differ, _mm_xor_si128(load16(header - wire::ethernet_header_bytes), want));
    }
    return _mm_testz_si128(differ, mask) != 0;
}

// As many of the first frames, by fours, as can be taken together: all or none of them. No call in
// its loops, so that all stays in registers.
template <class Family>
void take_alike(
    Family family, std::uint64_t match, const mbuf_burst& frames, l3_burst& to,
    plain_frames& done) {
    const unsigned count = frames.count & ~3U;
    std::uint64_t bytes = 0;
    if (are_whole(frames.packets, count, Family::frame_min, to, bytes) &&
        are_plain(family, match, count, to)) [[likely]] {
        std::memcpy(to.packets, frames.packets, sizeof to.packets);
        to.count = static_cast<std::uint16_t>(count);
        done.bytes = bytes;
    }
}

// One frame; its link header is plain. False: it is too short or not of the family.
template <class Family>
[[gnu::always_inline]] inline bool
take_one(Family family, rte_mbuf* frame, std::uint8_t* data, l3_burst& to, plain_frames& done) {
    const std::uint32_t bytes = frame->data_len;
    if (load<std::uint16_t>(data + 12) != Family::type || bytes < Family::frame_min) {
        return false;
    }
    std::uint8_t* header = data + wire::ethernet_header_bytes;
    family.ask(header);
    to.packets[to.count] = frame;
    to.header[to.count] = header;
    to.bytes[to.count] = bytes - wire::ethernet_header_bytes;
    ++to.count;
    done.bytes += bytes;
    return true;
}

// Frames from `first` on, one by one, of either family.
void take_each(
    plain_ip4 family, std::uint64_t match, const mbuf_burst& frames, unsigned first,
    ether_sorted& sorted, plain_frames& done) {
    for (unsigned i = first; i < frames.count; ++i) {
        rte_mbuf* frame = frames.packets[i];
        auto* data = rte_pktmbuf_mtod(frame, std::uint8_t*);
        const bool ours = frame->nb_segs == 1 && frame->data_len >= plain_ip4::frame_min &&
                          (load<std::uint64_t>(data) & mac_and_group_mask) == match;
        if (!ours || !(take_one(family, frame, data, sorted.ip4, done) ||
                       take_one(plain_ip6{}, frame, data, sorted.ip6, done))) [[unlikely]] {
            done.others |= std::uint64_t{1} << i;
        }
    }
}

// The first frame says of which family most of a burst are likely to be.
plain_frames take_plain(
    const link_table::port_link& link, const mbuf_burst& frames, ether_sorted& sorted,
    fib4_reader<> directory) {
    plain_frames done;
    const plain_ip4 family{directory};
    unsigned first = 0;
    const rte_mbuf& leader = *frames.packets[0];
    if (leader.data_len >= plain_ip6::frame_min &&
        load<std::uint16_t>(rte_pktmbuf_mtod_offset(&leader, const std::uint8_t*, 12)) ==
            plain_ip6::type) {
        take_alike(plain_ip6{}, link.match, frames, sorted.ip6, done);
        first = sorted.ip6.count;
    } else {
        take_alike(family, link.match, frames, sorted.ip4, done);
        first = sorted.ip4.count;
    }
    take_each(family, link.match, frames, first, sorted, done);
    for (l3_burst* burst : {&sorted.ip4, &sorted.ip6}) {
        burst->unmarked = burst->count;
        burst->arrival = {link.untagged, false};
    }
    return done;
}

} // namespace

void ether_input(
    const link_table& links, port_id port, mbuf_burst& frames, ether_sorted& sorted,
    link_counters& counters, drop_sink& drops, fib4_reader<> directory) {
    const link_table::port_link link = links.port(port); // a copy: in registers
    if (frames.empty()) {
        return;
    }
    const plain_frames plain = take_plain(link, frames, sorted, directory);
    const unsigned count = sorted.ip4.count + sorted.ip6.count;
    sorted.table = link.table;
    if (count != 0) {
        counters[link.untagged].in_packets.add(count);
        counters[link.untagged].in_bytes.add(plain.bytes - count * wire::ethernet_header_bytes);
    }
    sorter slow{links, port, count != 0, sorted, counters, drops};
    for (std::uint64_t left = plain.others; left != 0; left &= left - 1) {
        slow.sort(frames.packets[std::countr_zero(left)]);
    }
    frames.clear();
}

} // namespace pantala
