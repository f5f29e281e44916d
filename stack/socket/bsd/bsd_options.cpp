// getsockopt and setsockopt: tables of what is a number or a switch, and the few that are more.
#include "stack/socket/bsd/bsd_table.hpp"
#include "stack/socket/net_host.hpp"
#include "stack/socket/tcp_info.hpp"

#include <pantala/bsd.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include <netinet/in.h>

namespace pantala::bsd {
namespace {

struct switch_option {
    int level;
    int name;
    bool options::*where;
};
constexpr std::array switches = {
    switch_option{SOL_SOCKET, SO_REUSEADDR, &options::reuse_address},
    switch_option{SOL_SOCKET, SO_OOBINLINE, &options::oob_inline},
    switch_option{SOL_SOCKET, SO_KEEPALIVE, &options::keep_alive},
    switch_option{IPPROTO_TCP, TCP_NODELAY, &options::no_delay},
    switch_option{IPPROTO_TCP, TCP_CORK, &options::cork},
    switch_option{IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &options::fast_open_connect},
};

struct number_option {
    int level;
    int name;
    std::uint32_t options::*where;
    std::uint32_t least;
    std::uint32_t most;
    bool strict = false; // else what lies beyond is taken for the limit
};
constexpr std::array numbers = {
    number_option{SOL_SOCKET, SO_SNDBUF, &options::send_buffer, ring_bytes_min, ring_bytes_max},
    number_option{SOL_SOCKET, SO_RCVBUF, &options::receive_buffer, ring_bytes_min, ring_bytes_max},
    number_option{IPPROTO_TCP, TCP_USER_TIMEOUT, &options::user_timeout_ms, 0, INT32_MAX},
    number_option{IPPROTO_TCP, TCP_KEEPIDLE, &options::keep_idle_s, 1, 32'767, true},
    number_option{IPPROTO_TCP, TCP_KEEPINTVL, &options::keep_interval_s, 1, 32'767, true},
    number_option{IPPROTO_TCP, TCP_KEEPCNT, &options::keep_count, 1, 127, true},
    number_option{IPPROTO_TCP, TCP_FASTOPEN, &options::fast_open, 0, 65'535},
};

struct timeout_option {
    int name;
    std::uint32_t options::*where;
};
constexpr std::array timeouts = {
    timeout_option{SO_SNDTIMEO, &options::send_timeout_ms},
    timeout_option{SO_RCVTIMEO, &options::receive_timeout_ms},
};

int put(const void* from, std::size_t bytes, void* value, socklen_t* length) {
    *length = static_cast<socklen_t>(std::min<std::size_t>(*length, bytes));
    std::memcpy(value, from, *length);
    return 0;
}

int put_int(std::uint32_t number, void* value, socklen_t* length) {
    return put(&number, sizeof number, value, length);
}

int get_info(bsd_socket& self, void* value, socklen_t* length) {
    ::tcp_info info{};
    info.tcpi_state =
        self.what == bsd_socket::kind::listener ? linux_state::listen : linux_state::close;
    if (self.what == bsd_socket::kind::conn) {
        on_worker(*self.worker, [&](net_host& host) {
            const tcp::conn* c = host.tcp.find(net_host::handle_of(self.conn()));
            if (self.conn().is_open() && c != nullptr) {
                info = make_tcp_info(host.tcp, *c);
            }
            return 0;
        });
    }
    return put(&info, sizeof info, value, length);
}

int get_segment_size(bsd_socket& self, void* value, socklen_t* length) {
    std::uint32_t size =
        self.chosen.segment_size != 0 ? self.chosen.segment_size : 536; // RFC 9293 3.7.1
    if (self.what == bsd_socket::kind::conn) {
        on_worker(*self.worker, [&](net_host& host) {
            const tcp::conn* c = host.tcp.find(net_host::handle_of(self.conn()));
            size = self.conn().is_open() && c != nullptr ? c->snd_mss : size;
            return 0;
        });
    }
    return put_int(size, value, length);
}

// What is asked and never set. Nothing: there is no such option.
std::optional<std::uint32_t> fact(const bsd_socket& self, int name) {
    const bool datagrams = self.what == bsd_socket::kind::datagram;
    switch (name) {
    case SO_TYPE:
        return datagrams ? SOCK_DGRAM : SOCK_STREAM;
    case SO_DOMAIN:
        return static_cast<std::uint32_t>(self.domain);
    case SO_PROTOCOL:
        return datagrams ? IPPROTO_UDP : IPPROTO_TCP;
    case SO_ACCEPTCONN:
        return self.what == bsd_socket::kind::listener ? 1 : 0;
    default:
        return std::nullopt;
    }
}

template <class Table>
auto find_in(const Table& table, int level, int name) {
    return std::ranges::find_if(
        table, [&](const auto& one) { return one.level == level && one.name == name; });
}

int get_socket_option(bsd_socket& self, int name, void* value, socklen_t* length) {
    if (name == SO_ERROR) {
        const int error = self.error.exchange(0, std::memory_order_acq_rel);
        return put(&error, sizeof error, value, length);
    }
    if (name == SO_LINGER) {
        const ::linger set{self.chosen.linger ? 1 : 0, static_cast<int>(self.chosen.linger_s)};
        return put(&set, sizeof set, value, length);
    }
    const auto timeout = std::ranges::find(timeouts, name, &timeout_option::name);
    if (timeout != timeouts.end()) {
        const std::uint32_t ms = self.chosen.*timeout->where;
        const timeval set{ms / 1'000, ms % 1'000 * 1'000};
        return put(&set, sizeof set, value, length);
    }
    const auto known = fact(self, name);
    return known ? put_int(*known, value, length) : fail(ENOPROTOOPT);
}

int set_linger(bsd_socket& self, const void* value, socklen_t length) {
    ::linger wanted{};
    if (length < sizeof wanted) {
        return fail(EINVAL);
    }
    std::memcpy(&wanted, value, sizeof wanted);
    self.chosen.linger = wanted.l_onoff != 0;
    self.chosen.linger_s = static_cast<std::uint32_t>(std::clamp(wanted.l_linger, 0, 65'535));
    return 0;
}

int set_timeout(std::uint32_t& ms, const void* value, socklen_t length) {
    timeval wanted{};
    if (length < sizeof wanted) {
        return fail(EINVAL);
    }
    std::memcpy(&wanted, value, sizeof wanted);
    if (wanted.tv_sec < 0 || wanted.tv_usec < 0 || wanted.tv_usec >= 1'000'000) {
        return fail(EDOM);
    }
    const std::int64_t seconds = std::min<std::int64_t>(wanted.tv_sec, 1'000'000);
    ms = static_cast<std::uint32_t>(seconds * 1'000 + (wanted.tv_usec + 999) / 1'000);
    return 0;
}

// For connections to come; Linux's limits.
int set_segment_size(bsd_socket& self, int bytes) {
    if (bytes != 0 && (bytes < 88 || bytes > 32'767)) {
        return fail(EINVAL);
    }
    self.chosen.segment_size = static_cast<std::uint32_t>(bytes);
    return 0;
}

// RFC 3493 5.3; before the socket is bound.
int set_v6_only(bsd_socket& self, bool on) {
    if (self.domain != AF_INET6) {
        return fail(ENOPROTOOPT);
    }
    const bool fresh =
        self.what == bsd_socket::kind::fresh || self.what == bsd_socket::kind::datagram;
    if (self.port.any() || !fresh) {
        return fail(EINVAL);
    }
    self.chosen.v6_only = on;
    return 0;
}

// Has the workers heed what was chosen, if there is a connection or listener.
int apply(bsd_socket& self) {
    for (const auto& one : self.listening) {
        on_worker(*one->worker, [&](net_host& host) {
            return host.native().set_options(self.bound, self.as_listener());
        });
    }
    if (self.what == bsd_socket::kind::conn) {
        on_worker(*self.worker, [&](net_host&) {
            self.apply_options();
            return 0;
        });
    }
    return 0;
}

} // namespace

int getsockopt(int number, int level, int name, void* value, socklen_t* length) {
    const reference self = find_socket(number);
    if (!self) {
        return -1;
    }
    if (value == nullptr || length == nullptr) {
        return fail(EFAULT);
    }
    const std::lock_guard hold(self->lock);
    if (level == IPPROTO_TCP && self->what == bsd_socket::kind::datagram) {
        return fail(ENOPROTOOPT);
    }
    if (const auto found = find_in(switches, level, name); found != switches.end()) {
        return put_int(self->chosen.*found->where ? 1 : 0, value, length);
    }
    if (const auto found = find_in(numbers, level, name); found != numbers.end()) {
        return put_int(self->chosen.*found->where, value, length);
    }
    if (level == SOL_SOCKET) {
        return get_socket_option(*self, name, value, length);
    }
    if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY && self->domain == AF_INET6) {
        return put_int(self->chosen.v6_only ? 1 : 0, value, length);
    }
    if (level == IPPROTO_TCP && name == TCP_INFO) {
        return get_info(*self, value, length);
    }
    if (level == IPPROTO_TCP && name == TCP_MAXSEG) {
        return get_segment_size(*self, value, length);
    }
    return fail(ENOPROTOOPT);
}

int setsockopt(int number, int level, int name, const void* value, socklen_t length) {
    const reference self = find_socket(number);
    if (!self) {
        return -1;
    }
    if (value == nullptr) {
        return fail(EFAULT);
    }
    const std::lock_guard hold(self->lock);
    if (level == IPPROTO_TCP && self->what == bsd_socket::kind::datagram) {
        return fail(ENOPROTOOPT);
    }
    if (level == SOL_SOCKET && name == SO_LINGER) {
        return set_linger(*self, value, length);
    }
    const auto timeout = std::ranges::find(timeouts, name, &timeout_option::name);
    if (level == SOL_SOCKET && timeout != timeouts.end()) {
        return set_timeout(self->chosen.*timeout->where, value, length);
    }
    int wanted = 0;
    if (length < sizeof wanted) {
        return fail(EINVAL);
    }
    std::memcpy(&wanted, value, sizeof wanted);
    if (level == IPPROTO_TCP && name == TCP_MAXSEG) {
        return set_segment_size(*self, wanted) == 0 ? apply(*self) : -1;
    }
    if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY) {
        return set_v6_only(*self, wanted != 0);
    }
    if (const auto found = find_in(switches, level, name); found != switches.end()) {
        self->chosen.*found->where = wanted != 0;
        return apply(*self);
    }
    const auto found = find_in(numbers, level, name);
    if (found == numbers.end()) {
        return fail(ENOPROTOOPT);
    }
    const std::uint32_t heeded =
        std::clamp(static_cast<std::uint32_t>(std::max(wanted, 0)), found->least, found->most);
    if (wanted < 0 || (found->strict && heeded != static_cast<std::uint32_t>(wanted))) {
        return fail(EINVAL);
    }
    self->chosen.*found->where = heeded;
    return apply(*self);
}

} // namespace pantala::bsd
