// What manual pages promise and programs rely on: recv(2), signal(7), listen(2), shutdown(2),
// poll(2), epoll_ctl(2), close(2).
#include "tests/stack/socket/running_host.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <linux/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/select.h>

namespace pantala::test {
namespace {

struct bsd_promises : with_host<2> {
    void SetUp() override {
        listener = bsd::socket(AF_INET, SOCK_STREAM, 0);
        const int little = 4'096;
        EXPECT_EQ(0, bsd::setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &little, sizeof little));
        EXPECT_EQ(0, bsd::bind(listener, plain(at(80, "0.0.0.0")), sizeof(sockaddr_in)));
        EXPECT_EQ(0, bsd::listen(listener, 64));
    }
    void TearDown() override {
        for (const int number : {client, peer, listener}) {
            if (number >= 0) {
                EXPECT_EQ(0, bsd::close(number));
            }
        }
    }
    void join_two() {
        client = connected(80);
        peer = bsd::accept(listener, nullptr, nullptr);
        ASSERT_LE(0, peer);
    }
    static void wait_for_bytes(int socket, int wanted) {
        for (int there = 0; there < wanted;) {
            ASSERT_EQ(0, bsd::ioctl(socket, FIONREAD, &there));
        }
    }
    static void rounds(unsigned count) { host->wait_turns(count); }

