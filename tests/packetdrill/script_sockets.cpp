// Time, the wire, and the calls that make, join and end sockets.
#include "tests/packetdrill/script_sockets.hpp"

#include "stack/tcp/tcp_user.hpp"
#include "tests/packetdrill/script_wait.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

namespace pantala::packetdrill {
namespace {

constexpr std::uint64_t patience_us = 600'000'000; // how far sniff looks ahead

int fail(int code) {
    errno = code;
    return -1;
}

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
    default:
        return ECONNABORTED;
    }
}

} // namespace

bool read_address(const sockaddr* address, socklen_t length, ip_endpoint& out) {
    if (address == nullptr) {
        return false;
    }
    if (address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
        sockaddr_in in;
        std::memcpy(&in, address, sizeof in);
        out.address =
            ip_address::from(wire::ipv4_address{be32::from(__builtin_bswap32(in.sin_addr.s_addr))});
        out.port = l4_port::from(__builtin_bswap16(in.sin_port));
        return true;
    }
    if (address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
        sockaddr_in6 in;
        std::memcpy(&in, address, sizeof in);
        std::memcpy(out.address.words.data(), &in.sin6_addr, 16);
        out.port = l4_port::from(__builtin_bswap16(in.sin6_port));
        return true;
    }
    return false;
}

namespace {

void write_address(
    const ip_address& from, l4_port port, int domain, sockaddr* address, socklen_t* length) {
    if (address == nullptr || length == nullptr) {
        return;
    }
    sockaddr_in6 in6{};
    in6.sin6_family = AF_INET6;
    in6.sin6_port = __builtin_bswap16(port.host());
    std::memcpy(&in6.sin6_addr, from.words.data(), 16);
    sockaddr_in in4{};
    in4.sin_family = AF_INET;
    in4.sin_port = in6.sin6_port;
    std::memcpy(&in4.sin_addr, reinterpret_cast<const std::uint8_t*>(from.words.data()) + 12, 4);
    const void* made = domain == AF_INET ? static_cast<const void*>(&in4) : &in6;
    const socklen_t bytes = domain == AF_INET ? sizeof in4 : sizeof in6;
    std::memcpy(address, made, std::min(*length, bytes));
    *length = bytes;
}

} // namespace

script_sockets::script_sockets(const host_choice& chosen) : chosen_(chosen), host_(chosen) {
    host_.after_round = [this] { look(); };
}

// ---------------------------------------------------------------------------------------------
// Time and the wire.

void script_sockets::look() {
    std::array<tcp::event, 16> events;
    std::size_t count = events.size();
    while (count == events.size()) {
        count = tcp::poll_events(host_.tcp(), events);
        for (std::size_t i = 0; i < count; ++i) {
            auto* self = static_cast<script_socket*>(events[i].user);
            if (self == nullptr) {
                continue;
            }
            ++self->edges;
            self->connected =
                self->connected || (events[i].events & tcp::conn_event::connected) != 0;
            if ((events[i].events & tcp::conn_event::closed) != 0) {
                self->over = true;
                self->error = errno_of(events[i].error);
            }
        }
    }
    for (auto& [number, self] : all_) {
        const tcp::conn* c = self->what == script_socket::kind::conn ? conn_of(*self) : nullptr;
        if (c != nullptr && c->rcv_nxt != self->seen) {
            self->seen = c->rcv_nxt;
            ++self->edges;
        }
    }
}

void script_sockets::moved() {
    if (!waiting_ || std::this_thread::get_id() != main_) {
        return;
    }
    shall_look_ = true;
    changed_.notify_all();
    guard hold(lock_, std::adopt_lock);
    looked_.wait(hold, [this] { return !shall_look_; });
    hold.release();
}

void script_sockets::sleep(std::uint64_t us) {
    const guard hold(lock_);
    const std::uint64_t until = host_.now_us() + us;
    while (host_.advance_to_next(until)) {
        moved();
    }
    host_.advance_to(until);
    moved();
}

std::uint64_t script_sockets::clock_us() {
    const guard hold(lock_);
    if (std::this_thread::get_id() != main_ && frozen_us_ != 0) {
        return std::exchange(frozen_us_, 0);
    }
    host_.advance_to(host_.now_us() + 1);
    moved();
    return host_.now_us();
}

int script_sockets::inject(std::span<const std::uint8_t> packet) {
    const guard hold(lock_);
    host_.inject(packet);
    moved();
    return 0;
}

