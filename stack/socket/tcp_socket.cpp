#include "stack/socket/endpoints.hpp"
#include "stack/socket/net_host.hpp"
#include "stack/tcp/open/tcp_listen.hpp"
#include "stack/tcp/tcp_user.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <rte_mbuf.h>

namespace pantala {
namespace {

int errno_of(tcp::user_error error) {
    switch (error) {
    case tcp::user_error::none:
        return 0;
    case tcp::user_error::not_found:
        return EBADF;
    case tcp::user_error::in_use:
        return EADDRINUSE;
    case tcp::user_error::no_room:
        return ENOBUFS;
    case tcp::user_error::no_route:
        return ENETUNREACH;
    case tcp::user_error::not_connected:
        return ENOTCONN;
    case tcp::user_error::invalid:
        return EINVAL;
    }
    return EIO;
}

static_assert(socket_event::connected == tcp::conn_event::connected);
static_assert(socket_event::readable == tcp::conn_event::readable);
static_assert(socket_event::writable == tcp::conn_event::writable);
static_assert(socket_event::closed == tcp::conn_event::closed);

} // namespace

// Lives as long as anybody uses it; its maker is one.
struct lent_memory::block {
    explicit block(std::shared_ptr<const void> of) : keeper(std::move(of)) {
        users.free_cb = [](void*, void* self) { delete static_cast<block*>(self); };
        users.fcb_opaque = this;
        rte_mbuf_ext_refcnt_set(&users, 1);
    }

