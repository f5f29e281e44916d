// A host whose workers a thread turns, in virtual time, while the test's own threads call its
// BSD-shaped sockets. All connections are the host's to itself.
#pragma once

#include "stack/socket/bsd/bsd_table.hpp"
#include "tests/stack/socket/two_hosts.hpp"

#include <pantala/bsd.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <thread>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace pantala::test {

inline sockaddr_in at(std::uint16_t port, const char* address = "10.0.0.2") {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = __builtin_bswap16(port);
    inet_pton(AF_INET, address, &in.sin_addr);
    return in;
}
inline const sockaddr* plain(const sockaddr_in& in) {
    return reinterpret_cast<const sockaddr*>(&in);
}

// A host whose workers a thread turns.
struct running_host {
    explicit running_host(unsigned workers, const stack_settings& settings = {})
        : host(pool, {.ports = 2, .workers = workers, .stack = settings}) {
        host.add_iface(1, {"10.0.0.2/24", "10.0.0.3/24"});
        for (unsigned w = 0; w < host.workers(); ++w) {
            gates.push_back(std::make_unique<bsd::gate>(host.worker_stack(w).host(), bell));
        }
        turning = std::thread([this] {
            while (!stop.load()) {
                host.advance(turn_ns);
                host.sent(1);
                turns.fetch_add(1);
            }
        });
    }
    ~running_host() {
        stop = true;
        turning.join();
        gates.clear();
    }

    // Each worker turns so often.
    void wait_turns(std::uint64_t count) const {
        for (const std::uint64_t last = turns + count; turns <= last;) {
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
    }

    doorbell bell; // the turning thread never sleeps
    std::atomic<std::uint64_t> turns{0};
    std::atomic<std::uint64_t> turn_ns{ns_per_ms}; // how far a turn moves the clock
    mbuf_pool pool{16'383};
    router host;
    std::vector<std::unique_ptr<bsd::gate>> gates;
    std::thread turning;
    std::atomic<bool> stop{false};
};

inline int listening(std::uint16_t port, int flags = 0) {
    const int made = bsd::socket(AF_INET, SOCK_STREAM | flags, 0);
    EXPECT_EQ(0, bsd::bind(made, plain(at(port, "0.0.0.0")), sizeof(sockaddr_in)));
    EXPECT_EQ(0, bsd::listen(made, 64));
    return made;
}

inline int connected(std::uint16_t port) {
    const int made = bsd::socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(0, bsd::connect(made, plain(at(port)), sizeof(sockaddr_in))) << errno;
    return made;
}

// All that comes until the end of the stream.
inline std::string read_all(int from) {
    std::string text;
    char room[10'000];
    ssize_t got = 0;
    while ((got = bsd::recv(from, room, sizeof room, 0)) > 0) {
        text.append(room, static_cast<std::size_t>(got));
    }
    EXPECT_EQ(0, got) << errno;
    return text;
}

inline void expect_error(int code, ssize_t returned) {
    EXPECT_EQ(-1, returned);
    EXPECT_EQ(code, errno) << std::strerror(code) << " wanted";
}

// Begins `work` and waits until its thread sleeps within it (as far as the kernel can tell).
template <class Work>
std::thread blocked_in(Work work) {
    std::atomic<pid_t> id{0};
    std::thread thread([&id, work] {
        id = gettid();
        id.notify_one();
        work();
    });
    id.wait(0);
    const std::string path = "/proc/self/task/" + std::to_string(id) + "/stat";
    for (char state = 0; state != 'S';) {
        std::ifstream file(path);
        std::string text;
        std::getline(file, text);
        state = text.size() > text.rfind(')') + 2 ? text[text.rfind(')') + 2] : 'S';
    }
    return thread;
}

// One host serves all tests of a suite: to make one takes longer than most of them.
template <unsigned Workers>
struct with_host : testing::Test {
    static void SetUpTestSuite() { host = std::make_unique<running_host>(Workers); }
    static void TearDownTestSuite() { host.reset(); }
    static inline std::unique_ptr<running_host> host;
};

} // namespace pantala::test
