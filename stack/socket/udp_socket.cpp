#include "stack/socket/endpoints.hpp"
#include "stack/socket/net_host.hpp"
#include "stack/wire/udp.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <rte_mbuf.h>

namespace pantala {
namespace {

int errno_of(udp::error error) {
    switch (error) {
    case udp::error::none:
        return 0;
    case udp::error::in_use:
        return EADDRINUSE;
    case udp::error::no_room:
    case udp::error::no_memory:
        return ENOBUFS;
    case udp::error::invalid:
        return EINVAL;
    case udp::error::no_route:
        return ENETUNREACH;
    case udp::error::too_long:
        return EMSGSIZE;
    }
    return EIO;
}

flow_key key_of(const endpoint& local, const endpoint& remote) {
    const ip_endpoint here = to_internal(local);
    const ip_endpoint there = to_internal(remote);
    return {here.address, there.address, here.port, there.port};
}

// Of a datagram whose headers were stepped over.
const std::uint8_t* ip_header_before(const rte_mbuf& packet) {
    return rte_pktmbuf_mtod(&packet, const std::uint8_t*) - sizeof(wire::udp_header) -
           packet.l3_len;
}

} // namespace

std::size_t datagram::copy(std::span<std::byte> to) const {
    const std::size_t count = std::min(size, to.size());
    const void* found = rte_pktmbuf_read(
        static_cast<const rte_mbuf*>(packet_), 0, static_cast<std::uint32_t>(count), to.data());
    if (found != nullptr && found != to.data()) {
        std::copy_n(static_cast<const std::byte*>(found), count, to.data());
    }
    return found == nullptr ? 0 : count;
}

int udp_socket::send(std::span<const std::byte> bytes) {
    return remote_.port == 0 ? EDESTADDRREQ : send_to(remote_, bytes);
}

int udp_socket::send_to(const endpoint& remote, std::span<const std::byte> bytes) {
    return send_from(local_, remote, bytes);
}

int udp_socket::reply(const datagram& to, std::span<const std::byte> bytes) {
    const bool ours =
        host_ != nullptr && host_->ip().is_ours(host_->ip().context, to_internal(to.local).address);
    return send_from(ours ? to.local : local_, to.remote, bytes);
}

int udp_socket::send_as(
    const endpoint& local, const endpoint& remote, std::span<const std::byte> bytes) {
    if (host_ == nullptr) {
        return EBADF;
    }
    if (!host_->ip().is_ours(host_->ip().context, to_internal(local).address)) {
        return EADDRNOTAVAIL;
    }
    return send_from({local.address, local_.port}, remote, bytes);
}

int udp_socket::send_from(
    const endpoint& local, const endpoint& remote, std::span<const std::byte> bytes) {
    if (host_ == nullptr) {
        return EBADF;
    }
    flow_key key = key_of(local, remote);
    if (key.remote_port.host() == 0 || key.remote.is_any()) {
        return EINVAL;
    }
    if (key.local.is_any()) {
        key.local = host_->ip().source_for(host_->ip().context, key.remote);
        if (key.local.is_any()) {
            return ENETUNREACH;
        }
    }
    if (key.local.is_v4() != key.remote.is_v4()) {
        return EAFNOSUPPORT;
    }
    return errno_of(host_->udp.send(key, bytes, {marks_.traffic_class, marks_.hop_limit}));
}

int udp_socket::take_error() {
    return std::exchange(error_, 0);
}

void udp_socket::close() {
    if (host_ != nullptr) {
        std::exchange(host_, nullptr)->udp.close(key_of(local_, remote_));
        local_ = remote_ = {};
    }
}

// ---------------------------------------------------------------------------------------------

void net_host::deliver(void* to, std::span<const udp::received> came) {
    auto& socket = *static_cast<udp_socket*>(to);
    std::array<datagram, burst_max> views;
    for (std::size_t i = 0; i < came.size(); ++i) {
        const udp::received& one = came[i];
        views[i].local = to_public(one.key.local, one.key.local_port);
        views[i].remote = to_public(one.key.remote, one.key.remote_port);
        views[i].size = one.bytes;
        views[i].first = {
            rte_pktmbuf_mtod(one.packet, const std::byte*),
            std::min<std::size_t>(one.packet->data_len, one.bytes)};
        views[i].packet_ = one.packet;
        const std::uint8_t* ip = ip_header_before(*one.packet);
        const bool v4 = ip[0] >> 4 == 4;
        views[i].traffic_class =
            v4 ? ip[1] : static_cast<std::uint8_t>((ip[0] & 15U) << 4 | ip[1] >> 4);
        views[i].hop_limit = v4 ? ip[8] : ip[7];
    }
    socket.on_receive_(socket, {views.data(), came.size()});
}

int net_host::open(udp_socket& socket, const flow_key& wanted) {
    if (socket.is_open()) {
        return EISCONN;
    }
    const udp::endpoint_user user{
        deliver,
        [](void* to, const flow_key&) {
            auto& failed = *static_cast<udp_socket*>(to);
            failed.error_ = ECONNREFUSED;
            failed.on_receive_(failed, {});
        },
        &socket};
    const auto made = udp.open(wanted, user);
    if (made.failure == udp::error::none) {
        socket.host_ = this;
        socket.local_ = to_public(made.key.local, made.key.local_port);
        socket.remote_ = to_public(made.key.remote, made.key.remote_port);
        socket.error_ = 0;
    }
    return errno_of(made.failure);
}

int sockets::bind(udp_socket& socket, const endpoint& local) {
    return host_.open(socket, key_of(local, {}));
}

int sockets::connect(udp_socket& socket, const endpoint& remote) {
    return connect(socket, remote, {});
}

int sockets::connect(udp_socket& socket, const endpoint& remote, const endpoint& local) {
    flow_key key = key_of(local, remote);
    if (key.local.is_any()) {
        key.local = host_.ip().source_for(host_.ip().context, key.remote);
        if (key.local.is_any()) {
            return ENETUNREACH;
        }
    }
    if (key.local_port.host() != 0 && host_.workers() != 1 && !host_.is_home(key)) {
        return EADDRNOTAVAIL;
    }
    return host_.open(socket, key);
}

} // namespace pantala