int script_sockets::sniff(void* to, std::size_t& count, long long& at_us) {
    const guard hold(lock_);
    const std::uint64_t latest = host_.now_us() + patience_us;
    while (host_.sent.empty()) {
        if (!host_.advance_to_next(latest)) {
            std::fprintf(
                stderr, "no packet leaves within %u s\n", unsigned{patience_us / 1'000'000});
            std::_Exit(1); // packetdrill would ask for ever
        }
        moved();
    }
    const auto& first = host_.sent.front();
    count = std::min(count, first.bytes.size());
    std::memcpy(to, first.bytes.data(), count);
    at_us = static_cast<long long>(first.at_us);
    host_.sent.pop_front();
    return 0;
}

// ---------------------------------------------------------------------------------------------
// Making and ending.

script_socket* script_sockets::find(int number) {
    const auto found = all_.find(number);
    if (found == all_.end()) {
        errno = EBADF;
        return nullptr;
    }
    return found->second.get();
}

bool script_sockets::owns(int number) {
    const guard hold(lock_);
    return all_.count(number) != 0;
}

int script_sockets::add(std::unique_ptr<script_socket> made) {
    int number = first_number;
    while (all_.count(number) != 0) {
        ++number;
    }
    all_[number] = std::move(made);
    return number;
}

