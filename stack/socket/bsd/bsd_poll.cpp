// Waiting for several sockets.
#include "stack/socket/bsd/bsd_datagram.hpp"
#include "stack/socket/bsd/bsd_table.hpp"

#include <pantala/bsd.hpp>

#include <algorithm>
#include <cerrno>

namespace pantala::bsd {

// The sockets of an epoll descriptor. Callers, under `lock`.
struct epoll_set {
    struct entry {
        int number = -1;
        reference socket;
        epoll_event wanted{};
        std::uint32_t told = 0; // `changes` when it was last reported
        bool ever_told = false;
        bool used_up = false; // EPOLLONESHOT
    };
    std::mutex lock;
    std::vector<entry> entries;
    bool closed = false;
};

void close_epoll(epoll_set& set) {
    {
        const std::lock_guard hold(set.lock);
        set.closed = true;
        set.entries.clear();
    }
    wake_all();
}

namespace {

// EPOLLIN and so on; POLLNVAL: it was closed.
std::uint32_t plain_readiness(bsd_socket& socket) {
    const std::lock_guard hold(socket.lock);
    const std::uint32_t state = socket.state.load(std::memory_order_acquire);
    if ((state & bit::gone) != 0) {
        return POLLNVAL;
    }
    if (socket.what == bsd_socket::kind::datagram) {
        return datagram_readiness(socket);
    }
    if (socket.what == bsd_socket::kind::listener) {
        const bool any = (state & bit::accepting) != 0 || !socket.accepted.empty();
        return any ? std::uint32_t{EPOLLIN} : 0;
    }
    if (socket.what == bsd_socket::kind::fresh) {
        // Deferred: what is sent first connects.
        return std::uint32_t{EPOLLOUT} | (socket.deferred ? 0 : std::uint32_t{EPOLLHUP});
    }
    const bool over = (state & bit::over) != 0;
    const bool no_input = over || (state & bit::input_over) != 0 || socket.read_shut;
    const bool connected = (state & bit::connected) != 0;
    std::uint32_t ready = 0;
    if (no_input || socket.in->size() != 0) {
        ready |= EPOLLIN;
    }
    if (no_input) {
        ready |= EPOLLRDHUP;
    }
    const bool room = connected && socket.room_to_send() >= room_wanted(socket.chosen, *socket.out);
    if (over || room || socket.write_shut) {
        ready |= EPOLLOUT;
    }
    if (over || (no_input && socket.write_shut)) {
        ready |= EPOLLHUP;
    }
    if (over && socket.error.load(std::memory_order_acquire) != 0) {
        ready |= EPOLLERR;
    }
    return ready;
}

// What is true of a socket now, in epoll's bits (poll's have the same values).
std::uint32_t readiness(bsd_socket& socket) {
    const std::uint32_t ready = plain_readiness(socket);
    return ready | ((ready & EPOLLIN) != 0 ? std::uint32_t{EPOLLRDNORM} : 0) |
           ((ready & EPOLLOUT) != 0 ? std::uint32_t{EPOLLWRNORM} : 0);
}

constexpr std::uint32_t longest_sleep_ms = 3'600'000;

// Calls `look` until it finds something, the time is up or a signal came.
template <class Look>
int wait_for(int timeout_ms, Look look) {
    const deadline until = timeout_ms < 0 ? deadline::never()
                                          : deadline::after(static_cast<std::uint32_t>(timeout_ms));
    for (;;) {
        const std::uint32_t seen = any_change.load(std::memory_order_acquire);
        const int found = look();
        if (found != 0 || timeout_ms == 0 || until.left_ms() == 0) {
            return found;
        }
        // A bounded sleep: else a handler that restarts calls would not end it (signal(7)).
        const deadline bounded = timeout_ms < 0 ? deadline::after(longest_sleep_ms) : until;
        if (!sleep_while(any_change, any_sleepers, seen, bounded)) {
            return fail(EINTR);
        }
    }
}

static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR);
static_assert(EPOLLHUP == POLLHUP && EPOLLRDHUP == POLLRDHUP);
static_assert(EPOLLRDNORM == POLLRDNORM && EPOLLWRNORM == POLLWRNORM);

constexpr std::uint32_t always_told = EPOLLERR | EPOLLHUP;
constexpr std::uint32_t with_exclusive =
    EPOLLEXCLUSIVE | EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET;

std::shared_ptr<epoll_set> find_epoll(int number) {
    const meaning found = find_descriptor(number);
    if (found.epoll == nullptr) {
        errno = found.socket ? EINVAL : EBADF;
    }
    return found.epoll;
}

// What is to be reported of an entry now; 0: nothing.
std::uint32_t look_at(epoll_set::entry& one) {
    const std::uint32_t wanted = one.wanted.events;
    if (one.used_up) {
        return 0;
    }
    const std::uint32_t changes = one.socket->changes.load(std::memory_order_acquire);
    if ((wanted & EPOLLET) != 0 && one.ever_told && changes == one.told) {
        return 0;
    }
    const std::uint32_t ready = readiness(*one.socket) & (wanted | always_told);
    if (ready != 0) {
        one.told = changes;
        one.ever_told = true;
        one.used_up = (wanted & EPOLLONESHOT) != 0;
    }
    return ready;
}

} // namespace

