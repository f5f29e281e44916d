#include "stack/tcp/tcp_user.hpp"

#include "stack/tcp/congestion/path_memory.hpp"
#include "stack/tcp/input/tcp_reassembly.hpp"
#include "stack/tcp/open/tcp_isn.hpp"
#include "stack/tcp/open/tcp_listen.hpp"
#include "stack/tcp/open/tcp_ports.hpp"
#include "stack/tcp/output/tcp_output.hpp"
#include "stack/tcp/output/tcp_send_queue.hpp"
#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_timer.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <rte_mbuf.h>

namespace pantala::tcp {

namespace {

constexpr std::uint32_t tune_round_min_us = 20'000;

void request_features(const host& h, conn& c) {
    c.set(h.config.timestamps ? conn_flag::timestamps : 0);
    c.set(h.config.sack ? conn_flag::sack : 0);
    c.set(h.config.window_scale ? conn_flag::window_scale : 0);
    c.rcv_wscale = h.config.window_scale ? window_shift_for(h) : std::uint8_t{0};
}

// How many bytes of `first` go with the SYN.
std::size_t start_handshake(host& h, conn& c, const open_request& request) {
    c.state = conn_state::syn_sent;
    c.set(h.config.ecn_request ? conn_flag::ecn : 0);
    c.iss = first_sequence(h, c);
    c.snd_una = c.iss;
    c.snd_nxt = c.iss;
    c.snd_end = c.iss + 1;
    c.high_seq = c.iss;
    c.ecn_end = c.iss;
    c.rack_dsack_round = c.iss;
    c.stalled_ms = h.now_ms();
    h.stats.connattempt.add(1);
    std::size_t taken = 0;
    if (request.fast_open) {
        const std::uint32_t most = fast_open_plan(h, c);
        taken = queue_bytes(
            h, c, request.first.first(std::min<std::size_t>(request.first.size(), most)));
    }
    send_syn(h, c);
    timer_arm(h, c, conn_timer::keep, h.config.keepinit_ms);
    timer_arm_rexmt(h, c, rexmt_kind::rto, rto_backed_off_us(h, c));
    return taken;
}

// Dynamic right-sizing: what the application takes in a round trip, twice, is the buffer it needs.
void tune_receive_buffer(host& h, conn& c, std::uint32_t bytes) {
    c.tune_bytes += bytes;
    const std::uint32_t elapsed_us = h.now_us() - c.tune_start_us;
    if (!h.config.auto_tune || elapsed_us < std::max(c.srtt(), tune_round_min_us)) {
        return;
    }
    const std::uint64_t wanted = std::uint64_t{c.tune_bytes} * 2;
    if (wanted > c.rcv_limit && c.rcv_limit < h.config.rcv_buffer_max &&
        !h.memory.is_short(memory_use::receive)) {
        c.rcv_limit =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(wanted, h.config.rcv_buffer_max));
        h.stats.rcvbuf_tuned.add(1);
    }
    c.tune_bytes = 0;
    c.tune_start_us = h.now_us();
}

// RFC 9293 3.8.6.2.2: tell a window that has opened by two segments or half the buffer.
void tell_opened_window(host& h, conn& c) {
    if (!c.synchronized() || c.has(conn_flag::fin_received)) {
        return;
    }
    const std::uint32_t free = c.rcv_limit > c.rcv_buffered ? c.rcv_limit - c.rcv_buffered : 0;
    const std::uint32_t told = c.rcv_adv > c.rcv_nxt ? c.rcv_adv - c.rcv_nxt : 0;
    if (free >= told + std::min<std::uint32_t>(c.rcv_limit / 2, 2U * c.rcv_mss)) {
        h.stats.sndwinup.add(c.has(conn_flag::ack_now) ? 0 : 1);
        c.set(conn_flag::ack_now);
        h.want_output(c);
    }
}

void queue_fin(host& h, conn& c) {
    if (c.has(conn_flag::fin_queued)) {
        return;
    }
    user_timeout_begin(c, h.now_ms());
    c.set(conn_flag::fin_queued);
    if (c.state == conn_state::established) {
        c.state = conn_state::fin_wait_1;
    } else if (c.state == conn_state::close_wait) {
        c.state = conn_state::last_ack;
    }
    h.want_output(c);
}

void let_go(conn& c) {
    c.set(conn_flag::orphan);
    c.events = 0;
    c.user = nullptr;
}

void set_flag(host& h, conn_handle handle, std::uint32_t flag, bool on) {
    if (conn* c = h.find(handle)) {
        on ? c->set(flag) : c->clear(flag);
        h.want_output(*c);
    }
}

} // namespace

