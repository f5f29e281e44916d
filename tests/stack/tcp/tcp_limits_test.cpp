// What a peer, a listener and all connections together may hold: half-open connections, buffers,
// connections. The oldest embryonic ones give way first, nobody takes another's share, and at the
// end nothing is held.
#include "tests/stack/tcp/scripted_peer.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include <gtest/gtest.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

namespace pantala::sim {
namespace {

using namespace wire::tcp_flag;

// One of many connections of a scripted peer; its port tells it from the others.
struct one_of_many {
    tcp::conn_handle handle;
    wire_segment next; // ACK with the numbers as they stand
};

wire_segment syn_of(std::uint16_t port, std::uint8_t last = 1, std::uint16_t to = 80) {
    return {.flags = syn, .seq = 1'000, .peer_port = port, .host_port = to, .peer_last = last};
}

// Sends a SYN; what the host answers is thrown away.
void half_open(scripted_peer& peer, const wire_segment& segment) {
    peer.give(segment);
    while (peer.next()) {
    }
}

// Is this connection's handshake still known? (Its SYN again would be answered in any case.)
bool is_half_open(scripted_peer& peer, const wire_segment& segment) {
    const std::uint64_t before = peer.stats().sc_dupsyn.read();
    half_open(peer, segment);
    return peer.stats().sc_dupsyn.read() > before;
}

one_of_many open_one(scripted_peer& peer, std::uint16_t port, std::uint8_t last = 1) {
    while (peer.next()) { // what others were sent
    }
    const wire_segment first = syn_of(port, last);
    peer.give(first);
    const auto answer = peer.next();
    PANTALA_ASSERT(answer && answer->flags == (syn | ack));
    one_of_many made;
    made.next = first;
    made.next.flags = ack;
    made.next.seq += 1;
    made.next.ack = answer->seq + 1;
    peer.give(made.next);
    made.handle = tcp::accept(peer.host(), peer.listener, nullptr);
    return made;
}

// A connection whose handshake is complete and that nobody has accepted; its peer's next segment.
wire_segment half_accepted(scripted_peer& peer, std::uint8_t last) {
    wire_segment next = syn_of(1'000, last);
    peer.give(next);
    const auto answer = peer.next();
    PANTALA_ASSERT(answer && answer->flags == (syn | ack));
    next.flags = ack;
    next.seq += 1;
    next.ack = answer->seq + 1;
    half_open(peer, next);
    return next;
}

tcp::limits sizes_for_many() {
    tcp::limits sizes = scripted_peer::small();
    sizes.syn_entries = 64;
    sizes.syn_bucket = 64;
    return sizes;
}

TEST(tcp_limits, a_peers_oldest_half_open_connection_gives_way_to_its_newest) {
    tcp::limits sizes = sizes_for_many();
    sizes.syn_peer = 4;
    scripted_peer peer({.syn_cookies = false}, sizes);
    peer.listen();
    half_open(peer, syn_of(1, 9)); // somebody else's
    for (std::uint16_t port = 1; port <= 5; ++port) {
        half_open(peer, syn_of(port));
    }
    EXPECT_EQ(peer.stats().sc_peeroverflow.read(), 1U);
    EXPECT_EQ(peer.host().syns.size(), 5U);
    EXPECT_TRUE(is_half_open(peer, syn_of(1, 9)));
    for (std::uint16_t port = 2; port <= 5; ++port) {
        EXPECT_TRUE(is_half_open(peer, syn_of(port))) << port;
    }
    EXPECT_FALSE(is_half_open(peer, syn_of(1)));
}

TEST(tcp_limits, a_listeners_oldest_half_open_connection_gives_way_to_its_newest) {
    tcp::limits sizes = sizes_for_many();
    sizes.syn_listener = 4;
    scripted_peer peer({.syn_cookies = false}, sizes);
    peer.listen(81);
    peer.listen(80);
    half_open(peer, syn_of(7, 1, 81));
    for (std::uint8_t last = 1; last <= 5; ++last) { // each of another peer
        half_open(peer, syn_of(7, last));
    }
    EXPECT_EQ(peer.stats().sc_listeneroverflow.read(), 1U);
    EXPECT_TRUE(is_half_open(peer, syn_of(7, 1, 81)));
    for (std::uint8_t last = 2; last <= 5; ++last) {
        EXPECT_TRUE(is_half_open(peer, syn_of(7, last)));
    }
    EXPECT_FALSE(is_half_open(peer, syn_of(7, 1)));
}

TEST(tcp_limits, over_its_share_a_peer_is_answered_by_cookies) {
    tcp::limits sizes = sizes_for_many();
    sizes.syn_peer = 4;
    scripted_peer peer({}, sizes);
    peer.listen();
    for (std::uint16_t port = 1; port <= 10; ++port) {
        half_open(peer, syn_of(port));
    }
    EXPECT_EQ(peer.host().syns.size(), 4U);
    EXPECT_EQ(peer.stats().sc_sendcookie.read(), 6U);
}

TEST(tcp_limits, a_closed_listener_leaves_no_half_open_connection) {
    scripted_peer peer({}, sizes_for_many());
    const std::uint32_t other = peer.listen(81);
    peer.listen(80);
    for (std::uint16_t port = 1; port <= 8; ++port) {
        half_open(peer, syn_of(port, static_cast<std::uint8_t>(port), port % 2 == 0 ? 80 : 81));
    }
    tcp::close_listener(peer.host(), other);
    EXPECT_EQ(peer.host().syns.size(), 4U);
    tcp::close_listener(peer.host(), peer.listener);
    EXPECT_EQ(peer.host().syns.size(), 0U);
}

TEST(tcp_limits, a_peer_has_no_more_connections_than_it_may) {
    for (const bool cookies : {false, true}) {
        tcp::limits sizes = sizes_for_many();
        sizes.peer_conns = 3;
        sizes.syn_entries = cookies ? 0 : sizes.syn_entries;
        scripted_peer peer({}, sizes);
        peer.listen();
        std::vector<one_of_many> open;
        for (std::uint16_t port = 1; port <= 3; ++port) {
            open.push_back(open_one(peer, port));
        }
        half_open(peer, syn_of(4));
        EXPECT_EQ(peer.stats().sc_peerlimit.read(), 1U);
        EXPECT_NE(open_one(peer, 4, 9).handle.id, tcp::no_id); // another peer
        tcp::abort(peer.host(), open[0].handle);
        peer.turn();
        while (peer.next()) {
        }
        EXPECT_NE(open_one(peer, 5).handle.id, tcp::no_id);
    }
}

TEST(tcp_limits, half_open_connections_do_not_pass_a_peers_limit) {
    tcp::limits sizes = sizes_for_many();
    sizes.peer_conns = 3;
    scripted_peer peer({}, sizes);
    peer.listen();
    std::vector<wire_segment> acks;
    for (std::uint16_t port = 1; port <= 5; ++port) {
        peer.give(syn_of(port));
        const auto answer = peer.next();
        ASSERT_TRUE(answer);
        acks.push_back(syn_of(port));
        acks.back().flags = ack;
        acks.back().seq += 1;
        acks.back().ack = answer->seq + 1;
    }
    unsigned accepted = 0;
    for (const wire_segment& each : acks) {
        half_open(peer, each);
        accepted += tcp::accept(peer.host(), peer.listener, nullptr).id != tcp::no_id;
    }
    EXPECT_EQ(accepted, 3U);
    EXPECT_EQ(peer.stats().sc_peerlimit.read(), 2U);
}

// Forty peers ask for much and never read it.
TEST(tcp_limits, never_reading_peers_together_hold_what_all_may) {
    tcp::limits sizes = sizes_for_many();
    sizes.buffers = 200;
    {
        scripted_peer peer({.snd_buffer = 1'000'000, .auto_tune = false}, sizes);
        peer.listen();
        const unsigned before = packets_out();
        std::vector<one_of_many> all;
        for (std::uint8_t i = 0; i < 40; ++i) {
            all.push_back(open_one(peer, 1'000, static_cast<std::uint8_t>(10 + i)));
            all.back().next.window = 0;
            peer.give(all.back().next);
            peer.send(all.back().handle, 1'000'000);
            EXPECT_LE(peer.host().memory.held(), 100U);
        }
        EXPECT_EQ(packets_out() - before, 100U);
        EXPECT_EQ(peer.send(all[39].handle, 1), 0U);
        // The first is given up: whoever waited hears of it, and can send.
        tcp::abort(peer.host(), all[0].handle);
        peer.turn();
        std::array<tcp::event, 64> events;
        std::size_t count = tcp::poll_events(peer.host(), events);
        const bool told = std::any_of(events.begin(), events.begin() + count, [&](const auto& one) {
            return one.handle == all[39].handle && (one.events & tcp::conn_event::writable) != 0;
        });
        EXPECT_TRUE(told);
        EXPECT_EQ(peer.send(all[39].handle, 1), 1U);
        for (const one_of_many& one : all) {
            tcp::abort(peer.host(), one.handle);
        }
        peer.turn();
        EXPECT_EQ(peer.host().memory.held(), 0U);
    }
    EXPECT_EQ(packets_out(), 0U);
}

TEST(tcp_limits, one_peer_leaves_memory_to_the_others) {
    for (const std::uint32_t chosen : {0U, 30U}) {
        tcp::limits sizes = sizes_for_many();
        sizes.buffers = 200;
        sizes.peer_buffers = chosen;
        scripted_peer peer({.snd_buffer = 1'000'000, .auto_tune = false}, sizes);
        peer.listen();
        for (std::uint16_t port = 1; port <= 10; ++port) {
            peer.send(open_one(peer, port).handle, 1'000'000);
        }
        EXPECT_EQ(peer.host().memory.held(), chosen == 0 ? 50U : chosen);
        EXPECT_EQ(peer.send(open_one(peer, 1, 9).handle, 10'000), 10'000U);
    }
}

// What nobody accepts holds no more than its listener's share; once it is accepted, its peer's.
TEST(tcp_limits, what_is_not_accepted_is_charged_to_its_listener) {
    tcp::limits sizes = sizes_for_many();
    sizes.buffers = 200;
    sizes.listener_buffers = 12;
    scripted_peer peer({}, sizes);
    peer.listen();
    std::vector<wire_segment> all;
    for (std::uint8_t i = 0; i < 4; ++i) {
        all.push_back(half_accepted(peer, static_cast<std::uint8_t>(10 + i)));
        for (unsigned n = 0; n < 10; ++n) {
            all.back().payload = bytes(1'000);
            half_open(peer, all.back());
            all.back().seq += 1'000;
        }
    }
    const tcp::memory_ledger& memory = peer.host().memory;
    EXPECT_EQ(memory.held(), 12U);
    EXPECT_EQ(
        memory.held_by(tcp::memory_use::receive, memory.account_of_listener(peer.listener)), 12U);
    const tcp::conn_handle first = tcp::accept(peer.host(), peer.listener, nullptr);
    EXPECT_EQ(tcp::readable_bytes(peer.host(), first), 10'000U);
    EXPECT_EQ(
        memory.held_by(tcp::memory_use::receive, memory.account_of_listener(peer.listener)), 2U);
    EXPECT_EQ(memory.held_by(tcp::memory_use::receive, memory.account_of(peer.address(10))), 10U);
    tcp::close_listener(peer.host(), peer.listener);
    EXPECT_EQ(
        memory.held_by(tcp::memory_use::receive, memory.account_of_listener(peer.listener)), 0U);
    tcp::consume(peer.host(), first, 10'000);
    EXPECT_EQ(memory.held(), 0U);
}

// Early segments on many connections fill the memory; what is next on any of them gets through, and
// the early ones go.
TEST(tcp_limits, early_segments_give_way) {
    tcp::limits sizes = sizes_for_many();
    sizes.buffers = 400;
    {
        scripted_peer peer({.rcv_buffer = 1'000'000}, sizes);
        peer.listen();
        std::vector<one_of_many> all;
        for (std::uint8_t i = 0; i < 20; ++i) {
            all.push_back(open_one(peer, 1'000, static_cast<std::uint8_t>(10 + i)));
            for (unsigned n = 0; n < 50; ++n) {
                wire_segment early = all.back().next;
                early.seq += 2'000 + n * 1'000;
                early.payload = bytes(500);
                half_open(peer, early);
                ASSERT_LE(peer.host().memory.held(), 200U);
            }
        }
        EXPECT_GT(peer.stats().rcvmempruned.read(), 0U);
        for (one_of_many& one : all) {
            wire_segment next = one.next;
            next.payload = bytes(700);
            half_open(peer, next);
            EXPECT_EQ(tcp::readable_bytes(peer.host(), one.handle), 700U);
        }
        for (const one_of_many& one : all) {
            tcp::abort(peer.host(), one.handle);
        }
        peer.turn();
        EXPECT_EQ(peer.host().memory.held(), 0U);
    }
    EXPECT_EQ(packets_out(), 0U);
}

// An early segment takes the place of one that it covers though its peer may hold no more early
// ones.
TEST(tcp_limits, an_early_segment_may_replace_another) {
    tcp::limits sizes = sizes_for_many();
    sizes.buffers = 200;
    {
        scripted_peer peer({.rcv_buffer = 1'000'000}, sizes);
        peer.listen();
        one_of_many one = open_one(peer, 1'000);
        const auto early = [&](std::uint32_t at, std::size_t count) {
            wire_segment segment = one.next;
            segment.seq += at;
            segment.payload = bytes(count);
            half_open(peer, segment);
        };
        early(60'000, 500);
        wire_segment next = one.next;
        for (unsigned i = 0; i < 40; ++i) { // unread: more than half of what the peer may hold
            next.payload = bytes(1'200);
            half_open(peer, next);
            next.seq += 1'200;
        }
        early(50'000, 100);
        EXPECT_EQ(peer.stats().rcvoodrop.read(), 1U) << "no room for one more";
        early(59'900, 700);
        EXPECT_EQ(peer.stats().rcvoodrop.read(), 1U) << "it covers the first";
        early(61'000, 100);
        early(62'000, 100);
        EXPECT_EQ(peer.stats().rcvoodrop.read(), 3U);
        tcp::abort(peer.host(), one.handle);
        peer.turn();
        EXPECT_EQ(peer.host().memory.held(), 0U);
    }
    EXPECT_EQ(packets_out(), 0U);
}

// Two hosts that send to each other have room for what arrives though neither may send more.
TEST(tcp_limits, what_is_sent_leaves_room_for_what_arrives) {
    tcp::limits sizes = sizes_for_many();
    sizes.buffers = 20;
    scripted_peer peer({.snd_buffer = 1'000'000, .auto_tune = false}, sizes);
    peer.listen();
    one_of_many one = open_one(peer, 1'000);
    EXPECT_LT(peer.send(one.handle, 1'000'000), 20'000U);
    EXPECT_FALSE(peer.host().memory.has_room(
        tcp::memory_use::send, peer.host().memory.account_of(peer.address(1))));
    for (unsigned i = 0; i < 5; ++i) {
        wire_segment next = one.next;
        next.seq += i * 1'000;
        next.payload = bytes(1'000);
        half_open(peer, next);
    }
    EXPECT_EQ(tcp::readable_bytes(peer.host(), one.handle), 5'000U);
}

// An application that does not read: at the limit nothing more is taken, nothing is acknowledged
// that was not, and all comes through once it reads.
TEST(tcp_limits, what_finds_no_memory_is_not_acknowledged) {
    tcp::limits sizes = sizes_for_many();
    sizes.buffers = 40;
    scripted_peer peer({.rcv_buffer = 60'000}, sizes);
    peer.listen();
    one_of_many one = open_one(peer, 1'000);
    wire_segment next = one.next;
    next.payload = bytes(1'000);
    for (unsigned i = 0; i < 20; ++i, next.seq += 1'000) {
        half_open(peer, next);
    }
    const std::size_t came = tcp::readable_bytes(peer.host(), one.handle);
    EXPECT_EQ(came, 10'000U);
    EXPECT_EQ(peer.stats().rcvmemdrop.read(), 1U); // the others came early after that
    tcp::consume(peer.host(), one.handle, came);
    peer.turn();
    next.seq = one.next.seq + 10'000;
    peer.give(next);
    EXPECT_EQ(tcp::readable_bytes(peer.host(), one.handle), 1'000U);
    std::uint32_t acknowledged = 0;
    while (const auto answer = peer.next()) {
        acknowledged = answer->ack;
    }
    EXPECT_LE(acknowledged, next.seq + 1'000);
}

// One connection of peer 10.0.0.`last` that is sent as much as it may be, and closes its window.
one_of_many deaf_one(scripted_peer& peer, std::uint8_t last) {
    one_of_many deaf = open_one(peer, 1'000, last);
    deaf.next.window = 0;
    half_open(peer, deaf.next);
    peer.send(deaf.handle, 1'000'000);
    return deaf;
}

// Time passes in seconds, and each of the peers answers the window probes.
void answer_probes(scripted_peer& peer, const std::vector<one_of_many>& all, unsigned seconds) {
    for (unsigned i = 0; i < seconds; ++i) {
        peer.wait_ms(1'000);
        for (const one_of_many& one : all) {
            half_open(peer, one.next);
        }
    }
}

// An orphan that waits for a window does not keep its data while memory is short; one that has an
// owner does, for as long as its peer holds less than is left (RFC 6429).
TEST(tcp_limits, while_memory_is_short_who_does_not_read_ends) {
    tcp::limits sizes = sizes_for_many();
    sizes.buffers = 200;
    scripted_peer peer({.snd_buffer = 1'000'000, .auto_tune = false}, sizes);
    peer.listen();
    std::vector<one_of_many> all;
    for (const std::uint8_t last : {10, 11, 12}) { // 50, 25 and 13 buffers
        all.push_back(deaf_one(peer, last));
    }
    one_of_many modest = open_one(peer, 1'000, 13);
    modest.next.window = 0;
    half_open(peer, modest.next);
    EXPECT_EQ(peer.send(modest.handle, 2'000), 2'000U);
    all.push_back(modest);
    EXPECT_TRUE(peer.host().memory.is_short(tcp::memory_use::send));
    tcp::close(peer.host(), all[2].handle);
    answer_probes(peer, all, 60);
    const tcp::counters& stats = peer.stats();
    EXPECT_EQ(stats.memdrops.read(), 1U); // one was enough, all others stay
    EXPECT_FALSE(peer.host().memory.is_short(tcp::memory_use::send));
    EXPECT_NE(peer.host().find(modest.handle), nullptr);
    EXPECT_EQ(peer.host().find(modest.handle)->error, tcp::conn_error::none);
}

TEST(tcp_limits, while_memory_is_short_an_orphan_does_not_keep_what_cannot_leave) {
    tcp::limits sizes = sizes_for_many();
    sizes.buffers = 200;
    scripted_peer peer({.snd_buffer = 1'000'000, .auto_tune = false}, sizes);
    peer.listen();
    const one_of_many all[] = {
        open_one(peer, 1'000, 10), open_one(peer, 1'000, 11), open_one(peer, 1'000, 12)};
    peer.host().sink.is_blocked = [](void*) { return true; };
    for (const one_of_many& one : all) {
        peer.send(one.handle, 1'000'000);
    }
    peer.wait_ms(5'000);
    EXPECT_EQ(peer.stats().memdrops.read(), 0U); // somebody has them
    tcp::close(peer.host(), all[2].handle);
    peer.wait_ms(1'000);
    EXPECT_EQ(peer.stats().memdrops.read(), 1U);
}

// Nobody is told in vain: a writer at its peer's limit waits until that peer's buffers are let go.
TEST(tcp_limits, a_writer_hears_when_its_own_peer_has_room) {
    tcp::limits sizes = sizes_for_many();
    sizes.buffers = 200;
    sizes.peer_buffers = 10;
    scripted_peer peer({.snd_buffer = 1'000'000, .auto_tune = false}, sizes);
    peer.listen();
    const one_of_many first = deaf_one(peer, 10);
    const one_of_many second = deaf_one(peer, 11);
    std::array<tcp::event, 64> events;
    tcp::poll_events(peer.host(), events);
    tcp::abort(peer.host(), second.handle);
    peer.turn();
    EXPECT_EQ(tcp::poll_events(peer.host(), events), 0U);
    EXPECT_GT(tcp::next_deadline(peer.host()), peer.now); // and nothing spins for it
    const one_of_many third = open_one(peer, 1'001, 10);
    tcp::poll_events(peer.host(), events);
    EXPECT_EQ(peer.send(third.handle, 1), 0U);
    tcp::abort(peer.host(), first.handle);
    peer.turn();
    ASSERT_EQ(tcp::poll_events(peer.host(), events), 1U);
    EXPECT_EQ(events[0].handle, third.handle);
    EXPECT_EQ(events[0].events, tcp::conn_event::writable);
}

// The pool serves others, too: where it is empty writers ask again, though nobody lets go here.
TEST(tcp_limits, a_writer_hears_when_an_empty_pool_has_buffers_again) {
    scripted_peer peer({}, sizes_for_many());
    peer.listen();
    const one_of_many one = open_one(peer, 1'000);
    std::array<tcp::event, 64> events;
    tcp::poll_events(peer.host(), events);
    std::vector<rte_mbuf*> others(rte_mempool_avail_count(packet_pool()));
    ASSERT_EQ(
        rte_pktmbuf_alloc_bulk(packet_pool(), others.data(), static_cast<unsigned>(others.size())),
        0);
    EXPECT_EQ(peer.send(one.handle, 1'000), 0U);
    peer.wait_ms(1);
    EXPECT_EQ(tcp::poll_events(peer.host(), events), 0U);
    rte_pktmbuf_free_bulk(others.data(), static_cast<unsigned>(others.size()));
    peer.wait_ms(20);
    ASSERT_EQ(tcp::poll_events(peer.host(), events), 1U);
    EXPECT_EQ(events[0].events, tcp::conn_event::writable);
    EXPECT_EQ(peer.send(one.handle, 1'000), 1'000U);
}

} // namespace
} // namespace pantala::sim
