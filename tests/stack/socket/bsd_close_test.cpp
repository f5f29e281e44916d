// What becomes of a closed socket's last bytes.
#include "tests/stack/socket/running_host.hpp"

#include <string>

#include <linux/tcp.h>

namespace pantala::test::bsd_close {
namespace {

struct bsd_close : testing::Test {
    void SetUp() override {
        listener = bsd::socket(AF_INET, SOCK_STREAM, 0);
        const int little = 4'096;
        EXPECT_EQ(0, bsd::setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &little, sizeof little));
        EXPECT_EQ(0, bsd::bind(listener, plain(at(80, "0.0.0.0")), sizeof(sockaddr_in)));
        EXPECT_EQ(0, bsd::listen(listener, 64));
        client = connected(80);
        peer = bsd::accept(listener, nullptr, nullptr);
        ASSERT_LE(0, peer);
    }
    void TearDown() override {
        EXPECT_EQ(0, bsd::close(peer));
        EXPECT_EQ(0, bsd::close(listener));
    }
    // Until neither the peer's window nor our own buffers take any more.
    void fill() const {
        const std::string text(10'000, 'x');
        for (unsigned full = 0; full < 20;) {
            full = bsd::send(client, text.data(), text.size(), MSG_DONTWAIT) > 0 ? 0 : full + 1;
            host.wait_turns(20);
        }
    }
    // Connections of the worker, which are both ends of ours.
    static std::uint32_t connections() {
        std::uint32_t used = 0;
        EXPECT_EQ(0, bsd::on_worker(*bsd::doors().front(), [&used](net_host& at) {
                      used = at.tcp.conns.used();
                      return 0;
                  }));
        return used;
    }
    void wait_seconds(std::uint64_t count) {
        host.turn_ns = ns_per_s;
        host.wait_turns(count);
    }

    running_host host{1};
    int listener = -1;
    int client = -1;
    int peer = -1;
};

// It answers every probe and never reads.
TEST_F(bsd_close, a_peer_that_keeps_its_window_shut_does_not_keep_a_socket_for_ever) {
    fill();
    EXPECT_EQ(0, bsd::close(client));
    wait_seconds(300);
    EXPECT_EQ(2U, connections());
    wait_seconds(600);
    EXPECT_EQ(1U, connections());
}

// What was before the close does not count.
TEST_F(bsd_close, a_peer_that_paused_long_before_has_its_time) {
    fill();
    wait_seconds(900);
    EXPECT_EQ(0, bsd::close(client));
    wait_seconds(300);
    EXPECT_EQ(2U, connections());
    wait_seconds(600);
    EXPECT_EQ(1U, connections());
}

TEST_F(bsd_close, who_chose_a_user_timeout_has_that_one) {
    const unsigned two_hours_ms = 7'200'000;
    EXPECT_EQ(
        0,
        bsd::setsockopt(client, IPPROTO_TCP, TCP_USER_TIMEOUT, &two_hours_ms, sizeof two_hours_ms));
    fill();
    EXPECT_EQ(0, bsd::close(client));
    wait_seconds(3'600);
    EXPECT_EQ(2U, connections());
    wait_seconds(3'700);
    EXPECT_EQ(1U, connections());
}

} // namespace
} // namespace pantala::test::bsd_close
