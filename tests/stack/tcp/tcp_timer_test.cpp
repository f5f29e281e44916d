// The timer rules, read off the wire in virtual time.
#include "tests/stack/tcp/scripted_peer.hpp"

#include <gtest/gtest.h>

namespace pantala::sim {
namespace {

using namespace wire::tcp_flag;

// When the host's next segments leave, in milliseconds from now, until `limit_ms` or death.
std::vector<std::uint64_t> times_sent(scripted_peer& peer, std::uint64_t limit_ms) {
    std::vector<std::uint64_t> times;
    const instant begin = peer.now;
    while (peer.now < begin + limit_ms * ns_per_ms) {
        peer.wait_ms(1);
        while (peer.next()) {
            times.push_back((peer.now - begin) / ns_per_ms);
        }
    }
    return times;
}

tcp::open_answer open_to_peer(scripted_peer& peer) {
    const auto answer = tcp::open(
        peer.host(),
        {.local = ip_address::from(wire::ipv4_address::of(10, 0, 0, 2)),
         .remote = {ip_address::from(wire::ipv4_address::of(10, 0, 0, 1)), l4_port::from(4'000)}});
    peer.turn();
    return answer;
}

TEST(tcp_timer, a_syn_is_repeated_by_its_table_and_given_up) {
    scripted_peer peer;
    const auto opened = open_to_peer(peer);
    ASSERT_TRUE(peer.next());
    const auto times = times_sent(peer, 80'000);
    // 1 1 1 1 1 2 4 8 16 32 s after one another; 75 s end it before the next.
    const std::vector<std::uint64_t> expected = {1'000, 2'000,  3'000,  4'000,  5'000,
                                                 7'000, 11'000, 19'000, 35'000, 67'000};
    EXPECT_EQ(times, expected);
    ASSERT_NE(peer.host().find(opened.handle), nullptr);
    EXPECT_EQ(peer.host().find(opened.handle)->error, tcp::conn_error::timed_out);
    tcp::close(peer.host(), opened.handle);
    EXPECT_EQ(peer.host().conns.used(), 0U);
}

TEST(tcp_timer, the_third_repeated_syn_asks_for_less) {
    scripted_peer peer;
    open_to_peer(peer);
    auto first = peer.next();
    ASSERT_TRUE(first);
    EXPECT_TRUE(first->parsed.has_timestamp && first->parsed.has_window_scale);
    peer.wait_ms(3'100);
    std::optional<wire_segment> last;
    while (auto one = peer.next()) {
        last = one;
    }
    ASSERT_TRUE(last);
    EXPECT_FALSE(last->parsed.has_timestamp || last->parsed.has_window_scale);
    EXPECT_TRUE(last->parsed.has_mss);
}

TEST(tcp_timer, data_is_repeated_twelve_times_with_doubling_pauses) {
    scripted_peer peer;
    const auto handle = peer.establish();
    peer.send(handle, 100);
    ASSERT_TRUE(peer.next());
    const auto times = times_sent(peer, 900'000);
    ASSERT_EQ(times.size(), 12U);
    for (std::size_t i = 2; i < times.size(); ++i) {
        const std::uint64_t before = times[i - 1] - times[i - 2];
        const std::uint64_t pause = times[i] - times[i - 1];
        EXPECT_NEAR(
            static_cast<double>(pause), std::min(2.0 * static_cast<double>(before), 64'000.0), 2.0)
            << i;
    }
    EXPECT_EQ(peer.host().find(handle)->error, tcp::conn_error::timed_out);
    EXPECT_EQ(peer.stats().timeoutdrop.read(), 1U);
}

TEST(tcp_timer, user_timeout_ends_it_sooner) { // RFC 5482
    scripted_peer peer;
    const auto handle = peer.establish();
    tcp::set_user_timeout(peer.host(), handle, 5'000);
    peer.send(handle, 100);
    peer.wait_ms(20'000);
    EXPECT_EQ(peer.host().find(handle)->error, tcp::conn_error::timed_out);
    EXPECT_EQ(peer.stats().usertimeo.read(), 1U);
}

TEST(tcp_timer, a_closed_window_is_probed_while_the_peer_answers) {
    scripted_peer peer;
    const auto handle = peer.establish();
    wire_segment shut = peer.segment(ack);
    shut.window = 0;
    peer.give(shut);
    peer.send(handle, 100);
    EXPECT_TRUE(peer.silent());
    const auto times = times_sent(peer, 300'000);
    ASSERT_GE(times.size(), 5U);
    for (std::size_t i = 1; i < times.size(); ++i) {
        EXPECT_GE(times[i] - times[i - 1], 4'999U);
        EXPECT_LE(times[i] - times[i - 1], 60'001U);
    }
    EXPECT_EQ(peer.stats().persisttimeo.read(), times.size());
    peer.give(peer.segment(ack)); // open again
    const auto data = peer.next();
    ASSERT_TRUE(data);
    EXPECT_EQ(data->payload.size(), 100U);
}

TEST(tcp_timer, user_timeout_counts_from_what_waits) {
    scripted_peer peer;
    const auto handle = peer.establish();
    tcp::set_user_timeout(peer.host(), handle, 8'000);
    wire_segment shut = peer.segment(ack);
    shut.window = 0;
    peer.give(shut);
    peer.wait_ms(60'000); // nothing to send: nothing to wait for
    peer.send(handle, 100);
    peer.wait_ms(7'000);
    EXPECT_EQ(peer.stats().persisttimeo.read(), 1U);
    EXPECT_EQ(peer.host().find(handle)->error, tcp::conn_error::none);
    peer.wait_ms(10'000);
    EXPECT_EQ(peer.host().find(handle)->error, tcp::conn_error::timed_out);
}

TEST(tcp_timer, round_trips_that_hardly_differ_leave_room_for_a_delayed_ack) {
    scripted_peer peer;
    const auto handle = peer.establish();
    for (unsigned i = 0; i < 30; ++i) {
        peer.send(handle, 100);
        ASSERT_TRUE(peer.next());
        peer.wait_ms(150);
        peer.ack += 100;
        peer.give(peer.segment(ack));
    }
    peer.send(handle, 100);
    ASSERT_TRUE(peer.next());
    peer.wait_ms(340);
    EXPECT_TRUE(peer.silent());
    EXPECT_EQ(peer.stats().rexmttimeo.read(), 0U);
    peer.wait_ms(20);
    EXPECT_EQ(peer.stats().rexmttimeo.read(), 1U);
}

// RFC 6298 section 5, Karn: what was sent twice times nothing, so the doubled timeout must hold, or
// each segment would be sent twice for ever.
TEST(tcp_timer, a_way_longer_than_the_timeout_comes_to_be_timed) {
    tcp::settings config;
    config.sack = false; // no probes
    scripted_peer peer(config);
    const auto handle = peer.establish();
    EXPECT_EQ(peer.host().find(handle)->rto_us, 1'000'000U);
    for (unsigned round = 0; round < 3; ++round) {
        peer.send(handle, 10);
        peer.wait_ms(5'000);
        unsigned sent = 0;
        while (peer.next()) {
            ++sent;
        }
        EXPECT_EQ(sent, 3 - round);
        peer.ack += 10;
        peer.give(peer.segment(ack));
    }
}

// A device that takes nothing, as long as `blocked` says so.
struct tcp_blocked : testing::Test {
    void SetUp() override {
        blocked = false;
        peer.host().sink.is_blocked = [](void*) { return blocked; };
        handle = peer.establish();
    }
    static inline bool blocked = false;
    scripted_peer peer;
    tcp::conn_handle handle;
};

TEST_F(tcp_blocked, new_data_waits_where_it_is_and_is_tried_at_an_even_pace) {
    blocked = true;
    const std::uint32_t window = peer.host().find(handle)->cwnd;
    EXPECT_EQ(peer.send(handle, 24), 24U);
    peer.wait_ms(10'000);
    EXPECT_TRUE(peer.silent());
    const tcp::conn* c = peer.host().find(handle);
    EXPECT_EQ(c->snd_nxt, c->snd_una);
    EXPECT_EQ(c->rexmt_shift, 0U);
    EXPECT_EQ(c->cwnd, window);
    EXPECT_NEAR(static_cast<double>(peer.stats().persisttimeo.read()), 20, 2);
    EXPECT_EQ(c->keep_probes, peer.stats().persisttimeo.read());
    blocked = false;
    peer.wait_ms(500);
    const auto data = peer.next();
    ASSERT_TRUE(data);
    EXPECT_EQ(data->payload.size(), 24U);
    EXPECT_EQ(peer.stats().sndrexmitpack.read(), 0U);
    peer.ack += 24;
    peer.give(peer.segment(ack));
    EXPECT_EQ(peer.host().find(handle)->keep_probes, 0U);
}

TEST_F(tcp_blocked, what_is_repeated_counts_once_it_leaves) {
    peer.send(handle, 24);
    EXPECT_TRUE(peer.next());
    blocked = true;
    peer.wait_ms(5'000);
    EXPECT_TRUE(peer.silent());
    EXPECT_EQ(peer.stats().sndrexmitpack.read(), 0U);
    EXPECT_GE(peer.stats().rexmttimeo.read(), 2U);
    blocked = false;
    peer.wait_ms(10'000);
    EXPECT_EQ(peer.next()->payload.size(), 24U);
}

TEST_F(tcp_blocked, the_user_timeout_ends_it) {
    tcp::set_user_timeout(peer.host(), handle, 3'000);
    blocked = true;
    peer.send(handle, 24);
    peer.wait_ms(2'900);
    EXPECT_EQ(peer.host().find(handle)->error, tcp::conn_error::none);
    peer.wait_ms(1'000);
    EXPECT_EQ(peer.host().find(handle)->error, tcp::conn_error::timed_out);
}

// RFC 9293 3.9.1: what arrives acknowledges nothing of it.
TEST_F(tcp_blocked, what_arrives_does_not_put_off_the_user_timeout) {
    tcp::set_user_timeout(peer.host(), handle, 3'000);
    blocked = true;
    peer.send(handle, 24);
    for (unsigned i = 0; i < 10; ++i) {
        peer.wait_ms(400);
        EXPECT_EQ(peer.host().find(handle)->error != tcp::conn_error::none, i >= 7) << i;
        peer.give(peer.segment(ack | psh, 1));
        ++peer.seq;
    }
    EXPECT_EQ(peer.host().find(handle)->error, tcp::conn_error::timed_out);
}

TEST_F(tcp_blocked, the_end_of_the_stream_is_tried_at_an_even_pace_too) {
    blocked = true;
    peer.wait_ms(60'000); // nothing waits yet
    tcp::shutdown_send(peer.host(), handle);
    peer.turn();
    peer.wait_ms(10'000);
    EXPECT_TRUE(peer.silent());
    EXPECT_EQ(peer.host().find(handle)->rexmt_shift, 0U);
    EXPECT_NEAR(static_cast<double>(peer.stats().persisttimeo.read()), 20, 2);
    blocked = false;
    peer.wait_ms(500);
    const auto end = peer.next();
    ASSERT_TRUE(end);
    EXPECT_EQ(end->flags, fin | ack);
    EXPECT_EQ(end->seq, peer.ack);
    EXPECT_EQ(peer.stats().sndrexmitpack.read(), 0U);
    EXPECT_TRUE(peer.silent());
}

TEST_F(tcp_blocked, an_end_that_nobody_hears_of_comes_in_time) {
    blocked = true;
    peer.send(handle, 24);
    tcp::close(peer.host(), handle);
    peer.turn();
    peer.wait_ms(500'000);
    EXPECT_EQ(peer.host().conns.used(), 1U);
    peer.wait_ms(200'000);
    EXPECT_EQ(peer.host().conns.used(), 0U);
}

// RFC 9293 3.8.6.2.1 (4): it counts from when the sender began to wait.
TEST(tcp_timer, what_arrives_does_not_put_off_the_override_of_a_small_window) {
    scripted_peer peer;
    const auto handle = peer.establish();
    wire_segment small = peer.segment(ack);
    small.window = 100;
    peer.give(small);
    peer.send(handle, 1'000);
    EXPECT_TRUE(peer.silent());
    std::size_t sent = 0;
    for (unsigned i = 0; i < 20; ++i) {
        peer.wait_ms(100);
        wire_segment data = peer.segment(ack | psh, 1);
        data.window = 100;
        peer.give(data);
        ++peer.seq;
        while (const auto one = peer.next()) {
            sent += one->payload.size();
        }
    }
    EXPECT_GE(sent, 100U);
}

TEST(tcp_timer, a_closed_window_of_a_dead_peer_ends_it) {
    scripted_peer peer;
    const auto handle = peer.establish();
    wire_segment shut = peer.segment(ack);
    shut.window = 0;
    peer.give(shut);
    peer.send(handle, 100);
    peer.wait_ms(3'600'000);
    EXPECT_EQ(peer.host().find(handle)->error, tcp::conn_error::timed_out);
    EXPECT_EQ(peer.stats().persistdrop.read(), 1U);
}

TEST(tcp_timer, keep_alive_probes_after_two_hours_and_gives_up_after_eight) {
    scripted_peer peer;
    const auto handle = peer.establish();
    EXPECT_TRUE(times_sent(peer, 7'199'000).empty());
    peer.wait_ms(1'500);
    auto probe = peer.next();
    ASSERT_TRUE(probe);
    EXPECT_EQ(probe->seq, peer.ack - 1); // outside the window: must be answered
    peer.give(peer.segment(ack));
    EXPECT_TRUE(times_sent(peer, 7'190'000).empty());
    peer.wait_ms(700'000);
    unsigned probes = 0;
    while (peer.next()) {
        ++probes;
    }
    EXPECT_EQ(probes, 8U);
    EXPECT_EQ(peer.host().find(handle)->error, tcp::conn_error::timed_out);
    EXPECT_EQ(peer.stats().keepdrops.read(), 1U);
}

// However long it was silent before: nobody is given up who was not asked.
TEST(tcp_timer, keep_alive_wanted_late_asks_first) {
    scripted_peer peer;
    const auto handle = peer.establish();
    peer.wait_ms(3'600'000);
    tcp::set_keep_times(peer.host(), handle, {.idle_s = 10, .interval_s = 5, .count = 3});
    tcp::set_keep_alive(peer.host(), handle, true);
    EXPECT_EQ(times_sent(peer, 24'900), (std::vector<std::uint64_t>{10'000, 15'000, 20'000}));
    EXPECT_EQ(peer.host().find(handle)->error, tcp::conn_error::none);
    peer.wait_ms(200);
    EXPECT_EQ(peer.host().find(handle)->error, tcp::conn_error::timed_out);
    EXPECT_EQ(peer.stats().keepdrops.read(), 1U);
}

// RFC 9293 3.8.4 (MUST-26): it asks only where nothing is out; what is out asks by itself.
TEST(tcp_timer, keep_alive_leaves_what_is_in_flight_to_the_retransmissions) {
    for (const bool heals : {true, false}) {
        scripted_peer peer;
        const auto handle = peer.establish();
        tcp::set_keep_alive(peer.host(), handle, true);
        tcp::set_keep_times(peer.host(), handle, {.idle_s = 10, .interval_s = 5, .count = 3});
        peer.send(handle, 1);
        peer.wait_ms(60'000);
        EXPECT_EQ(peer.host().find(handle)->error, tcp::conn_error::none);
        if (heals) {
            ++peer.ack;
            peer.give(peer.segment(ack));
            while (peer.next()) {
            }
            EXPECT_EQ(times_sent(peer, 24'000).size(), 3U);
            EXPECT_EQ(peer.stats().keepprobe.read(), 3U);
            continue;
        }
        peer.wait_ms(900'000);
        EXPECT_EQ(peer.host().find(handle)->error, tcp::conn_error::timed_out);
        EXPECT_EQ(peer.stats().keepprobe.read(), 0U);
        EXPECT_EQ(peer.stats().keepdrops.read(), 0U);
    }
}

TEST(tcp_timer, keep_alive_as_its_application_wants_it) {
    scripted_peer peer;
    peer.host().config.always_keepalive = false;
    const auto handle = peer.establish();
    tcp::set_keep_times(peer.host(), handle, {.idle_s = 10, .interval_s = 5, .count = 3});
    EXPECT_TRUE(times_sent(peer, 20'000).empty()); // it has not asked for any
    tcp::set_keep_alive(peer.host(), handle, true);
    peer.give(peer.segment(ack | psh, 1)); // the silence begins
    ++peer.seq;
    while (peer.next()) {
    }
    EXPECT_TRUE(times_sent(peer, 9'900).empty());
    EXPECT_EQ(times_sent(peer, 200).size(), 1U);
    peer.give(peer.segment(ack)); // it lives
    EXPECT_TRUE(times_sent(peer, 9'900).empty());
    EXPECT_EQ(times_sent(peer, 11'000).size(), 3U);
    EXPECT_EQ(peer.stats().keepdrops.read(), 0U);
    peer.wait_ms(5'000);
    EXPECT_EQ(peer.host().find(handle)->error, tcp::conn_error::timed_out);
}

TEST(tcp_timer, acks_are_delayed_and_every_second_segment_is_not) { // RFC 5681 4.2
    scripted_peer peer;
    const auto handle = peer.establish();
    (void)handle;
    peer.host().find(handle)->quick_acks = 0; // past the peer's slow start
    peer.give(peer.segment(ack, 536));
    EXPECT_TRUE(peer.silent());
    peer.wait_ms(38);
    EXPECT_TRUE(peer.silent());
    peer.wait_ms(3);
    EXPECT_TRUE(peer.next());
    EXPECT_EQ(peer.stats().delack.read(), 1U);
    peer.seq += 536;
    peer.give(peer.segment(ack, 536));
    EXPECT_TRUE(peer.silent());
    peer.seq += 536;
    peer.give(peer.segment(ack, 536));
    EXPECT_TRUE(peer.next());
}

TEST(tcp_timer, nagle_holds_back_the_second_small_segment) { // RFC 9293 3.7.4
    scripted_peer peer;
    const auto handle = peer.establish();
    peer.send(handle, 10);
    EXPECT_TRUE(peer.next());
    peer.send(handle, 10);
    EXPECT_TRUE(peer.silent());
    peer.ack += 10;
    peer.give(peer.segment(ack));
    auto second = peer.next();
    ASSERT_TRUE(second);
    EXPECT_EQ(second->payload.size(), 10U);
    tcp::set_no_delay(peer.host(), handle, true);
    peer.send(handle, 10);
    EXPECT_TRUE(peer.next());
}

TEST(tcp_timer, an_orphan_in_fin_wait_2_does_not_stay) {
    scripted_peer peer;
    const auto handle = peer.establish();
    tcp::close(peer.host(), handle);
    peer.turn();
    peer.ack += 1;
    peer.give(peer.segment(ack));
    EXPECT_EQ(peer.host().conns.used(), 1U);
    peer.wait_ms(61'000);
    EXPECT_EQ(peer.host().conns.used(), 0U);
    EXPECT_EQ(peer.stats().finwait2_drops.read(), 1U);
}

} // namespace
} // namespace pantala::sim
