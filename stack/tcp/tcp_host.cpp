#include "stack/tcp/tcp_host.hpp"

#include "stack/tcp/congestion/path_memory.hpp"
#include "stack/tcp/input/tcp_ack.hpp"
#include "stack/tcp/input/tcp_reassembly.hpp"
#include "stack/tcp/open/tcp_listen.hpp"
#include "stack/tcp/output/tcp_output.hpp"
#include "stack/tcp/tcp_timer.hpp"

#include <algorithm>

#include <rte_mbuf.h>
#include <rte_mempool.h>

namespace pantala::tcp {

namespace {

siphash_key draw_key(random_source& random) {
    return {random.next(), random.next()};
}

host_secrets draw_secrets(random_source& random, const settings& config) {
    const siphash_key fast_open = config.fast_open_key;
    host_secrets drawn = {draw_key(random), draw_key(random), draw_key(random), draw_key(random),
                          draw_key(random), draw_key(random), fast_open};
    if (fast_open.k0 == 0 && fast_open.k1 == 0) {
        siphash24 one(drawn.cookie);
        siphash24 other(drawn.cookie);
        drawn.fast_open = {one.finish(1, 1), other.finish(2, 1)};
    }
    if (config.timestamp_key.k0 != 0 || config.timestamp_key.k1 != 0) {
        drawn.timestamp = config.timestamp_key;
    }
    return drawn;
}

std::uint32_t chosen_or(std::uint32_t chosen, std::uint32_t usual) {
    return chosen != 0 ? chosen : usual;
}

memory_limits memory_limits_of(const rte_mempool* pool, const limits& sizes) {
    const std::uint32_t all = chosen_or(sizes.buffers, pool->size - pool->size / 4);
    const std::uint32_t half = std::max(all / 2, 1U); // for receiving, and for sending
    return {
        .all = half,
        .peer = chosen_or(sizes.peer_buffers, half),
        .listener = chosen_or(sizes.listener_buffers, std::max(half / 4, 1U))};
}

syn_cache_limits syn_limits_of(const limits& sizes) {
    return {
        .entries = sizes.syn_entries,
        .bucket = sizes.syn_bucket,
        .peer = chosen_or(sizes.syn_peer, sizes.syn_entries / 4),
        .listener = chosen_or(sizes.syn_listener, sizes.syn_entries - sizes.syn_entries / 4),
        .listeners = sizes.listeners,
        .accounts = memory_ledger::peers};
}

// A connection whose turn comes soon; 4 segments are time enough for memory to answer.
constexpr std::uint32_t output_prefetch_ahead = 4;

void prefetch_record(const host& h, std::uint32_t id) {
    const auto* record = reinterpret_cast<const char*>(&h.conns[id]);
    for (unsigned line = 0; line < sizeof(conn); line += 64) {
        __builtin_prefetch(record + line, 1);
    }
}

void free_send_queue(host& h, conn& c) {
    h.memory.let_go(memory_use::send, c.account, free_chain(c.snd_head));
    c.snd_head = nullptr;
    c.snd_tail = nullptr;
    c.snd_cursor = nullptr;
}

} // namespace

const char* name_of(conn_state state) {
    static constexpr const char* names[] = {
        "CLOSED",     "SYN-SENT",   "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1",
        "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING",      "LAST-ACK",    "TIME-WAIT"};
    return names[static_cast<unsigned>(state)];
}

void free_segment(rte_mbuf* segment) {
    segment->next = nullptr;
    segment->nb_segs = 1;
    rte_pktmbuf_free_seg(segment);
}

std::uint32_t free_chain(rte_mbuf* head) {
    std::uint32_t count = 0;
    for (; head != nullptr; ++count) {
        rte_mbuf* next = head->next;
        free_segment(head);
        head = next;
    }
    return count;
}

void trim_chain(host& h, rte_mbuf* packet, std::uint32_t bytes) {
    (void)h;
    rte_mbuf* last = packet;
    std::uint32_t left = bytes;
    std::uint16_t pieces = 1;
    while (left > last->data_len && last->next != nullptr) {
        left -= last->data_len;
        last = last->next;
        ++pieces;
    }
    last->data_len = static_cast<std::uint16_t>(std::min<std::uint32_t>(left, last->data_len));
    rte_mbuf* rest = last->next;
    last->next = nullptr;
    packet->nb_segs = pieces;
    packet->pkt_len = bytes;
    free_chain(rest);
}

host::host(
    const host_services& services, const settings& chosen, const limits& capacity, instant start)
    : config(chosen), sizes(capacity), secrets(draw_secrets(services.random, chosen)), now(start),
      pool(services.pool), drops(services.drops), random(services.random), sink(services.sink),
      paths(services.paths), conns(capacity.conns), table(capacity.conns),
      sents(capacity.sent_segments), wheel(start, capacity.conns), time_waits(capacity.time_waits),
      memory(memory_limits_of(services.pool, capacity), capacity.listeners, secrets.peer),
      syns(syn_limits_of(capacity)), fast_opens(capacity.fast_open_servers, secrets.table),
      listeners_by_endpoint(capacity.listeners), output_ready(capacity.conns),
      event_ready(capacity.conns), accept_ready(capacity.listeners), waiting(capacity.conns) {
    listeners.reserve(capacity.listeners);
    generation = static_cast<std::uint32_t>(random.next()) | 1;
    ids = ip4_ids(draw_key(random));
}

host::~host() {
    for (std::uint32_t id = 0; id < conns.high_water(); ++id) {
        conn& c = conns[id];
        if (c.generation != 0) {
            receive_clear(*this, c);
            free_send_queue(*this, c);
        }
    }
    flush_spent();
    rte_pktmbuf_free_bulk(out.packets, out.count);
}

conn* host::find(conn_handle handle) {
    if (handle.id >= conns.high_water()) {
        return nullptr;
    }
    conn& c = conns[handle.id];
    return c.generation == handle.generation && handle.generation != 0 ? &c : nullptr;
}

void host::flush_spent() {
    if (!spent.empty()) {
        rte_pktmbuf_free_bulk(spent.packets, spent.count);
        spent.clear();
    }
}

void host::flush_output() {
    if (!out.empty()) {
        sink.send(sink.context, out);
        out.clear();
    }
}

void host::want_output(conn& c) {
    if (!c.has(conn_flag::output_queued)) {
        c.set(conn_flag::output_queued);
        output_ready.push(id_of(c));
    }
}

void host::tell(conn& c, std::uint8_t events) {
    if (c.has(conn_flag::orphan)) {
        return;
    }
    c.events |= events;
    // Before it is accepted nobody listens; accept() queues what has gathered.
    if (!c.has(conn_flag::event_queued) && c.listener == no_id) {
        c.set(conn_flag::event_queued);
        event_ready.push(id_of(c));
    }
}

conn* host::new_conn() {
    const std::uint32_t id = conns.next_id();
    if (id == no_id) {
        return nullptr;
    }
    const std::uint32_t listed = conns.at(id).flags & conn_flag::listed;
    const bool waits = conns.at(id).waits_for_memory;
    conns.allocate();
    conn& c = conns[id];
    c.flags = listed;
    c.waits_for_memory = waits;
    generation += 2; // odd, never 0
    c.generation = generation;
    return &c;
}

bool host::insert(conn& c) {
    if (!table.insert(c.hash, id_of(c))) {
        return false;
    }
    c.set(conn_flag::in_table);
    return true;
}

void host::detach(conn& c) {
    path_release(*this, c);
    if (c.has(conn_flag::in_table)) {
        table.erase(c.hash, id_of(c));
        c.clear(conn_flag::in_table);
    }
    timer_disarm_all(c);
    c.schedule = {};
    fast_open_settle(*this, c, false);
    sent_clear(*this, c);
    free_send_queue(*this, c);
    early_clear(*this, c);
}

void host::release(conn& c) {
    detach(c);
    receive_clear(*this, c);
    --memory.conns(c.peer_account);
    // The ready lists may still name it; such an entry finds nothing to do.
    c.flags &= conn_flag::listed;
    c.events = 0;
    c.generation = 0;
    c.state = conn_state::closed;
    conns.release(id_of(c));
}

void host::finish(conn& c, conn_error why) {
    stats.closed.add(1);
    detach(c);
    c.error = why;
    const bool shell = c.state == conn_state::time_wait;
    c.state = conn_state::closed;
    if (c.has(conn_flag::orphan)) {
        release(c);
        return;
    }
    if (c.listener != no_id && why != conn_error::none) { // died before it was accepted
        accept_remove(*this, c);
        release(c);
        return;
    }
    if (shell) {
        c.state = conn_state::time_wait;
    }
    tell(c, conn_event::closed | conn_event::readable);
}

void accept_push(host& h, conn& c, std::uint32_t listening) {
    listener& one = h.listeners[listening];
    accept_list& queue = one.accepted;
    c.listener = listening;
    c.accept_previous = queue.tail;
    c.accept_next = no_id;
    (queue.tail == no_id ? queue.head : h.conns[queue.tail].accept_next) = h.id_of(c);
    queue.tail = h.id_of(c);
    ++queue.count;
    charge(h, c, h.memory.account_of_listener(listening));
    if (!one.told) {
        one.told = true;
        h.accept_ready.push(listening);
    }
}

void accept_remove(host& h, conn& c) {
    accept_list& queue = h.listeners[c.listener].accepted;
    (c.accept_previous == no_id ? queue.head : h.conns[c.accept_previous].accept_next) =
        c.accept_next;
    (c.accept_next == no_id ? queue.tail : h.conns[c.accept_next].accept_previous) =
        c.accept_previous;
    --queue.count;
    c.listener = no_id;
    charge(h, c, c.peer_account);
}

instant next_deadline(const host& h) {
    if (!h.output_ready.empty()) {
        return h.now;
    }
    return std::min(
        {h.wheel.next_deadline(), h.time_waits.next_deadline(h.now, time_wait_intervals_of(h)),
         h.syns.next_deadline(h.now, h.config.syn_ack_interval_ms), memory_deadline(h)});
}

unsigned expire(host& h, instant now, unsigned budget) {
    h.now = now;
    timed_conns conns{h};
    unsigned used = h.wheel.advance(conns, now, budget);
    used += listen_expire(h, budget);
    const unsigned ended = h.time_waits.expire(h.now_ms(), time_wait_intervals_of(h), budget);
    h.stats.tw_expired.add(ended);
    return used + ended;
}

void end_of_round(host& h, instant now) {
    h.now = now;
    // What becomes ready while this runs (a burst limit reached) waits for the next round.
    for (std::uint32_t left = h.output_ready.size(); left > 0; --left) {
        if (left > output_prefetch_ahead) {
            prefetch_record(h, h.output_ready[output_prefetch_ahead]);
        }
        conn& c = h.conns[h.output_ready.pop()];
        c.clear(conn_flag::output_queued);
        output(h, c); // gone since: it is closed, and has nothing to say
    }
    h.flush_output();
    h.flush_spent();
    if (h.memory.is_short(memory_use::receive) || !h.waiting.ids.empty()) [[unlikely]] {
        settle_memory(h);
    }
}

} // namespace pantala::tcp
