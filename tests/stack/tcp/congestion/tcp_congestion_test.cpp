// The algorithms by themselves: windows over time, without a network.
#include "tests/stack/tcp/scripted_peer.hpp"

#include "stack/tcp/congestion/tcp_congestion.hpp"
#include "stack/tcp/tcp_host.hpp"

#include <algorithm>

#include <gtest/gtest.h>

namespace pantala::sim {
namespace {

constexpr std::uint32_t lone_mss = 1'000;
constexpr std::uint32_t lone_rtt_ms = 100;

// A connection in congestion avoidance whose round trip is 100 ms.
struct lone_flow {
    explicit lone_flow(
        tcp::congestion_kind kind = tcp::congestion_kind::cubic, unsigned segments = 100) {
        host().now = peer.now;
        conn.congestion = kind;
        conn.snd_mss = lone_mss;
        tcp::congestion_start(host(), conn);
        conn.cwnd = segments * lone_mss;
        conn.ssthresh = conn.cwnd / 2;
        conn.srtt_us = lone_rtt_ms * 1'000 << 3;
        conn.rttvar_us = 10'000;
        conn.rto_us = 1'000'000;
    }
    tcp::host& host() { return peer.host(); }
    // Round trips in which the window is used, or one segment of it.
    void run(unsigned rounds, bool limited = true) {
        for (unsigned i = 0; i < rounds; ++i) {
            host().now = host().now + lone_rtt_ms * ns_per_ms;
            limited ? conn.set(tcp::conn_flag::cwnd_limited)
                    : conn.clear(tcp::conn_flag::cwnd_limited);
            conn.most_in_flight = limited ? conn.cwnd : lone_mss;
            const std::uint32_t acks = limited ? conn.cwnd / lone_mss : 1;
            for (std::uint32_t ack = 0; ack < acks; ++ack) {
                tcp::congestion_acked(host(), conn, lone_mss, lone_rtt_ms * 1'000);
            }
        }
    }
    void lose() {
        conn.prior_cwnd = conn.cwnd;
        conn.prior_ssthresh = conn.ssthresh;
        conn.ssthresh = tcp::congestion_cut(host(), conn, tcp::cut_cause::loss);
        conn.cwnd = conn.ssthresh;
    }
    void time_out() {
        lose();
        conn.cwnd = lone_mss;
        tcp::congestion_notify(host(), conn, tcp::congestion_event::timeout);
    }
    void undo() {
        conn.cwnd = conn.prior_cwnd;
        conn.ssthresh = conn.prior_ssthresh;
        tcp::congestion_notify(host(), conn, tcp::congestion_event::undone);
    }
    unsigned segments() const { return conn.cwnd / lone_mss; }

    scripted_peer peer;
    tcp::conn conn;
};

// RFC 9438 4.8: K = 0, and the plateau is where congestion avoidance begins.
TEST(tcp_congestion, cubic_forgets_the_plateau_after_a_timeout) {
    lone_flow flow;
    flow.run(1);
    flow.time_out();
    EXPECT_EQ(flow.conn.ssthresh, 70U * lone_mss);
    flow.conn.cwnd = flow.conn.ssthresh; // slow start is over
    flow.run(20);
    EXPECT_GE(flow.segments(), 73U); // 70 + 0.4 * 2^3
    EXPECT_LE(flow.segments(), 82U); // Reno's 9/17 a round trip; towards the old plateau it is 96
}

// Against that: a fast retransmit climbs back to the plateau.
TEST(tcp_congestion, cubic_climbs_back_after_a_loss) {
    lone_flow flow;
    flow.run(1);
    flow.lose();
    flow.run(20);
    EXPECT_GE(flow.segments(), 94U);
    EXPECT_LE(flow.segments(), 98U);
}

// RFC 9438 5.8: application-limited time is no part of t; neither with ACKs nor without.
TEST(tcp_congestion, cubic_counts_no_time_in_which_the_window_is_not_used) {
    for (const bool silent : {false, true}) {
        lone_flow flow;
        flow.conn.rto_us = 60'000'000; // nothing else is to shrink the window
        flow.run(20);
        const unsigned before = flow.segments();
        if (silent) {
            flow.host().now = flow.host().now + 30 * ns_per_s;
        } else {
            flow.run(300, false);
        }
        EXPECT_EQ(flow.segments(), before);
        flow.run(2);
        EXPECT_LE(flow.segments(), before + 4) << silent;
    }
}

// And time in which it is used counts, whatever the round trip varies.
TEST(tcp_congestion, cubic_counts_the_time_of_slow_acks) {
    lone_flow flow;
    flow.run(1);
    for (unsigned i = 0; i < 40; ++i) {
        flow.host().now = flow.host().now + 5 * ns_per_ms;
        flow.run(1); // 105 ms each
    }
    EXPECT_GE(flow.segments(), 120U); // 0.4 * 4^3 = 25 more
}

// RFC 9438 4.9: after a reduction that is taken back, all is as if it had not been.
TEST(tcp_congestion, cubic_goes_on_where_it_was_after_an_undo) {
    for (const bool timeout : {false, true}) {
        lone_flow undisturbed;
        lone_flow flow;
        for (lone_flow* one : {&undisturbed, &flow}) {
            one->run(1);
            one->lose(); // a plateau to climb to
            one->run(10);
        }
        ASSERT_EQ(undisturbed.conn.cwnd, flow.conn.cwnd);
        timeout ? flow.time_out() : flow.lose();
        flow.undo();
        for (unsigned i = 0; i < 60; ++i) {
            undisturbed.run(1);
            flow.run(1);
            const auto apart = static_cast<int>(undisturbed.segments() - flow.segments());
            ASSERT_LE(std::abs(apart), 1) << timeout << i;
        }
    }
}

// RFC 8257 3.5: a loss is answered by half, whatever alpha says and if its ACK was marked.
TEST(tcp_congestion, dctcp_halves_on_loss) {
    lone_flow flow(tcp::congestion_kind::dctcp);
    for (unsigned i = 0; i < 100; ++i) { // alpha falls from 1 towards 0
        flow.conn.snd_nxt = flow.conn.snd_una + lone_mss;
        flow.conn.snd_una = flow.conn.snd_nxt;
        tcp::congestion_marked(flow.conn, lone_mss, false);
    }
    tcp::congestion_marked(flow.conn, lone_mss, true);
    flow.conn.most_in_flight = flow.conn.cwnd;
    EXPECT_GT(
        tcp::congestion_cut(flow.host(), flow.conn, tcp::cut_cause::mark), flow.conn.cwnd * 9 / 10);
    EXPECT_EQ(
        tcp::congestion_cut(flow.host(), flow.conn, tcp::cut_cause::loss), flow.conn.cwnd / 2);
    flow.time_out();
    EXPECT_EQ(flow.conn.ssthresh, flow.conn.prior_cwnd / 2);
}

// A connection that has sent and heard of it, with a window of 80 segments, and is silent since.
struct silent_flow {
    silent_flow() {
        handle = peer.establish();
        peer.send(handle, 536);
        peer.ack += 536;
        peer.give(peer.segment(wire::tcp_flag::ack));
        conn().cwnd = 80 * 536;
        conn().ssthresh = 40 * 536;
    }
    tcp::conn& conn() { return *peer.host().find(handle); }