int poll(pollfd* sockets, nfds_t count, int timeout_ms) {
    if (count > descriptors_max || (sockets == nullptr && count != 0)) {
        return fail(sockets == nullptr ? EFAULT : EINVAL);
    }
    std::vector<reference> held(count);
    for (nfds_t i = 0; i < count; ++i) {
        held[i] = sockets[i].fd < 0 ? reference{} : find_descriptor(sockets[i].fd).socket;
    }
    return wait_for(timeout_ms, [&] {
        int found = 0;
        for (nfds_t i = 0; i < count; ++i) {
            pollfd& one = sockets[i];
            one.revents = 0;
            if (held[i]) {
                const auto wanted = static_cast<std::uint32_t>(one.events) | always_told;
                one.revents = static_cast<short>(readiness(*held[i]) & (wanted | POLLNVAL));
            } else if (one.fd >= 0) {
                one.revents = POLLNVAL;
            }
            found += one.revents != 0 ? 1 : 0;
        }
        return found;
    });
}

int select(int count, fd_set* read, fd_set* write, fd_set* except, timeval* timeout) {
    if (count < 0 || count > FD_SETSIZE ||
        (timeout != nullptr &&
         (timeout->tv_sec < 0 || timeout->tv_usec < 0 || timeout->tv_usec >= 1'000'000))) {
        return fail(EINVAL);
    }
    const auto is_in = [](int number, const fd_set* set) {
        return set != nullptr && FD_ISSET(number, set);
    };
    std::vector<pollfd> wanted;
    for (int number = 0; number < count; ++number) {
        const unsigned events = (is_in(number, read) ? unsigned{POLLIN} : 0U) |
                                (is_in(number, write) ? unsigned{POLLOUT} : 0U);
        if ((events != 0 || is_in(number, except)) && !find_descriptor(number).socket) {
            return fail(EBADF);
        }
        if (events != 0) { // nothing exceptional ever happens
            wanted.push_back({number, static_cast<short>(events), 0});
        }
    }
    int timeout_ms = -1;
    if (timeout != nullptr) {
        const std::int64_t seconds = std::min<std::int64_t>(timeout->tv_sec, 1'000'000);
        timeout_ms = static_cast<int>(seconds * 1'000 + (timeout->tv_usec + 999) / 1'000);
    }
    const bool none = wanted.empty();
    pollfd nobody{-1, 0, 0};
    if (bsd::poll(none ? &nobody : wanted.data(), none ? 1 : wanted.size(), timeout_ms) < 0) {
        return -1;
    }
    for (fd_set* set : {read, write, except}) {
        for (int number = 0; set != nullptr && number < count; ++number) {
            FD_CLR(number, set);
        }
    }
    int found = 0;
    for (const pollfd& one : wanted) {
        if ((one.revents & POLLNVAL) != 0) {
            return fail(EBADF);
        }
        if ((one.events & POLLIN) != 0 && (one.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
            FD_SET(one.fd, read);
            ++found;
        }
        if ((one.events & POLLOUT) != 0 && (one.revents & (POLLOUT | POLLERR)) != 0) {
            FD_SET(one.fd, write);
            ++found;
        }
    }
    return found;
}

int epoll_create(int size) {
    return size <= 0 ? fail(EINVAL) : bsd::epoll_create1(0);
}

int epoll_create1(int flags) {
    if ((flags & ~EPOLL_CLOEXEC) != 0) {
        return fail(EINVAL);
    }
    const int number = add_descriptor({{}, std::make_shared<epoll_set>()});
    return number < 0 ? fail(is_child() ? ENETDOWN : EMFILE) : number;
}

int epoll_ctl(int epoll, int operation, int number, epoll_event* event) {
    const auto set = find_epoll(epoll);
    if (set == nullptr) {
        return -1;
    }
    const reference socket = find_descriptor(number).socket;
    if (!socket) {
        return fail(find_descriptor(number) ? EINVAL : EBADF);
    }
    if (operation != EPOLL_CTL_ADD && operation != EPOLL_CTL_MOD && operation != EPOLL_CTL_DEL) {
        return fail(EINVAL);
    }
    if (event == nullptr && operation != EPOLL_CTL_DEL) {
        return fail(EFAULT);
    }
    const std::lock_guard hold(set->lock);
    const auto found = std::find_if(set->entries.begin(), set->entries.end(), [&](const auto& one) {
        return one.number == number && &*one.socket == &*socket;
    });
    if ((found != set->entries.end()) == (operation == EPOLL_CTL_ADD)) {
        return fail(operation == EPOLL_CTL_ADD ? EEXIST : ENOENT);
    }
    if (operation == EPOLL_CTL_DEL) {
        set->entries.erase(found);
        return 0;
    }
    // Every waiter is woken anyhow, which EPOLLEXCLUSIVE allows; its rules are epoll_ctl(2)'s.
    const bool exclusive = (event->events & EPOLLEXCLUSIVE) != 0;
    const epoll_set::entry fresh{number, socket, *event};
    if (operation == EPOLL_CTL_MOD) {
        if (exclusive || (found->wanted.events & EPOLLEXCLUSIVE) != 0) {
            return fail(EINVAL);
        }
        *found = fresh;
    } else if (exclusive && (event->events & ~with_exclusive) != 0) {
        return fail(EINVAL);
    } else {
        set->entries.push_back(fresh);
    }
    wake_all(); // it may be ready already, and somebody waits
    return 0;
}

int epoll_wait(int epoll, epoll_event* events, int most, int timeout_ms) {
    const auto set = find_epoll(epoll);
    if (set == nullptr) {
        return -1;
    }
    if (most <= 0 || events == nullptr) {
        return fail(most <= 0 ? EINVAL : EFAULT);
    }
    return wait_for(timeout_ms, [&] {
        const std::lock_guard hold(set->lock);
        if (set->closed) {
            return fail(EBADF);
        }
        // Closed ones leave by themselves.
        std::erase_if(set->entries, [](const auto& one) {
            return (one.socket->state.load(std::memory_order_acquire) & bit::gone) != 0;
        });
        int found = 0;
        for (std::size_t i = 0; i < set->entries.size() && found < most; ++i) {
            if (const std::uint32_t ready = look_at(set->entries[i]); ready != 0) {
                events[found].events = ready;
                events[found++].data = set->entries[i].wanted.data;
            }
        }
        if (found != 0 && found < static_cast<int>(set->entries.size())) {
            // The next wait begins elsewhere: nobody starves.
            std::rotate(set->entries.begin(), set->entries.begin() + 1, set->entries.end());
        }
        return found;
    });
}

} // namespace pantala::bsd