void init_conn(host& h, conn& c, const flow_key& key, std::uint16_t path_mtu) {
    c.peer_account = h.memory.account_of(key.remote);
    c.account = c.peer_account;
    ++h.memory.conns(c.account);
    c.key = key;
    c.path_mtu = path_mtu;
    // One before was told so; a small path_mtu alone may be the application's choice (TCP_MAXSEG).
    c.may_be_cut = key.is_v4() && path_mtu <= cut_below_mtu &&
                   h.paths.mtu(h.paths.context, key.remote) <= cut_below_mtu;
    c.congestion = h.config.congestion;
    c.has_pacing = h.config.pacing;
    c.rcv_limit = h.config.rcv_buffer;
    c.snd_limit = h.config.snd_buffer;
    c.rto_us = h.config.rexmit_initial_ms * 1'000;
    c.ts_offset = timestamp_offset(h, key);
    c.opened_ms = h.now_ms();
    c.last_heard_ms = h.now_ms();
    request_features(h, c);
    path_attach(h, c);
}

open_answer open(host& h, const open_request& request) {
    flow_key key{request.local, request.remote.address, request.local_port, request.remote.port};
    if (key.local.is_v4() != key.remote.is_v4() || key.remote.is_any() || key.local.is_any() ||
        key.remote_port.host() == 0) {
        return {user_error::invalid, {}};
    }
    const std::uint16_t mtu = mtu_for(h, key, request.segment_size);
    if (mtu == 0) {
        return {user_error::no_route, {}};
    }
    std::uint64_t hash = key.hash(h.secrets.table);
    if (key.local_port.host() != 0) {
        if (is_taken(h, key, hash)) {
            return {user_error::in_use, {}};
        }
    } else if (!choose_port(h, key, hash)) {
        return {user_error::no_room, {}};
    }
    conn* c = h.new_conn();
    if (c == nullptr) {
        h.stats.connfull.add(1);
        return {user_error::no_room, {}};
    }
    init_conn(h, *c, key, mtu);
    c->hash = hash;
    c->user = request.user;
    if (!h.insert(*c)) {
        h.release(*c);
        return {user_error::no_room, {}};
    }
    const std::size_t went = start_handshake(h, *c, request);
    return {user_error::none, h.handle_of(*c), went};
}

listen_answer listen(host& h, const ip_endpoint& local, std::uint32_t backlog, void* user) {
    if (local.port.host() == 0) {
        return {user_error::invalid, no_id};
    }
    if (listener_at(h, local) != no_id) {
        return {user_error::in_use, no_id};
    }
    std::uint32_t id = no_id;
    for (std::uint32_t i = 0; i < h.listeners.size() && id == no_id; ++i) {
        id = h.listeners[i].open ? no_id : i; // O(listeners), as this is no hot call
    }
    if (id == no_id) {
        if (h.listeners.size() == h.sizes.listeners) {
            return {user_error::no_room, no_id};
        }
        id = static_cast<std::uint32_t>(h.listeners.size());
        h.listeners.emplace_back();
    }
    listener& fresh = h.listeners[id];
    const bool told = fresh.told; // its id may still stand in accept_ready
    const fast_open_queue counted = fresh.fast_open;
    fresh = listener{};
    fresh.told = told;
    fresh.fast_open = counted; // connections of the one before may still be pending
    fresh.fast_open.limit = 0;
    fresh.local = local;
    fresh.backlog = std::clamp(backlog, 1U, h.sizes.listeners_backlog_max);
    fresh.open = true;
    fresh.user = user;
    h.listeners_by_endpoint.insert(listener_hash(local), id);
    return {user_error::none, id};
}

void set_listener_segment_size(host& h, std::uint32_t id, std::uint16_t bytes) {
    if (id < h.listeners.size()) {
        h.listeners[id].segment_size = bytes;
    }
}

void set_listener_v6_only(host& h, std::uint32_t id, bool on) {
    if (id < h.listeners.size()) {
        h.listeners[id].v6_only = on;
    }
}

void set_listener_fast_open(host& h, std::uint32_t id, std::uint32_t pending_max) {
    if (id < h.listeners.size()) {
        h.listeners[id].fast_open.limit = pending_max;
    }
}

bool fast_open_ready(host& h, const ip_endpoint& remote) {
    const fast_open_server* server = h.fast_opens.find(remote.address);
    return h.config.fast_open_client && server != nullptr && server->cookie_bytes != 0 &&
           !server->is_paused(remote.port, h.now_ms());
}

void close_listener(host& h, std::uint32_t id) {
    if (id >= h.listeners.size() || !h.listeners[id].open) {
        return;
    }
    h.listeners[id].open = false;
    h.listeners_by_endpoint.erase(listener_hash(h.listeners[id].local), id);
    listen_forget(h, id);
    while (h.listeners[id].accepted.head != no_id) {
        conn& c = h.conns[h.listeners[id].accepted.head];
        accept_remove(h, c);
        abort(h, h.handle_of(c));
    }
}

conn_handle accept(host& h, std::uint32_t id, void* user) {
    if (id >= h.listeners.size() || h.listeners[id].accepted.head == no_id) {
        return {};
    }
    conn& c = h.conns[h.listeners[id].accepted.head];
    accept_remove(h, c);
    c.user = user;
    h.tell(c, c.events);
    return h.handle_of(c);
}

instant progress(host& h, conn_handle handle) {
    const conn* c = h.find(handle);
    if (c == nullptr) {
        return instant{};
    }
    // In whole milliseconds, as it was noted: two questions with nothing between have one answer.
    const std::uint64_t now_ms = h.now.ns / ns_per_ms;
    const std::uint64_t ago_ms = h.now_ms() - c->stalled_ms;
    return instant{(now_ms - std::min(now_ms, ago_ms)) * ns_per_ms};
}

