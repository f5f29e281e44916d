// Datagrams through the BSD-shaped sockets, with several workers.
#include "tests/stack/socket/running_host.hpp"

#include <chrono>
#include <cstring>
#include <optional>
#include <set>
#include <thread>

#include <linux/tcp.h>
#include <sys/ioctl.h>

namespace pantala::test {
namespace {

struct bsd_datagrams : with_host<3> {};
struct bsd_datagrams_end : testing::Test {};

sockaddr* writable(sockaddr_in& in) {
    return reinterpret_cast<sockaddr*>(&in);
}

int bound(std::uint16_t port, int flags = 0) {
    const int made = bsd::socket(AF_INET, SOCK_DGRAM | flags, 0);
    EXPECT_EQ(0, bsd::bind(made, plain(at(port, "0.0.0.0")), sizeof(sockaddr_in))) << errno;
    return made;
}

ssize_t send_to(int from, const std::string& text, std::uint16_t port) {
    return bsd::sendto(from, text.data(), text.size(), 0, plain(at(port)), sizeof(sockaddr_in));
}

// One datagram of at most so many bytes.
std::string receive(int at, std::size_t most = 65'536, sockaddr_in* from = nullptr) {
    std::string text(most, 0);
    socklen_t length = sizeof(sockaddr_in);
    const ssize_t got = bsd::recvfrom(
        at, text.data(), most, 0, from != nullptr ? writable(*from) : nullptr, &length);
    EXPECT_GE(got, 0) << errno;
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return text;
}

TEST_F(bsd_datagrams, EachIsAnsweredToWhoSentIt) {
    const int server = bound(53);
    std::thread echo([server] {
        std::string text(65'536, 0);
        for (;;) {
            sockaddr_in from{};
            socklen_t length = sizeof from;
            const ssize_t got =
                bsd::recvfrom(server, text.data(), text.size(), 0, writable(from), &length);
            if (got < 0) {
                EXPECT_EQ(EBADF, errno);
                return;
            }
            EXPECT_EQ(sizeof from, length);
            EXPECT_EQ(
                got, bsd::sendto(
                         server, text.data(), static_cast<std::size_t>(got), 0, plain(from),
                         sizeof from));
        }
    });
    std::vector<std::thread> clients;
    for (unsigned i = 0; i < 6; ++i) { // flows of every worker
        clients.emplace_back([i] {
            const int client = bsd::socket(AF_INET, SOCK_DGRAM, 0);
            for (const std::size_t size : {0U, 1U, 100U + i, 1'400U, 5'000U, 20'000U}) {
                const std::string sent = text_of(size);
                EXPECT_EQ(static_cast<ssize_t>(size), send_to(client, sent, 53));
                sockaddr_in from{};
                EXPECT_TRUE(sent == receive(client, 65'536, &from)) << size;
                EXPECT_EQ(53, __builtin_bswap16(from.sin_port));
            }
            EXPECT_EQ(0, bsd::close(client));
        });
    }
    for (std::thread& one : clients) {
        one.join();
    }
    EXPECT_EQ(0, bsd::close(server));
    echo.join();
}

TEST_F(bsd_datagrams, ReadersSeeOneAtATime) {
    const int server = bound(53);
    const int client = bound(5'353);
    for (const char* text : {"one", "", "three", "the fourth"}) {
        send_to(client, text, 53);
    }
    pollfd wait{server, POLLIN | POLLOUT, 0};
    EXPECT_EQ(1, bsd::poll(&wait, 1, 10'000));
    EXPECT_EQ("one", receive(server));
    EXPECT_EQ("", receive(server));
    char room[8];
    EXPECT_EQ(5, bsd::recv(server, room, sizeof room, MSG_PEEK));
    int waiting = 0;
    EXPECT_EQ(0, bsd::ioctl(server, FIONREAD, &waiting));
    EXPECT_EQ(5, waiting);
    EXPECT_EQ("thr", receive(server, 3)); // the rest of it is lost
    iovec halves[2] = {{room, 2}, {room + 4, 2}};
    sockaddr_in from{};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = halves;
    message.msg_iovlen = 2;
    EXPECT_EQ(10, bsd::recvmsg(server, &message, MSG_TRUNC));
    EXPECT_EQ(MSG_TRUNC, message.msg_flags);
    EXPECT_EQ("th", std::string(room, 2));
    EXPECT_EQ("e ", std::string(room + 4, 2));
    EXPECT_EQ(sizeof from, message.msg_namelen);
    EXPECT_EQ(5'353, __builtin_bswap16(from.sin_port));
    expect_error(EAGAIN, bsd::recv(server, room, sizeof room, MSG_DONTWAIT));
    EXPECT_EQ(0, bsd::close(client));
    EXPECT_EQ(0, bsd::close(server));
}

TEST_F(bsd_datagrams, AConnectedOneHearsItsPeerAlone) {
    const int server = bound(53);
    const int stranger = bound(5'353);
    const int client = bsd::socket(AF_INET, SOCK_DGRAM, 0);
    ASSERT_EQ(0, bsd::connect(client, plain(at(53)), sizeof(sockaddr_in)));
    sockaddr_in mine{};
    socklen_t length = sizeof mine;
    EXPECT_EQ(0, bsd::getsockname(client, writable(mine), &length));
    EXPECT_EQ(at(1).sin_addr.s_addr, mine.sin_addr.s_addr);
    sockaddr_in theirs{};
    EXPECT_EQ(0, bsd::getpeername(client, writable(theirs), &length));
    EXPECT_EQ(at(53).sin_port, theirs.sin_port);
    EXPECT_EQ(2, bsd::send(client, "hi", 2, 0));
    EXPECT_EQ("hi", receive(server));
    send_to(stranger, "not for you", __builtin_bswap16(mine.sin_port));
    send_to(server, "ho", __builtin_bswap16(mine.sin_port));
    EXPECT_EQ("ho", receive(client));
    char byte = 0; // and an unconnected one hears of no refusals
    expect_error(EAGAIN, bsd::recv(stranger, &byte, 1, MSG_DONTWAIT));
    sockaddr nobody{};
    nobody.sa_family = AF_UNSPEC;
    EXPECT_EQ(0, bsd::connect(client, &nobody, sizeof nobody));
    expect_error(ENOTCONN, bsd::getpeername(client, writable(theirs), &length));
    send_to(stranger, "for all", __builtin_bswap16(mine.sin_port));
    EXPECT_EQ("for all", receive(client));
    for (const int number : {client, server, stranger}) {
        EXPECT_EQ(0, bsd::close(number));
    }
}

TEST_F(bsd_datagrams, WhatIsSentBeforeTheCloseLeaves) {
    const int server = bound(53);
    const int client = bsd::socket(AF_INET, SOCK_DGRAM, 0);
    for (unsigned i = 0; i < 40; ++i) {
        EXPECT_EQ(10, send_to(client, "0123456789", 53));
    }
    EXPECT_EQ(0, bsd::close(client));
    for (unsigned i = 0; i < 40; ++i) {
        EXPECT_EQ("0123456789", receive(server));
    }
    EXPECT_EQ(0, bsd::close(server));
}

TEST_F(bsd_datagrams, EpollTellsOfThem) {
    const int server = bound(53, SOCK_NONBLOCK);
    const int client = bsd::socket(AF_INET, SOCK_DGRAM, 0);
    const int epoll = bsd::epoll_create1(0);
    epoll_event add{EPOLLIN, {.fd = server}};
    ASSERT_EQ(0, bsd::epoll_ctl(epoll, EPOLL_CTL_ADD, server, &add));
    epoll_event event{};
    EXPECT_EQ(0, bsd::epoll_wait(epoll, &event, 1, 0));
    std::thread waits = blocked_in([epoll] {
        epoll_event told{};
        EXPECT_EQ(1, bsd::epoll_wait(epoll, &told, 1, 20'000));
        EXPECT_EQ(std::uint32_t{EPOLLIN}, told.events);
    });
    EXPECT_EQ(1, send_to(client, "x", 53));
    waits.join();
    EXPECT_EQ("x", receive(server));
    EXPECT_EQ(0, bsd::epoll_wait(epoll, &event, 1, 0));
    for (const int number : {epoll, server, client}) {
        EXPECT_EQ(0, bsd::close(number));
    }
}

TEST_F(bsd_datagrams, PortsAreChosenAndHeld) {
    std::set<std::uint16_t> ports;
    std::vector<int> sockets;
    for (unsigned i = 0; i < 10; ++i) {
        const int made = bound(0);
        sockaddr_in mine{};
        socklen_t length = sizeof mine;
        EXPECT_EQ(0, bsd::getsockname(made, writable(mine), &length));
        EXPECT_TRUE(ports.insert(mine.sin_port).second);
        EXPECT_NE(0, mine.sin_port);
        sockets.push_back(made);
    }
    const int late = bsd::socket(AF_INET, SOCK_DGRAM, 0);
    const sockaddr_in taken = at(__builtin_bswap16(*ports.begin()), "0.0.0.0");
    expect_error(EADDRINUSE, bsd::bind(late, plain(taken), sizeof taken));
    EXPECT_EQ(0, bsd::bind(late, plain(at(5'400, "0.0.0.0")), sizeof(sockaddr_in))); // it may again
    sockets.push_back(late);
    for (const int number : sockets) {
        EXPECT_EQ(0, bsd::close(number));
    }
    const int again = bsd::socket(AF_INET, SOCK_DGRAM, 0); // closed: free
    EXPECT_EQ(0, bsd::bind(again, plain(taken), sizeof taken));
    EXPECT_EQ(0, bsd::close(again));
}

TEST_F(bsd_datagrams, IPv6OnlyMeansIt) {
    sockaddr_in6 all{};
    all.sin6_family = AF_INET6;
    all.sin6_port = __builtin_bswap16(53);
    const auto* address = reinterpret_cast<const sockaddr*>(&all);
    const int client = bsd::socket(AF_INET, SOCK_DGRAM, 0);
    for (const int only : {0, 1}) {
        const int server = bsd::socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        EXPECT_EQ(0, bsd::setsockopt(server, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only));
        ASSERT_EQ(0, bsd::bind(server, address, sizeof all));
        expect_error(
            EINVAL, bsd::setsockopt(server, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only));
        send_to(client, "four", 53);
        pollfd wait{server, POLLIN, 0};
        EXPECT_EQ(1 - only, bsd::poll(&wait, 1, only != 0 ? 100 : 10'000));
        if (only == 0) {
            char room[8];
            sockaddr_in6 from{};
            socklen_t length = sizeof from;
            EXPECT_EQ(
                4, bsd::recvfrom(
                       server, room, sizeof room, 0, reinterpret_cast<sockaddr*>(&from), &length));
            EXPECT_TRUE(IN6_IS_ADDR_V4MAPPED(&from.sin6_addr));
            EXPECT_EQ(
                2,
                bsd::sendto(server, "ok", 2, 0, reinterpret_cast<const sockaddr*>(&from), length));
            EXPECT_EQ("ok", receive(client));
        } else {
            sockaddr_in6 mapped = all;
            const sockaddr_in four = at(53);
            mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
            std::memcpy(&mapped.sin6_addr.s6_addr[12], &four.sin_addr, 4);
            expect_error(
                ENETUNREACH,
                bsd::sendto(
                    server, "no", 2, 0, reinterpret_cast<const sockaddr*>(&mapped), sizeof mapped));
        }
        EXPECT_EQ(0, bsd::close(server));
    }
    EXPECT_EQ(0, bsd::close(client));
}

TEST_F(bsd_datagrams, MisuseIsAnError) {
    const int made = bsd::socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP);
    char byte = 0;
    int value = 1;
    socklen_t length = sizeof value;
    expect_error(EPROTONOSUPPORT, bsd::socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP));
    expect_error(EDESTADDRREQ, bsd::send(made, &byte, 1, 0));
    expect_error(EOPNOTSUPP, bsd::listen(made, 1));
    expect_error(EOPNOTSUPP, bsd::accept(made, nullptr, nullptr));
    expect_error(ENOTCONN, bsd::shutdown(made, SHUT_RD));
    expect_error(ENOPROTOOPT, bsd::setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &value, length));
    EXPECT_EQ(0, bsd::getsockopt(made, SOL_SOCKET, SO_TYPE, &value, &length));
    EXPECT_EQ(SOCK_DGRAM, value);
    expect_error(EINVAL, bsd::sendto(made, &byte, 1, 0, plain(at(0)), sizeof(sockaddr_in)));
    expect_error(EFAULT, bsd::sendto(made, nullptr, 1, 0, plain(at(5)), sizeof(sockaddr_in)));
    const std::string big(65'508, 'x');
    expect_error(
        EMSGSIZE, bsd::sendto(made, big.data(), big.size(), 0, plain(at(5)), sizeof(sockaddr_in)));
    expect_error(EINVAL, bsd::connect(made, plain(at(0)), sizeof(sockaddr_in)));
    expect_error(ENETUNREACH, bsd::connect(made, plain(at(5, "192.0.2.1")), sizeof(sockaddr_in)));
    EXPECT_EQ(1, bsd::sendto(made, "a", 1, 0, plain(at(5, "192.0.2.1")), sizeof(sockaddr_in)));
    pollfd wait{made, POLLIN, 0}; // that there is no way is told later
    EXPECT_EQ(1, bsd::poll(&wait, 1, 10'000));
    expect_error(ENETUNREACH, bsd::recv(made, &byte, 1, 0));
    EXPECT_EQ(0, bsd::close(made));
    expect_error(EBADF, bsd::recv(made, &byte, 1, 0));
}

TEST_F(bsd_datagrams, AConnectThatFailsLeavesItAsItWas) {
    const int server = bound(53);
    expect_error(ENETUNREACH, bsd::connect(server, plain(at(5, "192.0.2.1")), sizeof(sockaddr_in)));
    const int client = bsd::socket(AF_INET, SOCK_DGRAM, 0);
    EXPECT_EQ(2, send_to(client, "it", 53));
    pollfd wait{server, POLLIN, 0};
    ASSERT_EQ(1, bsd::poll(&wait, 1, 10'000));
    EXPECT_EQ("it", receive(server));
    EXPECT_EQ(0, bsd::close(client));
    EXPECT_EQ(0, bsd::close(server));
}

// A larger buffer than the ring has, chosen late, is not heeded, and nobody waits for its room.
TEST_F(bsd_datagrams, ALargerBufferChosenLateKeepsTheSocketWritable) {
    const int late = bound(53);
    const int large = 4 << 20;
    EXPECT_EQ(0, bsd::setsockopt(late, SOL_SOCKET, SO_SNDBUF, &large, sizeof large));
    pollfd ready{late, POLLOUT, 0};
    EXPECT_EQ(1, bsd::poll(&ready, 1, 0));
    EXPECT_EQ(POLLOUT, ready.revents & POLLOUT);
    EXPECT_EQ(0, bsd::close(late));
}

// Threads that send while another connects the socket, to one and the other peer, and to nobody: it
// gets ends of its own each time, under the senders. What they send arrives whole, or says why not.
TEST_F(bsd_datagrams, SendersGoOnWhileAnotherConnects) {
    const int first = bound(53);
    const int second = bound(54);
    const int shared = bsd::socket(AF_INET, SOCK_DGRAM, 0);
    const int small = 4'096; // so that senders also sleep
    EXPECT_EQ(0, bsd::setsockopt(shared, SOL_SOCKET, SO_SNDBUF, &small, sizeof small));
    ASSERT_EQ(0, bsd::bind(shared, plain(at(5'353, "0.0.0.0")), sizeof(sockaddr_in)));
    constexpr unsigned connects = 30;
    std::atomic<bool> stop{false};
    std::atomic<unsigned> sent{0};
    std::vector<std::thread> senders;
    for (unsigned i = 0; i < 3; ++i) {
        senders.emplace_back([&, i] {
            const std::string text(1'000, static_cast<char>('a' + i));
            while (!stop.load()) {
                // With an address, and without one, which wants a peer.
                const ssize_t done = i == 0 ? send_to(shared, text, 53)
                                            : bsd::send(shared, text.data(), text.size(), 0);
                if (done < 0) {
                    EXPECT_EQ(EDESTADDRREQ, errno) << i;
                    EXPECT_NE(0U, i);
                } else {
                    EXPECT_EQ(1'000, done);
                    ++sent;
                }
                std::this_thread::sleep_for(std::chrono::microseconds(20)); // the lock is no queue
            }
        });
    }
    std::vector<std::thread> readers;
    for (const int server : {first, second}) {
        readers.emplace_back([server] {
            char room[2'000];
            ssize_t got = 0;
            while ((got = bsd::recv(server, room, sizeof room, 0)) == 1'000) {
                EXPECT_EQ(std::string(1'000, room[0]), std::string(room, 1'000));
            }
            EXPECT_EQ(-1, got);
            EXPECT_EQ(EBADF, errno);
        });
    }
    sockaddr nobody{};
    nobody.sa_family = AF_UNSPEC;
    for (unsigned i = 0; i < connects; ++i) {
        const std::uint16_t port = i % 3 == 0 ? 53 : 54;
        EXPECT_EQ(
            0, i % 3 == 2 ? bsd::connect(shared, &nobody, sizeof nobody)
                          : bsd::connect(shared, plain(at(port)), sizeof(sockaddr_in)))
            << errno;
        const unsigned before = sent;
        while (sent - before < 6) { // they have gone on meanwhile
            std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
    }
    stop = true;
    for (std::thread& one : senders) {
        one.join();
    }
    for (const int number : {shared, first, second}) {
        EXPECT_EQ(0, bsd::close(number));
    }
    for (std::thread& one : readers) {
        one.join();
    }
}

TEST_F(bsd_datagrams, CloseWakesThoseWhoWait) {
    const int made = bound(53);
    std::thread reads = blocked_in([made] {
        char byte = 0;
        expect_error(EBADF, bsd::recv(made, &byte, 1, 0));
    });
    EXPECT_EQ(0, bsd::close(made));
    reads.join();
}

// A reader that is slow loses datagrams and nothing else, and what is lost is counted.
TEST_F(bsd_datagrams, WhatFindsNoRoomIsLost) {
    constexpr unsigned sent = 50; // less than a host takes from itself in a round
    const auto lost = [] {
        std::uint64_t sum = 0;
        for (unsigned w = 0; w < host->host.workers(); ++w) {
            sum += host->host.worker_stack(w).host().udp.stats.full.read();
        }
        return sum;
    };
    const std::uint64_t lost_before = lost();
    const int server = bsd::socket(AF_INET, SOCK_DGRAM, 0);
    const int small = 4'096;
    EXPECT_EQ(0, bsd::setsockopt(server, SOL_SOCKET, SO_RCVBUF, &small, sizeof small));
    ASSERT_EQ(0, bsd::bind(server, plain(at(53, "0.0.0.0")), sizeof(sockaddr_in)));
    const int client = bound(5'353);
    for (unsigned i = 0; i < sent; ++i) {
        EXPECT_EQ(1'000, send_to(client, std::string(1'000, static_cast<char>('0' + i)), 53));
    }
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    const auto late = [&] { return std::chrono::steady_clock::now() > give_up; };
    while (lost() == lost_before && !late()) { // nobody reads yet
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_GE(lost() - lost_before, 1u);
    unsigned got = 0;
    pollfd wait{server, POLLIN, 0};
    while (got + lost() - lost_before < sent && !late()) {
        if (bsd::poll(&wait, 1, 10) == 1) {
            const std::string text = receive(server);
            EXPECT_EQ(std::string(1'000, text.at(0)), text);
            ++got;
        }
    }
    EXPECT_GE(got, 1u);
    EXPECT_EQ(got + lost() - lost_before, sent);
    EXPECT_EQ(0, bsd::close(client));
    EXPECT_EQ(0, bsd::close(server));
}

// Two hosts on a wire, the left one with BSD-shaped sockets: nobody sends errors to itself.
struct running_pair {
    running_pair() {
        for (unsigned w = 0; w < net.left.workers(); ++w) {
            gates.push_back(std::make_unique<bsd::gate>(net.at_left(w), bell));
        }
        turning = std::thread([this] {
            while (!stop.load()) {
                net.advance(ns_per_ms);
            }
        });
    }
    ~running_pair() {
        stop = true;
        turning.join();
        gates.clear();
    }

    doorbell bell; // the turning thread never sleeps
    two_hosts net{2};
    std::vector<std::unique_ptr<bsd::gate>> gates;
    std::thread turning;
    std::atomic<bool> stop{false};
};

TEST_F(bsd_datagrams_end, ARefusalIsToldOnce) {
    const running_pair hosts;
    const int client = bsd::socket(AF_INET, SOCK_DGRAM, 0);
    ASSERT_EQ(0, bsd::connect(client, plain(at(54)), sizeof(sockaddr_in)));
    EXPECT_EQ(1, bsd::send(client, "a", 1, 0));
    char byte = 0;
    expect_error(ECONNREFUSED, bsd::recv(client, &byte, 1, 0));
    expect_error(EAGAIN, bsd::recv(client, &byte, 1, MSG_DONTWAIT));
    EXPECT_EQ(1, bsd::send(client, "b", 1, 0));
    pollfd wait{client, POLLIN, 0};
    EXPECT_EQ(1, bsd::poll(&wait, 1, 10'000));
    EXPECT_EQ(POLLERR, wait.revents);
    int error = 0;
    socklen_t length = sizeof error;
    EXPECT_EQ(0, bsd::getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length));
    EXPECT_EQ(ECONNREFUSED, error);
    EXPECT_EQ(0, bsd::close(client));
}

TEST_F(bsd_datagrams_end, IsTold) {
    auto host = std::make_unique<running_host>(2);
    const int server = bound(53);
    const int client = bsd::socket(AF_INET, SOCK_DGRAM, 0);
    ASSERT_EQ(0, bsd::connect(client, plain(at(53)), sizeof(sockaddr_in)));
    EXPECT_EQ(1, bsd::send(client, "a", 1, 0));
    EXPECT_EQ("a", receive(server));
    std::thread reads = blocked_in([server] {
        char byte = 0;
        expect_error(ECONNABORTED, bsd::recv(server, &byte, 1, 0));
    });
    host.reset();
    reads.join();
    expect_error(ECONNABORTED, bsd::send(client, "b", 1, 0));
    const int late = bsd::socket(AF_INET, SOCK_DGRAM, 0);
    expect_error(ENETDOWN, bsd::bind(late, plain(at(53)), sizeof(sockaddr_in)));
    for (const int number : {server, client, late}) {
        EXPECT_EQ(0, bsd::close(number));
    }
}

} // namespace
} // namespace pantala::test
