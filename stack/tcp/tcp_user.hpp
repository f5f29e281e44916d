// What the application asks for (RFC 9293 3.10.1 to 3.10.6), on the worker's own thread. The socket
// layer is built on this; nothing here waits. Events come through `poll_events`.
#pragma once

#include "stack/tcp/tcp_conn.hpp"
#include "stack/wire/flow.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

struct rte_mbuf;
struct rte_mbuf_ext_shared_info;

namespace pantala::tcp {

class host;

enum class user_error : std::uint8_t {
    none,
    not_found,     // no such connection
    in_use,        // the address is taken
    no_room,       // tables, ports or buffers are full
    no_route,      // no way to that address
    not_connected, // not yet, or no more
    invalid,
};

// Common beginning of every connection: settings, limits, offsets. Not yet in the table.
void init_conn(host& h, conn& c, const flow_key& key, std::uint16_t path_mtu);

struct open_request {
    ip_address local;
    l4_port local_port; // 0: choose (RFC 6056)
    ip_endpoint remote;
    void* user = nullptr;
    std::uint16_t segment_size = 0; // most payload of a segment, either way; 0: no wish
    // Fast Open (RFC 7413): the SYN takes along the begin of `first`, where the server has given a
    // cookie, else it asks for one. The server's application may get these bytes twice.
    bool fast_open = false;
    std::span<const std::byte> first;
};
struct open_answer {
    user_error error = user_error::none;
    conn_handle handle;
    std::size_t taken = 0; // bytes of `first` that left; the rest is for send()
};
// OPEN, active: sends the SYN.
open_answer open(host& h, const open_request& request);

struct listen_answer {
    user_error error = user_error::none;
    std::uint32_t listener = no_id;
};
// OPEN, passive. Backlog: connections established and not yet accepted.
listen_answer listen(host& h, const ip_endpoint& local, std::uint32_t backlog, void* user);
// The most payload of a segment of the connections that follow, either way; 0: no wish.
void set_listener_segment_size(host& h, std::uint32_t listener, std::uint16_t bytes);
// A listener on [::] takes IPv4 as well, unless this is set (RFC 3493 5.3).
void set_listener_v6_only(host& h, std::uint32_t listener, bool on);
// Fast Open: so many connections may be open that rest on a cookie alone (RFC 7413 5.1); 0: none.
void set_listener_fast_open(host& h, std::uint32_t listener, std::uint32_t pending_max);
// Would an open with data put it into the SYN?
bool fast_open_ready(host& h, const ip_endpoint& remote);
// Half-open and unaccepted connections of the listener are reset.
void close_listener(host& h, std::uint32_t listener);
// The oldest connection nobody accepted yet; id no_id if there is none.
conn_handle accept(host& h, std::uint32_t listener, void* user);

// SEND: how many bytes the send buffer took; 0 when it is full (then `writable` comes) or the
// connection takes no more.
// `more`: more will follow at once, so a short segment waits for it, but no longer than until an
// ACK comes, and is not pushed. No bytes without it let go what waits so.
std::size_t send(host& h, conn_handle handle, std::span<const std::byte> bytes, bool more = false);
// The same without a copy: the bytes lie still until `owner` has no user but its maker. Nothing is
// lent where it has 60,000 uses already (its counter has 16 bits): then they are copied.
std::size_t send_lent(
    host& h, conn_handle handle, std::span<const std::byte> bytes, rte_mbuf_ext_shared_info& owner,
    bool more = false);
std::size_t send_room(host& h, conn_handle handle);
// When the peer last acknowledged something new, or else, since when it is asked to (the user
// timeout's clock). To the millisecond.
instant progress(host& h, conn_handle handle);
// RECEIVE without copying: the first contiguous piece of what is there; empty: nothing now. Valid
// until the next call for this connection or the next round. `consume` gives room back.
std::span<const std::byte> peek(host& h, conn_handle handle);
void consume(host& h, conn_handle handle, std::size_t bytes);
// All that was received is read and the peer has closed its side.
bool at_end(host& h, conn_handle handle);
std::size_t readable_bytes(host& h, conn_handle handle);

// CLOSE of the sending side: FIN after what is queued.
void shutdown_send(host& h, conn_handle handle);
// Reads no more: what still comes is acknowledged and thrown away.
void shutdown_receive(host& h, conn_handle handle);
// CLOSE and let go of the handle. With unread data it becomes a reset (RFC 2525 2.17).
void close(host& h, conn_handle handle);
// ABORT: RST, and let go.
void abort(host& h, conn_handle handle);

void set_no_delay(host& h, conn_handle handle, bool on);
void set_cork(host& h, conn_handle handle, bool on);
void set_keep_alive(host& h, conn_handle handle, bool on);
void set_user_timeout(host& h, conn_handle handle, std::uint32_t ms);
// Of keep-alive where it is set: silence before the first probe, between two, how many are not
// answered. 0: the host's.
struct keep_times {
    std::uint16_t idle_s = 0;
    std::uint16_t interval_s = 0;
    std::uint8_t count = 0;
};
void set_keep_times(host& h, conn_handle handle, const keep_times& wanted);
// Pacing (tcp_pacing.hpp) for this connection, whatever the setting says; and a bound of its rate,
// which holds for every round-trip time. 0: no bound.
void set_pacing(host& h, conn_handle handle, bool on, std::uint64_t bytes_per_second_max);

// Congestion control from now on.
void set_congestion(host& h, conn_handle handle, congestion_kind kind);
// On: what waits for an ACK gets it now, and the next segments theirs at once; off: ACKs are
// delayed. Not for good: the connection goes on to judge by itself.
void set_quick_ack(host& h, conn_handle handle, bool on);
bool is_quick_ack(host& h, conn_handle handle);

struct event {
    conn_handle handle;
    std::uint8_t events = 0;
    conn_error error = conn_error::none;
    void* user = nullptr;
};
// Takes up to out.size() events; each connection appears once with all that happened to it.
std::size_t poll_events(host& h, std::span<event> out);
// Takes up to out.size() listeners with something to accept. One that has been taken comes again
// with the next new connection: call accept() until it has no more.
std::size_t poll_accepts(host& h, std::span<std::uint32_t> out);

} // namespace pantala::tcp
