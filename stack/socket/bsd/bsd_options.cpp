// getsockopt and setsockopt: tables of what is a number or a switch, and the few that are more.
#include "stack/socket/bsd/bsd_table.hpp"
#include "stack/socket/net_host.hpp"
#include "stack/socket/tcp_info.hpp"
#include "stack/tcp/tcp_user.hpp"

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
    switch_option{SOL_SOCKET, SO_REUSEPORT, &options::reuse_port},
    switch_option{SOL_SOCKET, SO_OOBINLINE, &options::oob_inline},
    switch_option{SOL_SOCKET, SO_BROADCAST, &options::broadcast},
    switch_option{SOL_SOCKET, SO_KEEPALIVE, &options::keep_alive},
    switch_option{IPPROTO_TCP, TCP_NODELAY, &options::no_delay},
    switch_option{IPPROTO_TCP, TCP_CORK, &options::cork},
    switch_option{IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &options::fast_open_connect},
};

// What recvmsg is to tell of datagrams: bsd_ancillary.hpp.
struct wish_option {
    int level;
    int name;
    bool ancillary_wishes::*where;
};
constexpr std::array wishes = {
    wish_option{IPPROTO_IP, IP_PKTINFO, &ancillary_wishes::packet_info},
    wish_option{IPPROTO_IP, IP_RECVTOS, &ancillary_wishes::traffic_class},
    wish_option{IPPROTO_IP, IP_RECVTTL, &ancillary_wishes::hop_limit},
    wish_option{IPPROTO_IPV6, IPV6_RECVPKTINFO, &ancillary_wishes::packet_info},
    wish_option{IPPROTO_IPV6, IPV6_RECVTCLASS, &ancillary_wishes::traffic_class},
    wish_option{IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &ancillary_wishes::hop_limit},
};

// How datagrams leave. -1: as the host has it.
struct mark_option {
    int level;
    int name;
    std::uint8_t datagram_marks::*where;
    int least;
};
constexpr std::array marks = {
    mark_option{IPPROTO_IP, IP_TOS, &datagram_marks::traffic_class, 0},
    mark_option{IPPROTO_IP, IP_TTL, &datagram_marks::hop_limit, 1},
    mark_option{IPPROTO_IPV6, IPV6_TCLASS, &datagram_marks::traffic_class, 0},
    mark_option{IPPROTO_IPV6, IPV6_UNICAST_HOPS, &datagram_marks::hop_limit, 1},
};

