#include "stack/ip/fragment/ip6_reassembly.hpp"

#include "stack/wire/ipv6.hpp"

#include <cstring>

namespace pantala {
namespace {

constexpr std::uint32_t payload_bytes_max = 65535;

template <class Header>
Header read(const rte_mbuf& packet, std::uint32_t at) {
    Header header;
    std::memcpy(&header, rte_pktmbuf_mtod_offset(&packet, const void*, at), sizeof header);
    return header;
}

// The packet that a first fragment begins, with `bytes` of data: the fragment header, at l3_len,
// goes, and the headers before it move up.
void uncover(rte_mbuf& first, std::uint32_t bytes) {
    const std::uint32_t front = first.l3_len;
    auto* start = rte_pktmbuf_mtod(&first, std::uint8_t*);
    const wire::ip6_chain chain = wire::ip6_walk({start, first.data_len});
    start[chain.named_at] = read<wire::ipv6_fragment_header>(first, front).next_header;
    auto ip = read<wire::ipv6_header>(first, 0);
    ip.payload_length =
        be16::from(static_cast<std::uint16_t>(front - wire::ipv6_header_bytes + bytes));
    std::memcpy(start, &ip, sizeof ip);
    std::memmove(start + wire::ipv6_fragment_header_bytes, start, front);
    rte_pktmbuf_adj(&first, wire::ipv6_fragment_header_bytes);
}

} // namespace

std::uint32_t ip6_reassembly::packet_key::hash() const {
    const std::uint64_t mixed = (source.high() ^ source.low() * 3 ^ destination.low() * 5 ^
                                 identification.raw() ^ routing_table) *
                                0x9e3779b97f4a7c15U;
    return static_cast<std::uint32_t>(mixed >> 56);
}

ip6_reassembly::ip6_reassembly(drop_sink& drops)
    : drops_(drops), table_(
                         drops,
                         {drop_reason::ip6_reassembly_timeout, drop_reason::ip6_reassembly_overlap,
                          drop_reason::ip6_reassembly_full},
                         ip6_reassembly_ns) {}

ip6_fragment_result ip6_reassembly::add(
    rte_mbuf* fragment, const wire::ip6_chain& chain, std::uint8_t routing_table, instant now) {
    const auto ip = read<wire::ipv6_header>(*fragment, 0);
    const auto header = read<wire::ipv6_fragment_header>(*fragment, chain.fragment);
    const std::uint32_t front = chain.fragment + wire::ipv6_fragment_header_bytes;
    const fragment_place place{header.offset_bytes(), fragment->pkt_len - front, header.more()};
    fragment->l3_len = chain.fragment;
    if (header.is_atomic()) {
        uncover(*fragment, place.bytes);
        return {.whole = fragment};
    }
    if (place.more && place.bytes % 8 != 0) {
        return {.refused = fragment, .pointer = offsetof(wire::ipv6_header, payload_length)};
    }
    if (place.offset + place.bytes + chain.fragment - wire::ipv6_header_bytes > payload_bytes_max) {
        return {.refused = fragment, .pointer = static_cast<std::uint16_t>(chain.fragment + 2)};
    }
    if (place.bytes == 0) {
        drops_.drop(fragment, drop_reason::ip6_fragment);
        return {};
    }
    table::datagram* whole = table_.add(
        {ip.source, ip.destination, header.identification, routing_table}, fragment, place, now);
    if (whole == nullptr) {
        return {};
    }
    rte_mbuf* packet = join(*whole);
    if (packet == nullptr) {
        table_.give_up(*whole, drop_reason::ip6_reassembly_full);
        return {};
    }
    table_.end(*whole);
    return {.whole = packet};
}

// All pieces are there, in order. nullptr: more segments than an mbuf may have, or longer than a
// packet with these headers may be; nothing is changed then.
rte_mbuf* ip6_reassembly::join(table::datagram& which) {
    rte_mbuf* head = which.pieces[0].packet;
    if (table::segments(which) > 255 ||
        head->l3_len - wire::ipv6_header_bytes + which.total > payload_bytes_max) {
        return nullptr;
    }
    uncover(*head, which.total);
    for (unsigned i = 1; i < which.count; ++i) {
        rte_mbuf* next = which.pieces[i].packet;
        rte_pktmbuf_adj(
            next, static_cast<std::uint16_t>(next->l3_len + wire::ipv6_fragment_header_bytes));
        rte_pktmbuf_chain(head, next);
    }
    return head;
}

} // namespace pantala
