// What cuts the window, what does not, and what may take a cut back.
#include "stack/tcp/tcp_user.hpp"
#include "tests/stack/tcp/scripted_peer.hpp"

#include <gtest/gtest.h>

namespace pantala::sim {
namespace {

using namespace wire::tcp_flag;

constexpr std::uint32_t mss = 1'000;
const std::vector<std::uint8_t> with_mss = {2, 4, mss >> 8, mss & 255};
const std::vector<std::uint8_t> sack_agreed = {2, 4, mss >> 8, mss & 255, 4, 2, 1, 1};

// A connection with a round trip of 100 ms and an initial window of ten segments.
struct tcp_reduction : testing::Test {
    void establish(const std::vector<std::uint8_t>& options, std::uint8_t syn_flags = 0) {
        peer.listen();
        peer.give(
            {.flags = static_cast<std::uint8_t>(syn | syn_flags),
             .seq = peer.seq,
             .options = options});
        ++peer.seq;
        peer.ack = peer.next()->seq + 1;
        peer.wait_ms(100);
        peer.give(peer.segment(ack));
        handle = tcp::accept(peer.host(), peer.listener, nullptr);
    }
    // An ACK with one SACK block of segments [first, last) above it.
    void sack_segments(unsigned first, unsigned last, std::uint8_t flags = 0) {
        sack(peer.ack + first * mss, peer.ack + last * mss, flags);
    }
    void sack(std::uint32_t left, std::uint32_t right, std::uint8_t flags = 0) {
        wire_segment segment = peer.segment(static_cast<std::uint8_t>(ack | flags));
        segment.options = {1, 1, 5, 10};
        for (const std::uint32_t edge : {left, right}) {
            for (unsigned shift = 32; shift != 0; shift -= 8) {
                segment.options.push_back(static_cast<std::uint8_t>(edge >> (shift - 8)));
            }
        }
        peer.give(segment);
    }
    tcp::conn& conn() { return *peer.host().find(handle); }
    // An ICMP error about the first segment in flight: 660 bytes fit.
    void say_too_big() {
        tcp::icmp_input(
            peer.host(),
            {.key = conn().key,
             .seq = conn().snd_una,
             .meaning = tcp::icmp_meaning::too_big,
             .mtu = 700},
            peer.now);
        peer.turn();
    }
    void acknowledge(std::uint32_t bytes, std::uint8_t flags = 0) {
        peer.ack += bytes;
        peer.give(peer.segment(static_cast<std::uint8_t>(ack | flags)));
    }
    unsigned sent_since() {
        unsigned count = 0;
        while (peer.next()) {
            ++count;
        }
        return count;
    }
    scripted_peer peer;
    tcp::conn_handle handle;
};

// RFC 5681 3.1 (4): the repair of what was too big cut nothing; a timeout during it does.
TEST_F(tcp_reduction, a_timeout_cuts_although_a_repair_without_congestion_is_under_way) {
    establish(sack_agreed);
    peer.send(handle, 8 * mss);
    peer.wait_ms(50);
    say_too_big();
    EXPECT_EQ(conn().recovery, tcp::recovery_state::loss);
    EXPECT_GT(conn().ssthresh, 10 * mss);
    peer.wait_ms(1'000);
    EXPECT_GE(peer.stats().rexmttimeo.read(), 1U);
    EXPECT_EQ(peer.stats().tlp_probes.read(), 0U); // RFC 8985 7.2: not during a repair
    EXPECT_EQ(conn().ssthresh, 8 * mss * 7 / 10);
    const std::uint32_t cut_once = conn().ssthresh;
    peer.wait_ms(5'000); // not again for the same loss
    EXPECT_GE(peer.stats().rexmttimeo.read(), 3U);
    EXPECT_EQ(conn().ssthresh, cut_once);
}

// RFC 3168 6.1.2: the cut stands, whatever else is said of the path.
TEST_F(tcp_reduction, an_icmp_error_does_not_take_a_reduction_for_ecn_back) {
    establish(sack_agreed, ece | cwr);
    peer.send(handle, 10 * mss);
    peer.wait_ms(50);
    acknowledge(mss, ece);
    EXPECT_EQ(conn().recovery, tcp::recovery_state::reduced);
    EXPECT_EQ(conn().ssthresh, 7 * mss);
    say_too_big();
    EXPECT_EQ(conn().ssthresh, 7 * mss);
    EXPECT_GT(sent_since(), 10U); // what was too big is sent again
    acknowledge(9 * mss);
    EXPECT_LE(conn().cwnd, 7 * mss);
    EXPECT_EQ(peer.stats().ecn_rcwnd.read(), 1U);
    EXPECT_EQ(peer.stats().sndrexmitbad.read(), 0U);
}

// RFC 3168 6.1.2: one window, one cut, and CWR whatever it was for.
TEST_F(tcp_reduction, a_loss_and_a_mark_in_one_window_cut_once_and_are_told) {
    establish(sack_agreed, ece | cwr);
    peer.send(handle, 14 * mss);
    EXPECT_EQ(sent_since(), 10U);
    peer.wait_ms(100);
    sack_segments(1, 5);                          // the first is lost
    for (unsigned last = 6; last <= 10; ++last) { // what comes later is marked
        sack_segments(1, last, ece);
    }
    EXPECT_EQ(conn().recovery, tcp::recovery_state::recovery);
    const std::uint32_t cut = conn().ssthresh;
    unsigned told = 0;
    while (const auto segment = peer.next()) {
        const bool fresh = segment->seq - peer.ack >= 10 * mss;
        EXPECT_EQ((segment->flags & cwr) != 0, fresh && told == 0);
        told += fresh ? 1 : 0;
    }
    EXPECT_GE(told, 1U);
    acknowledge(10 * mss, ece);
    EXPECT_EQ(conn().recovery, tcp::recovery_state::open);
    wire_segment opened = peer.segment(ack | ece); // CWR is still on its way
    opened.window = 60'000;
    peer.give(opened);
    EXPECT_EQ(conn().ssthresh, cut);
    EXPECT_EQ(peer.stats().ecn_rcwnd.read(), 0U);
    acknowledge(mss, ece); // a mark behind it
    EXPECT_EQ(peer.stats().ecn_rcwnd.read(), 1U);
}

TEST_F(tcp_reduction, a_timeout_is_told_too) { // RFC 3168 6.1.2
    establish(sack_agreed, ece | cwr);
    peer.send(handle, 2 * mss);
    peer.wait_ms(1'000);
    EXPECT_GE(peer.stats().rexmttimeo.read(), 1U);
    EXPECT_GT(sent_since(), 2U);
    acknowledge(2 * mss);
    peer.send(handle, mss);
    const auto fresh = peer.next();
    ASSERT_TRUE(fresh);
    EXPECT_EQ(fresh->flags, ack | psh | cwr);
}

// RFC 3708 section 2: a duplicate of what was sent before the cut proves nothing about it.
TEST_F(tcp_reduction, an_older_duplicate_takes_nothing_back) {
    establish(sack_agreed);
    peer.send(handle, 4 * mss);
    acknowledge(4 * mss);
    peer.send(handle, 10 * mss);
    peer.wait_ms(100);
    sack_segments(1, 5);
    EXPECT_EQ(conn().recovery, tcp::recovery_state::recovery);
    EXPECT_EQ(conn().undo_resent, 1);
    sack(peer.ack - 2 * mss, peer.ack - mss);
    EXPECT_EQ(peer.stats().dsack_rcv.read(), 1U);
    EXPECT_EQ(conn().recovery, tcp::recovery_state::recovery);
    EXPECT_EQ(peer.stats().sndrexmitbad.read(), 0U);
    sack(peer.ack - mss, peer.ack); // nor does the next
    EXPECT_EQ(peer.stats().undo_dsack.read(), 0U);
}

// 2^31 bytes after the last recovery its end seems to lie ahead again.
TEST_F(tcp_reduction, marks_of_long_ago_hold_nothing_back) {
    establish(with_mss, ece | cwr);
    conn().high_seq = conn().snd_una - 0x8000'1000U;
    conn().ecn_end = conn().high_seq;
    peer.send(handle, 10 * mss);
    peer.wait_ms(100);
    for (unsigned i = 0; i < 3; ++i) {
        acknowledge(0);
    }
    EXPECT_EQ(conn().recovery, tcp::recovery_state::recovery);
    conn().recovery = tcp::recovery_state::open;
    conn().ecn_end = conn().snd_una - 0x8000'1000U;
    acknowledge(mss, ece);
    EXPECT_EQ(peer.stats().ecn_rcwnd.read(), 1U);
}

// RFC 6937 section 3, without SACK: what a partial ACK acknowledges, less what duplicate ACKs have
// counted; and at least the hole it closes, which none of them can have meant.
TEST_F(tcp_reduction, without_sack_a_partial_ack_delivers_the_hole) {
    establish(with_mss);
    peer.send(handle, 10 * mss); // the first and the fifth are lost
    peer.wait_ms(100);
    for (unsigned i = 0; i < 8; ++i) {
        acknowledge(0);
    }
    EXPECT_EQ(conn().recovery, tcp::recovery_state::recovery);
    EXPECT_EQ(conn().prr_delivered, 6 * mss); // from the third on
    acknowledge(4 * mss);
    EXPECT_EQ(conn().prr_delivered, 7 * mss);
    acknowledge(mss); // the fifth, sent again, and a hole behind it
    EXPECT_EQ(conn().prr_delivered, 8 * mss);
}

// RFC 9937, DeliveredData: without SACK no more counts as delivered than was out.
TEST_F(tcp_reduction, made_up_duplicate_acks_let_no_more_out) {
    establish(with_mss);
    peer.send(handle, 60 * mss);
    peer.wait_ms(100);
    EXPECT_EQ(sent_since(), 10U);
    for (unsigned i = 0; i < 40; ++i) {
        acknowledge(0);
    }
    EXPECT_EQ(conn().recover_fs, 12 * mss); // two more by limited transmit
    EXPECT_EQ(conn().prr_delivered, 12 * mss);
    EXPECT_LE(sent_since(), 15U);
}

} // namespace
} // namespace pantala::sim