struct number_option {
    int level;
    int name;
    std::uint32_t options::*where;
    std::uint32_t least;
    std::uint32_t most;
    bool strict = false;     // else what lies beyond is taken for the limit
    std::uint32_t shown = 0; // where none was chosen and the host's is heeded: that of RFC 9293
};
constexpr std::array numbers = {
    number_option{SOL_SOCKET, SO_SNDBUF, &options::send_buffer, ring_bytes_min, ring_bytes_max},
    number_option{SOL_SOCKET, SO_RCVBUF, &options::receive_buffer, ring_bytes_min, ring_bytes_max},
    number_option{IPPROTO_TCP, TCP_USER_TIMEOUT, &options::user_timeout_ms, 0, INT32_MAX},
    number_option{IPPROTO_TCP, TCP_KEEPIDLE, &options::keep_idle_s, 1, 32'767, true, 7'200},
    number_option{IPPROTO_TCP, TCP_KEEPINTVL, &options::keep_interval_s, 1, 32'767, true, 75},
    number_option{IPPROTO_TCP, TCP_KEEPCNT, &options::keep_count, 1, 127, true, 8},
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
    if (self.what == bsd_socket::kind::listener) { // as Linux has it: who waits, and how many may
        info.tcpi_unacked = self.waiting.load(std::memory_order_relaxed);
        info.tcpi_sacked = self.backlog.load(std::memory_order_relaxed);
    }
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

// Is it for streams and this is none, for datagrams, or for the other family?
bool is_foreign(const bsd_socket& self, int level, int name) {
    const bool datagrams = self.what == bsd_socket::kind::datagram;
    if (level == IPPROTO_TCP) {
        return datagrams;
    }
    const bool ours = level == (self.domain == AF_INET ? IPPROTO_IP : IPPROTO_IPV6);
    const bool of_datagrams =
        find_in(wishes, level, name) != wishes.end() || find_in(marks, level, name) != marks.end();
    return of_datagrams && !(datagrams && ours);
}

int get_max_pacing_rate(const bsd_socket& self, void* value, socklen_t* length) {
    const std::uint64_t rate = self.chosen.max_pacing_rate;
    if (*length >= sizeof rate) {
        return put(&rate, sizeof rate, value, length);
    }
    return put_int(
        static_cast<std::uint32_t>(std::min<std::uint64_t>(rate, UINT32_MAX)), value, length);
}

int get_socket_option(bsd_socket& self, int name, void* value, socklen_t* length) {
    if (name == SO_ERROR) {
        const int error = self.error.exchange(0, std::memory_order_acq_rel);
        return put(&error, sizeof error, value, length);
    }
    if (name == SO_MAX_PACING_RATE) {
        return get_max_pacing_rate(self, value, length);
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
        on_worker(*self.worker, [&](net_host& host) {
            self.apply_options(host);
            return 0;
        });
    }
    return 0;
}

// Of a connection; before it is one, or on a listener, it changes nothing, as the next one begins
// with quick ACKs anyhow.
int set_quick_ack(bsd_socket& self, bool on) {
    if (self.what == bsd_socket::kind::conn) {
        on_worker(*self.worker, [&](net_host& host) {
            tcp::set_quick_ack(host.tcp, net_host::handle_of(self.conn()), on);
            return 0;
        });
    }
    return 0;
}

int get_quick_ack(bsd_socket& self, void* value, socklen_t* length) {
    bool quick = true;
    if (self.what == bsd_socket::kind::conn) {
        on_worker(*self.worker, [&](net_host& host) {
            quick = tcp::is_quick_ack(host.tcp, net_host::handle_of(self.conn()));
            return 0;
        });
    }
    return put_int(quick ? 1 : 0, value, length);
}

constexpr std::size_t congestion_name_max = 16; // Linux's TCP_CA_NAME_MAX, with the zero behind it

int set_congestion(bsd_socket& self, const void* value, socklen_t length) {
    if (length == 0) {
        return fail(EINVAL);
    }
    const auto* text = static_cast<const char*>(value);
    const std::size_t bytes = std::min<std::size_t>(length, congestion_name_max - 1);
    const auto kind = tcp::congestion_named({text, strnlen(text, bytes)});
    if (!kind) {
        return fail(ENOENT);
    }
    self.chosen.congestion = kind;
    return apply(self);
}

int get_congestion(bsd_socket& self, void* value, socklen_t* length) {
    std::array<char, congestion_name_max> name{};
    auto kind = self.chosen.congestion;
    if (const auto all = doors(); !kind && !all.empty()) {
        on_worker(*all.front(), [&](net_host& host) {
            kind = host.tcp.config.congestion;
            return 0;
        });
    }
    if (!kind) {
        return fail(ENETDOWN);
    }
    std::strncpy(name.data(), tcp::name_of(*kind), name.size() - 1);
    return put(name.data(), name.size(), value, length);
}

// 4 or 8 bytes; all ones: no bound.
int set_max_pacing_rate(bsd_socket& self, const void* value, socklen_t length) {
    std::uint64_t rate = 0;
    std::uint32_t small = 0;
    if (length >= sizeof rate) {
        std::memcpy(&rate, value, sizeof rate);
    } else if (length >= sizeof small) {
        std::memcpy(&small, value, sizeof small);
        rate = small == UINT32_MAX ? pacing_unlimited : small;
    } else {
        return fail(EINVAL);
    }
    self.chosen.max_pacing_rate = rate;
    self.chosen.pacing_chosen = true;
    return apply(self);
}

int get_tcp_option(bsd_socket& self, int name, void* value, socklen_t* length) {
    switch (name) {
    case TCP_INFO:
        return get_info(self, value, length);
    case TCP_MAXSEG:
        return get_segment_size(self, value, length);
    case TCP_CONGESTION:
        return get_congestion(self, value, length);
    case TCP_QUICKACK:
        return get_quick_ack(self, value, length);
    default:
        return fail(ENOPROTOOPT);
    }
}

// Those whose value is not an int. Nothing: it is another one.
std::optional<int>
set_structure(bsd_socket& self, int level, int name, const void* value, socklen_t length) {
    if (level == SOL_SOCKET && name == SO_LINGER) {
        return set_linger(self, value, length);
    }
    if (level == SOL_SOCKET && name == SO_MAX_PACING_RATE) {
        return set_max_pacing_rate(self, value, length);
    }
    if (level == IPPROTO_TCP && name == TCP_CONGESTION) {
        return set_congestion(self, value, length);
    }
    const auto timeout = std::ranges::find(timeouts, name, &timeout_option::name);
    if (level == SOL_SOCKET && timeout != timeouts.end()) {
        return set_timeout(self.chosen.*timeout->where, value, length);
    }
    return std::nullopt;
}

int set_mark(bsd_socket& self, const mark_option& what, int wanted) {
    if (wanted != -1 && (wanted < what.least || wanted > 255)) {
        return fail(EINVAL);
    }
    self.chosen.marks.*what.where = static_cast<std::uint8_t>(std::max(wanted, 0));
    return 0;
}

int get_mark(const bsd_socket& self, const mark_option& what, void* value, socklen_t* length) {
    std::uint32_t chosen = self.chosen.marks.*what.where;
    if (const auto all = doors(); chosen == 0 && what.least != 0 && !all.empty()) {
        on_worker(*all.front(), [&](net_host& host) {
            chosen = host.udp.config.ttl;
            return 0;
        });
    }
    return put_int(chosen, value, length);
}

int set_number(bsd_socket& self, const number_option& what, int wanted) {
    const std::uint32_t heeded =
        std::clamp(static_cast<std::uint32_t>(std::max(wanted, 0)), what.least, what.most);
    if (wanted < 0 || (what.strict && heeded != static_cast<std::uint32_t>(wanted))) {
        return fail(EINVAL);
    }
    self.chosen.*what.where = heeded;
    return apply(self);
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
    if (is_foreign(*self, level, name)) {
        return fail(ENOPROTOOPT);
    }
    if (const auto found = find_in(switches, level, name); found != switches.end()) {
        return put_int(self->chosen.*found->where ? 1 : 0, value, length);
    }
    if (const auto found = find_in(wishes, level, name); found != wishes.end()) {
        return put_int(self->chosen.wishes.*found->where ? 1 : 0, value, length);
    }
    if (const auto found = find_in(marks, level, name); found != marks.end()) {
        return get_mark(*self, *found, value, length);
    }
    if (const auto found = find_in(numbers, level, name); found != numbers.end()) {
        const std::uint32_t chosen = self->chosen.*found->where;
        return put_int(chosen != 0 ? chosen : found->shown, value, length);
    }
    if (level == SOL_SOCKET) {
        return get_socket_option(*self, name, value, length);
    }
    if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY && self->domain == AF_INET6) {
        return put_int(self->chosen.v6_only ? 1 : 0, value, length);
    }
    return level == IPPROTO_TCP ? get_tcp_option(*self, name, value, length) : fail(ENOPROTOOPT);
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
    if (is_foreign(*self, level, name)) {
        return fail(ENOPROTOOPT);
    }
    if (const auto done = set_structure(*self, level, name, value, length)) {
        return *done;
    }
    int wanted = 0;
    if (level == IPPROTO_IP && length == 1) { // ip(7): one byte will do
        wanted = *static_cast<const std::uint8_t*>(value);
    } else if (length < sizeof wanted) {
        return fail(EINVAL);
    } else {
        std::memcpy(&wanted, value, sizeof wanted);
    }
    if (level == IPPROTO_TCP && name == TCP_QUICKACK) {
        return set_quick_ack(*self, wanted != 0);
    }
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
    if (const auto found = find_in(wishes, level, name); found != wishes.end()) {
        self->chosen.wishes.*found->where = wanted != 0;
        return 0;
    }
    if (const auto found = find_in(marks, level, name); found != marks.end()) {
        return set_mark(*self, *found, wanted);
    }
    const auto found = find_in(numbers, level, name);
    return found == numbers.end() ? fail(ENOPROTOOPT) : set_number(*self, *found, wanted);
}

} // namespace pantala::bsd
