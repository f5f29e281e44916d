// Packets on their way up, sorted by protocol: parallel arrays, so that a pass reads only what it
// needs. Owns its mbufs, as an mbuf_burst does.
#pragma once

#include "engine/mbuf_burst.hpp"

#include <cstdint>

namespace pantala {

struct l3_burst {
    std::uint16_t count = 0;
    rte_mbuf* packets[burst_max];
    std::uint8_t* header[burst_max];    // the network header, behind the link header in the mbuf
    std::uint32_t bytes[burst_max];     // from the network header to the end of the frame
    std::uint8_t link_bytes[burst_max]; // of the link header, where the mbuf's data begins

    bool empty() const { return count == 0; }
    void clear() { count = 0; }
    void push(
        rte_mbuf* packet, std::uint8_t* network_header, std::uint32_t length,
        std::uint8_t link_length) {
        PANTALA_DCHECK(count < burst_max);
        packets[count] = packet;
        header[count] = network_header;
        bytes[count] = length;
        link_bytes[count] = link_length;
        ++count;
    }
};

} // namespace pantala
