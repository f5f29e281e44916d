// Connections that their application has let go: no peer keeps one for ever.
#include "tests/stack/tcp/scripted_peer.hpp"

#include <gtest/gtest.h>

namespace pantala::sim::orphan {
namespace {

using namespace wire::tcp_flag;

// Data is out, and the peer answers whatever comes with a window that is shut and an old ACK.
struct tcp_shut_window : testing::Test {
    void SetUp() override {
        handle = peer.establish();
        peer.send(handle, 1'000);
        shut = peer.segment(ack);
        shut.window = 0;
        peer.give(shut);
    }
    void answer_for_two_hours() {
        for (unsigned second = 0; second < 7'200; ++second) {
            peer.wait_ms(1'000);
            bool asked = false;
            while (peer.next()) {
                asked = true;
            }
            if (asked) {
                peer.give(shut);
            }
        }
    }

    scripted_peer peer;
    tcp::conn_handle handle;
    wire_segment shut;
};

TEST_F(tcp_shut_window, does_not_keep_an_orphan_with_data_in_flight) {
    tcp::close(peer.host(), handle);
    peer.turn();
    answer_for_two_hours();
    EXPECT_EQ(peer.host().conns.used(), 0U);
    EXPECT_EQ(peer.stats().timeoutdrop.read(), 1U);
}

TEST_F(tcp_shut_window, may_hold_an_application_as_long_as_it_answers) { // RFC 9293 3.8.6.1
    answer_for_two_hours();
    ASSERT_NE(peer.host().find(handle), nullptr);
    EXPECT_EQ(peer.host().find(handle)->error, tcp::conn_error::none);
}

TEST(tcp_orphan, in_fin_wait_2_does_not_live_by_bare_acks) {
    scripted_peer peer;
    const auto handle = peer.establish();
    tcp::close(peer.host(), handle);
    peer.turn();
    peer.ack += 1;
    peer.give(peer.segment(ack));
    for (unsigned i = 0; i < 2; ++i) {
        EXPECT_EQ(peer.host().conns.used(), 1U);
        peer.wait_ms(29'000);
        peer.give(peer.segment(ack));
    }
    EXPECT_EQ(peer.host().conns.used(), 1U);
    peer.wait_ms(3'000);
    EXPECT_EQ(peer.host().conns.used(), 0U);
    EXPECT_EQ(peer.stats().finwait2_drops.read(), 1U);
}

} // namespace
} // namespace pantala::sim::orphan
