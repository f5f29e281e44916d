#include "stack/ip/ip4_input.hpp"

#include "stack/wire/checksum.hpp"
#include "stack/wire/ipv4.hpp"

#include <algorithm>
#include <cstring>

namespace pantala {
drop_reason ip4_check(const std::uint8_t* header, std::uint32_t bytes, std::uint32_t contiguous) {
    wire::ipv4_header ip;
    std::memcpy(&ip, header, sizeof ip);
    if (ip.version() != 4) {
        return drop_reason::ip4_version;
    }
    if (ip.header_bytes() < wire::ipv4_header_min_bytes || ip.header_bytes() > bytes ||
        ip.header_bytes() > contiguous) {
        return drop_reason::ip4_header_length;
    }
    if (ip.total_length.host() < ip.header_bytes() || ip.total_length.host() > bytes) {
        return drop_reason::ip4_total_length;
    }
    if (!wire::checksum_valid(wire::sum_bytes(header, ip.header_bytes()))) {
        return drop_reason::ip4_checksum;
    }
    if (!ip4_routable(ip.source.host())) {
        return drop_reason::ip4_source;
    }
    return drop_reason::none;
}

namespace {

// Nodes are asked for and headers checked by turns of so many: as many lines as a core has on their
// way at a time, and something to do meanwhile.
constexpr unsigned ask_step = 32;

void ask_routes(l3_burst& packets, unsigned first, unsigned last, fib4_reader<> routes) {
    for (unsigned i = first; i < last; ++i) {
        be32 destination;
        std::memcpy(&destination, packets.header[i] + 16, sizeof destination);
        packets.node[i] = routes.node(destination.host());
        __builtin_prefetch(packets.node[i]);
    }
}

} // namespace

void ip4_input(
    l3_burst& packets, wire::ip4_plain& plain, l3_burst& single, wire::ip4_plain_function look,
    fib4_reader<> routes) {
    const unsigned count = packets.count;
    const std::uint64_t all =
        count == burst_max ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
    std::uint64_t mask = 0;
    for (unsigned first = 0; first < count; first += ask_step) {
        const unsigned last = std::min(first + ask_step, count);
        ask_routes(packets, first, last, routes);
        mask |= look(packets.header, packets.bytes, first, last, plain);
    }
    if (mask == all) [[likely]] {
        return;
    }
    packets.mark();
    unsigned kept = 0;
    for (unsigned i = 0; i < count; ++i) {
        if ((mask >> i & 1) == 0) {
            single.push(packets.packets[i], packets.header[i], packets.bytes[i]);
            continue;
        }
        packets.move(kept, i);
        plain.move(kept, i);
        ++kept;
    }
    packets.count = static_cast<std::uint16_t>(kept);
    plain.sum_up(kept);
}

void ip4_trim(rte_mbuf& packet, std::uint32_t total) {
    std::uint32_t left = total;
    rte_mbuf* segment = &packet;
    for (; left > segment->data_len; segment = segment->next) {
        left -= segment->data_len;
    }
    segment->data_len = static_cast<std::uint16_t>(left);
    packet.pkt_len = total;
    if (segment->next != nullptr) { // segments of nothing but padding
        for (rte_mbuf* rest = segment->next; rest != nullptr; rest = rest->next) {
            --packet.nb_segs;
        }
        rte_pktmbuf_free(segment->next);
        segment->next = nullptr;
    }
}

} // namespace pantala
