// What leaves looks as peers and middleboxes know it, and is timed from the first segment on.
#include "stack/tcp/tcp_user.hpp"
#include "tests/stack/tcp/scripted_peer.hpp"

#include <gtest/gtest.h>

namespace pantala::sim {
namespace {

using namespace wire::tcp_flag;

constexpr std::uint16_t segment_bytes = 1'000;

// MSS 1000, SACK permitted.
const std::vector<std::uint8_t> with_sack = {2, 4, segment_bytes >> 8, segment_bytes & 255, 4, 2,
                                             1, 1};

// A passive open whose SYN-ACK is answered after so long.
tcp::conn_handle establish_after(scripted_peer& peer, std::uint64_t ms) {
    peer.listen();
    peer.give({.flags = syn, .seq = peer.seq, .options = with_sack});
    const auto answer = peer.next();
    EXPECT_TRUE(answer);
    ++peer.seq;
    peer.ack = answer->seq + 1;
    peer.wait_ms(ms);
    while (peer.next()) {
    }
    peer.give(peer.segment(ack));
    return tcp::accept(peer.host(), peer.listener, nullptr);
}

wire_segment sacking(const scripted_peer& peer, std::uint32_t left, std::uint32_t right) {
    wire_segment segment = peer.segment(ack);
    segment.options = {1, 1, 5, 10};
    for (const std::uint32_t edge : {peer.ack + left, peer.ack + right}) {
        for (unsigned shift = 32; shift != 0; shift -= 8) {
            segment.options.push_back(static_cast<std::uint8_t>(edge >> (shift - 8)));
        }
    }
    return segment;
}

TEST(tcp_segments, the_handshake_times_the_round_trip_of_the_passive_side_too) {
    scripted_peer peer;
    const auto handle = establish_after(peer, 100);
    const tcp::conn* c = peer.host().find(handle);
    ASSERT_NE(nullptr, c);
    EXPECT_EQ(100'000U, c->srtt());
    EXPECT_EQ(100'000U, c->min_rtt_us);
    EXPECT_EQ(300'000U, c->rto_us);
}

TEST(tcp_segments, a_repeated_syn_ack_times_nothing) { // Karn
    scripted_peer peer;
    const auto handle = establish_after(peer, 1'500);
    EXPECT_FALSE(peer.host().find(handle)->has(tcp::conn_flag::rtt_seen));
}

// What came out of order was counted when it came (duplicate ACKs and SACKs do not grow the
// window).
TEST(tcp_segments, an_ack_that_closes_a_gap_grows_the_window_by_what_it_brings) {
    for (const bool by_sack : {true, false}) {
        tcp::settings config;
        config.sack = by_sack;
        scripted_peer peer(config);
        const auto handle = establish_after(peer, 100);
        peer.send(handle, 20 * segment_bytes);
        peer.wait_ms(100);
        for (unsigned late = 1; late <= 2; ++late) {
            peer.give(
                by_sack ? sacking(peer, segment_bytes, (1 + late) * segment_bytes)
                        : peer.segment(ack));
        }
        const tcp::conn* c = peer.host().find(handle);
        const std::uint32_t before = c->cwnd;
        peer.ack += 3 * segment_bytes;
        peer.give(peer.segment(ack));
        EXPECT_EQ(before + segment_bytes, c->cwnd) << by_sack;
        EXPECT_EQ(0U, peer.stats().sndrexmitpack.read());
        while (peer.next()) {
        }
    }
}

TEST(tcp_segments, one_sack_of_the_first_flight_waits_for_reordering) { // RFC 8985 6.2 step 4
    scripted_peer peer;
    const auto handle = establish_after(peer, 100);
    peer.send(handle, 4 * segment_bytes);
    for (unsigned i = 0; i < 4; ++i) {
        ASSERT_TRUE(peer.next());
    }
    peer.wait_ms(100);
    peer.give(sacking(peer, 3 * segment_bytes, 4 * segment_bytes));
    EXPECT_TRUE(peer.silent());
    peer.wait_ms(26); // a quarter of the round trip
    const auto again = peer.next();
    ASSERT_TRUE(again);
    EXPECT_EQ(peer.ack, again->seq);
    EXPECT_EQ(ack, again->flags); // it is not the application's last byte: no PSH
}

TEST(tcp_segments, what_comes_late_tells_how_far) {
    scripted_peer peer;
    const auto handle = establish_after(peer, 100);
    peer.send(handle, 8 * segment_bytes);
    EXPECT_EQ(3, peer.host().find(handle)->reordering);
    peer.give(sacking(peer, 6 * segment_bytes, 7 * segment_bytes));
    peer.give(sacking(peer, 2 * segment_bytes, 3 * segment_bytes));
    EXPECT_EQ(5, peer.host().find(handle)->reordering);
}

TEST(tcp_segments, push_marks_the_last_byte_and_nothing_empty) {
    scripted_peer peer;
    const auto handle = peer.establish(with_sack);
    peer.send(handle, 2 * segment_bytes);
    EXPECT_EQ(ack, peer.next()->flags);
    EXPECT_EQ(ack | psh, peer.next()->flags);
    peer.ack += 2 * segment_bytes;
    peer.give(peer.segment(ack));
    tcp::shutdown_send(peer.host(), handle);
    peer.turn();
    EXPECT_EQ(ack | fin, peer.next()->flags);
}

// RFC 9293 3.4: the FIN has a number, and beyond the window a peer cuts it off.
TEST(tcp_segments, the_end_of_the_stream_waits_for_its_place_in_the_window) {
    scripted_peer peer;
    const auto handle = peer.establish(with_sack);
    wire_segment narrow = peer.segment(ack);
    narrow.window = segment_bytes;
    peer.give(narrow);
    const std::vector<std::byte> data(segment_bytes, std::byte{'e'});
    EXPECT_EQ(data.size(), tcp::send(peer.host(), handle, data));
    tcp::shutdown_send(peer.host(), handle);
    peer.turn();
    EXPECT_EQ(ack | psh, peer.next()->flags);
    EXPECT_TRUE(peer.silent());
    peer.ack += segment_bytes;
    wire_segment shut = peer.segment(ack);
    shut.window = 0;
    peer.give(shut);
    EXPECT_TRUE(peer.silent());
    shut.window = 1;
    peer.give(shut);
    const auto end = peer.next();
    ASSERT_TRUE(end);
    EXPECT_EQ(ack | fin, end->flags);
    EXPECT_EQ(peer.ack, end->seq);
}

TEST(tcp_segments, more_waits_for_an_ack_and_is_not_pushed) {
    scripted_peer peer;
    const auto handle = peer.establish(with_sack);
    const std::vector<std::byte> data(segment_bytes + 10, std::byte{'m'});
    EXPECT_EQ(data.size(), tcp::send(peer.host(), handle, data, true));
    peer.turn();
    const auto full = peer.next();
    ASSERT_TRUE(full);
    EXPECT_EQ(std::size_t{segment_bytes}, full->payload.size());
    EXPECT_EQ(ack, full->flags);
    EXPECT_TRUE(peer.silent()); // ten bytes wait
    peer.ack += segment_bytes;
    peer.give(peer.segment(ack));
    const auto rest = peer.next();
    ASSERT_TRUE(rest);
    EXPECT_EQ(10U, rest->payload.size());
    EXPECT_EQ(ack, rest->flags);
    peer.ack += 10;
    peer.give(peer.segment(ack));
    EXPECT_EQ(5U, tcp::send(peer.host(), handle, std::span(data).first(5), true));
    peer.turn();
    EXPECT_TRUE(peer.silent());
    EXPECT_EQ(5U, tcp::send(peer.host(), handle, std::span(data).first(5)));
    peer.turn();
    const auto both = peer.next();
    ASSERT_TRUE(both);
    EXPECT_EQ(10U, both->payload.size());
    EXPECT_EQ(ack | psh, both->flags);
}

TEST(tcp_segments, a_probe_takes_the_place_of_the_first_timeout) { // RFC 8985 7.2
    scripted_peer peer;
    const auto handle = establish_after(peer, 100); // RTO 300 ms, probe of one segment 400 ms
    peer.send(handle, 10);
    ASSERT_TRUE(peer.next());
    peer.wait_ms(300);
    EXPECT_TRUE(peer.next());
    EXPECT_EQ(0U, peer.stats().rexmttimeo.read());
    EXPECT_EQ(1U, peer.stats().tlp_probes.read());
    peer.wait_ms(300);
    EXPECT_TRUE(peer.next());
    EXPECT_EQ(1U, peer.stats().rexmttimeo.read());
}

TEST(tcp_segments, a_reset_bears_a_timestamp_where_segments_do) { // RFC 7323 3.2
    scripted_peer peer;
    const std::vector<std::uint8_t> stamped = {8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1};
    peer.listen();
    peer.give({.flags = syn, .seq = peer.seq, .options = stamped});
    peer.ack = peer.next()->seq + 1;
    ++peer.seq;
    wire_segment third = peer.segment(ack);
    third.options = stamped;
    peer.give(third);
    tcp::abort(peer.host(), tcp::accept(peer.host(), peer.listener, nullptr));
    peer.turn();
    const auto reset = peer.next();
    ASSERT_TRUE(reset);
    EXPECT_EQ(rst | ack, reset->flags);
    EXPECT_TRUE(reset->parsed.has_timestamp);
}

TEST(tcp_segments, data_for_nobody_is_answered_with_the_number_it_acknowledges) {
    scripted_peer peer;
    const auto handle = peer.establish();
    tcp::close(peer.host(), handle);
    peer.turn();
    ASSERT_TRUE(peer.next()); // FIN, which the peer does not know of when it sends
    peer.give(peer.segment(ack | psh, 5));
    const auto reset = peer.next();
    ASSERT_TRUE(reset);
    EXPECT_EQ(rst, reset->flags);
    EXPECT_EQ(peer.ack, reset->seq);
    EXPECT_EQ(0U, peer.host().conns.used());
}

TEST(tcp_segments, an_application_may_wish_small_segments) {
    scripted_peer peer;
    peer.listen();
    tcp::set_listener_segment_size(peer.host(), peer.listener, 700);
    peer.give({.flags = syn, .seq = peer.seq, .options = with_sack});
    auto answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(700, answer->parsed.mss);
    ++peer.seq;
    peer.ack = answer->seq + 1;
    peer.give(peer.segment(ack));
    const auto handle = tcp::accept(peer.host(), peer.listener, nullptr);
    peer.send(handle, 1'000);
    EXPECT_EQ(700U, peer.next()->payload.size());

    const auto opened = tcp::open(
        peer.host(), {.local = peer.address(2),
                      .remote = {peer.address(1), l4_port::from(9)},
                      .segment_size = 800});
    ASSERT_EQ(tcp::user_error::none, opened.error);
    peer.turn();
    while ((answer = peer.next()) && (answer->flags & syn) == 0) {
    }
    ASSERT_TRUE(answer);
    EXPECT_EQ(800, answer->parsed.mss);
}

// RFC 9293 3.8.6.3: a segment that was larger than the peer's usual ones (put together on the way,
// or before the path became narrower) does not make those behind it less than full-sized.
TEST(tcp_segments, every_second_is_acknowledged_behind_a_larger_one_too) {
    scripted_peer peer;
    const auto handle = peer.establish();
    tcp::conn& c = *peer.host().find(handle);
    peer.give(peer.segment(ack | psh, 1'900));
    peer.seq += 1'900;
    c.quick_acks = 0; // past the peer's slow start
    unsigned acks = 0;
    while (peer.next()) {
    }
    for (unsigned i = 0; i < 20; ++i) {
        peer.wait_ms(1);
        peer.give(peer.segment(ack, 1'000));
        peer.seq += 1'000;
        while (peer.next()) {
            ++acks;
        }
    }
    EXPECT_EQ(acks, 10U);
    EXPECT_EQ(c.rcv_mss, 1'000U);
    for (unsigned i = 0; i < 4; ++i) { // less than any path carries is what was left to say
        peer.give(peer.segment(ack | psh, 100));
        peer.seq += 100;
    }
    EXPECT_EQ(c.rcv_mss, 1'000U);
    peer.give(peer.segment(ack, 1'400));
    peer.seq += 1'400;
    EXPECT_EQ(c.rcv_mss, 1'400U);
    for (unsigned i = 0; i < 4; ++i) { // full ones with the same rest behind each
        peer.give(peer.segment(ack | psh, 600));
        peer.seq += 600;
        EXPECT_EQ(c.rcv_mss, 1'400U);
        peer.give(peer.segment(ack, 1'400));
        peer.seq += 1'400;
    }
}

} // namespace
} // namespace pantala::sim
