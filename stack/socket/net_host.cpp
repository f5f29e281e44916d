#include "stack/socket/net_host.hpp"

#include "stack/socket/flow_owner.hpp"
#include "stack/tcp/input/tcp_input.hpp"
#include "stack/tcp/tcp_user.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace pantala {
namespace {

// Events taken at once, and how often in a round: what is left waits for the next one.
constexpr unsigned events_at_once = 64;
constexpr unsigned event_batches = 64;

// The record of a socket that is told soon, with what its program keeps first in it.
constexpr unsigned events_prefetch_ahead = 2;
constexpr unsigned socket_prefetch_bytes = 256;

int errno_of(tcp::conn_error error) {
    switch (error) {
    case tcp::conn_error::none:
        return 0;
    case tcp::conn_error::refused:
        return ECONNREFUSED;
    case tcp::conn_error::reset:
        return ECONNRESET;
    case tcp::conn_error::timed_out:
        return ETIMEDOUT;
    case tcp::conn_error::unreachable:
        return EHOSTUNREACH;
    case tcp::conn_error::aborted:
        return ECONNABORTED;
    case tcp::conn_error::no_memory:
        return ENOMEM;
    }
    return EIO;
}

void prefetch_socket(const void* user) { // nullptr and what is gone do no harm
    const auto record = reinterpret_cast<std::uintptr_t>(user); // not a pointer: it may be gone
    for (unsigned line = 0; line < socket_prefetch_bytes; line += 64) {
        __builtin_prefetch(reinterpret_cast<const void*>(record + line), 1);
    }
}

// The flow of a whole packet with ports behind its IP header, as this host sees it. A packet too
// short for ports has port 0: whoever gets it refuses it.
flow_key key_of(const rte_mbuf& packet) {
    flow_key key;
    const auto* at = rte_pktmbuf_mtod(&packet, const std::uint8_t*);
    if (at[0] >> 4 == 4) {
        wire::ipv4_address source;
        wire::ipv4_address destination;
        std::memcpy(&source, at + 12, sizeof source);
        std::memcpy(&destination, at + 16, sizeof destination);
        key.remote = ip_address::from(source);
        key.local = ip_address::from(destination);
    } else {
        std::memcpy(key.remote.words.data(), at + 8, 16);
        std::memcpy(key.local.words.data(), at + 24, 16);
    }
    if (packet.data_len >= packet.l3_len + 4U) {
        std::memcpy(&key.remote_port, at + packet.l3_len, 2);
        std::memcpy(&key.local_port, at + packet.l3_len + 2, 2);
    }
    return key;
}

// Workers share the pool: each has its part of what connections may hold.
tcp::limits limits_for(tcp::limits sizes, const worker_services& worker) {
    if (sizes.buffers == 0) {
        sizes.buffers = worker.pool->size / 4 * 3 / worker.workers;
    }
    return sizes;
}

} // namespace

net_host::net_host(worker_services& worker, const host_settings& settings, const ip_services& ip)
    : tcp({.pool = worker.pool,
           .drops = worker.drops,
           .random = worker.random,
           .sink = {ip.output, ip.context},
           .paths = {ask_mtu, worker.workers == 1 ? nullptr : ask_home, this, ip.hosts}},
          settings.tcp, limits_for(settings.limits, worker), instant{}),
      udp({.pool = worker.pool,
           .drops = worker.drops,
           .random = worker.random,
           .output = ip.output,
           .output_context = ip.context,
           .comes_home = worker.workers == 1 ? nullptr : ask_home,
           .home_context = this},
          settings.udp),
      worker_(worker), ip_(ip), native_(*this) {
    worker.packets.add(
        protocol_tcp, "tcp",
        [](void* self, port_id, mbuf_burst& burst, instant now) {
            tcp::input(static_cast<net_host*>(self)->tcp, burst, now);
        },
        this);
    worker.packets.add(
        protocol_udp, "udp",
        [](void* self, port_id, mbuf_burst& burst, instant now) {
            auto& host = *static_cast<net_host*>(self);
            host.tcp.now = now;
            host.udp_arrived(burst);
        },
        this);
    worker.packets.add(
        protocol_error, "icmp-error",
        [](void* self, port_id, mbuf_burst& burst, instant now) {
            static_cast<net_host*>(self)->error_input(burst, now);
        },
        this);
    for (unsigned w = 0; worker.workers > 1 && w < worker.workers; ++w) {
        steered_[w] = std::make_unique<mbuf_burst>();
    }
}

