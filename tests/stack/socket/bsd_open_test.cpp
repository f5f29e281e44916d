// How the BSD-shaped sockets get their ports and connections: ports of the host's choosing, bound
// ports, Fast Open.
#include "tests/stack/socket/running_host.hpp"

#include <set>

#include <linux/tcp.h>

namespace pantala::test {
namespace {

struct bsd_opening : with_host<3> {};
struct bsd_opening_anew : with_host<2> {}; // has no cookies

std::uint16_t port_of(int socket) {
    sockaddr_in mine{};
    socklen_t length = sizeof mine;
    EXPECT_EQ(0, bsd::getsockname(socket, reinterpret_cast<sockaddr*>(&mine), &length));
    return __builtin_bswap16(mine.sin_port);
}

TEST_F(bsd_opening, TheHostChoosesAPort) {
    std::set<std::uint16_t> ports;
    std::vector<int> listeners;
    for (unsigned i = 0; i < 8; ++i) {
        const int made = bsd::socket(AF_INET, SOCK_STREAM, 0);
        if (i % 2 == 0) {
            ASSERT_EQ(0, bsd::bind(made, plain(at(0, "0.0.0.0")), sizeof(sockaddr_in)));
            EXPECT_NE(0, port_of(made)); // before it listens
        }
        ASSERT_EQ(0, bsd::listen(made, 4));
        EXPECT_GE(port_of(made), 1'024);
        EXPECT_TRUE(ports.insert(port_of(made)).second);
        listeners.push_back(made);
    }
    for (const int listener : listeners) {
        const int client = connected(port_of(listener));
        const int peer = bsd::accept(listener, nullptr, nullptr);
        EXPECT_GE(peer, 0);
        EXPECT_EQ(port_of(listener), port_of(peer));
        for (const int number : {client, peer, listener}) {
            EXPECT_EQ(0, bsd::close(number));
        }
    }
}

// Whichever worker the flow belongs to.
TEST_F(bsd_opening, ABoundPortIsConnectedFrom) {
    const int listener = listening(80);
    for (std::uint16_t port = 5'000; port < 5'012; ++port) {
        const int client = bsd::socket(AF_INET, SOCK_STREAM, 0);
        ASSERT_EQ(0, bsd::bind(client, plain(at(port, "0.0.0.0")), sizeof(sockaddr_in)));
        ASSERT_EQ(0, bsd::connect(client, plain(at(80)), sizeof(sockaddr_in))) << errno;
        EXPECT_EQ(port, port_of(client));
        sockaddr_in from{};
        socklen_t length = sizeof from;
        const int peer = bsd::accept(listener, reinterpret_cast<sockaddr*>(&from), &length);
        EXPECT_EQ(port, __builtin_bswap16(from.sin_port));
        EXPECT_EQ(0, bsd::close(client));
        EXPECT_EQ(0, bsd::close(peer));
    }
    EXPECT_EQ(0, bsd::close(listener));
}

TEST_F(bsd_opening, IPv6OnlyMeansIt) {
    sockaddr_in6 all{};
    all.sin6_family = AF_INET6;
    all.sin6_port = __builtin_bswap16(90);
    const auto* address = reinterpret_cast<const sockaddr*>(&all);
    for (const int only : {0, 1}) {
        const int listener = bsd::socket(AF_INET6, SOCK_STREAM, 0);
        EXPECT_EQ(0, bsd::setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only));
        ASSERT_EQ(0, bsd::bind(listener, address, sizeof all));
        expect_error(
            EINVAL, bsd::setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only));
        int value = -1;
        socklen_t length = sizeof value;
        EXPECT_EQ(0, bsd::getsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &value, &length));
        EXPECT_EQ(only, value);
        ASSERT_EQ(0, bsd::listen(listener, 4));
        const int client = bsd::socket(AF_INET, SOCK_STREAM, 0);
        if (only != 0) {
            expect_error(ECONNREFUSED, bsd::connect(client, plain(at(90)), sizeof(sockaddr_in)));
        } else {
            EXPECT_EQ(0, bsd::connect(client, plain(at(90)), sizeof(sockaddr_in)));
            const int peer = bsd::accept(listener, nullptr, nullptr);
            EXPECT_EQ(0, bsd::close(peer));
        }
        EXPECT_EQ(0, bsd::close(client));
        EXPECT_EQ(0, bsd::close(listener));
    }
    const int only = 1;
    const int client = bsd::socket(AF_INET6, SOCK_STREAM, 0);
    EXPECT_EQ(0, bsd::setsockopt(client, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only));
    all.sin6_addr.s6_addr[10] = all.sin6_addr.s6_addr[11] = 0xff; // ::ffff:10.0.0.2
    all.sin6_addr.s6_addr[12] = 10;
    all.sin6_addr.s6_addr[15] = 2;
    expect_error(ENETUNREACH, bsd::connect(client, address, sizeof all));
    EXPECT_EQ(0, bsd::close(client));
}

