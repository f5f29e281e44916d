// Input that means harm: floods, spoiled segments, peers that never read. Nothing may leak, nothing
// may grow past its limit, and good connections live on.
#include "tests/stack/tcp/scripted_peer.hpp"

#include "stack/tcp/open/tcp_isn.hpp"
#include "tests/harness/instrumented.hpp"

#include <gtest/gtest.h>
#include <rte_mbuf.h>

namespace pantala::sim {
namespace {

using namespace wire::tcp_flag;

wire_segment flood_syn(std::uint32_t i) {
    return {
        .flags = syn,
        .seq = i * 7'919,
        .peer_port = static_cast<std::uint16_t>(1'024 + i % 60'000),
        .peer_last = static_cast<std::uint8_t>(10 + i / 60'000)};
}

TEST(tcp_hostile, a_syn_flood_with_cookies_keeps_no_more_than_the_cache) {
    scripted_peer peer;
    peer.listen();
    for (std::uint32_t i = 0; i < 100'000; ++i) {
        peer.give(flood_syn(i));
        ASSERT_LE(peer.host().syns.size(), 32U);
        while (peer.next()) {
        }
    }
    EXPECT_GT(peer.stats().sc_sendcookie.read(), 99'000U);
    EXPECT_EQ(peer.host().conns.used(), 0U);
    // In the middle of it, in the cache: the flood's two peers have no more than their share of it.
    EXPECT_TRUE(peer.establish().id != tcp::no_id);
    EXPECT_EQ(peer.stats().sc_recvcookie.read(), 0U);
    peer.wait_ms(20'000);
    EXPECT_EQ(peer.host().syns.size(), 0U);
}

TEST(tcp_hostile, a_syn_flood_without_cookies_drops_the_oldest) {
    scripted_peer peer({.syn_cookies = false});
    peer.listen();
    for (std::uint32_t i = 0; i < 1'000; ++i) {
        peer.give(flood_syn(i));
        EXPECT_EQ(peer.next()->flags, syn | ack);
        ASSERT_LE(peer.host().syns.size(), 32U);
    }
    const tcp::counters& stats = peer.stats();
    EXPECT_GT(stats.sc_peeroverflow.read() + stats.sc_bucketoverflow.read(), 900U);
    EXPECT_TRUE(peer.establish().id != tcp::no_id);
}

TEST(tcp_hostile, a_cookie_keeps_what_the_syn_said) {
    tcp::limits sizes = scripted_peer::small();
    sizes.syn_entries = 0;
    scripted_peer peer({}, sizes);
    peer.listen();
    wire::tcp_options asked{
        .has_mss = true,
        .has_window_scale = true,
        .sack_permitted = true,
        .has_timestamp = true,
        .window_scale = 7,
        .mss = 1'400,
        .ts_value = 5'000};
    std::array<std::uint8_t, wire::tcp_options_bytes_max> raw{};
    const unsigned length =
        wire::write_tcp_syn_options(raw, asked, wire::tcp_option_order::linux_like);
    peer.give({.flags = syn, .seq = peer.seq, .options = {raw.begin(), raw.begin() + length}});
    const auto answer = peer.next();
    ASSERT_TRUE(answer);
    ASSERT_TRUE(answer->parsed.has_timestamp && answer->parsed.sack_permitted);
    peer.seq += 1;
    peer.ack = answer->seq + 1;
    wire_segment third = peer.segment(ack);
    wire::tcp_options echo{
        .has_timestamp = true, .ts_value = 5'001, .ts_echo = answer->parsed.ts_value};
    third.options.resize(wire::write_tcp_options(raw, echo));
    std::copy_n(raw.begin(), third.options.size(), third.options.begin());
    peer.give(third);
    const auto handle = tcp::accept(peer.host(), peer.listener, nullptr);
    ASSERT_NE(handle.id, tcp::no_id);
    const tcp::conn& c = *peer.host().find(handle);
    EXPECT_TRUE(c.has(tcp::conn_flag::sack));
    EXPECT_TRUE(c.has(tcp::conn_flag::window_scale));
    EXPECT_EQ(c.snd_wscale, 7);
    EXPECT_EQ(c.snd_mss, 1'360 - 12); // the table's next lower value, less timestamps
}

TEST(tcp_hostile, a_forged_cookie_opens_nothing) {
    tcp::limits sizes = scripted_peer::small();
    sizes.syn_entries = 0;
    scripted_peer peer({}, sizes);
    peer.listen();
    peer.give({.flags = syn, .seq = peer.seq}); // from now on cookies may be valid
    (void)peer.next();
    for (std::uint32_t i = 0; i < 20'000; ++i) {
        peer.give({.flags = ack, .seq = i, .ack = i * 104'729, .peer_port = 5'000});
    }
    EXPECT_EQ(peer.host().conns.used(), 0U);
    EXPECT_EQ(peer.stats().sc_badcookie.read(), 20'000U);
}

TEST(tcp_hostile, resets_to_nobody_are_limited) {
    scripted_peer peer;
    for (std::uint32_t i = 0; i < 5'000; ++i) {
        peer.give({.flags = ack, .seq = i, .ack = i, .host_port = 99});
    }
    unsigned answers = 0;
    while (peer.next()) {
        ++answers;
    }
    EXPECT_GE(answers, peer.host().config.resets_per_peer / 2);
    EXPECT_LE(answers, peer.host().config.resets_per_peer * 3 / 2);
}

// Segments with random header fields, aimed at a live connection; then the connection still works
// or was ended by an exact reset, and nothing is left over.
TEST(tcp_hostile, random_segments_break_nothing) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        random_source random(seed);
        {
            scripted_peer peer;
            const auto handle = peer.establish({wire::tcp_option_sack_permitted, 2, 1, 1});
            peer.send(handle, 5'000);
            for (unsigned i = 0; i < 2'000; ++i) {
                wire_segment wild = peer.segment(static_cast<std::uint8_t>(random.next()));
                wild.seq += random.below(70'000) - 2'000;
                wild.ack += random.below(8'000) - 1'500;
                wild.window = static_cast<std::uint16_t>(random.next());
                wild.payload = bytes(random.below(4) == 0 ? random.below(1'400) : 0);
                wild.options.resize(random.below(41));
                for (auto& byte : wild.options) {
                    byte = static_cast<std::uint8_t>(random.below(16));
                }
                wild.flags &= static_cast<std::uint8_t>(~rst);
                peer.give(wild);
                if (random.one_in(50)) {
                    peer.wait_ms(random.below(500));
                }
                while (peer.next()) {
                }
            }
            tcp::abort(peer.host(), handle);
            peer.turn();
            EXPECT_EQ(peer.host().conns.used(), 0U);
            EXPECT_EQ(peer.host().sents.used(), 0U);
        }
        EXPECT_EQ(packets_out(), 0U) << seed;
    }
}

// Whole packets cut short and overwritten.
TEST(tcp_hostile, spoiled_packets_break_nothing) {
    random_source random(3);
    {
        scripted_peer peer({.verify_checksum = false});
        const auto handle = peer.establish();
        for (unsigned i = 0; i < 20'000; ++i) {
            rte_mbuf* packet = peer.packet_of(peer.segment(ack, random.below(100)));
            auto* at = rte_pktmbuf_mtod(packet, std::uint8_t*);
            for (unsigned n = random.below(4); n > 0; --n) {
                at[20 + random.below(packet->data_len - 20)] =
                    static_cast<std::uint8_t>(random.next());
            }
            rte_pktmbuf_trim(
                packet,
                static_cast<std::uint16_t>(random.one_in(3) ? random.below(packet->data_len) : 0));
            peer.give_packet(packet);
            while (peer.next()) {
            }
        }
        tcp::abort(peer.host(), handle);
        peer.turn();
    }
    EXPECT_EQ(packets_out(), 0U);
}

TEST(tcp_hostile, tiny_segments_do_not_hold_an_mbuf_each) {
    scripted_peer peer;
    const auto handle = peer.establish();
    (void)handle;
    const unsigned before = packets_out();
    for (unsigned i = 0; i < 10'000; ++i) {
        peer.give(peer.segment(ack, 1));
        peer.seq += 1;
        while (peer.next()) {
        }
    }
    EXPECT_EQ(tcp::readable_bytes(peer.host(), handle), 10'000U);
    EXPECT_LE(packets_out() - before, 10U);
}

// SACK blocks that jump from end to end of a large flight must not make every ACK a walk over all
// of it (the records are a list).
TEST(tcp_hostile, sack_blocks_walk_a_bounded_way) {
    tcp::limits sizes = scripted_peer::small();
    sizes.sent_segments = 16'384;
    scripted_peer peer({.snd_buffer = 4'000'000, .initial_window_segments = 10'000}, sizes);
    const auto handle = peer.establish(
        {wire::tcp_option_window_scale, 3, 14, 1, wire::tcp_option_sack_permitted, 2, 1, 1});
    peer.send(handle, 4'000'000);
    peer.wait_ms(1); // 536 bytes each, 64 a round
    for (unsigned i = 0; i < 200; ++i) {
        peer.turn();
    }
    const tcp::conn& c = *peer.host().find(handle);
    ASSERT_GT(c.sent_count, 6'000U);
    const std::uint32_t low = peer.ack + 536;
    const std::uint32_t middle = peer.ack + c.sent_count / 2U * 536;
    for (std::uint32_t i = 0; i < 40; ++i) {
        wire_segment jump = peer.segment(ack);
        const std::uint32_t at = i % 2 == 0 ? low + i * 1'072 : middle + i * 1'072;
        wire::tcp_options options;
        options.sack_count = 1;
        options.sack[0] = {tcp_seq{at}, tcp_seq{at + 536}};
        std::array<std::uint8_t, wire::tcp_options_bytes_max> raw{};
        jump.options.assign(raw.begin(), raw.begin() + wire::write_tcp_options(raw, options));
        std::copy_n(raw.begin(), jump.options.size(), jump.options.begin());
        peer.give(jump);
    }
    EXPECT_GT(peer.stats().sack_walk_limited.read(), 5U);
    EXPECT_GT(c.sacked_bytes, 0U); // those near one another counted
    while (peer.next()) {
    }
}

// Every flag alone and in company, at a listener, a connection and nobody's port: nothing may be
// held, answers are limited, and the good connection lives.
TEST(tcp_hostile, floods_of_every_flag_leave_nothing_behind) {
    for (const bool v6 : {false, true}) {
        {
            scripted_peer peer({.challenge_acks_per_second = 1'000, .resets_per_second = 1'000});
            peer.v6 = v6;
            const auto good = peer.establish();
            ASSERT_NE(good.id, tcp::no_id);
            random_source random(11);
            std::uint64_t answers = 0;
            for (std::uint32_t i = 0; i < 100'000; ++i) {
                wire_segment wild = flood_syn(random.below(1'000'000));
                wild.flags =
                    static_cast<std::uint8_t>(1U << random.below(8) | 1U << random.below(8));
                wild.seq = static_cast<std::uint32_t>(random.next());
                wild.ack = static_cast<std::uint32_t>(random.next());
                wild.host_port = random.one_in(2) ? 80 : 81;
                wild.payload = bytes(random.below(3));
                peer.give(wild);
                while (peer.next()) {
                    ++answers;
                }
            }
            EXPECT_EQ(peer.host().conns.used(), 1U);
            EXPECT_LE(peer.host().syns.size(), 32U);
            EXPECT_EQ(peer.host().sents.used(), 0U);
            // One virtual instant: the limits of one second at their largest, and cookies for SYNs.
            EXPECT_LE(
                answers, 3'000U + peer.stats().sc_sendcookie.read() + peer.stats().sc_added.read());
            peer.give(peer.segment(ack, 5));
            EXPECT_EQ(tcp::readable_bytes(peer.host(), good), 5U);
            while (peer.next()) {
            }
        }
        EXPECT_EQ(packets_out(), 0U);
    }
}

// A million half-open connections: the cache holds what it may, memory stays, and a good client
// gets in by cookie.
TEST(tcp_hostile, a_million_half_open_connections) {
    tcp::limits sizes = scripted_peer::small();
    sizes.syn_entries = 8'192;
    sizes.syn_bucket = 32;
    const std::uint32_t flood = test::length(1'000'000U, 100'000U);
    {
        scripted_peer peer({}, sizes);
        peer.listen();
        for (std::uint32_t i = 0; i < flood; ++i) {
            wire_segment half = flood_syn(i);
            half.peer_port = static_cast<std::uint16_t>(1'024 + i % 64'000);
            half.peer_last = static_cast<std::uint8_t>(10 + i / 64'000);
            peer.give(half);
            while (peer.next()) {
            }
        }
        EXPECT_LE(peer.host().syns.size(), 8'192U);
        EXPECT_GT(peer.stats().sc_sendcookie.read(), flood - 10'000);
        EXPECT_NE(peer.establish().id, tcp::no_id);
        peer.wait_ms(20'000);
        EXPECT_EQ(peer.host().syns.size(), 0U);
        while (peer.next()) {
        }
    }
    EXPECT_EQ(packets_out(), 0U);
}

// Windows that open by a byte and shut again: no storm of tiny segments, and the data gets through.
TEST(tcp_hostile, a_window_that_twitches_makes_no_silly_segments) {
    scripted_peer peer;
    const auto handle = peer.establish();
    peer.send(handle, 20'000);
    while (const auto data = peer.next()) {
        peer.ack = data->seq + static_cast<std::uint32_t>(data->payload.size());
    }
    const std::uint64_t before = peer.stats().sndtotal.read();
    for (unsigned i = 0; i < 1'000; ++i) {
        wire_segment twitch = peer.segment(ack);
        twitch.window = static_cast<std::uint16_t>(i % 2);
        peer.give(twitch);
        while (const auto data = peer.next()) {
            peer.ack = data->seq + static_cast<std::uint32_t>(data->payload.size());
        }
    }
    EXPECT_LE(peer.stats().sndtotal.read() - before, 10U);
}

// RFC 5961 4.2 before the connection is open: another SYN of the same flow does not push the
// handshake aside, and one that began anew gets through by way of a reset.
TEST(tcp_hostile, a_forged_syn_does_not_end_a_handshake) {
    scripted_peer peer;
    peer.listen();
    peer.give({.flags = syn, .seq = peer.seq});
    const auto answer = peer.next();
    ASSERT_TRUE(answer);
    peer.give({.flags = syn, .seq = 77'777});
    const auto challenge = peer.next();
    ASSERT_TRUE(challenge);
    EXPECT_EQ(challenge->flags, ack);
    EXPECT_EQ(challenge->ack, peer.seq + 1);
    peer.give({.flags = ack, .seq = peer.seq + 1, .ack = answer->seq + 1});
    EXPECT_NE(tcp::accept(peer.host(), peer.listener, nullptr).id, tcp::no_id);
}

TEST(tcp_hostile, a_peer_that_began_anew_gets_through) {
    scripted_peer peer;
    peer.listen();
    peer.give({.flags = syn, .seq = peer.seq});
    (void)peer.next();
    peer.give({.flags = syn, .seq = 77'777});
    const auto challenge = peer.next();
    ASSERT_TRUE(challenge);
    peer.give({.flags = rst, .seq = challenge->ack});
    peer.give({.flags = syn, .seq = 77'777});
    const auto answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->flags, syn | ack);
    EXPECT_EQ(answer->ack, 77'778U);
}

TEST(tcp_hostile, early_segments_are_limited) {
    scripted_peer peer({.rcv_buffer = 1'000'000, .ooo_segments_max = 100});
    peer.establish();
    for (unsigned i = 0; i < 1'000; ++i) {
        wire_segment early = peer.segment(ack, 1);
        early.seq = peer.seq + 2 + i * 2;
        peer.give(early);
        while (peer.next()) {
        }
    }
    EXPECT_EQ(peer.stats().rcvoodrop.read(), 900U);
}

TEST(tcp_hostile, a_peer_that_never_reads_holds_one_buffer) {
    scripted_peer peer({.snd_buffer = 10'000, .auto_tune = false});
    const auto handle = peer.establish();
    wire_segment shut = peer.segment(ack);
    shut.window = 0;
    peer.give(shut);
    EXPECT_EQ(peer.send(handle, 1'000'000), 10'000U);
    EXPECT_EQ(peer.send(handle, 1'000'000), 0U);
}

} // namespace
} // namespace pantala::sim
