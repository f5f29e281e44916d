// Descriptors, and the workers of this process.
#pragma once

#include "stack/socket/bsd/bsd_socket.hpp"

#include <cerrno>
#include <memory>
#include <vector>

namespace pantala::bsd {

inline constexpr int descriptors_max = 1 << 20;

struct epoll_set;
void close_epoll(epoll_set& set); // who waits for it hears EBADF

// What a descriptor means: one of the two, or nothing.
struct meaning {
    reference socket;
    std::shared_ptr<epoll_set> epoll;
    explicit operator bool() const { return socket || epoll != nullptr; }
};

int add_descriptor(meaning what); // the lowest free one; -1: too many
meaning find_descriptor(int number);
meaning remove_descriptor(int number);
// The socket behind it; errno EBADF, ENOTSOCK.
reference find_socket(int number);

// The doors of all workers, in order; empty: no host runs, or this is the child of a fork.
std::vector<std::shared_ptr<door>> doors();

bool is_child(); // of a fork

// errno and -1.
int fail(int code);

// Runs `work` on the worker behind `at` and waits for it. The result is errno, 0: done.
template <class Work>
int on_worker(door& at, Work work) {
    struct asked : call {
        explicit asked(Work& what) : of(what) {}
        Work& of;
        int code = 0;
    } request(work);
    request.run = [](door_message& message, net_host* host) {
        auto& self = static_cast<asked&>(message);
        self.code = host == nullptr ? ENETDOWN : self.of(*host);
        self.finish();
    };
    if (!at.post(request)) {
        return ENETDOWN;
    }
    request.wait();
    return request.code;
}

// What makes a worker one of those that serve the calls. Control makes it before the workers run,
// and destroys it when they stopped, before the worker's host.
class gate {
  public:
    gate(net_host& host, doorbell& bell);
    ~gate(); // what is still asked is answered with ENETDOWN
    gate(const gate&) = delete;
    gate& operator=(const gate&) = delete;

  private:
    static void run_all(door_message* first, net_host* host);

    net_host& host_;
    std::shared_ptr<door> door_;
};

} // namespace pantala::bsd
