// F-RTO: which ACKs say that a timeout was needless (RFC 5682).
#include "tests/stack/tcp/recovery/repair_script.hpp"

#include "stack/tcp/tcp_host.hpp"
#include "stack/wire/tcp.hpp"

#include <gtest/gtest.h>

namespace pantala::sim {
namespace {

// A connection without SACK and timestamps, the round trip 10 ms, so many segments in flight.
struct sackless {
    explicit sackless(std::size_t segments) : handle(peer.establish()) {
        for (unsigned i = 0; i < 4; ++i) {
            peer.send(handle, 2 * default_mss);
            peer.wait_ms(10);
            acknowledge(2);
        }
        all_sent(peer);
        peer.send(handle, segments * default_mss);
        EXPECT_EQ(all_sent(peer).size(), segments);
        peer.wait_ms(10);
    }
    void acknowledge(unsigned segments) {
        peer.ack += segments * default_mss;
        peer.give(peer.segment(wire::tcp_flag::ack));
    }
    tcp::conn& conn() { return *peer.host().find(handle); }

    scripted_peer peer;
    tcp::conn_handle handle;
};

// The first of three is lost, the others have arrived: what the retransmission closes is no word
// about the original. RFC 5682 2.1 step 2.a.
TEST(tcp_f_rto, believes_no_ack_that_a_retransmission_brought) {
    sackless one(3);
    one.acknowledge(0);
    one.acknowledge(0);
    const auto again = what_comes(one.peer);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->seq, one.peer.ack);
    one.peer.wait_ms(10);
    const std::uint32_t srtt = one.conn().srtt();
    one.acknowledge(3);
    EXPECT_EQ(one.conn().srtt(), srtt); // nor does it time those that waited for it (Karn)
    EXPECT_EQ(one.peer.stats().frto_spurious.read(), 0U);
    EXPECT_EQ(one.peer.stats().sndrexmitbad.read(), 0U);
    EXPECT_EQ(one.conn().ssthresh, 3 * default_mss * 7 / 10);
    EXPECT_LE(one.conn().cwnd, one.conn().ssthresh);
    EXPECT_EQ(one.conn().recovery, tcp::recovery_state::open);
    EXPECT_FALSE(one.conn().has(tcp::conn_flag::f_rto | tcp::conn_flag::undo_ready));
}

// What waits is too small for Nagle: no new data may go first, so the repair goes on at once (RFC
// 5682 2.1 step 2.a) and not with the next timeout.
TEST(tcp_f_rto, data_that_is_held_back_does_not_hold_up_the_repair) {
    sackless one(3);
    one.peer.send(one.handle, 100); // held by Nagle
    EXPECT_TRUE(all_sent(one.peer).empty());
    const auto again = what_comes(one.peer);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->seq, one.peer.ack);
    one.peer.wait_ms(10);
    one.acknowledge(1);
    const auto next = one.peer.next();
    ASSERT_TRUE(next);
    EXPECT_EQ(next->seq, one.peer.ack);
}

// The first and the fourth of five are lost: the ACK that the repeated first one brings speaks of
// the second and third, too. Then new data goes out, and its duplicate ACK tells the truth: steps
// 2.b and 3.a.
TEST(tcp_f_rto, waits_for_a_second_ack) {
    sackless one(5);
    one.acknowledge(0);
    one.acknowledge(0);
    ASSERT_TRUE(what_comes(one.peer));
    one.peer.send(one.handle, 4 * default_mss);
    EXPECT_TRUE(one.peer.silent());
    one.peer.wait_ms(10);
    const std::uint32_t fourth = one.peer.ack + 3 * default_mss;
    one.acknowledge(3);
    EXPECT_EQ(one.peer.stats().frto_spurious.read(), 0U);
    const auto fresh = all_sent(one.peer);
    ASSERT_GE(fresh.size(), 1U);
    EXPECT_EQ(fresh.front().seq, fourth + 2 * default_mss);
    one.acknowledge(0);
    EXPECT_EQ(one.peer.stats().frto_spurious.read(), 0U);
    EXPECT_EQ(one.peer.stats().sndrexmitbad.read(), 0U);
    const auto repeated = all_sent(one.peer);
    ASSERT_GE(repeated.size(), 1U);
    EXPECT_EQ(repeated.front().seq, fourth);
    EXPECT_EQ(one.conn().recovery, tcp::recovery_state::loss);
}

// All five are only late: step 3.b.
TEST(tcp_f_rto, takes_a_needless_timeout_back_without_sack) {
    sackless one(5);
    const std::uint32_t before = one.conn().cwnd;
    ASSERT_TRUE(what_comes(one.peer));
    EXPECT_EQ(one.conn().cwnd, default_mss);
    one.peer.send(one.handle, 4 * default_mss);
    one.peer.wait_ms(10);
    one.acknowledge(1);
    EXPECT_EQ(one.peer.stats().frto_spurious.read(), 0U);
    EXPECT_GE(all_sent(one.peer).size(), 1U);
    one.acknowledge(1);
    EXPECT_EQ(one.peer.stats().frto_spurious.read(), 1U);
    EXPECT_EQ(one.peer.stats().sndrexmitbad.read(), 1U);
    EXPECT_GE(one.conn().cwnd, before);
}

// In fast recovery there is no F-RTO: late SACKs of what was sent during it say nothing about the
// timeout. RFC 5682 3.1 step 1.
TEST(tcp_f_rto, is_not_tried_for_a_timeout_in_fast_recovery) {
    scripted_peer peer;
    const auto handle = peer.establish(sack_permitted());
    peer.send(handle, 10 * default_mss);
    all_sent(peer);
    peer.wait_ms(10);
    wire_segment answer = peer.segment(wire::tcp_flag::ack);
    for (unsigned i = 2; i <= 4; ++i) {
        answer.options = sack_of(peer.ack + default_mss, peer.ack + i * default_mss);
        peer.give(answer);
    }
    tcp::conn& conn = *peer.host().find(handle);
    EXPECT_EQ(conn.recovery, tcp::recovery_state::recovery);
    all_sent(peer);
    ASSERT_TRUE(what_comes(peer));
    EXPECT_EQ(conn.recovery, tcp::recovery_state::loss);
    peer.wait_ms(10);
    answer.options = sack_of(peer.ack + default_mss, peer.ack + 6 * default_mss);
    peer.give(answer);
    EXPECT_EQ(peer.stats().frto_spurious.read(), 0U);
    EXPECT_EQ(conn.recovery, tcp::recovery_state::loss);
}

} // namespace
} // namespace pantala::sim
