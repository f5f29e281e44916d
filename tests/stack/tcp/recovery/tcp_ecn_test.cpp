// Marks and losses: one cut a window, and the peer is told of each (RFC 3168, 8257).
#include "tests/stack/tcp/recovery/repair_script.hpp"

#include "stack/tcp/tcp_host.hpp"
#include "stack/wire/tcp.hpp"

#include <gtest/gtest.h>

namespace pantala::sim {
namespace {

// ECN and SACK agreed; ten segments out and as many waiting.
struct ecn_flow {
    explicit ecn_flow(const tcp::settings& config = {}) : peer(config) {
        peer.listen();
        peer.give(
            {.flags = wire::tcp_flag::syn | wire::tcp_flag::ece | wire::tcp_flag::cwr,
             .seq = peer.seq,
             .options = sack_permitted()});
        const auto answer = peer.next();
        PANTALA_ASSERT(answer && (answer->flags & wire::tcp_flag::ece) != 0);
        ++peer.seq;
        peer.ack = answer->seq + 1;
        peer.give(peer.segment(wire::tcp_flag::ack));
        handle = tcp::accept(peer.host(), peer.listener, nullptr);
    }
    // From the first segment that is not acknowledged on, segments [first, last) are there.
    void sacked(unsigned first, unsigned last, bool ece) {
        wire_segment answer =
            peer.segment(ece ? wire::tcp_flag::ack | wire::tcp_flag::ece : wire::tcp_flag::ack);
        answer.options = sack_of(peer.ack + first * default_mss, peer.ack + last * default_mss);
        peer.give(answer);
    }
    void acknowledge(unsigned segments, bool ece) {
        peer.ack += segments * default_mss;
        peer.give(
            peer.segment(ece ? wire::tcp_flag::ack | wire::tcp_flag::ece : wire::tcp_flag::ack));
    }
    tcp::conn& conn() { return *peer.host().find(handle); }

    scripted_peer peer;
    tcp::conn_handle handle;
};

// RFC 3168 6.1.2: "for any reason"; and what the peer echoes until it hears of it is old.
TEST(tcp_ecn, fast_retransmit_is_told_by_cwr_and_cuts_once) {
    ecn_flow one;
    one.peer.send(one.handle, 30 * default_mss);
    const std::uint32_t begin = one.peer.ack;
    ASSERT_EQ(all_sent(one.peer).size(), 10U);
    one.peer.wait_ms(10);
    std::uint32_t high = begin + 10 * default_mss; // what was sent before the cut ends here
    for (unsigned last = 2; last <= 3; ++last) {
        one.sacked(1, last, false);
        for (const wire_segment& sent : all_sent(one.peer)) { // limited transmit
            EXPECT_EQ(sent.flags & wire::tcp_flag::cwr, 0);
            high = sent.seq + default_mss;
        }
    }
    for (unsigned last = 4; last <= 10; ++last) {
        one.sacked(1, last, last > 4);
    }
    EXPECT_EQ(one.conn().recovery, tcp::recovery_state::recovery);
    const std::uint32_t ssthresh = one.conn().ssthresh;
    unsigned told = 0;
    for (const wire_segment& sent : all_sent(one.peer)) {
        EXPECT_EQ((sent.flags & wire::tcp_flag::cwr) != 0, sent.seq == high) << sent.seq - begin;
        told += (sent.flags & wire::tcp_flag::cwr) != 0 ? 1 : 0;
    }
    EXPECT_EQ(told, 1U);
    one.acknowledge((high - begin) / default_mss, true); // what was out when the window was cut
    EXPECT_EQ(one.conn().recovery, tcp::recovery_state::open);
    one.acknowledge(0, true);
    EXPECT_EQ(one.peer.stats().ecn_rcwnd.read(), 0U);
    EXPECT_EQ(one.conn().ssthresh, ssthresh);
    one.acknowledge(1, true); // it has heard CWR, and was marked again
    EXPECT_EQ(one.peer.stats().ecn_rcwnd.read(), 1U);
}

TEST(tcp_ecn, a_timeout_is_told_by_cwr_and_cuts_once) {
    ecn_flow one;
    one.peer.send(one.handle, 4 * default_mss);
    all_sent(one.peer);
    std::optional<wire_segment> sent = what_comes(one.peer); // the tail probe
    while (sent && one.conn().recovery != tcp::recovery_state::loss) {
        sent = what_comes(one.peer);
    }
    ASSERT_TRUE(sent);
    EXPECT_EQ(sent->seq, one.peer.ack);
    EXPECT_EQ(sent->flags & wire::tcp_flag::cwr, 0);
    one.peer.wait_ms(10);
    one.acknowledge(4, true);
    EXPECT_EQ(one.conn().recovery, tcp::recovery_state::open);
    one.peer.send(one.handle, 2 * default_mss);
    const auto fresh = all_sent(one.peer);
    ASSERT_GE(fresh.size(), 1U);
    EXPECT_NE(fresh[0].flags & wire::tcp_flag::cwr, 0);
    one.acknowledge(0, true);
    EXPECT_EQ(one.peer.stats().ecn_rcwnd.read(), 0U);
    one.acknowledge(1, false);
    EXPECT_EQ(one.peer.stats().ecn_rcwnd.read(), 0U);
}

// RFC 8257 3.5: a loss behind a mark in the same window halves what the window was, whatever alpha
// says, and no more than that.
TEST(tcp_ecn, dctcp_halves_on_a_loss_behind_a_mark) {
    ecn_flow one({.congestion = tcp::congestion_kind::dctcp});
    for (unsigned i = 0; i < 100; ++i) { // alpha falls from 1 towards 0
        one.peer.send(one.handle, 2 * default_mss);
        one.peer.wait_ms(1);
        one.acknowledge(2, false);
    }
    one.peer.send(one.handle, 10 * default_mss);
    ASSERT_GE(all_sent(one.peer).size(), 10U);
    one.peer.wait_ms(10);
    const std::uint32_t before = one.conn().cwnd;
    one.sacked(1, 2, true);
    EXPECT_EQ(one.conn().recovery, tcp::recovery_state::reduced);
    EXPECT_GT(one.conn().ssthresh, before * 9 / 10);
    one.sacked(1, 3, true);
    one.sacked(1, 4, true);
    EXPECT_EQ(one.conn().recovery, tcp::recovery_state::recovery);
    EXPECT_LE(one.conn().ssthresh, before / 2);
    EXPECT_GE(one.conn().ssthresh, 5 * default_mss);
    EXPECT_EQ(one.peer.stats().ecn_rcwnd.read(), 1U);
}

} // namespace
} // namespace pantala::sim
