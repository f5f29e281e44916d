// What the BSD-shaped sockets do when they are used wrongly, closed under a caller, or left alone.
#include "tests/stack/socket/running_host.hpp"

#include <linux/tcp.h>
#include <sys/wait.h>

namespace pantala::test {
namespace {

struct bsd_misuse : with_host<3> {};
struct bsd_end : testing::Test {};

TEST_F(bsd_misuse, UnreadBytesMakeAReset) {
    const int listener = listening(80);
    const int client = connected(80);
    const int peer = bsd::accept(listener, nullptr, nullptr);
    EXPECT_EQ(3, bsd::send(client, "abc", 3, 0));
    pollfd wait{peer, POLLIN, 0};
    EXPECT_EQ(1, bsd::poll(&wait, 1, 10'000));
    EXPECT_EQ(0, bsd::close(peer));
    char byte = 0;
    EXPECT_EQ(-1, bsd::recv(client, &byte, 1, 0));
    EXPECT_EQ(ECONNRESET, errno);
    bsd::close(client);
    bsd::close(listener);
}

TEST_F(bsd_misuse, MisuseIsAnError) {
    char byte = 0;
    const int fresh = bsd::socket(AF_INET, SOCK_STREAM, 0);
    expect_error(EBADF, bsd::close(12'345));
    expect_error(EBADF, bsd::close(-1));
    expect_error(EBADF, bsd::recv(INT_MAX, &byte, 1, 0));
    expect_error(EAFNOSUPPORT, bsd::socket(AF_UNIX, SOCK_STREAM, 0));
    expect_error(EPROTONOSUPPORT, bsd::socket(AF_INET, SOCK_RAW, 0));
    expect_error(ENOTCONN, bsd::recv(fresh, &byte, 1, 0));
    expect_error(ENOTCONN, bsd::send(fresh, &byte, 1, 0));
    expect_error(ENOTCONN, bsd::shutdown(fresh, SHUT_WR));
    expect_error(EINVAL, bsd::shutdown(fresh, 7));
    expect_error(EINVAL, bsd::accept(fresh, nullptr, nullptr));
    expect_error(EINVAL, bsd::accept4(fresh, nullptr, nullptr, 1));
    expect_error(EINVAL, bsd::bind(fresh, plain(at(1)), 3));
    expect_error(ENETUNREACH, bsd::connect(fresh, plain(at(1, "192.0.2.1")), sizeof(sockaddr_in)));
    const int listener = listening(80);
    ASSERT_EQ(0, bsd::bind(fresh, plain(at(80, "0.0.0.0")), sizeof(sockaddr_in)));
    expect_error(EADDRINUSE, bsd::listen(fresh, 1));
    expect_error(EINVAL, bsd::bind(fresh, plain(at(81, "0.0.0.0")), sizeof(sockaddr_in)));
    expect_error(ENOTCONN, bsd::recv(listener, &byte, 1, 0));
    expect_error(EISCONN, bsd::connect(listener, plain(at(80)), sizeof(sockaddr_in)));
    sockaddr_in address{};
    socklen_t length = sizeof address;
    expect_error(ENOTCONN, bsd::getpeername(fresh, reinterpret_cast<sockaddr*>(&address), &length));
    expect_error(EFAULT, bsd::getsockname(fresh, nullptr, &length));
    EXPECT_EQ(0, bsd::close(fresh));
    expect_error(EBADF, bsd::close(fresh));
    EXPECT_EQ(0, bsd::close(listener));
}

TEST_F(bsd_misuse, PointersToNowhereAndHugeSizes) {
    const int listener = listening(80);
    const int client = connected(80);
    const int peer = bsd::accept(listener, nullptr, nullptr);
    expect_error(EFAULT, bsd::send(client, nullptr, 10, 0));
    expect_error(EFAULT, bsd::recv(client, nullptr, 10, 0));
    expect_error(EFAULT, bsd::sendmsg(client, nullptr, 0));
    char byte = 'b';
    expect_error(EINVAL, bsd::send(client, &byte, SIZE_MAX, 0));
    expect_error(EOPNOTSUPP, bsd::send(client, &byte, 1, MSG_OOB));
    expect_error(EINVAL, bsd::writev(client, nullptr, -1));
    expect_error(EFAULT, bsd::writev(client, nullptr, 1));
    msghdr message{};
    iovec one{&byte, 1};
    message.msg_iov = &one;
    message.msg_iovlen = 1'000'000;
    expect_error(EMSGSIZE, bsd::sendmsg(client, &message, 0));
    message.msg_iovlen = 1;
    EXPECT_EQ(1, bsd::sendmsg(client, &message, 0));
    EXPECT_EQ(0, bsd::send(client, nullptr, 0, 0));
    char room[4];
    EXPECT_EQ(1, bsd::recv(peer, room, std::size_t{1} << 40, 0)); // no more than there is
    expect_error(EFAULT, bsd::poll(nullptr, 1, 0));
    pollfd none{-5, POLLIN, 0};
    expect_error(EINVAL, bsd::poll(&none, std::size_t{1} << 40, 0));
    EXPECT_EQ(0, bsd::poll(&none, 1, 1));
    expect_error(EFAULT, bsd::getsockopt(client, SOL_SOCKET, SO_ERROR, nullptr, nullptr));
    expect_error(EFAULT, bsd::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, nullptr, 4));
    for (const int number : {client, peer, listener}) {
        EXPECT_EQ(0, bsd::close(number));
    }
}

TEST_F(bsd_misuse, EpollMisuse) {
    const int fresh = bsd::socket(AF_INET, SOCK_STREAM, 0);
    const int epoll = bsd::epoll_create1(0);
    char byte = 0;
    epoll_event events[1] = {};
    expect_error(ENOTSOCK, bsd::recv(epoll, &byte, 1, 0));
    expect_error(ENOENT, bsd::epoll_ctl(epoll, EPOLL_CTL_DEL, fresh, nullptr));
    expect_error(EINVAL, bsd::epoll_ctl(epoll, 77, fresh, events));
    expect_error(EFAULT, bsd::epoll_ctl(epoll, EPOLL_CTL_ADD, fresh, nullptr));
    expect_error(EINVAL, bsd::epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, events));
    expect_error(EINVAL, bsd::epoll_create1(1 << 20));
    EXPECT_EQ(0, bsd::epoll_wait(epoll, events, 1, 10));
    expect_error(EINVAL, bsd::epoll_wait(fresh, events, 1, 10));
    expect_error(EINVAL, bsd::epoll_wait(epoll, events, 0, 10));
    pollfd bad{777, POLLIN, 0};
    EXPECT_EQ(1, bsd::poll(&bad, 1, 0));
    EXPECT_EQ(POLLNVAL, bad.revents);
    bsd::close(fresh);
    std::thread waits = blocked_in([epoll] {
        epoll_event event;
        expect_error(EBADF, bsd::epoll_wait(epoll, &event, 1, -1));
    });
    EXPECT_EQ(0, bsd::close(epoll));
    waits.join();
}

TEST_F(bsd_misuse, CloseWakesThoseWhoWait) {
    const int listener = listening(80);
    const int client = connected(80);
    const int peer = bsd::accept(listener, nullptr, nullptr);
    std::thread reads = blocked_in([client] {
        char byte;
        expect_error(EBADF, bsd::recv(client, &byte, 1, 0));
    });
    std::thread accepts =
        blocked_in([listener] { expect_error(EBADF, bsd::accept(listener, nullptr, nullptr)); });
    EXPECT_EQ(0, bsd::close(client));
    EXPECT_EQ(0, bsd::close(listener));
    reads.join();
    accepts.join();
    EXPECT_EQ("", read_all(peer)); // an orderly end
    std::thread writes = blocked_in([peer] {
        const std::string text(1 << 20, 'x');
        EXPECT_LT(bsd::send(peer, text.data(), text.size(), 0), 1 << 20); // nobody reads
    });
    writes.join();
    EXPECT_EQ(0, bsd::close(peer));
}

TEST_F(bsd_misuse, CloseWakesAWriter) {
    const int listener = listening(80);
    const int client = connected(80);
    const int peer = bsd::accept(listener, nullptr, nullptr);
    std::thread writes = blocked_in([client] {
        const std::string text(16 << 20, 'x');
        const ssize_t sent = bsd::send(client, text.data(), text.size(), 0);
        EXPECT_LT(sent, static_cast<ssize_t>(text.size()));
    });
    EXPECT_EQ(0, bsd::close(client));
    writes.join();
    EXPECT_EQ(0, bsd::close(peer));
    EXPECT_EQ(0, bsd::close(listener));
}

TEST_F(bsd_end, IsTold) {
    auto host = std::make_unique<running_host>(2);
    const int listener = listening(80);
    const int client = connected(80);
    std::thread reads = blocked_in([client] {
        char byte;
        expect_error(ECONNABORTED, bsd::recv(client, &byte, 1, 0));
    });
    const int peer = bsd::accept(listener, nullptr, nullptr);
    std::thread accepts =
        blocked_in([listener] { expect_error(ENETDOWN, bsd::accept(listener, nullptr, nullptr)); });
    host.reset();
    reads.join();
    accepts.join();
    char byte = 0;
    expect_error(ECONNABORTED, bsd::recv(peer, &byte, 1, 0));
    expect_error(EPIPE, bsd::send(peer, &byte, 1, 0));
    const int fresh = bsd::socket(AF_INET, SOCK_STREAM, 0);
    expect_error(ENETDOWN, bsd::connect(fresh, plain(at(80)), sizeof(sockaddr_in)));
    for (const int number : {listener, client, peer, fresh}) {
        EXPECT_EQ(0, bsd::close(number));
    }
}

TEST_F(bsd_misuse, AForksChildHasNothing) {
    const int listener = listening(80);
    const pid_t child = fork();
    if (child == 0) {
        char byte = 0;
        const bool closed = bsd::recv(listener, &byte, 1, 0) == -1 && errno == EBADF;
        const bool none = bsd::socket(AF_INET, SOCK_STREAM, 0) == -1 && errno == ENETDOWN;
        const bool no_epoll = bsd::epoll_create1(0) == -1 && errno == ENETDOWN;
        _exit(closed && none && no_epoll ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(child, waitpid(child, &status, 0));
    EXPECT_EQ(0, status);
    const int client = connected(80); // here all goes on
    EXPECT_EQ(0, bsd::close(client));
    EXPECT_EQ(0, bsd::close(listener));
}

TEST_F(bsd_misuse, ABacklogIsALimit) {
    const int listener = bsd::socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(0, bsd::bind(listener, plain(at(80, "0.0.0.0")), sizeof(sockaddr_in)));
    EXPECT_EQ(0, bsd::listen(listener, 2));
    std::vector<int> clients;
    for (unsigned i = 0; i < 5; ++i) {
        clients.push_back(connected(80));
    }
    unsigned reset = 0;
    for (const int client : clients) {
        pollfd wait{client, POLLIN, 0};
        reset += bsd::poll(&wait, 1, 50) == 1 && (wait.revents & POLLHUP) != 0 ? 1 : 0;
    }
    EXPECT_EQ(3u, reset);
    for (unsigned i = 0; i < 2; ++i) {
        const int peer = bsd::accept(listener, nullptr, nullptr);
        EXPECT_GE(peer, 0);
        EXPECT_EQ(0, bsd::close(peer));
    }
    for (const int client : clients) {
        EXPECT_EQ(0, bsd::close(client));
    }
    EXPECT_EQ(0, bsd::close(listener));
}

} // namespace
} // namespace pantala::test
