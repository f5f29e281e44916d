// How a burst is forwarded: a first pass writes packets as they leave, a second sends runs
// of neighbours that go the same way. What is here does not depend on the family.
#pragma once

#include "engine/mbuf_burst.hpp"
#include "stack/ether/link_counters.hpp"
#include "stack/ether/packet_meta.hpp"
#include "stack/route/adjacency.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace pantala {

// Port and interface of an adjacency as one word.
inline std::uint32_t way_of(const adjacency& via) {
    std::uint32_t way = 0;
    static_assert(offsetof(adjacency, iface) == offsetof(adjacency, port) + sizeof via.port);
    std::memcpy(&way, &via.port, sizeof way);
    return way;
}
constexpr port_id port_of(std::uint32_t way) {
    return port_id{static_cast<std::uint16_t>(way)};
}
constexpr iface_id iface_of(std::uint32_t way) {
    return iface_id{static_cast<std::uint16_t>(way >> 16)};
}

// The outcome of the first pass over a burst.
struct written_burst {
    std::uint32_t way[burst_max];    // where a packet goes that was written
    std::uint32_t length[burst_max]; // its bytes of L3
    std::uint64_t slow = 0;          // bit i: packet i was not written
    std::uint64_t bytes = 0;         // of all that were
    std::uint32_t mixed = 0;         // 0: all go the same way as the first

    bool is_slow(unsigned i) const { return (slow >> i & 1) != 0; }
};

// Data begins at the link header, `rewrite` bytes before the network header, and ends with the
// datagram. One segment.
inline void set_frame(
    rte_mbuf& packet, const std::uint8_t* header, std::uint32_t total, std::uint32_t rewrite) {
    const auto start = header - rewrite - static_cast<const std::uint8_t*>(packet.buf_addr);
    packet.data_off = static_cast<std::uint16_t>(start);
    packet.data_len = static_cast<std::uint16_t>(total + rewrite);
    packet.pkt_len = total + rewrite;
}

template <class Context>
void count_out(Context& context, const adjacency& via, std::uint32_t bytes) {
    link_counter& out = context.link_counts[via.iface];
    out.out_packets.add(1);
    out.out_bytes.add(bytes);
}

// Sends written packets that go the same way. Where that is the port they came in on,
// tell_detour(context, packets, iface) of the family hears of them first.
template <class Context>
void send_run(
    Context& context, std::span<rte_mbuf* const> packets, std::uint32_t way, std::uint64_t bytes) {
    if (port_of(way) == context.input_port) [[unlikely]] {
        tell_detour(context, packets, iface_of(way));
    }
    link_counter& out = context.link_counts[iface_of(way)];
    out.out_packets.add(packets.size());
    out.out_bytes.add(bytes);
    context.counters.forwarded.add(packets.size());
    context.worker.tx[port_of(way).value].push(packets);
}

// Sends the written packets of a burst in order, neighbours of one way together; the others go one
// by one to `slow(i)`, which takes them.
template <class Context, class Slow>
void send_mixed(
    Context& context, std::span<rte_mbuf* const> packets, const written_burst& done, Slow&& slow) {
    for (unsigned i = 0; i < packets.size();) {
        if (done.is_slow(i)) {
            slow(i++);
            continue;
        }
        unsigned end = i;
        std::uint64_t bytes = 0;
        while (end < packets.size() && !done.is_slow(end) && done.way[end] == done.way[i]) {
            bytes += done.length[end++];
        }
        send_run(context, packets.subspan(i, end - i), done.way[i], bytes);
        i = end;
    }
}

} // namespace pantala
