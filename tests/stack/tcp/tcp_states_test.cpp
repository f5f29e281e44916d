// The rules of RFC 9293 3.10.7 and RFC 5961, one exchange of segments each.
#include "stack/tcp/output/tcp_output.hpp"
#include "tests/stack/tcp/scripted_peer.hpp"

#include <gtest/gtest.h>

namespace pantala::sim {
namespace {

using namespace wire::tcp_flag;

constexpr std::uint16_t closed_port = 81;

tcp::conn_state state_of(scripted_peer& peer, tcp::conn_handle handle) {
    const tcp::conn* c = peer.host().find(handle);
    return c == nullptr ? tcp::conn_state::closed : c->state;
}

TEST(tcp_states, a_closed_port_answers_with_a_reset) {
    scripted_peer peer;
    peer.give({.flags = syn, .seq = 100, .host_port = closed_port});
    auto reset = peer.next();
    ASSERT_TRUE(reset); // <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>
    EXPECT_EQ(reset->flags, rst | ack);
    EXPECT_EQ(reset->seq, 0U);
    EXPECT_EQ(reset->ack, 101U);
    peer.give({.flags = ack, .seq = 100, .ack = 5'000, .host_port = closed_port});
    reset = peer.next();
    ASSERT_TRUE(reset); // <SEQ=SEG.ACK><CTL=RST>
    EXPECT_EQ(reset->flags, rst);
    EXPECT_EQ(reset->seq, 5'000U);
    peer.give({.flags = rst, .seq = 100, .host_port = closed_port});
    EXPECT_TRUE(peer.silent());
}

TEST(tcp_states, passive_open_data_and_close) {
    scripted_peer peer;
    const auto handle = peer.establish();
    EXPECT_EQ(state_of(peer, handle), tcp::conn_state::established);
    peer.give(peer.segment(ack | psh, 5));
    EXPECT_EQ(tcp::readable_bytes(peer.host(), handle), 5U);
    auto answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->ack, peer.seq + 5);
    peer.seq += 5;
    tcp::consume(peer.host(), handle, 5);

    peer.give(peer.segment(ack | fin));
    peer.seq += 1;
    EXPECT_EQ(state_of(peer, handle), tcp::conn_state::close_wait);
    EXPECT_TRUE(tcp::at_end(peer.host(), handle));
    answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->ack, peer.seq);

    tcp::close(peer.host(), handle);
    peer.turn();
    answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->flags & (fin | ack), fin | ack);
    EXPECT_EQ(state_of(peer, handle), tcp::conn_state::last_ack);
    peer.ack = answer->seq + 1;
    peer.give(peer.segment(ack));
    EXPECT_EQ(peer.host().conns.used(), 0U);
    EXPECT_EQ(peer.host().time_waits.size(), 0U); // the passive closer does not wait
}

TEST(tcp_states, active_close_passes_through_fin_wait_to_time_wait) {
    scripted_peer peer;
    const auto handle = peer.establish();
    tcp::shutdown_send(peer.host(), handle);
    peer.turn();
    auto answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->flags & fin, fin);
    EXPECT_EQ(state_of(peer, handle), tcp::conn_state::fin_wait_1);
    peer.ack = answer->seq + 1;
    peer.give(peer.segment(ack));
    EXPECT_EQ(state_of(peer, handle), tcp::conn_state::fin_wait_2);
    peer.give(peer.segment(ack | psh, 3)); // half closed: the peer may still send
    peer.seq += 3;
    EXPECT_EQ(tcp::readable_bytes(peer.host(), handle), 3U);
    (void)peer.next();
    peer.give(peer.segment(ack | fin));
    EXPECT_EQ(state_of(peer, handle), tcp::conn_state::time_wait);
    EXPECT_EQ(tcp::readable_bytes(peer.host(), handle), 3U); // still to be read
    answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->ack, peer.seq + 1);
    EXPECT_EQ(peer.host().time_waits.size(), 1U);
    tcp::close(peer.host(), handle);
    EXPECT_EQ(peer.host().conns.used(), 0U);
    peer.wait_ms(61'000);
    EXPECT_EQ(peer.host().time_waits.size(), 0U);
}

TEST(tcp_states, simultaneous_close_goes_through_closing) {
    scripted_peer peer;
    const auto handle = peer.establish();
    tcp::close(peer.host(), handle);
    peer.turn();
    auto answer = peer.next();
    ASSERT_TRUE(answer);
    peer.give(peer.segment(ack | fin)); // does not acknowledge the host's FIN
    EXPECT_EQ(state_of(peer, handle), tcp::conn_state::closing);
    peer.seq += 1;
    peer.ack += 1;
    peer.give(peer.segment(ack));
    EXPECT_EQ(peer.host().time_waits.size(), 1U);
    EXPECT_EQ(peer.host().conns.used(), 0U);
}

TEST(tcp_states, simultaneous_open) { // RFC 9293 figure 8
    scripted_peer peer;
    const auto opened = tcp::open(
        peer.host(),
        {.local = ip_address::from(wire::ipv4_address::of(10, 0, 0, 2)),
         .local_port = l4_port::from(80),
         .remote = {ip_address::from(wire::ipv4_address::of(10, 0, 0, 1)), l4_port::from(4'000)}});
    ASSERT_EQ(opened.error, tcp::user_error::none);
    peer.turn();
    auto answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->flags, syn);
    const std::uint32_t iss = answer->seq;
    peer.give({.flags = syn, .seq = 100});
    EXPECT_EQ(state_of(peer, opened.handle), tcp::conn_state::syn_received);
    answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->flags, syn | ack);
    EXPECT_EQ(answer->seq, iss);
    EXPECT_EQ(answer->ack, 101U);
    peer.give({.flags = syn | ack, .seq = 100, .ack = iss + 1});
    EXPECT_EQ(state_of(peer, opened.handle), tcp::conn_state::established);
}

TEST(tcp_states, only_the_exact_number_resets) { // RFC 5961 section 3.2
    scripted_peer peer;
    const auto handle = peer.establish();
    wire_segment reset = peer.segment(rst);
    reset.seq = peer.seq + 100; // in the window, not exact: questioned
    peer.give(reset);
    auto answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->flags, ack);
    EXPECT_EQ(answer->ack, peer.seq);
    reset.seq = peer.seq - 1; // outside: ignored
    peer.give(reset);
    EXPECT_TRUE(peer.silent());
    EXPECT_EQ(state_of(peer, handle), tcp::conn_state::established);
    reset.seq = peer.seq;
    peer.give(reset);
    EXPECT_EQ(state_of(peer, handle), tcp::conn_state::closed);
    EXPECT_EQ(peer.host().find(handle)->error, tcp::conn_error::reset);
    tcp::close(peer.host(), handle);
    EXPECT_EQ(peer.host().conns.used(), 0U);
}

TEST(tcp_states, a_syn_inside_is_questioned_at_a_limited_rate) { // RFC 5961 sections 4.2 and 7
    scripted_peer peer;
    const auto handle = peer.establish();
    for (unsigned i = 0; i < 100; ++i) {
        wire_segment again = peer.segment(syn);
        again.seq = peer.seq + i;
        peer.give(again);
    }
    unsigned answers = 0;
    while (const auto answer = peer.next()) {
        EXPECT_EQ(answer->flags, ack);
        ++answers;
    }
    EXPECT_EQ(answers, 1U);
    EXPECT_EQ(state_of(peer, handle), tcp::conn_state::established);
}

TEST(tcp_states, unacceptable_acks_are_answered_and_ignored) { // RFC 5961 section 5.2
    scripted_peer peer;
    const auto handle = peer.establish();
    wire_segment bad = peer.segment(ack, 10);
    bad.ack = peer.ack + 1; // never sent
    peer.give(bad);
    auto answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->ack, peer.seq);
    bad.ack = peer.ack - 100'000; // older than any window
    peer.wait_ms(peer.host().config.invalid_interval_ms);
    peer.give(bad);
    EXPECT_TRUE(peer.next());
    EXPECT_EQ(tcp::readable_bytes(peer.host(), handle), 0U);
    EXPECT_EQ(peer.stats().rcvacktoomuch.read(), 1U);
    EXPECT_EQ(peer.stats().rcvacktooold.read(), 1U);
}

std::vector<std::uint8_t> stamp(std::uint32_t value) {
    wire::tcp_options options{.has_timestamp = true, .ts_value = value, .ts_echo = 0};
    std::array<std::uint8_t, wire::tcp_options_bytes_max> raw{};
    const unsigned length = wire::write_tcp_options(raw, options);
    return std::vector<std::uint8_t>(raw.begin(), raw.begin() + length);
}

// Timestamps agreed, the last one 1,001.
tcp::conn_handle establish_with_timestamps(scripted_peer& peer) {
    peer.listen();
    peer.give({.flags = syn, .seq = peer.seq, .options = stamp(1'000)});
    peer.ack = peer.next()->seq + 1;
    ++peer.seq;
    wire_segment segment = peer.segment(ack);
    segment.options = stamp(1'001);
    peer.give(segment);
    return tcp::accept(peer.host(), peer.listener, nullptr);
}

// RFC 5961 section 4.2: whatever its timestamp, or its lack of one; at the same limited rate.
TEST(tcp_states, a_syn_of_a_peer_that_began_anew_is_questioned) {
    for (const auto& options : {std::vector<std::uint8_t>{}, stamp(5), stamp(2'000)}) {
        for (const std::uint32_t number : {0U, 0x7000'0000U}) {
            scripted_peer peer;
            const auto handle = establish_with_timestamps(peer);
            unsigned answers = 0;
            for (unsigned i = 0; i < 20; ++i) {
                wire_segment again = peer.segment(syn);
                again.ack = 0;
                again.seq = peer.seq + number;
                again.options = options;
                peer.give(again);
                const auto answer = peer.next();
                EXPECT_EQ(answer.has_value(), i == 0); // one in invalid_interval_ms
                answers += answer && answer->flags == ack && answer->ack == peer.seq ? 1 : 0;
            }
            EXPECT_EQ(answers, 1U);
            EXPECT_EQ(state_of(peer, handle), tcp::conn_state::established);
        }
    }
}

// RFC 7323 section 5.5: after 24 days a timestamp says nothing, and the next takes its place.
TEST(tcp_states, a_timestamp_of_last_month_is_replaced) {
    scripted_peer peer;
    peer.host().config.always_keepalive = false;
    const auto handle = establish_with_timestamps(peer);
    const std::uint64_t day_ms = 24ULL * 3'600 * 1'000;
    peer.wait_ms(20 * day_ms);
    peer.wait_ms(5 * day_ms);
    wire_segment late = peer.segment(ack | psh, 10);
    late.options = stamp(500);
    peer.give(late);
    EXPECT_EQ(tcp::readable_bytes(peer.host(), handle), 10U);
    const auto answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->parsed.ts_echo, 500U);
    EXPECT_TRUE(peer.host().find(handle)->has(tcp::conn_flag::ts_recent_valid));
}

TEST(tcp_states, paws_drops_an_old_duplicate) { // RFC 7323 section 5
    scripted_peer peer;
    peer.listen();
    peer.give({.flags = syn, .seq = peer.seq, .options = stamp(1'000)});
    auto answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->parsed.ts_echo, 1'000U);
    peer.seq += 1;
    peer.ack = answer->seq + 1;
    wire_segment segment = peer.segment(ack);
    segment.options = stamp(1'001);
    peer.give(segment);
    const auto handle = tcp::accept(peer.host(), peer.listener, nullptr);
    segment.payload = bytes(10);
    segment.options = stamp(900); // older than what has been seen
    peer.give(segment);
    EXPECT_EQ(peer.stats().pawsdrop.read(), 1U);
    EXPECT_EQ(tcp::readable_bytes(peer.host(), handle), 0U);
    ASSERT_TRUE(peer.next());
    segment.options.clear(); // none at all, though agreed
    peer.give(segment);
    EXPECT_EQ(peer.stats().notsdrop.read(), 1U);
    segment.options = stamp(1'002);
    peer.give(segment);
    EXPECT_EQ(tcp::readable_bytes(peer.host(), handle), 10U);
}

TEST(tcp_states, time_wait_answers_reopens_and_is_not_assassinated) {
    scripted_peer peer;
    const auto handle = peer.establish();
    tcp::close(peer.host(), handle);
    peer.turn();
    auto answer = peer.next();
    peer.ack = answer->seq + 1;
    const wire_segment last = peer.segment(ack | fin);
    peer.give(last);
    ASSERT_TRUE(peer.next());
    ASSERT_EQ(peer.host().time_waits.size(), 1U);

    peer.wait_ms(50'000);
    peer.give(last); // our last ACK was lost: acknowledged again, 2 MSL anew
    answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->ack, peer.seq + 1);
    peer.wait_ms(50'000);
    EXPECT_EQ(peer.host().time_waits.size(), 1U);

    wire_segment reset = peer.segment(rst); // RFC 1337
    reset.seq = peer.seq + 1;
    peer.give(reset);
    EXPECT_TRUE(peer.silent());
    EXPECT_EQ(peer.host().time_waits.size(), 1U);

    wire_segment again = peer.segment(syn);
    again.seq = peer.seq - 10; // not newer: questioned
    peer.give(again);
    answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->flags, ack);
    again.seq = peer.seq + 1'000; // newer: RFC 6191
    peer.give(again);
    answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->flags, syn | ack);
    EXPECT_TRUE(tcp_seq{answer->seq} > tcp_seq{peer.ack}); // above everything of the old one
    EXPECT_EQ(peer.host().time_waits.size(), 0U);
}

TEST(tcp_states, a_process_started_again_goes_on_with_its_timestamps) { // RFC 6191, RFC 7323 5.4
    tcp::settings config;
    config.timestamp_key = {1, 2};
    config.timestamp_base_ms = 4'294'967'000; // about to wrap
    scripted_peer before(config);
    flow_key key;
    key.local = before.address(1);
    key.remote = before.address(2);
    config.timestamp_base_ms += 5'000;
    scripted_peer after(config);
    EXPECT_EQ(timestamp_offset(after.host(), key) - timestamp_offset(before.host(), key), 5'000U);
    EXPECT_NE(timestamp_offset(before.host(), key), config.timestamp_base_ms - 5'000U); // hidden
    config.timestamp_key = {3, 4};
    scripted_peer other(config);
    EXPECT_NE(timestamp_offset(other.host(), key), timestamp_offset(after.host(), key));
}

TEST(tcp_states, unread_data_at_close_resets) { // RFC 2525 2.17
    scripted_peer peer;
    const auto handle = peer.establish();
    peer.give(peer.segment(ack | psh, 10));
    (void)peer.next();
    tcp::close(peer.host(), handle);
    peer.turn();
    const auto answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->flags & rst, rst);
    EXPECT_EQ(peer.host().conns.used(), 0U);
}

TEST(tcp_states, data_for_nobody_resets) { // RFC 9293 3.6, MUST-13
    scripted_peer peer;
    const auto handle = peer.establish();
    tcp::close(peer.host(), handle);
    peer.turn();
    (void)peer.next();
    peer.give(peer.segment(ack | psh, 10));
    const auto answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->flags & rst, rst);
    EXPECT_EQ(peer.host().conns.used(), 0U);
}

TEST(tcp_states, early_data_is_kept_and_told_by_sack) { // RFC 2018
    scripted_peer peer;
    const auto handle = peer.establish({wire::tcp_option_sack_permitted, 2, 1, 1});
    wire_segment early = peer.segment(ack, 100);
    early.seq = peer.seq + 100;
    peer.give(early);
    auto answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->ack, peer.seq);
    ASSERT_EQ(answer->parsed.sack_count, 1);
    EXPECT_EQ(answer->parsed.sack[0].left, tcp_seq{peer.seq + 100});
    EXPECT_EQ(answer->parsed.sack[0].right, tcp_seq{peer.seq + 200});
    peer.give(early); // twice: D-SACK (RFC 2883)
    answer = peer.next();
    ASSERT_TRUE(answer);
    ASSERT_EQ(answer->parsed.sack_count, 2);
    EXPECT_EQ(answer->parsed.sack[0].left, tcp_seq{peer.seq + 100});
    peer.give(peer.segment(ack, 100));
    answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->ack, peer.seq + 200);
    EXPECT_EQ(tcp::readable_bytes(peer.host(), handle), 200U);
}

} // namespace
} // namespace pantala::sim