int script_sockets::socket(int domain, int type, int protocol) {
    const guard hold(lock_);
    const bool stream = (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_STREAM;
    if (!stream || (protocol != 0 && protocol != IPPROTO_TCP)) {
        return fail(EPROTONOSUPPORT);
    }
    auto made = std::make_unique<script_socket>();
    made->domain = domain;
    made->non_blocking = (type & SOCK_NONBLOCK) != 0;
    made->send_buffer = host_.tcp().config.snd_buffer;
    made->receive_buffer = host_.tcp().config.rcv_buffer;
    return add(std::move(made));
}

int script_sockets::bind(int number, const sockaddr* address, socklen_t length) {
    const guard hold(lock_);
    script_socket* self = find(number);
    if (self == nullptr) {
        return -1;
    }
    return read_address(address, length, self->bound) ? 0 : fail(EINVAL);
}

int script_sockets::listen(int number, int backlog) {
    const guard hold(lock_);
    script_socket* self = find(number);
    if (self == nullptr) {
        return -1;
    }
    const auto most = static_cast<std::uint32_t>(std::max(backlog, 0)) + 1; // Linux takes one more
    const auto answer = tcp::listen(host_.tcp(), self->bound, most, nullptr);
    if (answer.error != tcp::user_error::none) {
        return fail(answer.error == tcp::user_error::in_use ? EADDRINUSE : EINVAL);
    }
    self->what = script_socket::kind::listener;
    self->listener = answer.listener;
    apply(*self);
    return 0;
}

int script_sockets::accept(int number, sockaddr* address, socklen_t* length) {
    guard hold(lock_);
    script_socket* self = find(number);
    if (self == nullptr) {
        return -1;
    }
    if (self->what != script_socket::kind::listener) {
        return fail(EINVAL);
    }
    const auto waits = [&] { return host_.tcp().listeners[self->listener].accepted.count != 0; };
    if (!waits() && (self->non_blocking || !wait(hold, ~0ULL, waits))) {
        return fail(EAGAIN);
    }
    auto made = std::make_unique<script_socket>(*self);
    made->what = script_socket::kind::conn;
    made->listener = tcp::no_id;
    made->connected = true;
    made->non_blocking = false;
    made->conn = tcp::accept(host_.tcp(), self->listener, made.get());
    apply(*made);
    if (const tcp::conn* c = conn_of(*made); c != nullptr) {
        made->seen = c->rcv_nxt;
        write_address(c->key.remote, c->key.remote_port, self->domain, address, length);
    }
    host_.settle();
    return add(std::move(made));
}

// `with`: Fast Open; afterwards what did not go with the SYN.
int script_sockets::start_connecting(
    script_socket& self, const ip_endpoint& to, std::vector<std::byte>* with) {
    const ip_address from = self.bound.address.is_any() ? chosen_.local : self.bound.address;
    const auto answer = tcp::open(
        host_.tcp(), {.local = from,
                      .local_port = self.bound.port,
                      .remote = to,
                      .user = &self,
                      .segment_size = static_cast<std::uint16_t>(self.segment_size),
                      .fast_open = with != nullptr,
                      .first = with != nullptr ? *with : std::vector<std::byte>{}});
    if (with != nullptr) {
        with->erase(with->begin(), with->begin() + static_cast<std::ptrdiff_t>(answer.taken));
    }
    if (answer.error != tcp::user_error::none) {
        return answer.error == tcp::user_error::no_route ? ENETUNREACH : EINVAL;
    }
    self.what = script_socket::kind::conn;
    self.conn = answer.handle;
    apply(self);
    host_.settle();
    return 0;
}

int script_sockets::connect(int number, const sockaddr* address, socklen_t length) {
    guard hold(lock_);
    script_socket* self = find(number);
    if (self == nullptr) {
        return -1;
    }
    ip_endpoint to;
    if (!read_address(address, length, to)) {
        return fail(EINVAL);
    }
    if (self->what == script_socket::kind::conn || self->deferred) {
        return fail(self->connected || self->deferred ? EISCONN : EALREADY);
    }
    if (self->fast_open_connect && tcp::fast_open_ready(host_.tcp(), to)) {
        self->deferred = to;
        return 0;
    }
    std::vector<std::byte> nothing;
    const int code = start_connecting(*self, to, self->fast_open_connect ? &nothing : nullptr);
    if (code != 0) {
        return fail(code);
    }
    const auto decided = [self] { return self->connected || self->over; };
    if (self->non_blocking || !wait(hold, ~0ULL, decided)) {
        return fail(EINPROGRESS);
    }
    return self->connected ? 0 : fail(std::exchange(self->error, 0));
}

ssize_t
script_sockets::open_with(script_socket& self, std::span<const iovec> from, const ip_endpoint& to) {
    if (!host_.tcp().config.fast_open_client) {
        return fail(EOPNOTSUPP);
    }
    std::vector<std::byte> left;
    for (const iovec& one : from) {
        const auto* begin = static_cast<const std::byte*>(one.iov_base);
        left.insert(left.end(), begin, begin + one.iov_len);
    }
    const std::size_t all = left.size();
    self.deferred.reset();
    const int code = start_connecting(self, to, &left);
    return code != 0 ? fail(code) : static_cast<ssize_t>(all - left.size());
}

int script_sockets::shutdown(int number, int how) {
    const guard hold(lock_);
    script_socket* self = find(number);
    if (self == nullptr) {
        return -1;
    }
    if (self->what != script_socket::kind::conn || !self->connected || self->over) {
        return fail(ENOTCONN);
    }
    self->read_shut = self->read_shut || how != SHUT_WR;
    if (how != SHUT_RD) {
        self->write_shut = true;
        tcp::shutdown_send(host_.tcp(), self->conn);
    }
    ++self->edges;
    host_.settle();
    moved();
    return 0;
}

int script_sockets::close(int number) {
    const guard hold(lock_);
    script_socket* self = find(number);
    if (self == nullptr) {
        return -1;
    }
    if (self->what == script_socket::kind::listener) {
        tcp::close_listener(host_.tcp(), self->listener);
    } else if (self->what == script_socket::kind::conn) {
        self->linger_reset ? tcp::abort(host_.tcp(), self->conn)
                           : tcp::close(host_.tcp(), self->conn);
    }
    for (auto& [other, epoll] : all_) {
        epoll->watched.erase(number);
    }
    all_.erase(number);
    host_.settle();
    moved();
    return 0;
}

int script_sockets::fcntl(int number, int command, long value) {
    const guard hold(lock_);
    script_socket* self = find(number);
    if (self == nullptr) {
        return -1;
    }
    if (command == F_GETFL) {
        return O_RDWR | (self->non_blocking ? O_NONBLOCK : 0);
    }
    if (command != F_SETFL) {
        return fail(EINVAL);
    }
    self->non_blocking = (value & O_NONBLOCK) != 0;
    return 0;
}

int script_sockets::ioctl(int number, unsigned long request, int* value) {
    const guard hold(lock_);
    script_socket* self = find(number);
    if (self == nullptr) {
        return -1;
    }
    const tcp::conn* c = conn_of(*self);
    if (c == nullptr) {
        return fail(EINVAL);
    }
    switch (request) {
    case FIONREAD:
        *value = static_cast<int>(c->rcv_buffered);
        return 0;
    case TIOCOUTQ:
        *value = static_cast<int>(c->snd_end - c->snd_una);
        return 0;
    default:
        return fail(ENOTTY);
    }
}

} // namespace pantala::packetdrill
