// The checksum's sum over a packet of any number of segments.
#pragma once

#include "stack/wire/checksum.hpp"

#include <algorithm>
#include <cstdint>

#include <rte_mbuf.h>

namespace pantala {

// Of `bytes` bytes from `offset` on; the packet has them.
inline wire::partial_sum
sum_packet(const rte_mbuf& packet, std::uint32_t offset, std::uint32_t bytes) {
    const rte_mbuf* segment = &packet;
    while (segment != nullptr && offset >= segment->data_len) {
        offset -= segment->data_len;
        segment = segment->next;
    }
    wire::partial_sum sum = 0;
    bool odd = false; // an odd number of bytes came before: words are split between segments
    for (; segment != nullptr && bytes > 0; segment = segment->next, offset = 0) {
        const std::uint32_t part = std::min<std::uint32_t>(segment->data_len - offset, bytes);
        const std::uint16_t partial = wire::fold(
            wire::sum_bytes(rte_pktmbuf_mtod_offset(segment, const std::uint8_t*, offset), part));
        sum += odd ? __builtin_bswap16(partial) : partial; // RFC 1071 2 (B)
        odd = odd != (part % 2 == 1);
        bytes -= part;
    }
    return sum;
}

} // namespace pantala
