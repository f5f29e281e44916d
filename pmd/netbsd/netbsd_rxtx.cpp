#include "pmd/netbsd/netbsd_rxtx.hpp"

#include <cstring>

namespace pantala::bus {

namespace {

constexpr std::uint32_t overruns_max = 4; // looks in one burst
constexpr std::uint32_t reads_max = 256;  // packets looked at in one burst, with the lock held

template <class Counters>
netbsd_lock lock(netbsd_bus& bus, Counters& counters) {
    const netbsd_lock got = bus.try_lock();
    counters.lock_busy.add(got == netbsd_lock::busy);
    counters.lock_taken_over.add(got == netbsd_lock::taken_over);
    return got;
}

// The frame as an mbuf, or null if it is not for us or there is none.
rte_mbuf* take(rx_queue& queue, std::uint32_t length, const std::array<std::uint8_t, 1514>& frame) {
    std::uint64_t destination = 0;
    std::memcpy(&destination, frame.data(), 6);
    if (length < frame_bytes_min) {
        queue.counters.garbled.add(1);
        return nullptr;
    }
    if (!queue.port->filter.takes(destination)) {
        queue.counters.filtered.add(1);
        return nullptr;
    }
    if (length > queue.room) {
        queue.counters.too_long.add(1);
        return nullptr;
    }
    rte_mbuf* const packet = rte_pktmbuf_alloc(queue.pool);
    if (packet == nullptr) {
        queue.counters.no_mbuf.add(1);
        return nullptr;
    }
    packet->port = queue.port->port_id;
    packet->data_len = static_cast<std::uint16_t>(length);
    packet->pkt_len = length;
    std::memcpy(rte_pktmbuf_mtod(packet, void*), frame.data(), length);
    queue.counters.multicast.add(destination & 1);
    queue.counters.packets.add(1);
    queue.counters.bytes.add(length);
    return packet;
}

} // namespace

std::uint16_t rx_burst_netbsd(void* opaque, rte_mbuf** packets, std::uint16_t count) {
    rx_queue& queue = *static_cast<rx_queue*>(opaque);
    netbsd_port& self = *queue.port->netbsd;
    if (!self.bus.may_have(self.cursor) || !is_held(lock(self.bus, queue.counters))) {
        return 0;
    }
    netbsd_packet header{};
    std::array<std::uint8_t, netbsd_frame_max> frame;
    std::uint16_t received = 0;
    std::uint32_t overruns = 0;
    std::uint32_t reads = 0; // packets that are not for us end a burst too
    while (received < count && overruns < overruns_max && reads++ < reads_max) {
        const netbsd_read what = self.bus.read(self.cursor, header, frame);
        if (what == netbsd_read::none) {
            break;
        }
        if (what == netbsd_read::overrun) {
            queue.counters.missed.add(1); // at least one: the format cannot tell how many
            ++overruns;
        } else if (what == netbsd_read::garbage) {
            queue.counters.garbled.add(1);
            ++overruns;
        } else if (header.sender != self.sender) {
            rte_mbuf* const packet = take(queue, header.length, frame);
            if (packet != nullptr) {
                packets[received++] = packet;
            }
        }
    }
    self.bus.unlock();
    return received;
}

std::uint16_t tx_burst_netbsd(void* opaque, rte_mbuf** packets, std::uint16_t count) {
    tx_queue& queue = *static_cast<tx_queue*>(opaque);
    netbsd_port& self = *queue.port->netbsd;
    std::array<std::uint8_t, netbsd_frame_max> flat;
    const netbsd_lock got = lock(self.bus, queue.counters);
    if (got == netbsd_lock::busy) {
        return 0;
    }
    if (got == netbsd_lock::lost) {
        queue.counters.lost.add(count);
        rte_pktmbuf_free_bulk(packets, count);
        return count;
    }
    for (std::uint16_t i = 0; i < count; ++i) {
        const std::uint32_t length = packets[i]->pkt_len;
        if (length > netbsd_frame_max) {
            queue.counters.too_long.add(1);
            continue;
        }
        const auto* const frame =
            static_cast<const std::uint8_t*>(rte_pktmbuf_read(packets[i], 0, length, flat.data()));
        self.bus.write({frame, length}, self.sender);
        queue.counters.packets.add(1);
        queue.counters.bytes.add(length);
    }
    self.bus.unlock();
    self.bus.wake();
    rte_pktmbuf_free_bulk(packets, count);
    return count;
}

} // namespace pantala::bus
