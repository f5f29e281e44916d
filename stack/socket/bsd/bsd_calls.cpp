// Making, joining and ending sockets. (Bytes: bsd_transfer.cpp; waiting for several: bsd_poll.cpp;
// options: bsd_options.cpp.)
#include "stack/socket/bsd/bsd_address.hpp"
#include "stack/socket/bsd/bsd_connect.hpp"
#include "stack/socket/bsd/bsd_datagram.hpp"
#include "stack/socket/bsd/bsd_table.hpp"
#include "stack/socket/net_host.hpp"

#include <pantala/bsd.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include <fcntl.h>
#include <sys/ioctl.h>

namespace pantala::bsd {
namespace {

constexpr int backlog_max = 4096;

int start_listening(const reference& socket) {
    const auto all = doors();
    if (all.empty()) {
        return ENETDOWN;
    }
    int code = 0;
    for (const std::shared_ptr<door>& at : all) {
        auto context = std::make_unique<listener_at>(listener_at{socket, at});
        code = on_worker(*at, [&](net_host& host) {
            const int failed = host.native().listen(
                socket->bound, backlog_max, {bsd_socket::accept, context.get()});
            return failed != 0 ? failed
                               : host.native().set_options(socket->bound, socket->as_listener());
        });
        if (code != 0) {
            break;
        }
        socket->listening.push_back(std::move(context));
    }
    return code;
}

void stop_listening(bsd_socket& socket) {
    for (const auto& one : socket.listening) {
        on_worker(*one->worker, [&](net_host& host) {
            host.native().stop_listening(socket.bound);
            return 0;
        });
    }
    socket.listening.clear();
    socket.take_arrived();
    for (const reference& one : socket.accepted) {
        one->give_up();
    }
    socket.accepted.clear();
    socket.waiting.store(0, std::memory_order_relaxed);
}

bool is_abandoned(const bsd_socket& listener) {
    return std::ranges::any_of(
        listener.listening, [](const auto& one) { return one->worker->is_closed(); });
}

// The oldest connection nobody took, or nothing and errno.
reference take_accepted(bsd_socket& self) {
    std::unique_lock hold(self.lock);
    const deadline until = deadline::in(self.chosen.receive_timeout_ms);
    for (;;) {
        const std::uint32_t seen = self.changes.load(std::memory_order_acquire);
        if ((self.state.load(std::memory_order_acquire) & bit::gone) != 0) {
            errno = EBADF;
            return {};
        }
        if (self.what != bsd_socket::kind::listener || is_abandoned(self)) {
            errno = self.what == bsd_socket::kind::listener   ? ENETDOWN
                    : self.what == bsd_socket::kind::datagram ? EOPNOTSUPP
                                                              : EINVAL;
            return {};
        }
        self.take_arrived();
        if (!self.accepted.empty()) {
            reference fresh = self.accepted.front();
            self.accepted.pop_front();
            self.waiting.fetch_sub(1, std::memory_order_relaxed);
            return fresh;
        }
        const int stop = self.non_blocking ? EAGAIN : wait_change(self, hold, seen, until);
        if (stop != 0) {
            errno = stop;
            return {};
        }
    }
}

// Has the peer all that was sent, and our FIN?
bool is_done(const tcp::conn* c) {
    return c == nullptr || c->state == tcp::conn_state::fin_wait_2 ||
           c->state == tcp::conn_state::time_wait || c->state == tcp::conn_state::closed;
}

// Sends what is queued and waits until the peer has all of it, at most so long (SO_LINGER). Of a
// socket that nobody else finds any more, and without its lock: it may take long.
void linger(bsd_socket& self, std::uint32_t seconds) {
    self.wants_shutdown.store(true, std::memory_order_release);
    self.kick();
    const deadline until = deadline::in(seconds * 1'000);
    bool left = true;
    while (left && until.left_ms() != 0) {
        const int code = on_worker(*self.worker, [&](net_host& host) {
            left =
                self.conn().is_open() && !is_done(host.tcp.find(net_host::handle_of(self.conn())));
            return 0;
        });
        if (code != 0) {
            return;
        }
        if (left) { // nothing tells of acknowledgements
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
}

// The socket whose name shall be written there; nothing: errno says why.
reference asked_for_name(int number, const sockaddr* address, const socklen_t* length) {
    reference self = find_socket(number);
    if (self && (address == nullptr || length == nullptr)) {
        errno = EFAULT;
        return {};
    }
    return self;
}

// AF_UNSPEC: to nobody any more.
int connect_datagrams(bsd_socket& self, const sockaddr* address, socklen_t length) {
    std::optional<endpoint> peer;
    const bool nobody =
        address != nullptr && length >= sizeof(sa_family_t) && address->sa_family == AF_UNSPEC;
    if (!nobody) {
        peer.emplace();
        const int wrong = read_address(address, length, self.domain, *peer);
        if (wrong != 0 || peer->port == 0) {
            return fail(wrong != 0 ? wrong : EINVAL);
        }
        if (self.chosen.v6_only && is_v4(*peer)) {
            return fail(ENETUNREACH);
        }
    }
    const int code = is_gone(self) ? EBADF : bsd::connect_datagrams(self, peer);
    return code == 0 ? 0 : fail(code);
}

} // namespace

int socket(int domain, int type, int protocol) {
    if (domain != AF_INET && domain != AF_INET6) {
        return fail(EAFNOSUPPORT);
    }
    const int kind = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
    const bool stream = kind == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP);
    const bool datagrams = kind == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP);
    if (!stream && !datagrams) {
        return fail(EPROTONOSUPPORT);
    }
    reference made(new bsd_socket);
    made->what = stream ? bsd_socket::kind::fresh : bsd_socket::kind::datagram;
    made->domain = domain;
    made->non_blocking = (type & SOCK_NONBLOCK) != 0;
    made->bound = any_of(domain);
    const int number = add_descriptor({made, nullptr});
    return number < 0 ? fail(is_child() ? ENETDOWN : EMFILE) : number;
}

int bind(int number, const sockaddr* address, socklen_t length) {
    const reference self = find_socket(number);
    if (!self) {
        return -1;
    }
    const std::lock_guard hold(self->lock);
    endpoint wanted;
    const int code = is_gone(*self) ? EBADF : read_address(address, length, self->domain, wanted);
    const bool datagrams = self->what == bsd_socket::kind::datagram;
    const bool may = datagrams || self->what == bsd_socket::kind::fresh;
    if (code != 0 || !may || self->port.any()) {
        return fail(code != 0 ? code : EINVAL);
    }
    self->bound = wanted;
    int failed = 0;
    if (wanted.port != 0) {
        self->port.share(wanted.port);
    } else {
        failed = choose_port(*self);
    }
    if (failed == 0 && datagrams) {
        failed = open_ends(*self, self->bound, std::nullopt);
    }
    if (failed != 0) {
        self->port.let_go();
        self->bound = any_of(self->domain);
    }
    return failed == 0 ? 0 : fail(failed);
}

int listen(int number, int backlog) {
    const reference self = find_socket(number);
    if (!self) {
        return -1;
    }
    const std::lock_guard hold(self->lock);
    if (is_gone(*self)) {
        return fail(EBADF);
    }
    const bool again = self->what == bsd_socket::kind::listener;
    if (!again && self->what != bsd_socket::kind::fresh) {
        return fail(self->what == bsd_socket::kind::datagram ? EOPNOTSUPP : EINVAL);
    }
    const int most = backlog < 0 ? backlog_max : std::clamp(backlog, 1, backlog_max);
    self->backlog.store(static_cast<unsigned>(most), std::memory_order_relaxed);
    if (again) { // another backlog is all there is to change
        return 0;
    }
    if (const int code = self->bound.port != 0 ? 0 : choose_port(*self); code != 0) {
        return fail(code);
    }
    if (const int code = start_listening(self); code != 0) {
        stop_listening(*self);
        return fail(code);
    }
    self->what = bsd_socket::kind::listener;
    return 0;
}

int accept(int number, sockaddr* address, socklen_t* length) {
    return bsd::accept4(number, address, length, 0);
}

int accept4(int number, sockaddr* address, socklen_t* length, int flags) {
    const reference self = find_socket(number);
    if (!self) {
        return -1;
    }
    if ((flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0) {
        return fail(EINVAL);
    }
    if (address != nullptr && length == nullptr) {
        return fail(EFAULT);
    }
    const reference fresh = take_accepted(*self);
    if (!fresh) {
        return -1;
    }
    const std::lock_guard hold(fresh->lock);
    {
        const std::lock_guard parent(self->lock);
        fresh->chosen = self->chosen;
    }
    fresh->domain = self->domain;
    fresh->bound = self->bound;
    fresh->non_blocking = (flags & SOCK_NONBLOCK) != 0;
    fresh->make_rings();
    on_worker(*fresh->worker, [&](net_host& host) {
        fresh->apply_options(host);
        if (fresh->conn().is_open()) { // also one that has ended: it is kept until it has rings
            fresh->peer = fresh->conn().remote();
            fresh->bound = fresh->conn().local();
        }
        fresh->publish_rings();
        fresh->pump(); // what came before is there when accept returns
        return 0;
    });
    write_address(fresh->peer, self->domain, address, length);
    const int made = add_descriptor({fresh, nullptr});
    if (made < 0) {
        fresh->give_up();
        return fail(EMFILE);
    }
    return made;
}

int connect(int number, const sockaddr* address, socklen_t length) {
    const reference self = find_socket(number);
    if (!self) {
        return -1;
    }
    std::unique_lock hold(self->lock);
    if (self->what == bsd_socket::kind::datagram) {
        return connect_datagrams(*self, address, length);
    }
    if (self->what == bsd_socket::kind::conn) {
        const int code = outcome_of(*self);
        if (self->what == bsd_socket::kind::conn) {
            return fail(code == 0 ? EISCONN : code == EINPROGRESS ? EALREADY : code);
        }
        // The attempt failed, and whoever asks again wants another, or to know why.
        return fail(code);
    }
    endpoint to;
    const int wrong = read_address(address, length, self->domain, to);
    if (wrong != 0 || self->what == bsd_socket::kind::listener || self->deferred) {
        return fail(wrong != 0 ? wrong : EISCONN);
    }
    connect_options plain;
    int code = self->chosen.fast_open_connect ? defer_connecting(*self, to)
                                              : start_connecting(*self, to, plain);
    if (code != 0 || self->deferred) {
        return code == 0 ? 0 : fail(code);
    }
    const deadline until = deadline::in(self->chosen.send_timeout_ms);
    for (;;) {
        const std::uint32_t seen = self->changes.load(std::memory_order_acquire);
        code = outcome_of(*self);
        if (code != EINPROGRESS) {
            return code == 0 ? 0 : fail(code);
        }
        const int stop = self->non_blocking ? EAGAIN : wait_change(*self, hold, seen, until);
        if (stop != 0) { // it goes on by itself
            return fail(stop == EAGAIN ? EINPROGRESS : stop);
        }
    }
}

int shutdown(int number, int how) {
    const reference self = find_socket(number);
    if (!self) {
        return -1;
    }
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) {
        return fail(EINVAL);
    }
    const std::lock_guard hold(self->lock);
    const std::uint32_t state = self->state.load(std::memory_order_acquire);
    if (self->what == bsd_socket::kind::listener) { // as in Linux: nobody accepts any more
        if (how != SHUT_WR) {
            stop_listening(*self);
            self->what = bsd_socket::kind::fresh;
            self->changed();
        }
        return 0;
    }
    if (self->connected_to) { // datagrams
        self->read_shut = self->read_shut || how != SHUT_WR;
        self->write_shut = self->write_shut || how != SHUT_RD;
        self->changed(); // for who waits
        return 0;
    }
    if (self->what != bsd_socket::kind::conn || (state & bit::connected) == 0 ||
        (state & bit::over) != 0) {
        return fail(ENOTCONN);
    }
    self->read_shut = self->read_shut || how != SHUT_WR;
    if (how != SHUT_RD) {
        self->write_shut = true;
        self->wants_shutdown.store(true, std::memory_order_release);
        self->kick();
    }
    self->changed(); // for who waits
    return 0;
}

int close(int number) {
    const meaning was = remove_descriptor(number);
    if (!was) {
        return fail(EBADF);
    }
    if (!was.socket) {
        close_epoll(*was.epoll);
        return 0;
    }
    bsd_socket& self = *was.socket;
    std::unique_lock hold(self.lock);
    if (self.what == bsd_socket::kind::conn) {
        const std::uint32_t state = self.state.load(std::memory_order_acquire);
        const bool open = (state & (bit::connected | bit::over)) == bit::connected;
        if (open && self.chosen.linger && self.chosen.linger_s != 0) {
            const std::uint32_t seconds = self.chosen.linger_s;
            self.changed(bit::gone); // who waits hears of it now
            hold.unlock();
            linger(self, seconds);
            hold.lock();
        }
        self.wants_abort.store(
            self.chosen.linger && self.chosen.linger_s == 0, std::memory_order_relaxed);
    }
    self.give_up();
    close_ends(self);
    if (self.what == bsd_socket::kind::listener) {
        stop_listening(self);
    }
    return 0;
}

namespace {

// Bytes that the peer has not acknowledged, or that have not left (tcp(7): SIOCOUTQ).
std::size_t unacknowledged(bsd_socket& self) {
    std::size_t bytes = 0;
    if (self.what == bsd_socket::kind::conn) {
        on_worker(*self.worker, [&](net_host& host) {
            const tcp::conn* c = host.tcp.find(net_host::handle_of(self.conn()));
            if (self.conn().is_open() && c != nullptr) {
                bytes = self.out->size() + c->unsent() + (c->snd_nxt - c->snd_una);
            }
            return 0;
        });
    }
    for (const auto& end : self.ends) {
        bytes += end->out.size();
    }
    return bytes;
}

} // namespace

int getsockname(int number, sockaddr* address, socklen_t* length) {
    const reference self = asked_for_name(number, address, length);
    if (!self) {
        return -1;
    }
    const std::lock_guard hold(self->lock);
    endpoint mine = self->connected_to ? self->name : self->bound;
    if (self->what == bsd_socket::kind::conn) {
        on_worker(*self->worker, [&](net_host&) {
            mine = self->conn().is_open() ? self->conn().local() : mine;
            return 0;
        });
    }
    write_address(mine, self->domain, address, length);
    return 0;
}

int getpeername(int number, sockaddr* address, socklen_t* length) {
    const reference self = asked_for_name(number, address, length);
    if (!self) {
        return -1;
    }
    const std::lock_guard hold(self->lock);
    if (self->connected_to) {
        write_address(*self->connected_to, self->domain, address, length);
        return 0;
    }
    if (self->what != bsd_socket::kind::conn ||
        (self->state.load(std::memory_order_acquire) & bit::connected) == 0) {
        return fail(ENOTCONN);
    }
    write_address(self->peer, self->domain, address, length);
    return 0;
}

int fcntl(int number, int command, int value) {
    const reference self = find_socket(number);
    if (!self) {
        return -1;
    }
    const std::lock_guard hold(self->lock);
    switch (command) {
    case F_GETFL:
        return O_RDWR | (self->non_blocking ? O_NONBLOCK : 0);
    case F_SETFL: // as everywhere, what cannot be set is passed over
        self->non_blocking = (value & O_NONBLOCK) != 0;
        return 0;
    case F_GETFD:
        return FD_CLOEXEC; // no program that is executed has these numbers
    case F_SETFD:
        return 0;
    default:
        return fail(EINVAL);
    }
}

int ioctl(int number, unsigned long request, int* value) {
    const reference self = find_socket(number);
    if (!self) {
        return -1;
    }
    if (value == nullptr) {
        return fail(EFAULT);
    }
    const std::lock_guard hold(self->lock);
    switch (request) {
    case FIONBIO:
        self->non_blocking = *value != 0;
        return 0;
    case FIONREAD: // SIOCINQ
        *value = static_cast<int>(
            self->what == bsd_socket::kind::conn ? self->in->size() : next_datagram_bytes(*self));
        return self->what == bsd_socket::kind::listener ? fail(EINVAL) : 0;
    case TIOCOUTQ: // SIOCOUTQ
        *value = static_cast<int>(unacknowledged(*self));
        return self->what == bsd_socket::kind::listener ? fail(EINVAL) : 0;
    default:
        return fail(ENOTTY);
    }
}

} // namespace pantala::bsd
