// What the BSD-shaped sockets do, with one worker and with several.
#include "tests/stack/socket/running_host.hpp"

#include <fcntl.h>
#include <linux/tcp.h>
#include <sys/ioctl.h>

namespace pantala::test {
namespace {

struct bsd_sockets : with_host<3> {};
struct bsd_one_worker : with_host<1> {};

void carry_both_ways() {
    const int listener = listening(80);
    std::thread server([&] {
        sockaddr_in from{};
        socklen_t length = sizeof from;
        const int peer = bsd::accept(listener, reinterpret_cast<sockaddr*>(&from), &length);
        EXPECT_GE(peer, 0);
        EXPECT_EQ(AF_INET, from.sin_family);
        EXPECT_NE(0, from.sin_port);
        const std::string text = read_all(peer);
        EXPECT_EQ(static_cast<ssize_t>(text.size()), bsd::send(peer, text.data(), text.size(), 0));
        EXPECT_EQ(0, bsd::close(peer));
    });
    const int client = connected(80);
    const std::string sent = text_of(2'000'000);
    EXPECT_EQ(static_cast<ssize_t>(sent.size()), bsd::send(client, sent.data(), sent.size(), 0));
    EXPECT_EQ(0, bsd::shutdown(client, SHUT_WR));
    EXPECT_EQ(-1, bsd::send(client, "x", 1, 0));
    EXPECT_EQ(EPIPE, errno);
    const std::string back = read_all(client);
    EXPECT_TRUE(sent == back) << back.size();
    server.join();
    EXPECT_EQ(0, bsd::close(client));
    EXPECT_EQ(0, bsd::close(listener));
}

TEST_F(bsd_sockets, BlockingCallsCarryBytesBothWays) {
    carry_both_ways();
}
TEST_F(bsd_one_worker, BlockingCallsCarryBytesBothWays) {
    carry_both_ways();
}

TEST_F(bsd_sockets, NothingBlocksThatMustNot) {
    const int listener = listening(80, SOCK_NONBLOCK);
    EXPECT_EQ(-1, bsd::accept(listener, nullptr, nullptr));
    EXPECT_EQ(EAGAIN, errno);
    const int client = bsd::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    // The host turns meanwhile: it may be done already.
    const int begun = bsd::connect(client, plain(at(80)), sizeof(sockaddr_in));
    EXPECT_TRUE(begun == 0 || errno == EINPROGRESS) << errno;
    pollfd wait{client, POLLOUT, 0};
    EXPECT_EQ(1, bsd::poll(&wait, 1, 10'000));
    EXPECT_EQ(POLLOUT, wait.revents);
    char byte = 0;
    EXPECT_EQ(-1, bsd::recv(client, &byte, 1, 0));
    EXPECT_EQ(EAGAIN, errno);
    EXPECT_EQ(-1, bsd::connect(client, plain(at(80)), sizeof(sockaddr_in)));
    EXPECT_EQ(EISCONN, errno);
    pollfd ready{listener, POLLIN, 0};
    EXPECT_EQ(1, bsd::poll(&ready, 1, 10'000));
    const int peer = bsd::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
    ASSERT_GE(peer, 0);
    // What nobody reads fills the buffers of both ends, and then there is no room.
    const std::string text(1 << 20, 'x');
    ssize_t all = 0;
    bool full = false;
    while (!full && all < (64 << 20)) {
        wait = {client, POLLOUT, 0};
        const bool quiet = bsd::poll(&wait, 1, 300) == 0; // or the host had no CPU: a refusal tells
        const ssize_t taken = bsd::send(client, text.data(), text.size(), 0);
        ASSERT_TRUE(taken > 0 || errno == EAGAIN) << errno;
        full = quiet && taken < 0;
        all += taken > 0 ? taken : 0;
    }
    EXPECT_TRUE(full) << all;
    bsd::close(client);
    bsd::close(peer);
    bsd::close(listener);
}

TEST_F(bsd_sockets, ARefusalIsTold) {
    const int client = bsd::socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(-1, bsd::connect(client, plain(at(81)), sizeof(sockaddr_in)));
    EXPECT_EQ(ECONNREFUSED, errno);
    const int other = bsd::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    EXPECT_EQ(-1, bsd::connect(other, plain(at(81)), sizeof(sockaddr_in)));
    if (errno == ECONNREFUSED) { // the host was quicker
        bsd::close(client);
        bsd::close(other);
        return;
    }
    EXPECT_EQ(EINPROGRESS, errno);
    pollfd wait{other, POLLOUT, 0};
    EXPECT_EQ(1, bsd::poll(&wait, 1, 10'000));
    EXPECT_TRUE(wait.revents & POLLERR);
    int error = 0;
    socklen_t length = sizeof error;
    EXPECT_EQ(0, bsd::getsockopt(other, SOL_SOCKET, SO_ERROR, &error, &length));
    EXPECT_EQ(ECONNREFUSED, error);
    bsd::close(client);
    bsd::close(other);
}

void serve_many() {
    constexpr unsigned count = 20;
    const int listener = listening(80, SOCK_NONBLOCK);
    const int epoll = bsd::epoll_create1(0);
    epoll_event add{EPOLLIN, {.fd = listener}};
    ASSERT_EQ(0, bsd::epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &add));
    EXPECT_EQ(-1, bsd::epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &add));
    EXPECT_EQ(EEXIST, errno);
    std::thread server([&] {
        for (unsigned closed = 0; closed < count;) {
            epoll_event events[8];
            const int ready = bsd::epoll_wait(epoll, events, 8, 20'000);
            ASSERT_GT(ready, 0);
            for (int i = 0; i < ready; ++i) {
                const int number = events[i].data.fd;
                if (number == listener) {
                    for (int peer;
                         (peer = bsd::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
                        epoll_event more{EPOLLIN | EPOLLET, {.fd = peer}};
                        EXPECT_EQ(0, bsd::epoll_ctl(epoll, EPOLL_CTL_ADD, peer, &more));
                    }
                    continue;
                }
                char room[512];
                ssize_t got = 0;
                while ((got = bsd::recv(number, room, sizeof room, 0)) > 0) {
                    EXPECT_EQ(got, bsd::send(number, room, static_cast<std::size_t>(got), 0));
                }
                if (got == 0) {
                    ++closed;
                    EXPECT_EQ(0, bsd::close(number));
                }
            }
        }
    });
    std::vector<std::thread> clients;
    for (unsigned i = 0; i < count; ++i) {
        clients.emplace_back([i] {
            const int client = connected(80);
            const std::string sent = text_of(1'000 + i * 1'000);
            EXPECT_EQ(
                static_cast<ssize_t>(sent.size()), bsd::send(client, sent.data(), sent.size(), 0));
            bsd::shutdown(client, SHUT_WR);
            EXPECT_TRUE(sent == read_all(client)) << i;
            bsd::close(client);
        });
    }
    for (std::thread& one : clients) {
        one.join();
    }
    server.join();
    EXPECT_EQ(0, bsd::close(epoll));
    EXPECT_EQ(0, bsd::close(listener));
}

TEST_F(bsd_sockets, EpollServesMany) {
    serve_many();
}
TEST_F(bsd_one_worker, EpollServesMany) {
    serve_many();
}

TEST_F(bsd_sockets, InformationIsInLinuxsLayout) {
    const int listener = listening(80);
    const int client = connected(80);
    const int peer = bsd::accept(listener, nullptr, nullptr);
    ::tcp_info info{};
    socklen_t length = sizeof info;
    ASSERT_EQ(0, bsd::getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &length));
    EXPECT_EQ(sizeof info, length);
    EXPECT_EQ(1, info.tcpi_state);
    EXPECT_GT(info.tcpi_snd_mss, 500u);
    EXPECT_GE(info.tcpi_snd_cwnd, 2u); // RFC 6928 for the large segments of a way to ourselves
    sockaddr_in mine{};
    sockaddr_in theirs{};
    length = sizeof mine;
    ASSERT_EQ(0, bsd::getsockname(client, reinterpret_cast<sockaddr*>(&mine), &length));
    length = sizeof theirs;
    ASSERT_EQ(0, bsd::getpeername(peer, reinterpret_cast<sockaddr*>(&theirs), &length));
    EXPECT_EQ(mine.sin_port, theirs.sin_port);
    EXPECT_EQ(mine.sin_addr.s_addr, theirs.sin_addr.s_addr);
    bsd::close(client);
    bsd::close(peer);
    bsd::close(listener);
}

TEST_F(bsd_sockets, AnAttemptMayBeRepeated) {
    const int client = bsd::socket(AF_INET, SOCK_STREAM, 0);
    for (unsigned i = 0; i < 3; ++i) {
        expect_error(ECONNREFUSED, bsd::connect(client, plain(at(80)), sizeof(sockaddr_in)));
    }
    const int listener = listening(80);
    ASSERT_EQ(0, bsd::connect(client, plain(at(80)), sizeof(sockaddr_in)));
    const int peer = bsd::accept(listener, nullptr, nullptr);
    EXPECT_EQ(2, bsd::send(client, "ab", 2, 0));
    EXPECT_EQ(0, bsd::close(client));
    EXPECT_EQ("ab", read_all(peer));
    EXPECT_EQ(0, bsd::close(peer));
    EXPECT_EQ(0, bsd::close(listener));
}

TEST_F(bsd_sockets, HalvesAreShut) {
    const int listener = listening(80);
    const int client = connected(80);
    const int peer = bsd::accept(listener, nullptr, nullptr);
    std::thread reads = blocked_in([client] {
        char byte;
        EXPECT_EQ(0, bsd::recv(client, &byte, 1, 0));
    });
    EXPECT_EQ(0, bsd::shutdown(client, SHUT_RD));
    reads.join();
    pollfd both{client, POLLIN | POLLOUT | POLLRDHUP, 0};
    EXPECT_EQ(1, bsd::poll(&both, 1, 0));
    EXPECT_EQ(POLLIN | POLLOUT | POLLRDHUP, both.revents);
    EXPECT_EQ(3, bsd::write(client, "abc", 3)); // the other half lives
    EXPECT_EQ(0, bsd::shutdown(client, SHUT_WR));
    EXPECT_EQ("abc", read_all(peer));
    EXPECT_EQ(1, bsd::poll(&both, 1, 0));
    EXPECT_TRUE(both.revents & POLLHUP);
    expect_error(EPIPE, bsd::write(client, "d", 1));
    for (const int number : {client, peer, listener}) {
        EXPECT_EQ(0, bsd::close(number));
    }
}

TEST_F(bsd_sockets, LingerResetsOrWaits) {
    const int listener = listening(80);
    int client = connected(80);
    int peer = bsd::accept(listener, nullptr, nullptr);
    ::linger wanted{1, 0};
    EXPECT_EQ(0, bsd::setsockopt(client, SOL_SOCKET, SO_LINGER, &wanted, sizeof wanted));
    EXPECT_EQ(0, bsd::close(client));
    char byte = 0;
    expect_error(ECONNRESET, bsd::recv(peer, &byte, 1, 0));
    EXPECT_EQ(0, bsd::close(peer));

    client = connected(80);
    peer = bsd::accept(listener, nullptr, nullptr);
    wanted.l_linger = 20;
    EXPECT_EQ(0, bsd::setsockopt(client, SOL_SOCKET, SO_LINGER, &wanted, sizeof wanted));
    const std::string text = text_of(200'000);
    EXPECT_EQ(200'000, bsd::send(client, text.data(), text.size(), 0));
    EXPECT_EQ(0, bsd::close(client)); // returns when the peer's TCP has it all
    EXPECT_TRUE(text == read_all(peer));
    EXPECT_EQ(0, bsd::close(peer));
    EXPECT_EQ(0, bsd::close(listener));
}

TEST_F(bsd_sockets, OptionsAreKeptAndInherited) {
    const int listener = listening(80);
    const auto set = [](int number, int level, int name, int value) {
        return bsd::setsockopt(number, level, name, &value, sizeof value);
    };
    const auto get = [](int number, int level, int name) {
        int value = -1;
        socklen_t length = sizeof value;
        EXPECT_EQ(0, bsd::getsockopt(number, level, name, &value, &length)) << name;
        EXPECT_EQ(sizeof value, length);
        return value;
    };
    EXPECT_EQ(0, set(listener, IPPROTO_TCP, TCP_NODELAY, 1));
    EXPECT_EQ(0, set(listener, SOL_SOCKET, SO_SNDBUF, 10'000));
    EXPECT_EQ(0, set(listener, SOL_SOCKET, SO_RCVBUF, 1)); // too small: as small as may be
    EXPECT_EQ(0, set(listener, IPPROTO_TCP, TCP_USER_TIMEOUT, 1'234));
    EXPECT_EQ(7'200, get(listener, IPPROTO_TCP, TCP_KEEPIDLE));
    EXPECT_EQ(0, set(listener, IPPROTO_TCP, TCP_KEEPIDLE, 32'767));
    EXPECT_EQ(0, set(listener, IPPROTO_TCP, TCP_KEEPINTVL, 1));
    EXPECT_EQ(0, set(listener, IPPROTO_TCP, TCP_KEEPCNT, 127));
    for (const int name : {TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT}) {
        expect_error(EINVAL, set(listener, IPPROTO_TCP, name, 0));
        expect_error(EINVAL, set(listener, IPPROTO_TCP, name, 32'768));
    }
    expect_error(EINVAL, set(listener, IPPROTO_TCP, TCP_MAXSEG, 87));
    EXPECT_EQ(0, set(listener, IPPROTO_TCP, TCP_MAXSEG, 600));
    EXPECT_EQ(600, get(listener, IPPROTO_TCP, TCP_MAXSEG));
    expect_error(ENOPROTOOPT, set(listener, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    expect_error(ENOPROTOOPT, set(listener, SOL_SOCKET, 9'999, 1));
    expect_error(EINVAL, set(listener, SOL_SOCKET, SO_SNDBUF, -1));
    const int client = connected(80);
    const int peer = bsd::accept(listener, nullptr, nullptr);
    EXPECT_EQ(1, get(peer, IPPROTO_TCP, TCP_NODELAY));
    EXPECT_EQ(0, get(client, IPPROTO_TCP, TCP_NODELAY));
    EXPECT_EQ(10'000, get(peer, SOL_SOCKET, SO_SNDBUF));
    EXPECT_EQ(4'096, get(peer, SOL_SOCKET, SO_RCVBUF));
    EXPECT_EQ(1'234, get(peer, IPPROTO_TCP, TCP_USER_TIMEOUT));
    EXPECT_EQ(SOCK_STREAM, get(peer, SOL_SOCKET, SO_TYPE));
    EXPECT_EQ(AF_INET, get(peer, SOL_SOCKET, SO_DOMAIN));
    EXPECT_EQ(1, get(listener, SOL_SOCKET, SO_ACCEPTCONN));
    EXPECT_EQ(0, get(peer, SOL_SOCKET, SO_ERROR));
    EXPECT_GT(get(peer, IPPROTO_TCP, TCP_MAXSEG), 500);
    EXPECT_LE(get(peer, IPPROTO_TCP, TCP_MAXSEG), 600);
    EXPECT_LE(get(client, IPPROTO_TCP, TCP_MAXSEG), 600); // the peer's SYN-ACK said so
    EXPECT_EQ(32'767, get(peer, IPPROTO_TCP, TCP_KEEPIDLE));
    EXPECT_EQ(127, get(peer, IPPROTO_TCP, TCP_KEEPCNT));
    EXPECT_EQ(1, get(peer, SOL_SOCKET, SO_OOBINLINE));
    EXPECT_EQ(O_RDWR, bsd::fcntl(peer, F_GETFL));
    EXPECT_EQ(0, bsd::fcntl(peer, F_SETFL, O_NONBLOCK));
    EXPECT_EQ(O_RDWR | O_NONBLOCK, bsd::fcntl(peer, F_GETFL));
    const std::string text(20'000, 'x'); // the small rings carry large things
    std::thread writes([&] { EXPECT_EQ(20'000, bsd::write(client, text.data(), text.size())); });
    EXPECT_EQ(0, bsd::fcntl(peer, F_SETFL, 0));
    std::string got(20'000, 0);
    EXPECT_EQ(20'000, bsd::recv(peer, got.data(), got.size(), MSG_WAITALL));
    writes.join();
    EXPECT_TRUE(text == got);
    const timeval soon{0, 20'000};
    EXPECT_EQ(0, bsd::setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon));
    expect_error(EAGAIN, bsd::read(peer, got.data(), 1));
    EXPECT_EQ(3, bsd::write(client, "abc", 3));
    pollfd wait{peer, POLLIN, 0};
    EXPECT_EQ(1, bsd::poll(&wait, 1, 10'000));
    int waiting = 0;
    EXPECT_EQ(0, bsd::ioctl(peer, FIONREAD, &waiting));
    EXPECT_EQ(3, waiting);
    EXPECT_EQ(2, bsd::recv(peer, got.data(), 2, MSG_PEEK));
    iovec halves[2] = {{got.data(), 1}, {got.data() + 10, 5}};
    EXPECT_EQ(3, bsd::readv(peer, halves, 2));
    EXPECT_EQ('a', got[0]);
    EXPECT_EQ('c', got[11]);
    for (const int number : {client, peer, listener}) {
        EXPECT_EQ(0, bsd::close(number));
    }
}

// Several threads accept from one listener, and as many connect; each connection is used by one
// thread that writes and one that reads at the same time.

void share_sockets() {
    constexpr unsigned servers = 3;
    constexpr unsigned clients = 4;
    constexpr unsigned turns = 5;
    const int listener = listening(80);
    std::atomic<unsigned> served{0};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < servers; ++i) {
        threads.emplace_back([&] {
            for (;;) {
                const int peer = bsd::accept(listener, nullptr, nullptr);
                if (peer < 0) {
                    return; // closed below
                }
                const std::string text = read_all(peer);
                EXPECT_EQ(
                    static_cast<ssize_t>(text.size()),
                    bsd::send(peer, text.data(), text.size(), 0));
                EXPECT_EQ(0, bsd::close(peer));
                ++served;
            }
        });
    }
    std::vector<std::thread> asking;
    for (unsigned i = 0; i < clients; ++i) {
        asking.emplace_back([i] {
            for (unsigned turn = 0; turn < turns; ++turn) {
                const int client = connected(80);
                const std::string sent = text_of(1'000 + i * 30'000 + turn);
                std::thread writes([&] {
                    EXPECT_EQ(
                        static_cast<ssize_t>(sent.size()),
                        bsd::send(client, sent.data(), sent.size(), 0));
                    EXPECT_EQ(0, bsd::shutdown(client, SHUT_WR));
                });
                EXPECT_TRUE(sent == read_all(client)) << i;
                writes.join();
                EXPECT_EQ(0, bsd::close(client));
            }
        });
    }
    for (std::thread& one : asking) {
        one.join();
    }
    while (served.load() != clients * turns) {
        std::this_thread::yield();
    }
    EXPECT_EQ(0, bsd::close(listener));
    for (std::thread& one : threads) {
        one.join();
    }
}

TEST_F(bsd_sockets, ThreadsShareSockets) {
    share_sockets();
}
TEST_F(bsd_one_worker, ThreadsShareSockets) {
    share_sockets();
}

} // namespace
} // namespace pantala::test
