// Parts of packets, copied.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include <rte_mbuf.h>

namespace pantala {

// Appends `bytes` of `from`, from `offset` on, to `to`, in as many segments as that takes; false:
// no mbuf left (what was appended stays).
inline bool append_packet(
    rte_mempool* pool, rte_mbuf& to, const rte_mbuf& from, std::uint32_t offset,
    std::uint32_t bytes) {
    while (bytes > 0) {
        std::uint16_t room = rte_pktmbuf_tailroom(rte_pktmbuf_lastseg(&to));
        if (room == 0) {
            rte_mbuf* more = rte_pktmbuf_alloc(pool);
            if (more == nullptr) {
                return false;
            }
            if (rte_pktmbuf_chain(&to, more) != 0) {
                rte_pktmbuf_free(more);
                return false;
            }
            room = rte_pktmbuf_tailroom(more);
        }
        const auto part = static_cast<std::uint16_t>(std::min<std::uint32_t>(room, bytes));
        char* at = rte_pktmbuf_append(&to, part);
        const void* found = rte_pktmbuf_read(&from, offset, part, at);
        if (found != at) {
            std::memcpy(at, found, part);
        }
        offset += part;
        bytes -= part;
    }
    return true;
}

} // namespace pantala
