// The cursor of the send queue: the mbuf and place of the byte that snd_nxt names.
#pragma once

#include "stack/tcp/tcp_conn.hpp"

#include <algorithm>
#include <cstdint>

#include <rte_mbuf.h>

namespace pantala::tcp {

inline void settle_cursor(conn& c) {
    if (c.snd_cursor == nullptr) {
        c.snd_cursor = c.snd_head;
        c.snd_cursor_offset = c.snd_head != nullptr ? c.snd_head->data_off : 0;
    }
    while (c.snd_cursor != nullptr &&
           c.snd_cursor_offset == c.snd_cursor->data_off + c.snd_cursor->data_len &&
           c.snd_cursor->next != nullptr) {
        c.snd_cursor = c.snd_cursor->next;
        c.snd_cursor_offset = c.snd_cursor->data_off;
    }
}

inline void advance_cursor(conn& c, std::uint32_t bytes) {
    while (bytes > 0) {
        settle_cursor(c);
        const std::uint32_t end = std::uint32_t{c.snd_cursor->data_off} + c.snd_cursor->data_len;
        const std::uint32_t here = std::min(end - c.snd_cursor_offset, bytes);
        c.snd_cursor_offset = static_cast<std::uint16_t>(c.snd_cursor_offset + here);
        bytes -= here;
    }
}

} // namespace pantala::tcp