std::span<const std::byte> peek(host& h, conn_handle handle) {
    const conn* c = h.find(handle);
    if (c == nullptr || c->rcv_head == nullptr) {
        return {};
    }
    return {rte_pktmbuf_mtod(c->rcv_head, const std::byte*), c->rcv_head->data_len};
}

void consume(host& h, conn_handle handle, std::size_t bytes) {
    conn* c = h.find(handle);
    if (c == nullptr) {
        return;
    }
    auto left = static_cast<std::uint32_t>(std::min<std::size_t>(bytes, c->rcv_buffered));
    c->rcv_buffered -= left;
    tune_receive_buffer(h, *c, left);
    while (left > 0) {
        rte_mbuf* head = c->rcv_head;
        const std::uint32_t here = std::min<std::uint32_t>(left, head->data_len);
        head->data_off = static_cast<std::uint16_t>(head->data_off + here);
        head->data_len = static_cast<std::uint16_t>(head->data_len - here);
        left -= here;
        if (head->data_len == 0) {
            c->rcv_head = head->next;
            if (c->rcv_head == nullptr) {
                c->rcv_tail = nullptr;
            }
            head->next = nullptr;
            h.consume(head);
            h.memory.let_go(memory_use::receive, c->account);
        }
    }
    tell_opened_window(h, *c);
}

bool at_end(host& h, conn_handle handle) {
    const conn* c = h.find(handle);
    return c == nullptr || (c->rcv_buffered == 0 &&
                            (c->has(conn_flag::fin_received) || c->state == conn_state::closed));
}

std::size_t readable_bytes(host& h, conn_handle handle) {
    const conn* c = h.find(handle);
    return c == nullptr ? 0 : c->rcv_buffered;
}

void shutdown_send(host& h, conn_handle handle) {
    conn* c = h.find(handle);
    if (c != nullptr && may_send(*c)) {
        queue_fin(h, *c);
    }
}

void shutdown_receive(host& h, conn_handle handle) {
    conn* c = h.find(handle);
    if (c == nullptr) {
        return;
    }
    c->set(conn_flag::rcv_shut);
    consume(h, handle, c->rcv_buffered);
}

void close(host& h, conn_handle handle) {
    conn* c = h.find(handle);
    if (c == nullptr) {
        return;
    }
    // RFC 2525 2.17; RFC 9293 3.6 MUST-13. In SYN-RECEIVED it is what a Fast Open's SYN carried.
    const bool has_peer = c->synchronized() || c->state == conn_state::syn_received;
    if (c->rcv_buffered > 0 && has_peer) {
        abort(h, handle);
        return;
    }
    let_go(*c);
    switch (c->state) {
    case conn_state::closed:
    case conn_state::time_wait:
        h.release(*c);
        return;
    case conn_state::syn_sent: // RFC 9293 3.10.4: nothing to say to anybody
        h.stats.closed.add(1);
        h.release(*c);
        return;
    case conn_state::fin_wait_2:
        timer_arm(h, *c, conn_timer::msl2, h.config.finwait2_ms);
        return;
    default:
        queue_fin(h, *c);
    }
}

void abort(host& h, conn_handle handle) {
    conn* c = h.find(handle);
    if (c == nullptr) {
        return;
    }
    if (c->listener != no_id) {
        accept_remove(h, *c);
    }
    let_go(*c);
    // RFC 9293 3.10.5: a reset where the peer has a connection to lose.
    if (c->synchronized() || c->state == conn_state::syn_received) {
        send_conn_reset(h, *c);
        h.stats.drops.add(1);
    }
    if (c->state == conn_state::closed || c->state == conn_state::time_wait) {
        h.release(*c);
    } else {
        h.finish(*c, conn_error::aborted);
    }
}

void set_no_delay(host& h, conn_handle handle, bool on) {
    if (conn* c = h.find(handle)) {
        c->more_follows = c->more_follows && !on;
    }
    set_flag(h, handle, conn_flag::no_delay, on);
}
void set_cork(host& h, conn_handle handle, bool on) {
    set_flag(h, handle, conn_flag::cork, on);
}

std::size_t poll_events(host& h, std::span<event> out) {
    std::size_t told = 0;
    while (told < out.size() && !h.event_ready.empty()) {
        conn& c = h.conns[h.event_ready.pop()];
        c.clear(conn_flag::event_queued);
        if (c.events != 0 && c.listener == no_id) { // else gone since
            out[told++] = {h.handle_of(c), c.events, c.error, c.user};
            c.events = 0;
        }
    }
    return told;
}

std::size_t poll_accepts(host& h, std::span<std::uint32_t> out) {
    std::size_t count = 0;
    while (count < out.size() && !h.accept_ready.empty()) {
        const std::uint32_t id = h.accept_ready.pop();
        h.listeners[id].told = false;
        if (h.listeners[id].accepted.head != no_id) {
            out[count++] = id;
        }
    }
    return count;
}

} // namespace pantala::tcp
