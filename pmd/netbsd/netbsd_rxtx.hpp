// Bursts of net_shmif over a bus of NetBSD's format. One receive and one transmit queue; made for
// neighbourhood, not for speed: every burst takes the bus's lock, every transmit burst makes the
// one system call that wakes the neighbours.
#pragma once

#include "pmd/bus_rxtx.hpp"
#include "pmd/netbsd/netbsd_bus.hpp"

namespace pantala::bus {

// What a port on such a bus has instead of a place.
struct netbsd_port {
    netbsd_bus bus;
    netbsd_cursor cursor; // the receive queue's
    std::uint64_t sender = 0;
};

std::uint16_t rx_burst_netbsd(void* queue, rte_mbuf** packets, std::uint16_t count);
std::uint16_t tx_burst_netbsd(void* queue, rte_mbuf** packets, std::uint16_t count);

} // namespace pantala::bus
