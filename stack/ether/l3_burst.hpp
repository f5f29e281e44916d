// Packets on their way up, sorted by protocol: parallel arrays, so that a pass reads only what it
// needs. Owns its mbufs, as an mbuf_burst does.
#pragma once

#include "engine/mbuf_burst.hpp"
#include "stack/ether/packet_meta.hpp"
#include "stack/route/fib4.hpp"

#include <cstdint>

namespace pantala {

struct l3_burst {
    std::uint16_t count = 0;
    rte_mbuf* packets[burst_max];
    std::uint8_t* header[burst_max];  // the network header, behind the link header in the mbuf
    std::uint32_t bytes[burst_max];   // from the network header to the end of the frame
    const fib4_node* node[burst_max]; // of the destination in the main table (ip4_input)
    bool tagged = false; // some link headers, which lie before `header`, are not of 14 bytes
    // The first so many packets have no packet_meta yet; `arrival` is what to write (mark()).
    std::uint16_t unmarked = 0;
    packet_meta arrival{};

    bool empty() const { return count == 0; }
    void clear() {
        count = 0;
        tagged = false;
        unmarked = 0;
    }
    // Before any packet leaves the fast path, and before packets are moved.
    void mark() {
        for (unsigned i = 0; i < unmarked; ++i) {
            set_meta(*packets[i], arrival);
        }
        unmarked = 0;
    }
    void push(rte_mbuf* packet, std::uint8_t* network_header, std::uint32_t length) {
        PANTALA_DCHECK(count < burst_max);
        packets[count] = packet;
        header[count] = network_header;
        bytes[count] = length;
        ++count;
    }
    // Packet `from` takes the place of packet `to`.
    void move(unsigned to, unsigned from) {
        packets[to] = packets[from];
        header[to] = header[from];
        bytes[to] = bytes[from];
        node[to] = node[from];
    }
};

} // namespace pantala