    scripted_peer peer;
    tcp::conn_handle handle;
};

// RFC 2861 3, as Linux: half for every RTO in which nothing was sent, not below the initial window,
// and ssthresh remembers three quarters.
TEST(tcp_congestion, idleness_halves_the_window_for_every_timeout) {
    for (const bool long_idle : {false, true}) {
        silent_flow flow;
        const std::uint32_t rto_ms = flow.conn().rto_us / 1'000;
        flow.peer.wait_ms(long_idle ? 100 * rto_ms : rto_ms * 5 / 2);
        flow.peer.send(flow.handle, 536);
        EXPECT_EQ(flow.conn().cwnd, (long_idle ? 10U : 20U) * 536);
        EXPECT_EQ(flow.conn().ssthresh, 60U * 536);
    }
}

// The window decays once for a silence, however often what is held back is looked at meanwhile.
TEST(tcp_congestion, what_is_held_back_does_not_decay_the_window_again) {
    silent_flow flow;
    flow.peer.wait_ms(flow.conn().rto_us / 1'000 * 5 / 2);
    tcp::set_cork(flow.peer.host(), flow.handle, true);
    for (unsigned i = 1; i <= 4; ++i) {
        flow.peer.send(flow.handle, 100);
        EXPECT_EQ(flow.conn().cwnd, 80U * 536) << i;
    }
    tcp::set_cork(flow.peer.host(), flow.handle, false);
    flow.peer.turn();
    EXPECT_EQ(flow.conn().cwnd, 20U * 536);
}

TEST(tcp_congestion, a_pause_within_a_timeout_changes_nothing) {
    silent_flow flow;
    flow.peer.wait_ms(flow.conn().rto_us / 1'000 * 9 / 10);
    flow.peer.send(flow.handle, 536);
    EXPECT_EQ(flow.conn().cwnd, 80U * 536);
    EXPECT_EQ(flow.conn().ssthresh, 40U * 536);
}

// RFC 2861 3.2, as Linux: a window of which only a part was used for an RTO loses half of the rest.
TEST(tcp_congestion, what_is_not_used_of_a_window_is_given_up) {
    lone_flow flow;
    flow.run(1);
    const std::uint32_t before = flow.conn.cwnd;
    flow.run(9, false);
    EXPECT_EQ(flow.conn.cwnd, before);
    flow.run(2, false);
    const std::uint32_t initial = tcp::initial_window(flow.host(), flow.conn);
    EXPECT_EQ(flow.conn.cwnd, (before + initial) / 2);
    EXPECT_EQ(flow.conn.ssthresh, before / 2 + before / 4);
    flow.run(400, false);
    EXPECT_LE(flow.conn.cwnd, initial + lone_mss);
    EXPECT_GE(flow.conn.cwnd, initial);
    EXPECT_EQ(flow.conn.ssthresh, before / 2 + before / 4);
}

// It is kept where the send buffer is what limits, and while anything is being repaired.
TEST(tcp_congestion, a_window_is_kept_where_the_application_waits_for_room) {
    for (const bool blocked : {true, false}) {
        lone_flow flow;
        flow.run(1);
        const std::uint32_t before = flow.conn.cwnd;
        flow.conn.send_blocked = blocked;
        flow.conn.recovery = blocked ? tcp::recovery_state::open : tcp::recovery_state::disorder;
        flow.run(50, false);
        EXPECT_EQ(flow.conn.cwnd, before);
    }
}

} // namespace
} // namespace pantala::sim
