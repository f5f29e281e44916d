#include "stack/socket/bsd/bsd_connect.hpp"

#include "stack/socket/bsd/bsd_address.hpp"
#include "stack/socket/bsd/bsd_table.hpp"
#include "stack/socket/net_host.hpp"

#include <algorithm>
#include <cerrno>

namespace pantala::bsd {
namespace {

// The workers take turns; with Fast Open, first one that has the server's cookie.
std::shared_ptr<door> choose_worker(const endpoint& to, bool with_cookie) {
    static std::atomic<unsigned> turn{0};
    const auto all = doors();
    for (std::size_t i = 0; with_cookie && i < all.size(); ++i) {
        const int code = on_worker(*all[i], [&](net_host& host) {
            return host.native().fast_open_ready(to) ? 0 : ENOENT;
        });
        if (code == 0) {
            return all[i];
        }
    }
    return all.empty() ? nullptr : all[turn.fetch_add(1, std::memory_order_relaxed) % all.size()];
}

// The attempt before this one may have been another worker's: it lets go first.
int connect_at(
    bsd_socket& self, const std::shared_ptr<door>& at, const endpoint& to, connect_options& how) {
    if (self.worker != nullptr && self.worker != at) {
        on_worker(*self.worker, [&](net_host&) {
            self.let_go();
            return 0;
        });
    }
    self.worker = at;
    return on_worker(*at, [&](net_host& host) { return self.connect(host, to, how); });
}

} // namespace

int choose_port(bsd_socket& self) {
    const auto all = doors();
    if (all.empty()) {
        return ENETDOWN;
    }
    return on_worker(*all.front(), [&](net_host& host) {
        const std::uint32_t first = host.tcp.config.port_first;
        const std::uint32_t range = host.tcp.config.port_last - first + 1;
        const auto begin = static_cast<std::uint32_t>(host.tcp.random.next() % range);
        for (std::uint32_t i = 0; i < range; ++i) {
            const auto port = static_cast<std::uint16_t>(first + (begin + i) % range);
            const bool heard = std::ranges::any_of(host.tcp.listeners, [port](const auto& one) {
                return one.open && one.local.port.host() == port;
            });
            flow_key key;
            key.local_port = l4_port::from(port);
            if (!heard && !host.udp.is_bound(key) && self.port.take_free(port)) {
                self.bound.port = port;
                return 0;
            }
        }
        return EADDRINUSE;
    });
}

int outcome_of(bsd_socket& self) {
    const std::uint32_t state = self.state.load(std::memory_order_acquire);
    if ((state & bit::gone) != 0) {
        return EBADF;
    }
    if ((state & bit::connected) != 0) {
        return 0;
    }
    if ((state & bit::over) == 0) {
        return EINPROGRESS;
    }
    const int why = self.error.exchange(0, std::memory_order_acq_rel);
    self.what = bsd_socket::kind::fresh; // it may try again
    return why != 0 ? why : ECONNABORTED;
}

int start_connecting(bsd_socket& self, const endpoint& to, connect_options& how) {
    self.wants_shutdown.store(false, std::memory_order_relaxed);
    self.write_shut = self.read_shut = false;
    self.deferred.reset();
    if (self.chosen.v6_only && is_v4(to)) {
        return ENETUNREACH;
    }
    int code = ENETDOWN;
    if (self.bound.port != 0) { // answers come to one worker, which knows that it is the one
        for (const std::shared_ptr<door>& at : doors()) {
            code = connect_at(self, at, to, how);
            if (code != EADDRNOTAVAIL) {
                break;
            }
        }
    } else if (const auto at = choose_worker(to, how.fast_open); at != nullptr) {
        code = connect_at(self, at, to, how);
    }
    if (code == 0) {
        self.peer = to;
        self.what = bsd_socket::kind::conn;
        self.adopt();
    }
    return code;
}

int defer_connecting(bsd_socket& self, const endpoint& to) {
    for (const std::shared_ptr<door>& at : doors()) {
        const int code = on_worker(
            *at, [&](net_host& host) { return host.native().fast_open_ready(to) ? 0 : ENOENT; });
        if (code == 0) {
            self.deferred = to;
            return 0;
        }
    }
    connect_options asks{.fast_open = true};
    const int code = start_connecting(self, to, asks);
    if (code != EOPNOTSUPP) {
        return code;
    }
    connect_options plain;
    return start_connecting(self, to, plain);
}

} // namespace pantala::bsd
