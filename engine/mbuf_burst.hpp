// A burst: up to 64 packets that move together. Whoever holds a burst owns its mbufs; handing it on
// and clearing it gives them away.
#pragma once

#include "engine/base/check.hpp"

#include <cstdint>
#include <span>

#include <rte_mbuf.h>

namespace pantala {

inline constexpr unsigned burst_max = 64;

struct mbuf_burst {
    std::uint16_t count = 0;
    rte_mbuf* packets[burst_max];

    bool empty() const { return count == 0; }
    bool full() const { return count == burst_max; }
    void clear() { count = 0; }

    void push(rte_mbuf* packet) {
        PANTALA_DCHECK(count < burst_max);
        packets[count++] = packet;
    }

    std::span<rte_mbuf*> span() { return {packets, count}; }
    rte_mbuf** begin() { return packets; }
    rte_mbuf** end() { return packets + count; }
};

} // namespace pantala
