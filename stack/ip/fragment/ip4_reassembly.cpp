#include "stack/ip/fragment/ip4_reassembly.hpp"

#include "stack/wire/checksum.hpp"
#include "stack/wire/ipv4.hpp"

#include <cstring>

namespace pantala {
namespace {

constexpr std::uint32_t datagram_bytes_max = 65535;

wire::ipv4_header header_of(const rte_mbuf& packet) {
    wire::ipv4_header ip;
    std::memcpy(&ip, rte_pktmbuf_mtod(&packet, const void*), sizeof ip);
    return ip;
}

} // namespace

std::uint32_t ip4_reassembly::datagram_key::hash() const {
    const std::uint64_t mixed =
        (std::uint64_t{source.value.raw()} << 32 ^ destination.value.raw() ^
         std::uint64_t{identification.raw()} << 20 ^ protocol ^ routing_table) *
        0x9e3779b97f4a7c15U;
    return static_cast<std::uint32_t>(mixed >> 56);
}

ip4_reassembly::ip4_reassembly(drop_sink& drops)
    : drops_(drops), table_(
                         drops,
                         {drop_reason::ip4_reassembly_timeout, drop_reason::ip4_reassembly_overlap,
                          drop_reason::ip4_reassembly_full},
                         reassembly_ns) {}

rte_mbuf* ip4_reassembly::add(rte_mbuf* fragment, std::uint8_t routing_table, instant now) {
    const wire::ipv4_header ip = header_of(*fragment);
    const fragment_place place{
        ip.fragment_offset_bytes(), ip.total_length.host() - ip.header_bytes(),
        ip.has_more_fragments()};
    // Lengths that no datagram can have; pieces but the last come in units of 8 bytes.
    if (place.bytes == 0 || place.offset + place.bytes + ip.header_bytes() > datagram_bytes_max ||
        (place.more && place.bytes % 8 != 0)) {
        drops_.drop(fragment, drop_reason::ip4_reassembly_overlap);
        return nullptr;
    }
    table::datagram* whole = table_.add(
        {ip.source, ip.destination, ip.identification, ip.protocol, routing_table}, fragment, place,
        now);
    if (whole == nullptr) {
        return nullptr;
    }
    rte_mbuf* packet = join(*whole);
    if (packet == nullptr) {
        table_.give_up(*whole, drop_reason::ip4_reassembly_full);
        return nullptr;
    }
    table_.end(*whole);
    return packet;
}

// All pieces are there, in order. nullptr: more segments than an mbuf may have, or longer than a
// datagram with this header may be; nothing is changed then.
rte_mbuf* ip4_reassembly::join(table::datagram& which) {
    rte_mbuf* head = which.pieces[0].packet;
    wire::ipv4_header ip = header_of(*head);
    if (table::segments(which) > 255 || ip.header_bytes() + which.total > datagram_bytes_max) {
        return nullptr;
    }
    for (unsigned i = 1; i < which.count; ++i) {
        rte_mbuf* next = which.pieces[i].packet;
        rte_pktmbuf_adj(next, static_cast<std::uint16_t>(header_of(*next).header_bytes()));
        rte_pktmbuf_chain(head, next);
    }
    ip.total_length = be16::from(static_cast<std::uint16_t>(ip.header_bytes() + which.total));
    ip.flags_offset = {};
    ip.checksum = {};
    auto* at = rte_pktmbuf_mtod(head, std::uint8_t*);
    std::memcpy(at, &ip, sizeof ip);
    ip.checksum = wire::checksum_of(wire::sum_bytes(at, ip.header_bytes()));
    std::memcpy(at, &ip, sizeof ip);
    return head;
}

} // namespace pantala