    int listener = -1;
    int client = -1;
    int peer = -1;
};

std::string letters(std::size_t count) {
    std::string text(count, ' ');
    for (std::size_t i = 0; i < count; ++i) {
        text[i] = static_cast<char>('a' + i * 7 % 26);
    }
    return text;
}

// Who waits for a whole head and looks at what there is must see all of it.
TEST_F(bsd_promises, PeekSeesWhatLiesInTwoPieces) {
    join_two();
    const std::string text = letters(4'090);
    std::array<char, 4'096> room;
    ASSERT_EQ(4'090, bsd::send(client, text.data(), text.size(), 0));
    ASSERT_EQ(4'090, bsd::recv(peer, room.data(), text.size(), MSG_WAITALL));
    ASSERT_EQ(100, bsd::send(client, text.data(), 100, 0));
    wait_for_bytes(peer, 100);
    EXPECT_EQ(100, bsd::recv(peer, room.data(), room.size(), MSG_PEEK));
    EXPECT_EQ(text.substr(0, 100), std::string(room.data(), 100));
    iovec both[2] = {{room.data() + 200, 3}, {room.data() + 300, 50}};
    msghdr message{};
    message.msg_iov = both;
    message.msg_iovlen = 2;
    EXPECT_EQ(53, bsd::recvmsg(peer, &message, MSG_PEEK));
    EXPECT_EQ(text.substr(0, 3), std::string(room.data() + 200, 3));
    EXPECT_EQ(text.substr(3, 50), std::string(room.data() + 300, 50));
    EXPECT_EQ(100, bsd::recv(peer, room.data(), room.size(), 0)); // it is still there
}

TEST_F(bsd_promises, PeekWaitsForAllIfAsked) {
    join_two();
    std::thread looks = blocked_in([this] {
        char room[10];
        EXPECT_EQ(10, bsd::recv(peer, room, sizeof room, MSG_PEEK | MSG_WAITALL));
        EXPECT_EQ("abcdefghij", std::string(room, 10));
    });
    EXPECT_EQ(3, bsd::send(client, "abc", 3, 0));
    rounds(20);
    EXPECT_EQ(7, bsd::send(client, "defghij", 7, 0));
    looks.join();
    // More than ever fits: what fits is told, instead of waiting for ever.
    const std::string text = letters(10'000);
    EXPECT_EQ(10'000, bsd::send(client, text.data(), text.size(), 0));
    std::array<char, 10'000> room;
    EXPECT_EQ(4'096, bsd::recv(peer, room.data(), room.size(), MSG_PEEK | MSG_WAITALL));
}

// tcp(7): MSG_TRUNC throws bytes away without a buffer.
TEST_F(bsd_promises, BytesOfAStreamAreThrownAway) {
    join_two();
    const std::string text = letters(20'000);
    std::thread sends(
        [this, &text] { EXPECT_EQ(20'000, bsd::send(client, text.data(), text.size(), 0)); });
    EXPECT_EQ(19'990, bsd::recv(peer, nullptr, 19'990, MSG_TRUNC | MSG_WAITALL));
    char rest[10] = "untouched";
    EXPECT_EQ(4, bsd::recv(peer, rest, 4, MSG_TRUNC | MSG_WAITALL));
    EXPECT_STREQ("untouched", rest);
    EXPECT_EQ(6, bsd::recv(peer, rest, 6, MSG_WAITALL));
    EXPECT_EQ(text.substr(19'994), std::string(rest, 6));
    sends.join();
}

TEST_F(bsd_promises, FlagsThatMeanNothingHereAreTaken) {
    join_two();
    EXPECT_EQ(1, bsd::send(client, "a", 1, MSG_EOR | MSG_CONFIRM | MSG_NOSIGNAL));
    char byte = 0;
    iovec one{&byte, 1};
    msghdr message{};
    message.msg_iov = &one;
    message.msg_iovlen = 1;
    EXPECT_EQ(1, bsd::recvmsg(peer, &message, MSG_CMSG_CLOEXEC));
    expect_error(EINVAL, bsd::recv(peer, &byte, 1, MSG_OOB));      // there never is any
    expect_error(EAGAIN, bsd::recv(peer, &byte, 1, MSG_ERRQUEUE)); // as little
}

// ---------------------------------------------------------------------------------------------

void handle(bool restart) {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    action.sa_flags = restart ? SA_RESTART : 0;
    ASSERT_EQ(0, sigaction(SIGUSR1, &action, nullptr));
}

// Sends it the signal until it has returned.
template <class Work>
void interrupted(Work work) {
    std::atomic<bool> done{false};
    std::thread thread = blocked_in([&] {
        work();
        done = true;
    });
    while (!done) {
        pthread_kill(thread.native_handle(), SIGUSR1);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    thread.join();
}

TEST_F(bsd_promises, ASignalInterrupts) {
    join_two();
    handle(false);
    const int datagrams = bsd::socket(AF_INET, SOCK_DGRAM, 0);
    ASSERT_EQ(0, bsd::bind(datagrams, plain(at(53)), sizeof(sockaddr_in)));
    char byte = 0;
    interrupted([&] { expect_error(EINTR, bsd::recv(peer, &byte, 1, 0)); });
    interrupted([&] { expect_error(EINTR, bsd::recv(datagrams, &byte, 1, 0)); });
    interrupted([&] { expect_error(EINTR, bsd::accept(listener, nullptr, nullptr)); });
    const std::string text = letters(4 << 20);
    interrupted([&] {
        ssize_t sent = 0;
        do { // what had been taken counts
            sent = bsd::send(client, text.data(), text.size(), 0);
            EXPECT_GT(4 << 20, sent);
        } while (sent > 0);
        expect_error(EINTR, sent);
    });
    EXPECT_EQ(0, bsd::close(datagrams));
}

// signal(7): poll and epoll_wait return whatever SA_RESTART says, the others go on.
TEST_F(bsd_promises, AHandlerThatRestartsInterruptsOnlyPolls) {
    join_two();
    handle(true);
    const int epoll = bsd::epoll_create1(0);
    epoll_event event{EPOLLIN, {}};
    ASSERT_EQ(0, bsd::epoll_ctl(epoll, EPOLL_CTL_ADD, peer, &event));
    interrupted([&] { expect_error(EINTR, bsd::epoll_wait(epoll, &event, 1, -1)); });
    interrupted([&] {
        pollfd wait{peer, POLLIN, 0};
        expect_error(EINTR, bsd::poll(&wait, 1, 3'600'000));
    });
    std::thread reads = blocked_in([this] {
        char byte = 0;
        EXPECT_EQ(1, bsd::recv(peer, &byte, 1, 0)) << errno;
    });
    pthread_kill(reads.native_handle(), SIGUSR1);
    EXPECT_EQ(1, bsd::send(client, "a", 1, 0));
    reads.join();
    EXPECT_EQ(0, bsd::close(epoll));
}

// ---------------------------------------------------------------------------------------------

// While close() waits for the peer to take everything, nobody else does.
TEST_F(bsd_promises, LingeringHoldsUpNobodyElse) {
    join_two();
    const int closing = std::exchange(client, -1);
    const ::linger wanted{1, 600};
    ASSERT_EQ(0, bsd::setsockopt(closing, SOL_SOCKET, SO_LINGER, &wanted, sizeof wanted));
    const int epoll = bsd::epoll_create1(0);
    epoll_event event{EPOLLIN, {}};
    ASSERT_EQ(0, bsd::epoll_ctl(epoll, EPOLL_CTL_ADD, closing, &event));
    const std::string text = letters(4 << 20); // more than the peer's ring and window take
    ssize_t sent = bsd::send(closing, text.data(), text.size(), MSG_DONTWAIT);
    rounds(10);
    sent += std::max<ssize_t>(bsd::send(closing, text.data(), text.size(), MSG_DONTWAIT), 0);
    char byte = 0;
    std::thread reads = blocked_in([&] { expect_error(EBADF, bsd::recv(closing, &byte, 1, 0)); });
    std::atomic<bool> closed{false};
    std::thread closes([&] {
        EXPECT_EQ(0, bsd::close(closing));
        closed = true;
    });
    reads.join();
    EXPECT_EQ(0, bsd::epoll_wait(epoll, &event, 1, 0)); // nor does who looks
    EXPECT_FALSE(closed);
    EXPECT_EQ(static_cast<std::size_t>(sent), read_all(peer).size());
    closes.join();
    EXPECT_EQ(0, bsd::close(epoll));
}

// What the peer's closed window holds back is not there yet, though all that was sent is.
TEST_F(bsd_promises, LingeringWaitsForWhatNoWindowTakes) {
    join_two();
    const int closing = std::exchange(client, -1);
    const ::linger wanted{1, 600};
    ASSERT_EQ(0, bsd::setsockopt(closing, SOL_SOCKET, SO_LINGER, &wanted, sizeof wanted));
    const std::string text = letters(10'000);
    ssize_t sent = 0;
    for (bool held_back = false; !held_back;) {
        ASSERT_EQ(10'000, bsd::send(closing, text.data(), 10'000, 0));
        sent += 10'000;
        rounds(10);
        ::tcp_info info{};
        socklen_t length = sizeof info;
        ASSERT_EQ(0, bsd::getsockopt(closing, IPPROTO_TCP, TCP_INFO, &info, &length));
        held_back = info.tcpi_notsent_bytes != 0 && info.tcpi_unacked == 0;
    }
    std::atomic<bool> closed{false};
    std::thread closes = blocked_in([&] {
        EXPECT_EQ(0, bsd::close(closing));
        closed = true;
    });
    rounds(30);
    EXPECT_FALSE(closed);
    EXPECT_EQ(static_cast<std::size_t>(sent), read_all(peer).size());
    closes.join();
}

TEST_F(bsd_promises, ANegativeBacklogIsTheLargest) {
    const int many = bsd::socket(AF_INET, SOCK_STREAM, 0);
    ASSERT_EQ(0, bsd::bind(many, plain(at(81, "0.0.0.0")), sizeof(sockaddr_in)));
    ASSERT_EQ(0, bsd::listen(many, 1));
    ASSERT_EQ(0, bsd::listen(many, -1)); // and it may be changed
    std::vector<int> clients;
    for (unsigned i = 0; i < 3; ++i) {
        clients.push_back(connected(81));
    }
    rounds(20);
    bsd::fcntl(many, F_SETFL, O_NONBLOCK);
    for (const int one : clients) {
        const int accepted = bsd::accept(many, nullptr, nullptr);
        EXPECT_LE(0, accepted);
        bsd::close(accepted);
        EXPECT_EQ(0, bsd::close(one));
    }
    EXPECT_EQ(0, bsd::close(many));
}

// Linux: how servers wake the threads that accept.
TEST_F(bsd_promises, AListenersShutdownEndsAccept) {
    EXPECT_EQ(0, bsd::shutdown(listener, SHUT_WR)); // nothing to shut
    std::thread accepts =
        blocked_in([this] { expect_error(EINVAL, bsd::accept(listener, nullptr, nullptr)); });
    EXPECT_EQ(0, bsd::shutdown(listener, SHUT_RD));
    accepts.join();
    const int refused = bsd::socket(AF_INET, SOCK_STREAM, 0);
    expect_error(ECONNREFUSED, bsd::connect(refused, plain(at(80)), sizeof(sockaddr_in)));
    EXPECT_EQ(0, bsd::close(refused));
    EXPECT_EQ(0, bsd::listen(listener, 1));
    join_two();
}

TEST_F(bsd_promises, ASocketThatIsClosedEndsPoll) {
    join_two();
    const int closing = std::exchange(client, -1);
    std::thread polls = blocked_in([closing] {
        pollfd wait{closing, POLLIN, 0};
        EXPECT_EQ(1, bsd::poll(&wait, 1, -1));
        EXPECT_EQ(POLLNVAL, wait.revents);
    });
    EXPECT_EQ(0, bsd::close(closing));
    polls.join();
}

TEST_F(bsd_promises, PollKnowsTheOtherNamesOfReadiness) {
    join_two();
    EXPECT_EQ(1, bsd::send(client, "a", 1, 0));
    pollfd wait[2] = {{peer, POLLRDNORM, 0}, {client, POLLWRNORM, 0}};
    EXPECT_EQ(1, bsd::poll(wait, 1, 10'000));
    EXPECT_EQ(POLLRDNORM, wait[0].revents);
    EXPECT_EQ(2, bsd::poll(wait, 2, 10'000));
    EXPECT_EQ(POLLWRNORM, wait[1].revents);
    wait[0].events = POLLIN | POLLRDNORM | POLLRDBAND | POLLPRI;
    EXPECT_EQ(1, bsd::poll(wait, 1, 10'000));
    EXPECT_EQ(POLLIN | POLLRDNORM, wait[0].revents);
}

TEST_F(bsd_promises, SelectIsPollInAnotherShape) {
    join_two();
    fd_set reads;
    fd_set writes;
    fd_set excepts;
    const auto all = [&](fd_set& set) {
        FD_ZERO(&set);
        for (const int number : {client, peer, listener}) {
            FD_SET(number, &set);
        }
    };
    all(reads);
    all(writes);
    all(excepts);
    timeval none{};
    const int count = std::max({client, peer, listener}) + 1;
    EXPECT_EQ(2, bsd::select(count, &reads, &writes, &excepts, &none));
    for (const int number : {client, peer, listener}) {
        EXPECT_FALSE(FD_ISSET(number, &reads) || FD_ISSET(number, &excepts));
        EXPECT_EQ(number != listener, static_cast<bool>(FD_ISSET(number, &writes)));
    }
    all(reads);
    EXPECT_EQ(0, bsd::select(count, &reads, nullptr, nullptr, &none));
    EXPECT_FALSE(FD_ISSET(peer, &reads));
    all(reads);
    std::thread waits = blocked_in([&] {
        EXPECT_EQ(1, bsd::select(count, &reads, nullptr, nullptr, nullptr));
        EXPECT_TRUE(FD_ISSET(peer, &reads));
    });
    EXPECT_EQ(1, bsd::send(client, "a", 1, 0));
    waits.join();
    timeval wrong{0, 1'000'000};
    expect_error(EINVAL, bsd::select(count, nullptr, nullptr, nullptr, &wrong));
    expect_error(EINVAL, bsd::select(FD_SETSIZE + 1, nullptr, nullptr, nullptr, &none));
    FD_SET(1'000, &reads);
    expect_error(EBADF, bsd::select(1'001, &reads, nullptr, nullptr, &none));
}

TEST_F(bsd_promises, WhatIsOnItsWayIsKnown) {
    ::tcp_info info{};
    socklen_t length = sizeof info;
    client = connected(80);
    rounds(10);
    ASSERT_EQ(0, bsd::getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length));
    EXPECT_EQ(1U, info.tcpi_unacked); // as Linux has it: who waits for accept,
    EXPECT_EQ(64U, info.tcpi_sacked); // and how many may
    peer = bsd::accept(listener, nullptr, nullptr);
    int bytes = -1;
    EXPECT_EQ(0, bsd::ioctl(client, TIOCOUTQ, &bytes));
    EXPECT_EQ(0, bytes);
    const std::string text = letters(200'000); // the peer reads nothing
    const ssize_t sent = bsd::send(client, text.data(), text.size(), 0);
    EXPECT_EQ(200'000, sent);
    rounds(10);
    EXPECT_EQ(0, bsd::ioctl(client, TIOCOUTQ, &bytes));
    EXPECT_LT(0, bytes);
    EXPECT_GE(sent, bytes);
    std::thread reads([&] {
        std::array<char, 10'000> room;
        for (ssize_t got = 0; got < sent;) {
            got += bsd::recv(peer, room.data(), room.size(), 0);
        }
    });
    while (bytes != 0) {
        ASSERT_EQ(0, bsd::ioctl(client, TIOCOUTQ, &bytes));
    }
    reads.join();
    expect_error(EINVAL, bsd::ioctl(listener, TIOCOUTQ, &bytes));
}

TEST_F(bsd_promises, SeveralMessagesInACall) {
    const int datagrams = bsd::socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in self = at(53);
    ASSERT_EQ(0, bsd::bind(datagrams, plain(self), sizeof self));
    std::array<iovec, 3> pieces;
    std::array<mmsghdr, 3> all{};
    std::array<std::string, 3> texts{"a", "bc", "def"};
    for (std::size_t i = 0; i < all.size(); ++i) {
        pieces[i] = {texts[i].data(), texts[i].size()};
        all[i].msg_hdr.msg_iov = &pieces[i];
        all[i].msg_hdr.msg_iovlen = 1;
        all[i].msg_hdr.msg_name = &self;
        all[i].msg_hdr.msg_namelen = sizeof self;
    }
    EXPECT_EQ(3, bsd::sendmmsg(datagrams, all.data(), 3, 0));
    EXPECT_EQ(2U, all[1].msg_len);
    std::array<std::array<char, 8>, 3> room{};
    int got = 0;
    while (got < 3) { // they may come in two rounds
        for (std::size_t i = 0; i < all.size(); ++i) {
            pieces[i] = {room[i].data(), room[i].size()};
        }
        const int now = bsd::recvmmsg(datagrams, all.data(), 3, MSG_WAITFORONE);
        ASSERT_LT(0, now) << errno;
        for (int i = 0; i < now; ++i, ++got) {
            const auto& one = all[static_cast<std::size_t>(i)];
            EXPECT_EQ(
                texts[static_cast<std::size_t>(got)],
                std::string(static_cast<char*>(one.msg_hdr.msg_iov->iov_base), one.msg_len));
        }
    }
    expect_error(EAGAIN, bsd::recvmmsg(datagrams, all.data(), 3, MSG_DONTWAIT));
    expect_error(EFAULT, bsd::sendmmsg(datagrams, nullptr, 1, 0));
    const int on = 1;
    EXPECT_EQ(0, bsd::setsockopt(datagrams, SOL_SOCKET, SO_BROADCAST, &on, sizeof on));
    EXPECT_EQ(0, bsd::close(datagrams));
}

// recvmmsg(2): an error behind the first message is the next call's.
TEST_F(bsd_promises, WhatEndsSeveralMessagesIsToldByTheNextCall) {
    join_two();
    ASSERT_EQ(1, bsd::send(client, "a", 1, 0));
    wait_for_bytes(peer, 1);
    const linger now{1, 0};
    EXPECT_EQ(0, bsd::setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof now));
    EXPECT_EQ(0, bsd::close(std::exchange(client, -1)));
    pollfd reset{peer, 0, 0};
    ASSERT_EQ(1, bsd::poll(&reset, 1, 10'000));
    char room[2] = {};
    iovec pieces[2] = {{room, 1}, {room + 1, 1}};
    mmsghdr both[2] = {{{nullptr, 0, &pieces[0], 1}, 0}, {{nullptr, 0, &pieces[1], 1}, 0}};
    EXPECT_EQ(1, bsd::recvmmsg(peer, both, 2, 0));
    EXPECT_EQ('a', room[0]);
    expect_error(ECONNRESET, bsd::recv(peer, room, 1, 0));
}

TEST_F(bsd_promises, EpollTellsOfErrorsUnasked) {
    join_two();
    const int epoll = bsd::epoll_create1(0);
    epoll_event event{0, {.u32 = 7}};
    ASSERT_EQ(0, bsd::epoll_ctl(epoll, EPOLL_CTL_ADD, peer, &event));
    EXPECT_EQ(0, bsd::epoll_wait(epoll, &event, 1, 0));
    const ::linger reset{1, 0};
    EXPECT_EQ(0, bsd::setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset));
    EXPECT_EQ(0, bsd::close(std::exchange(client, -1)));
    EXPECT_EQ(1, bsd::epoll_wait(epoll, &event, 1, 10'000));
    EXPECT_EQ(std::uint32_t{EPOLLERR | EPOLLHUP}, event.events);
    EXPECT_EQ(7U, event.data.u32);
    EXPECT_EQ(0, bsd::close(epoll));
}

TEST_F(bsd_promises, EpollExclusiveHasItsRules) {
    const int epoll = bsd::epoll_create1(0);
    epoll_event event{EPOLLIN | EPOLLEXCLUSIVE, {}};
    EXPECT_EQ(0, bsd::epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event));
    expect_error(EINVAL, bsd::epoll_ctl(epoll, EPOLL_CTL_MOD, listener, &event));
    event.events = EPOLLIN;
    expect_error(EINVAL, bsd::epoll_ctl(epoll, EPOLL_CTL_MOD, listener, &event));
    EXPECT_EQ(0, bsd::epoll_ctl(epoll, EPOLL_CTL_DEL, listener, nullptr));
    event.events = EPOLLIN | EPOLLONESHOT | EPOLLEXCLUSIVE;
    expect_error(EINVAL, bsd::epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event));
    EXPECT_EQ(0, bsd::close(epoll));
}

// It has hung up before anybody took it, and still has a name.
TEST_F(bsd_promises, AConnectionThatHasEndedIsAccepted) {
    client = connected(80);
    sockaddr_in mine{};
    socklen_t length = sizeof mine;
    ASSERT_EQ(0, bsd::getsockname(client, reinterpret_cast<sockaddr*>(&mine), &length));
    EXPECT_EQ(3, bsd::send(client, "abc", 3, 0));
    rounds(50);
    const ::linger reset{1, 0};
    ASSERT_EQ(0, bsd::setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset));
    ASSERT_EQ(0, bsd::close(std::exchange(client, -1)));
    rounds(50);
    sockaddr_in from{};
    length = sizeof from;
    peer = bsd::accept(listener, reinterpret_cast<sockaddr*>(&from), &length);
    ASSERT_LE(0, peer);
    EXPECT_EQ(mine.sin_port, from.sin_port);
    EXPECT_EQ(mine.sin_addr.s_addr, from.sin_addr.s_addr);
    char bytes[10];
    EXPECT_EQ(3, bsd::recv(peer, bytes, sizeof bytes, 0)); // what came before is there
    char byte = 0;
    expect_error(ECONNRESET, bsd::recv(peer, &byte, 1, 0));
    EXPECT_EQ(0, bsd::recv(peer, &byte, 1, 0));
    expect_error(EPIPE, bsd::send(peer, &byte, 1, 0));
}

TEST_F(bsd_promises, AnAddressNowhereIsAFault) {
    const int fresh = bsd::socket(AF_INET, SOCK_STREAM, 0);
    expect_error(EFAULT, bsd::bind(fresh, nullptr, sizeof(sockaddr_in)));
    expect_error(EFAULT, bsd::connect(fresh, nullptr, sizeof(sockaddr_in)));
    EXPECT_EQ(0, bsd::close(fresh));
}

} // namespace
} // namespace pantala::test
