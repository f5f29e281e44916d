// The send queue: a chain of mbufs from snd_una on, and the cursor in it, the mbuf and place of the
// byte that snd_nxt names. An mbuf holds bytes that were copied into it, or names bytes that were
// lent (RTE_MBUF_F_EXTERNAL); it is never sent itself.
#pragma once

#include "stack/tcp/tcp_conn.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <rte_mbuf.h>

namespace pantala::tcp {

class host;

// May the application still give bytes?
inline bool may_send(const conn& c) {
    return !c.has(conn_flag::fin_queued) &&
           (c.state == conn_state::syn_sent || c.state == conn_state::syn_received ||
            c.state == conn_state::established || c.state == conn_state::close_wait);
}

// Copies bytes to the end of the queue; how many found a place in memory. `writable` follows where
// not all did.
std::size_t queue_bytes(host& h, conn& c, std::span<const std::byte> bytes);

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
