// Listeners: which one a segment finds, however many there are, and the accept queue's order.
#include "stack/tcp/open/tcp_listen.hpp"
#include "tests/stack/tcp/scripted_peer.hpp"

#include <gtest/gtest.h>

namespace pantala::sim {
namespace {

using namespace wire::tcp_flag;

ip_address v4(std::uint8_t last) {
    return ip_address::from(wire::ipv4_address::of(10, 0, 0, last));
}
ip_address v6(std::uint16_t last) {
    return ip_address::from(wire::ipv6_address::of(0xfd00, 0, 0, 0, 0, 0, 0, last));
}
ip_address any_v4() {
    return ip_address::from(wire::ipv4_address{});
}

// Three connections wait in the queue; their peers' ports are 4000, 4001, 4002.
void fill_queue(scripted_peer& peer) {
    peer.listen();
    for (std::uint16_t i = 0; i < 3; ++i) {
        wire_segment opening{.flags = syn, .seq = 1'000};
        opening.peer_port = static_cast<std::uint16_t>(4'000 + i);
        peer.give(opening);
        wire_segment third{.flags = ack, .seq = 1'001, .ack = peer.next()->seq + 1};
        third.peer_port = opening.peer_port;
        peer.give(third);
    }
}

std::uint16_t accepted_port(scripted_peer& peer) {
    const auto handle = tcp::accept(peer.host(), peer.listener, nullptr);
    const tcp::conn* c = peer.host().find(handle);
    return c == nullptr ? 0 : c->key.remote_port.host();
}

TEST(tcp_listener, the_most_particular_one_is_found) {
    scripted_peer peer;
    tcp::host& h = peer.host();
    const auto port = l4_port::from(80);
    const flow_key four{v4(2), v4(1), port, l4_port::from(4'000)};
    const flow_key six{v6(2), v6(1), port, l4_port::from(4'000)};
    EXPECT_EQ(tcp::find_listener(h, four), tcp::no_id);
    const auto both = tcp::listen(h, {ip_address{}, port}, 1, nullptr).listener;
    EXPECT_EQ(tcp::find_listener(h, four), both);
    EXPECT_EQ(tcp::find_listener(h, six), both);
    const auto all_four = tcp::listen(h, {any_v4(), port}, 1, nullptr).listener;
    EXPECT_EQ(tcp::find_listener(h, four), all_four);
    EXPECT_EQ(tcp::find_listener(h, six), both);
    const auto exact = tcp::listen(h, {v4(2), port}, 1, nullptr).listener;
    EXPECT_EQ(tcp::find_listener(h, four), exact);
    EXPECT_EQ(tcp::listen(h, {v4(2), port}, 1, nullptr).error, tcp::user_error::in_use);
    tcp::close_listener(h, exact);
    EXPECT_EQ(tcp::find_listener(h, four), all_four);
    tcp::close_listener(h, all_four);
    tcp::close_listener(h, both);
    EXPECT_EQ(tcp::find_listener(h, four), tcp::no_id);
}

TEST(tcp_listener, each_of_many_is_found) {
    tcp::limits sizes = scripted_peer::small();
    sizes.listeners = 5'000;
    scripted_peer peer({}, sizes);
    tcp::host& h = peer.host();
    for (std::uint16_t i = 1; i <= 5'000; ++i) {
        ASSERT_EQ(tcp::listen(h, {v4(2), l4_port::from(i)}, 1, nullptr).listener, i - 1U);
    }
    EXPECT_EQ(
        tcp::listen(h, {v4(2), l4_port::from(6'000)}, 1, nullptr).error, tcp::user_error::no_room);
    for (std::uint16_t i = 1; i <= 5'000; ++i) {
        const flow_key key{v4(2), v4(1), l4_port::from(i), l4_port::from(9)};
        ASSERT_EQ(tcp::find_listener(h, key), i - 1U);
    }
}

TEST(tcp_listener, the_oldest_is_accepted_first) {
    scripted_peer peer;
    fill_queue(peer);
    EXPECT_EQ(accepted_port(peer), 4'000);
    EXPECT_EQ(accepted_port(peer), 4'001);
    EXPECT_EQ(accepted_port(peer), 4'002);
    EXPECT_EQ(accepted_port(peer), 0);
}

TEST(tcp_listener, a_connection_that_dies_leaves_the_queue) {
    scripted_peer peer;
    fill_queue(peer);
    wire_segment reset{.flags = rst, .seq = 1'001};
    reset.peer_port = 4'001;
    peer.give(reset);
    EXPECT_EQ(peer.host().conns.used(), 2U);
    EXPECT_EQ(accepted_port(peer), 4'000);
    EXPECT_EQ(accepted_port(peer), 4'002);
    EXPECT_EQ(accepted_port(peer), 0);
}

TEST(tcp_listener, closing_resets_those_that_wait) {
    scripted_peer peer;
    fill_queue(peer);
    tcp::close_listener(peer.host(), peer.listener);
    peer.turn();
    unsigned resets = 0;
    while (const auto answer = peer.next()) {
        resets += (answer->flags & rst) != 0 ? 1 : 0;
    }
    EXPECT_EQ(resets, 3U);
    EXPECT_EQ(peer.host().conns.used(), 0U);
}

TEST(tcp_listener, says_once_that_there_is_something_to_accept) {
    scripted_peer peer;
    fill_queue(peer);
    std::uint32_t which[4];
    ASSERT_EQ(tcp::poll_accepts(peer.host(), which), 1U);
    EXPECT_EQ(which[0], peer.listener);
    EXPECT_EQ(tcp::poll_accepts(peer.host(), which), 0U);
}

// The ready lists name ids; an id that is used again must not be told the old connection's events,
// and the lists must not grow.
TEST(tcp_listener, a_reused_record_stands_once_in_the_ready_lists) {
    scripted_peer peer;
    for (unsigned i = 0; i < 1'000; ++i) {
        const auto handle = peer.establish();
        peer.seq += 1'000;
        tcp::abort(peer.host(), handle);
        EXPECT_LE(peer.host().event_ready.size(), 1U);
        EXPECT_LE(peer.host().output_ready.size(), 1U);
        peer.turn();
        while (peer.next()) {
        }
    }
    tcp::event events[4];
    EXPECT_EQ(tcp::poll_events(peer.host(), events), 0U);
}

} // namespace
} // namespace pantala::sim
