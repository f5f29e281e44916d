// Bytes, readiness and options of a script's sockets.
#include "stack/socket/tcp_info.hpp"
#include "stack/tcp/tcp_user.hpp"
#include "tests/packetdrill/script_sockets.hpp"
#include "tests/packetdrill/script_wait.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <netinet/in.h>

#ifndef MSG_FASTOPEN
#define MSG_FASTOPEN 0x20000000
#endif

namespace pantala::packetdrill {
namespace {

int fail(int code) {
    errno = code;
    return -1;
}

bool points_nowhere(std::span<const iovec> pieces) {
    return std::ranges::any_of(
        pieces, [](const iovec& one) { return one.iov_base == nullptr && one.iov_len != 0; });
}

constexpr std::uint32_t always_told = EPOLLERR | EPOLLHUP;

} // namespace

// ---------------------------------------------------------------------------------------------
// Bytes.

ssize_t script_sockets::send(
    int number, std::span<const iovec> from, int flags, const sockaddr* to, socklen_t length) {
    guard hold(lock_);
    script_socket* self = find(number);
    if (self == nullptr) {
        return -1;
    }
    if (points_nowhere(from)) {
        return fail(EFAULT);
    }
    const bool may_sleep = !self->non_blocking && (flags & MSG_DONTWAIT) == 0;
    ssize_t done = 0;
    if (self->what == script_socket::kind::fresh &&
        (self->deferred || (flags & MSG_FASTOPEN) != 0)) {
        ip_endpoint where;
        if (!self->deferred && !read_address(to, length, where)) {
            return fail(EINVAL);
        }
        done = open_with(*self, from, self->deferred.value_or(where));
        const auto decided = [self] { return self->connected || self->over; };
        if (done < 0 || (done == 0 && (!may_sleep || !wait(hold, ~0ULL, decided)))) {
            return done < 0 ? done : fail(EINPROGRESS);
        }
        if (done == 0 && !self->connected) {
            return fail(std::exchange(self->error, 0));
        }
    }
    if (self->what != script_socket::kind::conn || self->write_shut) {
        return fail(EPIPE);
    }
    const bool more = (flags & MSG_MORE) != 0;
    auto skip = static_cast<std::size_t>(done); // went with the SYN
    for (const iovec& one : from) {
        std::span<const std::byte> left(static_cast<const std::byte*>(one.iov_base), one.iov_len);
        const std::size_t here = std::min(skip, left.size());
        left = left.subspan(here);
        skip -= here;
        if (!left.empty() && !self->connected && !self->over && done != 0) {
            const auto decided = [self] { return self->connected || self->over; };
            if (!may_sleep || !wait(hold, ~0ULL, decided)) {
                return done; // Linux: the rest waits for the handshake
            }
        }
        while (!left.empty()) {
            if (self->over || self->write_shut) {
                const int why = std::exchange(self->error, 0);
                return done != 0 ? done : fail(why != 0 ? why : EPIPE);
            }
            const std::size_t taken = tcp::send(host_.tcp(), self->conn, left, more);
            left = left.subspan(taken);
            done += static_cast<ssize_t>(taken);
            const auto room = [&] {
                return self->over || tcp::send_room(host_.tcp(), self->conn) != 0;
            };
            if (!left.empty()) {
                host_.settle();
                if (!may_sleep || !wait(hold, ~0ULL, room)) {
                    return done != 0 ? done : fail(EAGAIN);
                }
            }
        }
    }
    host_.settle();
    return done;
}

ssize_t script_sockets::receive(int number, std::span<const iovec> to, int flags) {
    guard hold(lock_);
    script_socket* self = find(number);
    if (self == nullptr) {
        return -1;
    }
    if (points_nowhere(to)) {
        return fail(EFAULT);
    }
    if (self->what != script_socket::kind::conn) {
        return fail(ENOTCONN);
    }
    const auto something = [&] {
        return self->over || self->read_shut || tcp::at_end(host_.tcp(), self->conn) ||
               tcp::readable_bytes(host_.tcp(), self->conn) != 0;
    };
    const bool may_wait = !self->non_blocking && (flags & MSG_DONTWAIT) == 0;
    if (!something() && (!may_wait || !wait(hold, ~0ULL, something))) {
        return fail(EAGAIN);
    }
    ssize_t done = 0;
    for (const iovec& one : to) {
        std::span<std::byte> room(static_cast<std::byte*>(one.iov_base), one.iov_len);
        for (auto piece = tcp::peek(host_.tcp(), self->conn); !piece.empty() && !room.empty();
             piece = tcp::peek(host_.tcp(), self->conn)) {
            const std::size_t here = std::min(piece.size(), room.size());
            std::copy_n(piece.begin(), here, room.begin());
            room = room.subspan(here);
            done += static_cast<ssize_t>(here);
            tcp::consume(host_.tcp(), self->conn, here);
        }
    }
    host_.settle();
    const int why = done == 0 ? std::exchange(self->error, 0) : 0;
    return why != 0 ? fail(why) : done;
}

// ---------------------------------------------------------------------------------------------
// Readiness.

std::uint32_t script_sockets::ready(script_socket& of) {
    if (of.what == script_socket::kind::listener) {
        return host_.tcp().listeners[of.listener].accepted.count != 0 ? std::uint32_t{EPOLLIN} : 0;
    }
    if (of.what != script_socket::kind::conn) {
        return std::uint32_t{EPOLLOUT} | (of.deferred ? 0 : std::uint32_t{EPOLLHUP});
    }
    const bool ended = of.over || of.read_shut || tcp::at_end(host_.tcp(), of.conn);
    std::uint32_t result = 0;
    if (ended) {
        result |= std::uint32_t{EPOLLIN} | std::uint32_t{EPOLLRDHUP};
    }
    if (tcp::readable_bytes(host_.tcp(), of.conn) != 0) {
        result |= EPOLLIN;
    }
    const tcp::conn* c = conn_of(of);
    // Linux: when a third of the buffer is free.
    const bool room =
        c != nullptr && of.connected && tcp::send_room(host_.tcp(), of.conn) >= c->snd_limit / 3;
    if (room || of.over || of.write_shut) {
        result |= EPOLLOUT;
    }
    if (of.over || (ended && of.write_shut)) {
        result |= EPOLLHUP;
    }
    return result | (of.error != 0 ? std::uint32_t{EPOLLERR} : 0);
}

int script_sockets::poll(pollfd* these, nfds_t count, int timeout_ms) {
    guard hold(lock_);
    const auto look = [&] {
        int found = 0;
        for (nfds_t i = 0; i < count; ++i) {
            const auto known = all_.find(these[i].fd);
            const auto wanted =
                static_cast<std::uint32_t>(static_cast<std::uint16_t>(these[i].events));
            const std::uint32_t now = known == all_.end()
                                          ? std::uint32_t{POLLNVAL}
                                          : ready(*known->second) & (wanted | always_told);
            these[i].revents = static_cast<short>(now);
            found += now != 0 ? 1 : 0;
        }
        return found;
    };
    const std::uint64_t until = timeout_ms < 0 ? ~0ULL : host_.now_us() + timeout_ms * 1'000ULL;
    if (look() == 0 && timeout_ms != 0) {
        wait(hold, until, [&] { return look() != 0; });
    }
    return look();
}

int script_sockets::epoll_create() {
    const guard hold(lock_);
    auto made = std::make_unique<script_socket>();
    made->what = script_socket::kind::epoll;
    return add(std::move(made));
}

int script_sockets::epoll_ctl(int epoll, int operation, int number, const epoll_event* event) {
    const guard hold(lock_);
    script_socket* set = find(epoll);
    if (set == nullptr || find(number) == nullptr) {
        return -1;
    }
    const bool known = set->watched.count(number) != 0;
    if (known == (operation == EPOLL_CTL_ADD)) {
        return fail(known ? EEXIST : ENOENT);
    }
    if (operation == EPOLL_CTL_DEL) {
        set->watched.erase(number);
    } else {
        set->watched[number] = {.wanted = *event};
    }
    return 0;
}

int script_sockets::report(script_socket& epoll, epoll_event* events, int most) {
    int found = 0;
    for (auto& [number, one] : epoll.watched) {
        script_socket& of = *all_.at(number);
        const std::uint32_t mask = one.wanted.events & ~(EPOLLET | EPOLLONESHOT);
        const bool edge = (one.wanted.events & EPOLLET) != 0;
        if (found == most || mask == 0 || (edge && one.told == of.edges)) {
            continue;
        }
        const std::uint32_t now = ready(of) & (mask | always_told);
        if (now == 0) {
            continue;
        }
        one.told = of.edges;
        if ((one.wanted.events & EPOLLONESHOT) != 0) {
            one.wanted.events &= EPOLLET | EPOLLONESHOT;
        }
        events[found].events = now;
        events[found++].data = one.wanted.data;
    }
    return found;
}

int script_sockets::epoll_wait(int epoll, epoll_event* events, int most, int timeout_ms) {
    guard hold(lock_);
    script_socket* set = find(epoll);
    if (set == nullptr) {
        return -1;
    }
    int found = report(*set, events, most);
    if (found == 0 && timeout_ms != 0) {
        const std::uint64_t until = timeout_ms < 0 ? ~0ULL : host_.now_us() + timeout_ms * 1'000ULL;
        wait(hold, until, [&] { return (found = report(*set, events, most)) != 0; });
    }
    return found;
}

// ---------------------------------------------------------------------------------------------
// Options.

void script_sockets::apply(script_socket& of) {
    if (of.what == script_socket::kind::listener) {
        tcp::set_listener_segment_size(
            host_.tcp(), of.listener, static_cast<std::uint16_t>(of.segment_size));
        tcp::set_listener_fast_open(host_.tcp(), of.listener, of.fast_open);
    }
    if (tcp::conn* c = conn_of(of); c != nullptr && of.what == script_socket::kind::conn) {
        tcp::set_no_delay(host_.tcp(), of.conn, of.no_delay);
        tcp::set_cork(host_.tcp(), of.conn, of.cork);
        tcp::set_user_timeout(host_.tcp(), of.conn, of.user_timeout_ms);
        c->snd_limit = of.send_buffer;
    }
}

int script_sockets::get_info(const script_socket& of, void* value, socklen_t* length) {
    ::tcp_info info{};
    std::memset(value, 0, *length); // packetdrill knows a newer kernel's, which is longer
    info.tcpi_state =
        of.what == script_socket::kind::listener ? linux_state::listen : linux_state::close;
    if (const tcp::conn* c = conn_of(of); c != nullptr) {
        info = make_tcp_info(host_.tcp(), *c);
    }
    std::memcpy(value, &info, std::min<std::size_t>(*length, sizeof info));
    return 0;
}

int script_sockets::get(int number, int level, int name, void* value, socklen_t* length) {
    const guard hold(lock_);
    script_socket* self = find(number);
    if (self == nullptr) {
        return -1;
    }
    int answer = 0;
    if (level == IPPROTO_TCP && name == TCP_INFO) {
        return get_info(*self, value, length);
    }
    // Asked for beside TCP_INFO; no script of the suites looks at them.
    if (level == IPPROTO_TCP && name == TCP_CC_INFO) {
        *length = 0;
        return 0;
    }
    if (level == SOL_SOCKET && name == SO_MEMINFO) {
        std::memset(value, 0, *length);
        return 0;
    }
    const tcp::conn* c = conn_of(*self);
    if (level == IPPROTO_TCP && name == TCP_MAXSEG) {
        answer =
            c != nullptr && self->connected ? c->snd_mss : static_cast<int>(self->segment_size);
    } else if (level == IPPROTO_TCP && name == TCP_NODELAY) {
        answer = self->no_delay ? 1 : 0;
    } else if (level == SOL_SOCKET && name == SO_ERROR) {
        answer = std::exchange(self->error, 0);
    } else if (level == SOL_SOCKET && name == SO_SNDBUF) {
        answer = static_cast<int>(self->send_buffer * 2); // as Linux tells it
    } else if (level == SOL_SOCKET && name == SO_RCVBUF) {
        answer = static_cast<int>(self->receive_buffer * 2);
    } else {
        return fail(ENOPROTOOPT);
    }
    *length = std::min<socklen_t>(*length, sizeof answer);
    std::memcpy(value, &answer, *length);
    return 0;
}

int script_sockets::set(int number, int level, int name, const void* value, socklen_t length) {
    const guard hold(lock_);
    script_socket* self = find(number);
    if (self == nullptr) {
        return -1;
    }
    std::uint32_t wanted = 0;
    if (level == SOL_SOCKET && name == SO_LINGER && length >= sizeof(linger)) {
        linger set{};
        std::memcpy(&set, value, sizeof set);
        self->linger_reset = set.l_onoff != 0 && set.l_linger == 0;
        return 0;
    }
    std::memcpy(&wanted, value, std::min<std::size_t>(length, sizeof wanted));
    if (level == IPPROTO_TCP && name == TCP_NODELAY) {
        self->no_delay = wanted != 0;
        if (self->no_delay) { // Linux: what a cork holds leaves
            tcp::set_cork(host_.tcp(), self->conn, false);
            tcp::set_no_delay(host_.tcp(), self->conn, true);
            host_.settle();
        }
    } else if (level == IPPROTO_TCP && name == TCP_CORK) {
        self->cork = wanted != 0;
    } else if (level == IPPROTO_TCP && name == TCP_USER_TIMEOUT) {
        self->user_timeout_ms = wanted;
    } else if (level == IPPROTO_TCP && name == TCP_MAXSEG) {
        self->segment_size = wanted;
    } else if (level == SOL_SOCKET && name == SO_SNDBUF) {
        self->send_buffer = wanted;
    } else if (level == SOL_SOCKET && name == SO_RCVBUF) {
        self->receive_buffer = wanted;
    } else if (level == IPPROTO_TCP && name == TCP_FASTOPEN_CONNECT) {
        self->fast_open_connect = wanted != 0;
    } else if (level == IPPROTO_TCP && name == TCP_FASTOPEN) {
        self->fast_open = wanted;
    } else {
        return 0; // SO_REUSEADDR, IP_TOS and what else leaves this host as it is
    }
    apply(*self);
    host_.settle();
    return 0;
}

} // namespace pantala::packetdrill