bool syn_had_data(int socket) {
    ::tcp_info info{};
    socklen_t length = sizeof info;
    EXPECT_EQ(0, bsd::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length));
    return (info.tcpi_options & TCPI_OPT_SYN_DATA) != 0;
}

// Sends with the open, by `open`, and closes; the server's end reads `text`.
template <class Open>
void open_fast(int listener, bool with_data, Open open) {
    const int client = bsd::socket(AF_INET, SOCK_STREAM, 0);
    open(client);
    const int peer = bsd::accept(listener, nullptr, nullptr);
    char room[8] = {};
    EXPECT_EQ(5, bsd::recv(peer, room, 5, MSG_WAITALL));
    EXPECT_STREQ("hello", room);
    EXPECT_EQ(2, bsd::send(peer, "ok", 2, 0));
    EXPECT_EQ(2, bsd::recv(client, room, 2, MSG_WAITALL));
    EXPECT_EQ(with_data, syn_had_data(client));
    EXPECT_EQ(with_data, syn_had_data(peer));
    EXPECT_EQ(0, bsd::close(client));
    EXPECT_EQ(0, bsd::close(peer));
}

TEST_F(bsd_opening, FastOpenSendsWithTheSyn) {
    const int listener = bsd::socket(AF_INET, SOCK_STREAM, 0);
    int value = 8;
    EXPECT_EQ(0, bsd::setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &value, sizeof value));
    EXPECT_EQ(0, bsd::bind(listener, plain(at(80, "0.0.0.0")), sizeof(sockaddr_in)));
    EXPECT_EQ(0, bsd::listen(listener, 8));
    const auto by_flag = [](int client) {
        EXPECT_EQ(
            5, bsd::sendto(client, "hello", 5, MSG_FASTOPEN, plain(at(80)), sizeof(sockaddr_in)));
    };
    const auto by_option = [](int client) {
        const int on = 1;
        EXPECT_EQ(0, bsd::setsockopt(client, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on));
        EXPECT_EQ(0, bsd::connect(client, plain(at(80)), sizeof(sockaddr_in)));
        pollfd wait{client, POLLOUT, 0};
        EXPECT_EQ(1, bsd::poll(&wait, 1, 10'000));
        EXPECT_EQ(POLLOUT, wait.revents);
        EXPECT_EQ(5, bsd::send(client, "hello", 5, 0));
    };
    open_fast(listener, false, by_flag); // asks for a cookie
    open_fast(listener, true, by_flag);
    open_fast(listener, true, by_option);
    expect_error(EFAULT, bsd::sendto(listener, nullptr, 5, MSG_FASTOPEN, nullptr, 0));
    value = 0; // the listener takes no more of it
    EXPECT_EQ(0, bsd::setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &value, sizeof value));
    open_fast(listener, false, by_flag);
    EXPECT_EQ(0, bsd::close(listener));
}

TEST_F(bsd_opening_anew, FastOpenWithoutACookieSendsNothingThatWouldWait) {
    const int listener = listening(81);
    const int client = bsd::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const auto send = [&](const char* text, std::size_t count, const sockaddr* to) {
        return bsd::sendto(client, text, count, MSG_FASTOPEN, to, sizeof(sockaddr_in));
    };
    expect_error(EINVAL, send("a", 1, nullptr));
    expect_error(ENETUNREACH, send("a", 1, plain(at(81, "192.0.2.1"))));
    expect_error(EFAULT, send(nullptr, 1, plain(at(81))));
    expect_error(EINPROGRESS, send("a", 1, plain(at(81))));
    pollfd wait{client, POLLOUT, 0};
    EXPECT_EQ(1, bsd::poll(&wait, 1, 10'000));
    EXPECT_EQ(1, send("b", 1, plain(at(81)))); // the flag means nothing any more
    EXPECT_EQ(0, bsd::close(client));
    const int peer = bsd::accept(listener, nullptr, nullptr);
    EXPECT_EQ("b", read_all(peer));
    EXPECT_EQ(0, bsd::close(peer));
    EXPECT_EQ(0, bsd::close(listener));
    const int refused = bsd::socket(AF_INET, SOCK_STREAM, 0);
    expect_error(
        ECONNREFUSED,
        bsd::sendto(refused, "c", 1, MSG_FASTOPEN, plain(at(82)), sizeof(sockaddr_in)));
    EXPECT_EQ(0, bsd::close(refused));
}

} // namespace
} // namespace pantala::test
