// TIME-WAIT: who may take a flow over, and who may not end it.
#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_user.hpp"
#include "stack/wire/tcp.hpp"
#include "tests/stack/tcp/scripted_peer.hpp"

#include <array>
#include <map>

#include <gtest/gtest.h>

namespace pantala::sim {
namespace {

using namespace wire::tcp_flag;

std::vector<std::uint8_t> stamp(std::uint32_t value) {
    const wire::tcp_options options{.has_timestamp = true, .ts_value = value, .ts_echo = 0};
    std::array<std::uint8_t, wire::tcp_options_bytes_max> raw{};
    const unsigned length = wire::write_tcp_options(raw, options);
    return {raw.begin(), raw.begin() + length};
}

constexpr std::uint16_t server_of_ours = 7'000;

// A connection to the peer's port 7000, from `port` (0: any): opened, and closed by us first.
// The port it had and the numbers it ended with.
struct ended {
    tcp::user_error error = tcp::user_error::none;
    std::uint16_t port = 0;
    tcp_seq first;
    tcp_seq next;
};
ended open_and_close(scripted_peer& peer, bool timestamps, std::uint16_t port = 0) {
    tcp::host& host = peer.host();
    host.now = peer.now;
    const auto opened = tcp::open(
        host, {.local = peer.address(2),
               .local_port = l4_port::from(port),
               .remote = {peer.address(1), l4_port::from(server_of_ours)}});
    if (opened.error != tcp::user_error::none) {
        return {opened.error, 0, {}, {}};
    }
    peer.turn();
    const auto asked = peer.next();
    PANTALA_ASSERT(asked && asked->flags == syn);
    ended result{
        .port = asked->host_port, .first = tcp_seq{asked->seq}, .next = tcp_seq{asked->seq + 2}};
    wire_segment answer{.flags = syn | ack, .seq = 5'000, .ack = asked->seq + 1};
    answer.peer_port = server_of_ours;
    answer.host_port = asked->host_port;
    answer.options = timestamps ? stamp(9'000) : std::vector<std::uint8_t>{};
    peer.give(answer);
    tcp::close(host, opened.handle);
    peer.turn();
    answer.flags = fin | ack;
    answer.seq = 5'001;
    answer.ack = asked->seq + 2;
    peer.give(answer);
    while (peer.next()) {
    }
    return result;
}

tcp::settings three_ports() {
    tcp::settings config;
    config.port_first = 50'000;
    config.port_last = 50'002;
    return config;
}

// RFC 6191 section 2: its timestamps tell a new connection from the old one, so that a client that
// closes first does not run out of ports.
TEST(time_wait, a_client_takes_over_its_own_flows_once_timestamps_moved_on) {
    scripted_peer peer(three_ports());
    std::map<std::uint16_t, tcp_seq> ends;
    for (unsigned i = 0; i < 3; ++i) {
        const ended one = open_and_close(peer, true);
        ASSERT_EQ(one.error, tcp::user_error::none);
        ends[one.port] = one.next;
    }
    EXPECT_EQ(ends.size(), 3U);
    EXPECT_EQ(open_and_close(peer, true).error, tcp::user_error::no_room); // all too young
    peer.wait_ms(1'100);
    for (unsigned i = 0; i < 3; ++i) {
        const ended one = open_and_close(peer, true);
        ASSERT_EQ(one.error, tcp::user_error::none);
        EXPECT_TRUE(one.first > ends.at(one.port)); // RFC 9293 3.6.1 (2)
    }
    EXPECT_EQ(peer.host().time_waits.size(), 3U);
    peer.wait_ms(1'100);
    EXPECT_EQ(open_and_close(peer, true, 50'001).error, tcp::user_error::none); // also by name
}

TEST(time_wait, without_timestamps_nothing_is_taken_over) {
    scripted_peer peer(three_ports());
    for (unsigned i = 0; i < 3; ++i) {
        ASSERT_EQ(open_and_close(peer, false).error, tcp::user_error::none);
    }
    peer.wait_ms(59'000);
    EXPECT_EQ(open_and_close(peer, false).error, tcp::user_error::no_room);
    EXPECT_EQ(open_and_close(peer, false, 50'001).error, tcp::user_error::in_use);
    peer.wait_ms(2'000);
    EXPECT_EQ(open_and_close(peer, false).error, tcp::user_error::none);
}

// A SYN that would reopen the flow, if only somebody listened: the record stays, and the answer is
// the one to any other SYN.
TEST(time_wait, a_syn_to_nobody_does_not_end_it) {
    scripted_peer peer(three_ports());
    const ended one = open_and_close(peer, false);
    wire_segment again{.flags = syn, .seq = 900'000};
    again.peer_port = server_of_ours;
    again.host_port = one.port;
    peer.give(again);
    const auto answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->flags, ack);
    EXPECT_EQ(peer.host().time_waits.size(), 1U);
}

// An accepted connection that we close first.
void close_first(scripted_peer& peer) {
    const auto handle = peer.establish();
    tcp::close(peer.host(), handle);
    peer.turn();
    peer.ack = peer.next()->seq + 1;
    peer.give(peer.segment(ack | fin));
    ASSERT_TRUE(peer.next());
    ASSERT_EQ(peer.host().time_waits.size(), 1U);
}

// A cookie cannot begin above what the old connection sent: who reopens gets an entry, though the
// cache is full.
TEST(time_wait, a_reopened_flow_gets_no_cookie) {
    tcp::limits sizes = scripted_peer::small();
    sizes.syn_entries = 8;
    scripted_peer peer({}, sizes);
    close_first(peer);
    for (std::uint16_t i = 0; i < 100; ++i) {
        peer.give({.flags = syn, .seq = i, .peer_port = static_cast<std::uint16_t>(100 + i)});
        (void)peer.next();
    }
    const std::uint64_t cookies = peer.stats().sc_sendcookie.read();
    EXPECT_GT(cookies, 0U);
    wire_segment again = peer.segment(syn);
    again.seq = peer.seq + 1'000;
    peer.give(again);
    const auto answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->flags, syn | ack);
    EXPECT_TRUE(tcp_seq{answer->seq} > tcp_seq{peer.ack});
    EXPECT_EQ(peer.stats().sc_sendcookie.read(), cookies);
    EXPECT_EQ(peer.host().time_waits.size(), 0U);
}

// A SYN that is not taken (a peer with all it may have) leaves the record where it is.
TEST(time_wait, a_syn_that_is_refused_does_not_end_it) {
    tcp::limits sizes = scripted_peer::small();
    sizes.peer_conns = 1;
    scripted_peer peer({}, sizes);
    close_first(peer);
    wire_segment other{.flags = syn, .seq = 1, .peer_port = 4'001};
    peer.give(other);
    const auto half = peer.next();
    ASSERT_TRUE(half);
    other.flags = ack;
    other.seq = 2;
    other.ack = half->seq + 1;
    peer.give(other);
    while (peer.next()) {
    }
    wire_segment again = peer.segment(syn);
    again.seq = peer.seq + 1'000;
    peer.give(again);
    EXPECT_TRUE(peer.silent());
    EXPECT_EQ(peer.host().time_waits.size(), 1U);
}

// RFC 9293 3.6.1 leaves the time to us: lowered while records wait, it holds for all of them.
TEST(time_wait, a_shorter_time_set_at_run_time_breaks_no_order) {
    scripted_peer peer;
    for (unsigned i = 0; i < 3; ++i) {
        ASSERT_EQ(open_and_close(peer, false).error, tcp::user_error::none);
    }
    peer.host().config.time_wait_ms = 40'000;
    ASSERT_EQ(open_and_close(peer, false).error, tcp::user_error::none);
    peer.wait_ms(41'000);
    EXPECT_EQ(peer.host().time_waits.size(), 0U);
}

// The peer's FIN again is answered each time, at whatever rate others draw (RFC 9293 3.10.7.4).
TEST(time_wait, the_fin_again_is_always_acknowledged) {
    scripted_peer peer({.challenge_acks_per_second = 0});
    const auto handle = peer.establish();
    tcp::close(peer.host(), handle);
    peer.turn();
    peer.ack = peer.next()->seq + 1;
    for (unsigned i = 0; i < 3; ++i) {
        peer.give(peer.segment(ack | fin));
        EXPECT_TRUE(peer.next());
    }
}

} // namespace
} // namespace pantala::sim