net_host::~net_host() {
    for (std::uint32_t id = 0; id < tcp.conns.high_water(); ++id) {
        const tcp::conn& c = tcp.conns[id];
        if (c.generation != 0 && c.user != nullptr) {
            auto& socket = *static_cast<tcp_socket*>(c.user);
            socket.error_ = ECONNABORTED;
            socket.on_event_(socket, socket_event::closed);
        }
    }
}

// ---------------------------------------------------------------------------------------------
// Packets.

std::uint16_t net_host::ask_mtu(void* self, const ip_address& remote) {
    const ip_services& ip = static_cast<net_host*>(self)->ip_;
    return ip.path_mtu(ip.context, remote);
}

bool net_host::ask_home(void* self, const flow_key& key) {
    return static_cast<net_host*>(self)->is_home(key);
}

bool net_host::is_home(const flow_key& key) const {
    return flow_owner(worker_.packets.flow_sum(), key, worker_.workers) == worker_.self;
}

void net_host::steer(protocol_id protocol, worker_id to, rte_mbuf* packet) {
    mbuf_burst& burst = *steered_[to.value];
    if (burst.full()) {
        worker_.packets.queue(protocol, to, burst);
    }
    burst.push(packet);
}

void net_host::flush_steered(protocol_id protocol) {
    for (std::uint16_t to = 0; to < worker_.workers; ++to) {
        if (!steered_[to]->empty()) {
            worker_.packets.queue(protocol, worker_id{to}, *steered_[to]);
        }
    }
}

// Leaves in `packets` those whose flow belongs here.
void net_host::keep_ours(protocol_id protocol, mbuf_burst& packets) {
    if (worker_.workers == 1) {
        return;
    }
    std::uint16_t kept = 0;
    for (rte_mbuf* packet : packets) {
        const worker_id owner =
            flow_owner(worker_.packets.flow_sum(), key_of(*packet), worker_.workers);
        if (owner == worker_.self) {
            packets.packets[kept++] = packet;
        } else {
            steer(protocol, owner, packet);
        }
    }
    if (kept != packets.count) {
        flush_steered(protocol);
    }
    packets.count = kept;
}

void net_host::tcp_input(mbuf_burst& segments, instant now) {
    keep_ours(protocol_tcp, segments);
    tcp::input(tcp, segments, now);
}

void net_host::udp_input(mbuf_burst& packets, instant now) {
    tcp.now = now;
    keep_ours(protocol_udp, packets);
    udp_arrived(packets);
}

void net_host::udp_arrived(mbuf_burst& packets) {
    udp.input(packets);
    if (!packets.empty()) {
        ip_.refuse(ip_.context, packets);
    }
}

void net_host::error_input(mbuf_burst& packets, instant now) {
    tcp.now = now;
    bool left = false;
    for (rte_mbuf* packet : packets) {
        const auto error = read_quoted_error(*packet);
        const worker_id owner =
            error ? flow_owner(worker_.packets.flow_sum(), error->key, worker_.workers)
                  : worker_.self;
        if (owner != worker_.self) {
            steer(protocol_error, owner, packet);
            left = true;
            continue;
        }
        if (error) {
            take_error(*error);
        }
        const bool v4 = *rte_pktmbuf_mtod(packet, const std::uint8_t*) >> 4 == 4;
        worker_.drops.drop(
            packet, v4 ? drop_reason::icmp4_error_consumed : drop_reason::icmp6_error_consumed);
    }
    packets.clear();
    if (left) {
        flush_steered(protocol_error);
    }
}

