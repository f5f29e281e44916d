// SEND: what the application gives, copied or lent, to the end of the send queue.
#include "stack/tcp/output/tcp_output.hpp"
#include "stack/tcp/output/tcp_send_queue.hpp"
#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_timer.hpp"
#include "stack/tcp/tcp_user.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <rte_mbuf.h>

namespace pantala::tcp {

namespace {

// Of a lent piece: places in it are counted in 16 bits.
constexpr std::size_t lent_piece_max = 32'768;
// DPDK counts the users of lent memory in 16 bits; beyond this many, bytes are copied.
constexpr std::uint16_t lent_uses_max = 60'000;

// A fresh mbuf at the end of the queue; nullptr: no memory, `writable` follows.
rte_mbuf* grow_queue(host& h, conn& c) {
    const bool may = h.memory.has_room(memory_use::send, c.account);
    rte_mbuf* fresh = may ? rte_pktmbuf_alloc(h.pool) : nullptr;
    if (fresh == nullptr) {
        h.stats.sndnomem.add(1);
        wait_for_memory(h, c);
        return nullptr;
    }
    h.memory.hold(memory_use::send, c.account);
    fresh->data_off = 0; // never sent itself: no headroom needed
    (c.snd_tail == nullptr ? c.snd_head : c.snd_tail->next) = fresh;
    c.snd_tail = fresh;
    return fresh;
}

// Puts into the queue that these bytes follow, where they lie; as queue_bytes().
std::size_t
queue_lent(host& h, conn& c, std::span<const std::byte> bytes, rte_mbuf_ext_shared_info& owner) {
    std::size_t done = 0;
    while (done < bytes.size()) {
        if (rte_mbuf_ext_refcnt_read(&owner) > lent_uses_max) {
            c.snd_end += static_cast<std::uint32_t>(done);
            return done + queue_bytes(h, c, bytes.subspan(done));
        }
        rte_mbuf* fresh = grow_queue(h, c);
        if (fresh == nullptr) {
            break;
        }
        const auto here = static_cast<std::uint16_t>(std::min(bytes.size() - done, lent_piece_max));
        rte_mbuf_ext_refcnt_update(&owner, 1);
        // Only read: no device sees it.
        rte_pktmbuf_attach_extbuf(
            fresh, const_cast<std::byte*>(bytes.data() + done), RTE_BAD_IOVA, here, &owner);
        fresh->data_len = here;
        done += here;
    }
    c.snd_end += static_cast<std::uint32_t>(done);
    return done;
}

std::size_t room_of(const conn& c) {
    const std::uint32_t queued = c.snd_end - c.snd_una;
    return may_send(c) && queued < c.snd_limit ? c.snd_limit - queued : 0;
}

// `queue` takes the connection and as many bytes as the send buffer allows.
template <class Queue>
std::size_t send_with(
    host& h, conn_handle handle, std::span<const std::byte> bytes, bool more, const Queue& queue) {
    conn* c = h.find(handle);
    if (c == nullptr || !may_send(*c)) {
        return 0;
    }
    if (more && !c->more_follows && c->unsent() > 0) { // that waits for nothing
        output(h, *c);
    }
    user_timeout_begin(*c, h.now_ms());
    const std::size_t fits = std::min(bytes.size(), room_of(*c));
    const std::size_t taken_bytes = queue(*c, bytes.first(fits));
    c->send_blocked = taken_bytes < bytes.size();
    const bool released = std::exchange(c->more_follows, more) && !more;
    c->push_withheld = more;
    if (taken_bytes > 0 || released) {
        h.want_output(*c);
    }
    return taken_bytes;
}

} // namespace

std::size_t queue_bytes(host& h, conn& c, std::span<const std::byte> bytes) {
    std::size_t done = 0;
    while (done < bytes.size()) {
        // A lent piece has no room behind it.
        if ((c.snd_tail == nullptr || rte_pktmbuf_tailroom(c.snd_tail) == 0) &&
            grow_queue(h, c) == nullptr) {
            break;
        }
        const std::size_t here =
            std::min<std::size_t>(bytes.size() - done, rte_pktmbuf_tailroom(c.snd_tail));
        std::memcpy(
            rte_pktmbuf_mtod_offset(c.snd_tail, std::byte*, c.snd_tail->data_len),
            bytes.data() + done, here);
        c.snd_tail->data_len = static_cast<std::uint16_t>(c.snd_tail->data_len + here);
        done += here;
    }
    c.snd_end += static_cast<std::uint32_t>(done);
    return done;
}

std::size_t send(host& h, conn_handle handle, std::span<const std::byte> bytes, bool more) {
    return send_with(h, handle, bytes, more, [&h](conn& c, std::span<const std::byte> fitting) {
        return queue_bytes(h, c, fitting);
    });
}

std::size_t send_lent(
    host& h, conn_handle handle, std::span<const std::byte> bytes, rte_mbuf_ext_shared_info& owner,
    bool more) {
    return send_with(h, handle, bytes, more, [&](conn& c, std::span<const std::byte> fitting) {
        return queue_lent(h, c, fitting, owner);
    });
}

std::size_t send_room(host& h, conn_handle handle) {
    const conn* c = h.find(handle);
    return c == nullptr ? 0 : room_of(*c);
}

} // namespace pantala::tcp
