#include "stack/tcp/tcp_memory.hpp"

#include "engine/base/check.hpp"
#include "engine/base/serial.hpp"
#include "stack/tcp/input/tcp_reassembly.hpp"
#include "stack/tcp/tcp_host.hpp"

#include <algorithm>

#include <rte_mbuf.h>

namespace pantala::tcp {

namespace {

constexpr unsigned pruned_a_round = 32; // connections looked at while memory is short
constexpr unsigned asked_a_round = 64;  // waiting writers
// The pool may be empty although the ledger is not full: others take from it. Writers ask again.
constexpr std::uint32_t empty_pool_pause_ms = 10;

std::uint32_t chain_length(const rte_mbuf* head) {
    std::uint32_t count = 0;
    for (; head != nullptr; head = head->next) {
        ++count;
    }
    return count;
}

void prune_early(host& h) {
    const std::uint32_t all = h.conns.high_water();
    for (unsigned i = 0; i < std::min(pruned_a_round, all); ++i) {
        h.memory_cursor = h.memory_cursor + 1 < all ? h.memory_cursor + 1 : 0;
        conn& c = h.conns[h.memory_cursor];
        if (c.ooo_head != nullptr) {
            h.stats.rcvmempruned.add(c.ooo_count);
            early_clear(h, c);
        }
    }
}

// Each waiter is asked about once after something was let go, and only as many are told as may find
// a buffer. Who still may not have one waits on.
void tell_waiters(host& h) {
    memory_waiting& waiting = h.waiting;
    const bool ask_again = waiting.pool_empty && !serial_less(h.now_ms(), waiting.ask_again_ms);
    if (h.memory.take_freed() || ask_again) {
        waiting.unasked = waiting.ids.size();
        waiting.pool_empty = waiting.pool_empty && !ask_again;
    }
    std::uint32_t room = h.memory.left(memory_use::send);
    for (unsigned i = 0; i < asked_a_round && waiting.unasked > 0 && room > 0; ++i) {
        --waiting.unasked;
        conn& c = h.conns[waiting.ids.pop()];
        c.waits_for_memory = false;
        if (c.generation == 0 || !c.send_blocked) {
            continue;
        }
        if (!h.memory.has_room(memory_use::send, c.account)) {
            c.waits_for_memory = true;
            waiting.ids.push(h.id_of(c));
            continue;
        }
        c.send_blocked = false;
        h.tell(c, conn_event::writable);
        --room;
    }
    if (waiting.ids.empty()) {
        waiting.unasked = 0;
        waiting.pool_empty = false;
    }
}

} // namespace

memory_ledger::memory_ledger(const memory_limits& limits, std::uint32_t listeners, siphash_key key)
    : limits_(limits), key_(key), accounts_(std::size_t{peers} + listeners) {
    PANTALA_ASSERT(limits.all > 0 && limits.peer > 0 && limits.listener > 0);
    PANTALA_ASSERT(accounts_.size() <= 65'536);
}

std::uint16_t memory_ledger::account_of(const ip_address& peer) const {
    siphash13 sum(key_);
    sum.word(peer.words[0]);
    if (peer.is_v4()) { // of IPv6 addresses a site has 2^64
        sum.word(peer.words[1]);
    }
    return static_cast<std::uint16_t>(sum.finish(0, 16) % peers);
}

void charge(host& h, conn& c, std::uint16_t account) {
    const std::uint32_t received = chain_length(c.rcv_head) + chain_length(c.ooo_head);
    h.memory.move(memory_use::receive, c.account, account, received);
    h.memory.move(memory_use::send, c.account, account, chain_length(c.snd_head));
    c.account = account;
}

void wait_for_memory(host& h, conn& c) {
    if (h.memory.has_room(memory_use::send, c.account) && !h.waiting.pool_empty) {
        h.waiting.pool_empty = true;
        h.waiting.ask_again_ms = h.now_ms() + empty_pool_pause_ms;
    }
    if (!c.waits_for_memory) {
        c.waits_for_memory = true;
        h.waiting.ids.push(h.id_of(c));
    }
}

void settle_memory(host& h) {
    if (h.memory.is_short(memory_use::receive)) {
        prune_early(h);
    }
    if (!h.waiting.ids.empty()) {
        tell_waiters(h);
    }
}

instant memory_deadline(const host& h) {
    if (h.waiting.ids.empty()) {
        return instant::never();
    }
    if (h.waiting.unasked > 0 && h.memory.left(memory_use::send) > 0) {
        return h.now;
    }
    if (h.waiting.pool_empty) {
        const auto ahead = static_cast<std::int32_t>(h.waiting.ask_again_ms - h.now_ms());
        return instant{(h.now.ms() + static_cast<std::uint64_t>(std::max(ahead, 0))) * ns_per_ms};
    }
    return instant::never();
}

} // namespace pantala::tcp