void net_host::take_error(const quoted_error& error) {
    if (error.protocol != wire::ip_protocol::tcp) {
        if (error.meaning == error_meaning::hard) {
            udp.error_input(error.key);
        } else if (error.meaning == error_meaning::too_big && udp.may_be_too_big(error.key)) {
            // The quotation proves little: what TCP believes stays as it is (RFC 5927 section 7).
            ip_.learn_mtu(ip_.context, error.key.remote, error.mtu, mtu_for::datagrams);
        }
        return;
    }
    tcp::icmp_error told;
    told.key = error.key;
    told.seq = tcp_seq{error.sequence};
    told.mtu = error.mtu;
    told.meaning = error.meaning == error_meaning::too_big ? tcp::icmp_meaning::too_big
                   : error.meaning == error_meaning::hard  ? tcp::icmp_meaning::hard
                                                           : tcp::icmp_meaning::soft;
    const bool believed = tcp::icmp_input(tcp, told, tcp.now);
    if (believed && told.meaning == tcp::icmp_meaning::too_big) { // new connections begin with it
        ip_.learn_mtu(ip_.context, told.key.remote, told.mtu, mtu_for::all);
    }
}

// ---------------------------------------------------------------------------------------------
// The round.

unsigned net_host::expire(instant now, unsigned budget) {
    return tcp::expire(tcp, now, budget);
}

void net_host::end_of_round(instant now) {
    tcp.now = now;
    wanted_ = instant::never();
    accept_all();
    tell_all();
    for (std::size_t i = 0; i < hooks_.size(); ++i) {
        if (hooks_[i].run != nullptr) {
            hooks_[i].run(hooks_[i].context, native_);
        }
    }
    tcp::end_of_round(tcp, now);
    udp.flush();
}

instant net_host::next_deadline() const {
    if (!tcp.event_ready.empty() || !tcp.accept_ready.empty()) {
        return tcp.now;
    }
    return std::min(wanted_, tcp::next_deadline(tcp));
}

void net_host::accept_all() {
    std::array<std::uint32_t, events_at_once> ready;
    const std::size_t count = tcp::poll_accepts(tcp, ready);
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t id = ready[i];
        while (tcp.listeners[id].open && tcp.listeners[id].accepted.count != 0) {
            const acceptor by = acceptors_[id];
            tcp_socket* socket = by.make(by.context, native_);
            const tcp::conn_handle handle = tcp::accept(tcp, id, socket);
            if (socket == nullptr) {
                tcp::abort(tcp, handle);
                continue;
            }
            native_.attach(*socket, handle.id, handle.generation);
        }
    }
}

void net_host::tell_all() {
    if (tcp.event_ready.empty()) [[likely]] {
        return; // before the array below is zeroed, each round
    }
    std::array<tcp::event, events_at_once> events;
    std::size_t count = events.size();
    for (unsigned batch = 0; batch < event_batches && count == events.size(); ++batch) {
        count = tcp::poll_events(tcp, events);
        for (std::size_t i = 0; i < count; ++i) {
            if (i + events_prefetch_ahead < count) {
                prefetch_socket(events[i + events_prefetch_ahead].user);
            }
            // An earlier handler may have closed it.
            const tcp::conn* c = tcp.find(events[i].handle);
            if (c == nullptr || c->user == nullptr) {
                continue;
            }
            auto& socket = *static_cast<tcp_socket*>(c->user);
            if ((events[i].events & socket_event::closed) != 0) {
                socket.error_ = errno_of(events[i].error);
            }
            socket.on_event_(socket, events[i].events);
        }
    }
}

} // namespace pantala
