// Options of the BSD-shaped sockets that shape what leaves and when.
#include "tests/stack/socket/running_host.hpp"

#include <chrono>

#include <linux/tcp.h>
#include <poll.h>

namespace pantala::test {
namespace {

struct bsd_options : with_host<2> {
    struct ends {
        int listener;
        int client;
        int server;
        ~ends() {
            for (const int number : {client, server, listener}) {
                EXPECT_EQ(0, bsd::close(number));
            }
        }
    };
    static ends joined(std::uint16_t port = 80) {
        const int listener = listening(port);
        const int client = connected(port);
        return {listener, client, bsd::accept(listener, nullptr, nullptr)};
    }
};

template <class T>
T option(int socket, int level, int name) {
    T value{};
    socklen_t length = sizeof value;
    EXPECT_EQ(0, bsd::getsockopt(socket, level, name, &value, &length)) << errno;
    EXPECT_EQ(sizeof value, length);
    return value;
}

template <class T>
int set(int socket, int level, int name, const T& value) {
    return bsd::setsockopt(socket, level, name, &value, sizeof value);
}

std::string congestion_of(int socket) {
    char name[16] = {};
    socklen_t length = sizeof name;
    EXPECT_EQ(0, bsd::getsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, name, &length)) << errno;
    EXPECT_EQ(sizeof name, length);
    return name;
}

int choose_congestion(int socket, const std::string& name) {
    return bsd::setsockopt(
        socket, IPPROTO_TCP, TCP_CONGESTION, name.data(), static_cast<socklen_t>(name.size()));
}

TEST_F(bsd_options, CongestionControlIsChosenByName) {
    const ends two = joined();
    const int client = two.client;
    EXPECT_EQ("cubic", congestion_of(client)); // the host's
    for (const char* name : {"reno", "dctcp", "cubic"}) {
        EXPECT_EQ(0, choose_congestion(client, name));
        EXPECT_EQ(name, congestion_of(client));
    }
    EXPECT_EQ(0, choose_congestion(client, std::string("reno\0junk", 9)));
    EXPECT_EQ("reno", congestion_of(client));
    expect_error(ENOENT, choose_congestion(client, "vegas"));
    expect_error(ENOENT, choose_congestion(client, "cubic-with-a-long-tail"));
    expect_error(EINVAL, choose_congestion(client, ""));
    EXPECT_EQ("reno", congestion_of(client));
    char shorter[4] = {};
    socklen_t length = sizeof shorter;
    EXPECT_EQ(0, bsd::getsockopt(client, IPPROTO_TCP, TCP_CONGESTION, shorter, &length));
    EXPECT_EQ(sizeof shorter, length);
    EXPECT_EQ("reno", std::string(shorter, 4));
    // Bytes go on to flow under any of them.
    const std::string text = text_of(50'000);
    std::thread sends([client, &text] {
        for (const char* name : {"dctcp", "cubic"}) {
            EXPECT_EQ(
                static_cast<ssize_t>(text.size()), bsd::send(client, text.data(), text.size(), 0));
            EXPECT_EQ(0, choose_congestion(client, name));
        }
        EXPECT_EQ(0, bsd::shutdown(client, SHUT_WR));
    });
    EXPECT_TRUE(text + text == read_all(two.server));
    sends.join();
}

TEST_F(bsd_options, AListenersConnectionsInheritIt) {
    const int listener = listening(81);
    EXPECT_EQ(0, choose_congestion(listener, "reno"));
    EXPECT_EQ(0, set<std::uint32_t>(listener, SOL_SOCKET, SO_MAX_PACING_RATE, 5'000'000));
    const int client = connected(81);
    const int server = bsd::accept(listener, nullptr, nullptr);
    EXPECT_EQ("reno", congestion_of(server));
    EXPECT_EQ("cubic", congestion_of(client));
    EXPECT_EQ(5'000'000U, option<std::uint32_t>(server, SOL_SOCKET, SO_MAX_PACING_RATE));
    for (const int number : {client, server, listener}) {
        EXPECT_EQ(0, bsd::close(number));
    }
}

TEST_F(bsd_options, APacingRateIsABound) {
    const ends two = joined();
    EXPECT_EQ(UINT64_MAX, option<std::uint64_t>(two.client, SOL_SOCKET, SO_MAX_PACING_RATE));
    EXPECT_EQ(UINT32_MAX, option<std::uint32_t>(two.client, SOL_SOCKET, SO_MAX_PACING_RATE));
    EXPECT_EQ(0, set<std::uint64_t>(two.client, SOL_SOCKET, SO_MAX_PACING_RATE, 1ULL << 40));
    EXPECT_EQ(1ULL << 40, option<std::uint64_t>(two.client, SOL_SOCKET, SO_MAX_PACING_RATE));
    EXPECT_EQ(UINT32_MAX, option<std::uint32_t>(two.client, SOL_SOCKET, SO_MAX_PACING_RATE));
    expect_error(EINVAL, set<std::uint16_t>(two.client, SOL_SOCKET, SO_MAX_PACING_RATE, 9));
    EXPECT_EQ(0, set<std::uint32_t>(two.client, SOL_SOCKET, SO_MAX_PACING_RATE, 1'000'000));
    const auto paced = [] {
        std::uint64_t sum = 0;
        for (unsigned w = 0; w < host->host.workers(); ++w) {
            sum += host->host.worker_stack(w).host().tcp.stats.paced.read();
        }
        return sum;
    };
    const std::string text = text_of(200'000);
    const auto send_all = [&] {
        std::thread sends([&] {
            EXPECT_EQ(
                static_cast<ssize_t>(text.size()),
                bsd::send(two.client, text.data(), text.size(), 0));
        });
        std::string got(text.size(), 0);
        EXPECT_EQ(
            static_cast<ssize_t>(text.size()),
            bsd::recv(two.server, got.data(), got.size(), MSG_WAITALL));
        EXPECT_TRUE(got == text);
        sends.join();
    };
    std::uint64_t before = paced();
    send_all();
    EXPECT_GT(paced() - before, 20U); // 200 ms of a host whose round takes one
    EXPECT_EQ(0, set<std::uint32_t>(two.client, SOL_SOCKET, SO_MAX_PACING_RATE, UINT32_MAX));
    before = paced();
    send_all();
    EXPECT_EQ(paced(), before);
}

TEST_F(bsd_options, QuickAcksAreAskedForAndWearOff) {
    const ends two = joined();
    EXPECT_EQ(0, set(two.server, IPPROTO_TCP, TCP_QUICKACK, 0));
    EXPECT_EQ(0, option<int>(two.server, IPPROTO_TCP, TCP_QUICKACK));
    EXPECT_EQ(0, set(two.server, IPPROTO_TCP, TCP_QUICKACK, 1));
    EXPECT_EQ(1, option<int>(two.server, IPPROTO_TCP, TCP_QUICKACK));
    EXPECT_EQ(1, option<int>(two.listener, IPPROTO_TCP, TCP_QUICKACK));
    EXPECT_EQ(0, set(two.listener, IPPROTO_TCP, TCP_QUICKACK, 0)); // and is heard of no more
    expect_error(EINVAL, set<std::uint8_t>(two.server, IPPROTO_TCP, TCP_QUICKACK, 1));
    const int datagrams = bsd::socket(AF_INET, SOCK_DGRAM, 0);
    expect_error(ENOPROTOOPT, set(datagrams, IPPROTO_TCP, TCP_QUICKACK, 1));
    EXPECT_EQ(0, bsd::close(datagrams));
}

TEST_F(bsd_options, ReusePortIsKeptAndOneListenerIsOnEveryWorker) {
    const int listener = bsd::socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(0, option<int>(listener, SOL_SOCKET, SO_REUSEPORT));
    EXPECT_EQ(0, set(listener, SOL_SOCKET, SO_REUSEPORT, 1));
    EXPECT_EQ(1, option<int>(listener, SOL_SOCKET, SO_REUSEPORT));
    ASSERT_EQ(0, bsd::bind(listener, plain(at(82, "0.0.0.0")), sizeof(sockaddr_in)));
    ASSERT_EQ(0, bsd::listen(listener, 64));
    const int other = bsd::socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(0, set(other, SOL_SOCKET, SO_REUSEPORT, 1));
    bsd::bind(other, plain(at(82, "0.0.0.0")), sizeof(sockaddr_in));
    expect_error(EADDRINUSE, bsd::listen(other, 64));
    EXPECT_EQ(0, bsd::close(other));
    EXPECT_EQ(0, bsd::close(listener));
}

TEST_F(bsd_options, ADatagramIsWhatOneCallGives) {
    const int sender = bsd::socket(AF_INET, SOCK_DGRAM, 0);
    const sockaddr_in to = at(9);
    expect_error(
        EOPNOTSUPP, bsd::sendto(sender, "ab", 2, MSG_MORE, plain(to), sizeof(sockaddr_in)));
    EXPECT_EQ(0, bsd::close(sender));
}

// A host in which what waits for more, waits long: its clock runs as fast as it can.
struct bsd_more : testing::Test {
    static stack_settings patient() {
        constexpr std::uint32_t ten_hours_ms = 36'000'000;
        stack_settings settings;
        settings.host.tcp.rexmit_min_ms = settings.host.tcp.rexmit_max_ms = ten_hours_ms;
        settings.host.tcp.persist_max_ms = ten_hours_ms;
        return settings;
    }
    static std::uint64_t segments() {
        std::uint64_t sum = 0;
        for (unsigned w = 0; w < host->host.workers(); ++w) {
            sum += host->host.worker_stack(w).host().tcp.stats.sndpack.read();
        }
        return sum;
    }
    void SetUp() override {
        host = std::make_unique<running_host>(2, patient());
        listener = listening(80);
        client = connected(80);
        server = bsd::accept(listener, nullptr, nullptr);
        EXPECT_EQ(0, set(client, IPPROTO_TCP, TCP_NODELAY, 1));
    }
    void TearDown() override {
        for (const int number : {client, server, listener}) {
            EXPECT_EQ(0, bsd::close(number));
        }
        host.reset();
    }
    // So many bytes come, and no more.
    void expect_only(std::size_t bytes) const {
        std::string got(bytes + 1, 0);
        EXPECT_EQ(static_cast<ssize_t>(bytes), bsd::recv(server, got.data(), bytes, MSG_WAITALL));
        pollfd more{server, POLLIN, 0};
        EXPECT_EQ(0, bsd::poll(&more, 1, 20));
    }
    int listener = -1;
    int client = -1;
    int server = -1;
    static inline std::unique_ptr<running_host> host;
};

TEST_F(bsd_more, HoldsAShortSegmentBackUntilTheLastPart) {
    const std::uint64_t before = segments();
    EXPECT_EQ(40, bsd::send(client, text_of(40).data(), 40, MSG_MORE));
    EXPECT_EQ(60, bsd::send(client, text_of(60).data(), 60, MSG_MORE));
    expect_only(0);
    EXPECT_EQ(5, bsd::send(client, "12345", 5, 0));
    expect_only(105);
    EXPECT_EQ(segments() - before, 1U);
}

// Nor may the last part set the first one free before it is there itself: the worker looks at any
// time.
TEST_F(bsd_more, ThePartsLeaveTogetherWheneverTheWorkerLooks) {
    const std::uint64_t before = segments();
    constexpr unsigned rounds = 50;
    std::string last = text_of(1'000);
    std::vector<iovec> letters; // so that it takes a while
    for (char& letter : last) {
        letters.push_back({&letter, 1});
    }
    for (unsigned i = 0; i < rounds; ++i) {
        ASSERT_EQ(20, bsd::send(client, text_of(20).data(), 20, MSG_MORE));
        ASSERT_EQ(1'000, bsd::writev(client, letters.data(), 1'000));
        std::string got(1'020, 0);
        ASSERT_EQ(1'020, bsd::recv(server, got.data(), got.size(), MSG_WAITALL));
        ASSERT_EQ(1, bsd::send(server, "!", 1, 0)); // with it goes the ACK
        ASSERT_EQ(1, bsd::recv(client, got.data(), 1, 0));
    }
    EXPECT_EQ(segments() - before, 2U * rounds);
}

// A call that is to wait for room, and does not get it, holds nothing back either.
TEST_F(bsd_more, ACallThatFindsNoRoomLetsGoWhatItCould) {
    EXPECT_EQ(20, bsd::send(client, text_of(20).data(), 20, MSG_MORE));
    expect_only(0);
    EXPECT_EQ(0, bsd::send(client, nullptr, 0, MSG_DONTWAIT));
    expect_only(20);
}

// Not even where the worker finds both at once: nothing would ever bring the first part out.
TEST_F(bsd_more, HoldsBackNothingThatWasSentWithoutIt) {
    for (unsigned i = 0; i < 100; ++i) {
        EXPECT_EQ(10, bsd::send(client, text_of(10).data(), 10, 0));
        EXPECT_EQ(20, bsd::send(client, text_of(20).data(), 20, MSG_MORE));
        pollfd first{server, POLLIN, 0};
        ASSERT_EQ(1, bsd::poll(&first, 1, 20'000));
        std::string got(30, 0); // the ACK of the first part lets the other go
        ASSERT_EQ(30, bsd::recv(server, got.data(), got.size(), MSG_WAITALL));
        EXPECT_EQ(text_of(10) + text_of(20), got);
    }
}

TEST_F(bsd_more, TheEndOfTheStreamLetsItGo) {
    EXPECT_EQ(20, bsd::send(client, text_of(20).data(), 20, MSG_MORE));
    expect_only(0);
    EXPECT_EQ(0, bsd::shutdown(client, SHUT_WR));
    EXPECT_EQ(text_of(20), read_all(server));
}

} // namespace
} // namespace pantala::test
