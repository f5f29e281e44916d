#include "stack/socket/bsd/bsd_table.hpp"

#include "stack/socket/net_host.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>

#include <pthread.h>

namespace pantala {
namespace bsd {

struct tables {
    std::mutex lock;
    std::vector<meaning> descriptors;
    int lowest_free = 0; // none below it
    std::vector<std::shared_ptr<door>> doors;
};

} // namespace bsd

namespace {

using bsd::tables;

// fork leaves a child the caller's thread alone: no worker runs in it, and any lock may be held.
constinit std::atomic<bool> in_child{false};

// One of a process, as descriptors are. Never destroyed: at exit other threads may still call.
tables& all() {
    static tables& one = *new tables;
    return one;
}

} // namespace

namespace bsd {

gate::gate(net_host& host, doorbell& bell) : host_(host), door_(std::make_shared<door>(bell)) {
    static std::once_flag once;
    std::call_once(once, [] { pthread_atfork(nullptr, nullptr, [] { in_child = true; }); });
    host.native().each_round(
        [](void* self, sockets&) {
            auto& mine = *static_cast<gate*>(self);
            run_all(mine.door_->take(), &mine.host_);
        },
        this);
    const std::lock_guard hold(all().lock);
    all().doors.push_back(door_);
}

gate::~gate() {
    host_.native().forget(this);
    std::vector<reference> sockets;
    {
        const std::lock_guard hold(all().lock);
        std::erase(all().doors, door_);
        for (const meaning& one : all().descriptors) {
            if (one.socket) {
                sockets.push_back(one.socket);
            }
        }
    }
    run_all(door_->close(), nullptr);
    for (const auto& guest : std::exchange(door_->guests, {})) {
        guest->worker_ends();
    }
    for (const reference& one : sockets) { // an accept that waits finds the door closed
        one->changed();
    }
}

void gate::run_all(door_message* first, net_host* host) {
    while (first != nullptr) {
        door_message* next = first->next; // the message may be gone when it has run
        first->run(*first, host);
        first = next;
    }
}

int add_descriptor(meaning what) {
    if (in_child) {
        return -1;
    }
    const std::lock_guard hold(all().lock);
    auto& slots = all().descriptors;
    const auto free = std::find_if(
        slots.begin() + all().lowest_free, slots.end(), [](const meaning& one) { return !one; });
    const auto number = static_cast<int>(free - slots.begin());
    if (number >= descriptors_max) {
        return -1;
    }
    all().lowest_free = number + 1;
    if (free == slots.end()) {
        slots.push_back(std::move(what));
    } else {
        *free = std::move(what);
    }
    return number;
}

meaning find_descriptor(int number) {
    if (in_child) {
        return {};
    }
    const std::lock_guard hold(all().lock);
    const auto& slots = all().descriptors;
    return number >= 0 && number < static_cast<int>(slots.size())
               ? slots[static_cast<std::size_t>(number)]
               : meaning{};
}

meaning remove_descriptor(int number) {
    if (in_child) {
        return {};
    }
    const std::lock_guard hold(all().lock);
    auto& slots = all().descriptors;
    if (number < 0 || number >= static_cast<int>(slots.size())) {
        return {};
    }
    all().lowest_free = std::min(all().lowest_free, number);
    return std::exchange(slots[static_cast<std::size_t>(number)], meaning{});
}

reference find_socket(int number) {
    const meaning found = find_descriptor(number);
    if (!found.socket) {
        errno = found.epoll != nullptr ? ENOTSOCK : EBADF;
    }
    return found.socket;
}

std::vector<std::shared_ptr<door>> doors() {
    if (in_child) {
        return {};
    }
    const std::lock_guard hold(all().lock);
    return all().doors;
}

bool is_child() {
    return in_child;
}

int fail(int code) {
    errno = code;
    return -1;
}

} // namespace bsd
} // namespace pantala