    rte_mbuf_ext_shared_info users{};
    std::shared_ptr<const void> keeper;
};

lent_memory::lent_memory(std::shared_ptr<const void> keeper)
    : block_(new block(std::move(keeper))) {}

lent_memory::~lent_memory() {
    if (rte_mbuf_ext_refcnt_update(&block_->users, -1) == 0) {
        delete block_;
    }
}

// ---------------------------------------------------------------------------------------------

std::span<const std::byte> tcp_socket::peek() const {
    return host_ == nullptr ? std::span<const std::byte>{}
                            : tcp::peek(host_->tcp, {id_, generation_});
}

void tcp_socket::consume(std::size_t bytes) {
    if (host_ != nullptr) {
        tcp::consume(host_->tcp, {id_, generation_}, bytes);
    }
}

std::size_t tcp_socket::readable() const {
    return host_ == nullptr ? 0 : tcp::readable_bytes(host_->tcp, {id_, generation_});
}

bool tcp_socket::at_end() const {
    return host_ == nullptr || tcp::at_end(host_->tcp, {id_, generation_});
}

std::size_t tcp_socket::write(std::span<const std::byte> bytes, bool more) {
    return host_ == nullptr ? 0 : tcp::send(host_->tcp, {id_, generation_}, bytes, more);
}

std::size_t
tcp_socket::write_lent(lent_memory& owner, std::span<const std::byte> bytes, bool more) {
    return host_ == nullptr
               ? 0
               : tcp::send_lent(host_->tcp, {id_, generation_}, bytes, owner.block_->users, more);
}

std::size_t tcp_socket::room() const {
    return host_ == nullptr ? 0 : tcp::send_room(host_->tcp, {id_, generation_});
}

std::uint64_t tcp_socket::taken_ns() const {
    return host_ == nullptr ? 0 : tcp::progress(host_->tcp, {id_, generation_}).ns;
}

void tcp_socket::shutdown_write() {
    if (host_ != nullptr) {
        tcp::shutdown_send(host_->tcp, {id_, generation_});
    }
}

void tcp_socket::close() {
    if (host_ != nullptr) {
        net_host* host = std::exchange(host_, nullptr);
        tcp::close(host->tcp, {id_, generation_});
    }
}

void tcp_socket::abort() {
    if (host_ != nullptr) {
        net_host* host = std::exchange(host_, nullptr);
        tcp::abort(host->tcp, {id_, generation_});
    }
}

void tcp_socket::set_no_delay(bool on) {
    if (host_ != nullptr) {
        tcp::set_no_delay(host_->tcp, {id_, generation_}, on);
    }
}

void tcp_socket::set_cork(bool on) {
    if (host_ != nullptr) {
        tcp::set_cork(host_->tcp, {id_, generation_}, on);
    }
}

void tcp_socket::set_keep_alive(bool on) {
    if (host_ != nullptr) {
        tcp::set_keep_alive(host_->tcp, {id_, generation_}, on);
    }
}

void tcp_socket::set_keep_times(
    std::uint16_t idle_s, std::uint16_t interval_s, std::uint8_t count) {
    if (host_ != nullptr) {
        tcp::set_keep_times(host_->tcp, {id_, generation_}, {idle_s, interval_s, count});
    }
}

void tcp_socket::set_user_timeout(std::uint32_t ms) {
    if (host_ != nullptr) {
        tcp::set_user_timeout(host_->tcp, {id_, generation_}, ms);
    }
}

endpoint tcp_socket::local() const {
    const tcp::conn* c = host_ == nullptr ? nullptr : host_->tcp.find({id_, generation_});
    return c == nullptr ? endpoint{} : to_public(c->key.local, c->key.local_port);
}

endpoint tcp_socket::remote() const {
    const tcp::conn* c = host_ == nullptr ? nullptr : host_->tcp.find({id_, generation_});
    return c == nullptr ? endpoint{} : to_public(c->key.remote, c->key.remote_port);
}

sockets& tcp_socket::worker() const {
    PANTALA_ASSERT(host_ != nullptr);
    return host_->native();
}

// ---------------------------------------------------------------------------------------------

unsigned sockets::worker() const {
    return host_.self();
}

unsigned sockets::workers() const {
    return host_.workers();
}

std::uint64_t sockets::now_ns() const {
    return host_.tcp.now.ns;
}

int sockets::listen(const endpoint& local, unsigned backlog, const acceptor& by) {
    if (by.make == nullptr) {
        return EINVAL;
    }
    const tcp::listen_answer answer = tcp::listen(host_.tcp, to_internal(local), backlog, nullptr);
    if (answer.error != tcp::user_error::none) {
        return errno_of(answer.error);
    }
    if (host_.acceptors_.size() <= answer.listener) {
        host_.acceptors_.resize(answer.listener + 1);
    }
    host_.acceptors_[answer.listener] = by;
    return 0;
}

void sockets::stop_listening(const endpoint& local) {
    const ip_endpoint wanted = to_internal(local);
    for (std::uint32_t id = 0; id < host_.tcp.listeners.size(); ++id) {
        if (host_.tcp.listeners[id].open && host_.tcp.listeners[id].local == wanted) {
            tcp::close_listener(host_.tcp, id);
        }
    }
}

int sockets::connect(tcp_socket& socket, const endpoint& remote) {
    return connect(socket, remote, {});
}

int sockets::connect(tcp_socket& socket, const endpoint& remote, const endpoint& local) {
    connect_options how{.local = local};
    return connect(socket, remote, how);
}

bool sockets::fast_open_ready(const endpoint& remote) const {
    return tcp::fast_open_ready(host_.tcp, to_internal(remote));
}

int sockets::set_options(const endpoint& local, const listener_options& wanted) {
    const std::uint32_t id = tcp::listener_at(host_.tcp, to_internal(local));
    if (id == tcp::no_id) {
        return ENOENT;
    }
    tcp::set_listener_fast_open(host_.tcp, id, wanted.fast_open_pending);
    tcp::set_listener_segment_size(host_.tcp, id, wanted.segment_size);
    tcp::set_listener_v6_only(host_.tcp, id, wanted.v6_only);
    return 0;
}

int sockets::connect(tcp_socket& socket, const endpoint& remote, connect_options& how) {
    if (socket.is_open()) {
        return EISCONN;
    }
    if (how.fast_open && !host_.tcp.config.fast_open_client) {
        return EOPNOTSUPP;
    }
    ip_endpoint from = to_internal(how.local);
    if (from.address.is_any()) {
        from.address = host_.ip().source_for(host_.ip().context, to_internal(remote).address);
        if (from.address.is_any()) {
            return ENETUNREACH;
        }
    }
    const ip_endpoint to = to_internal(remote);
    if (from.port.host() != 0 && host_.workers() != 1 &&
        !host_.is_home({from.address, to.address, from.port, to.port})) {
        return EADDRNOTAVAIL;
    }
    const tcp::open_answer answer = tcp::open(
        host_.tcp, {.local = from.address,
                    .local_port = from.port,
                    .remote = to,
                    .user = &socket,
                    .segment_size = how.segment_size,
                    .fast_open = how.fast_open,
                    .first = how.first});
    how.taken = answer.taken;
    if (answer.error == tcp::user_error::none) {
        attach(socket, answer.handle.id, answer.handle.generation);
    }
    return errno_of(answer.error);
}

void sockets::each_round(void (*run)(void* context, sockets& of), void* context) {
    for (auto& hook : host_.hooks_) {
        if (hook.run == nullptr) {
            hook = {run, context};
            return;
        }
    }
    host_.hooks_.push_back({run, context});
}

void sockets::forget(const void* context) {
    for (auto& hook : host_.hooks_) { // not erased: they may be running
        hook.run = hook.context == context ? nullptr : hook.run;
    }
    for (std::uint32_t id = 0; id < host_.acceptors_.size(); ++id) {
        if (host_.acceptors_[id].context == context) {
            tcp::close_listener(host_.tcp, id);
            host_.acceptors_[id] = {};
        }
    }
}

void sockets::wake_at(std::uint64_t ns) {
    host_.wanted_ = std::min(host_.wanted_, instant{ns});
}

void sockets::attach(tcp_socket& socket, std::uint32_t id, std::uint32_t generation) {
    socket.host_ = &host_;
    socket.id_ = id;
    socket.generation_ = generation;
    socket.error_ = 0;
}

} // namespace pantala
