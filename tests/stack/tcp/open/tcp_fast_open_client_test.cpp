// Fast Open (RFC 7413), the client: what it sends, what it keeps, and what it does when it does not
// work out; and both sides together.
#include "stack/tcp/open/tcp_fast_open.hpp"
#include "tests/stack/tcp/open/cookie_options.hpp"
#include "tests/stack/tcp/recovery/repair_script.hpp"
#include "tests/stack/tcp/tcp_pair.hpp"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

namespace pantala::sim {
namespace {

using namespace wire::tcp_flag;

// The peer is the server, at port 4000.

struct fast_open_client : testing::Test {
    scripted_peer peer;
    std::uint16_t port = 9'000; // the host's
    std::size_t taken = 0;

    tcp::conn_handle open(std::size_t first, std::uint16_t server_port = 4'000) {
        peer.host().now = peer.now;
        const std::vector<std::byte> data(first, std::byte{'y'});
        const tcp::open_answer opened = tcp::open(
            peer.host(), {.local = peer.address(2),
                          .local_port = l4_port::from(++port),
                          .remote = {peer.address(1), l4_port::from(server_port)},
                          .fast_open = true,
                          .first = data});
        EXPECT_EQ(opened.error, tcp::user_error::none);
        taken = opened.taken;
        peer.turn();
        return opened.handle;
    }
    // The server's SYN-ACK for the newest connection.
    void answer(const wire_segment& to, std::uint32_t acked, const option_bytes& options) {
        wire_segment reply{
            .flags = syn | ack, .seq = 500, .ack = to.seq + acked, .options = options};
        reply.host_port = port;
        peer.give(reply);
    }
    // Afterwards the host has this cookie and knows the MSS.
    void learn(const option_bytes& cookie, std::uint16_t mss = 1'460) {
        const auto handle = open(0);
        const auto asked = peer.next();
        ASSERT_TRUE(asked);
        ASSERT_EQ(cookie_in(*asked), option_bytes{});
        option_bytes options = with_cookie(cookie);
        const option_bytes size = {
            2, 4, static_cast<std::uint8_t>(mss >> 8), static_cast<std::uint8_t>(mss)};
        options.insert(options.begin(), size.begin(), size.end());
        answer(*asked, 1, options);
        tcp::abort(peer.host(), handle);
        peer.turn();
        while (peer.next()) {
        }
    }
    wire_segment sent() {
        const auto first = peer.next();
        EXPECT_TRUE(first);
        return first.value_or(wire_segment{});
    }
};

const option_bytes some_cookie = {1, 2, 3, 4, 5, 6};

TEST_F(fast_open_client, asks_once_and_then_sends_data_with_the_syn) { // 4.1.3, 4.2
    open(100);
    EXPECT_EQ(taken, 0U); // no cookie yet
    wire_segment first = sent();
    EXPECT_EQ(first.flags, syn);
    EXPECT_EQ(cookie_in(first), option_bytes{});
    EXPECT_TRUE(first.payload.empty());
    answer(first, 1, with_cookie(some_cookie));
    EXPECT_EQ(sent().flags, ack);
    EXPECT_TRUE(tcp::fast_open_ready(peer.host(), {peer.address(1), l4_port::from(4'000)}));

    const auto handle = open(100);
    EXPECT_EQ(taken, 100U);
    first = sent();
    EXPECT_EQ(first.flags, syn);
    EXPECT_EQ(cookie_in(first), some_cookie);
    EXPECT_EQ(first.payload.size(), 100U);
    answer(first, 101, {});
    EXPECT_EQ(sent().flags, ack);
    EXPECT_TRUE(peer.silent());
    EXPECT_EQ(peer.host().find(handle)->state, tcp::conn_state::established);
    EXPECT_EQ(peer.host().find(handle)->fast_open, tcp::fast_open_step::acked);
    peer.send(handle, 10);
    const wire_segment next = sent();
    EXPECT_EQ(next.seq, first.seq + 101);
    EXPECT_EQ(next.payload.size(), 10U);
    EXPECT_EQ(peer.stats().fo_syns_taken.read(), 1U);
}

TEST_F(fast_open_client, sends_again_at_once_what_the_syn_ack_leaves_out) { // 4.2.2, client
    learn(some_cookie);
    open(1'000);
    wire_segment first = sent();
    EXPECT_EQ(first.payload.size(), 1'000U);
    answer(first, 1, {});
    wire_segment data = sent();
    EXPECT_EQ(data.seq, first.seq + 1);
    EXPECT_EQ(data.payload.size(), 536U); // no MSS option came: RFC 9293 3.7.1
    data = sent();
    EXPECT_EQ(data.payload.size(), 464U);
    EXPECT_EQ(peer.stats().fo_refused.read(), 1U);
    EXPECT_EQ(peer.stats().rexmttimeo.read(), 0U);
}

TEST_F(fast_open_client, a_part_acknowledged_is_not_sent_again) {
    learn(some_cookie);
    open(500);
    const wire_segment first = sent();
    answer(first, 301, {});
    const wire_segment data = sent();
    EXPECT_EQ(data.seq, first.seq + 301);
    EXPECT_EQ(data.payload.size(), 200U);
    open(500);
    EXPECT_EQ(taken, 500U); // the server does take it
}

TEST_F(fast_open_client, an_answer_to_more_than_was_sent_is_refused) {
    learn(some_cookie);
    const auto handle = open(100);
    const wire_segment first = sent();
    answer(first, 102, {});
    EXPECT_EQ(sent().flags & rst, rst);
    EXPECT_EQ(peer.host().find(handle)->state, tcp::conn_state::syn_sent);
}

TEST_F(fast_open_client, falls_back_when_nothing_answers) { // 4.2.2; 4.1.3.1
    learn(some_cookie);
    open(100);
    const wire_segment first = sent();
    peer.wait_ms(1'100);
    const wire_segment second = sent();
    EXPECT_EQ(second.flags, syn);
    EXPECT_EQ(second.seq, first.seq);
    EXPECT_FALSE(cookie_in(second));
    EXPECT_TRUE(second.payload.empty());
    answer(second, 1, {});
    EXPECT_EQ(sent().payload.size(), 100U); // with the ACK
    EXPECT_EQ(peer.stats().fo_unanswered.read(), 1U);

    open(100);
    EXPECT_EQ(taken, 0U);
    EXPECT_FALSE(cookie_in(sent())); // this service is left alone
    open(100, 4'001);
    EXPECT_EQ(taken, 100U); // and only this one
    EXPECT_TRUE(cookie_in(sent()));
    peer.wait_ms(peer.host().config.fast_open_pause_ms + 1);
    while (peer.next()) {
    }
    open(100);
    EXPECT_EQ(taken, 100U);
}

TEST_F(fast_open_client, a_pause_grows_while_it_fails) {
    learn(some_cookie);
    for (unsigned i = 0; i < 3; ++i) {
        const auto handle = open(10);
        EXPECT_EQ(taken, 10U);
        peer.wait_ms(1'100);
        tcp::abort(peer.host(), handle);
        const std::uint64_t pause = std::uint64_t{peer.host().config.fast_open_pause_ms} << i;
        peer.wait_ms(pause - 2'000);
        tcp::abort(peer.host(), open(10));
        EXPECT_EQ(taken, 0U);
        peer.wait_ms(3'000);
    }
}

TEST_F(fast_open_client, a_syn_that_does_not_fit_is_repeated_without_data) {
    learn(some_cookie);
    const auto handle = open(1'400);
    const wire_segment first = sent();
    EXPECT_GT(first.payload.size(), 1'300U);
    const flow_key key = peer.host().find(handle)->key;
    EXPECT_TRUE(tcp::icmp_input(
        peer.host(), {key, tcp_seq{first.seq}, tcp::icmp_meaning::too_big, 1'000}, peer.now));
    peer.turn();
    const wire_segment second = sent();
    EXPECT_EQ(second.flags, syn);
    EXPECT_FALSE(cookie_in(second));
    EXPECT_TRUE(second.payload.empty());
    answer(second, 1, {2, 4, 5, 180});
    std::size_t all = 0;
    while (const auto data = peer.next()) {
        EXPECT_LE(data->payload.size(), 960U);
        all += data->payload.size();
    }
    EXPECT_EQ(all, first.payload.size());
}

TEST_F(fast_open_client, the_servers_segment_size_is_remembered) { // 4.1.3
    learn(some_cookie, 940);
    open(2'000);
    EXPECT_EQ(taken, 900U); // 40 bytes are left for options
    EXPECT_EQ(sent().payload.size(), 900U);
}

TEST_F(fast_open_client, cookies_of_any_lawful_form_are_kept_and_others_not) { // 4.1.1
    const option_bytes longest(16, 0xaa);
    learn(option_bytes(4, 0)); // all zero is a cookie like any
    open(1);
    wire_segment first = sent();
    EXPECT_EQ(cookie_in(first), option_bytes(4, 0));
    answer(first, 2, with_cookie(longest));
    for (const std::size_t length : {2U, 3U, 5U, 15U, 18U, 30U}) {
        while (peer.next()) {
        }
        open(1);
        first = sent();
        EXPECT_EQ(cookie_in(first), longest);
        answer(first, 2, with_cookie(option_bytes(length, 9)));
    }
}

TEST_F(fast_open_client, with_all_options_the_longest_cookie_fits) {
    EXPECT_TRUE(peer.host().config.timestamps);
    learn(option_bytes(16, 1));
    open(10);
    const wire_segment first = sent();
    EXPECT_EQ(first.options.size(), wire::tcp_options_bytes_max);
    EXPECT_EQ(cookie_in(first)->size(), 16U);
    EXPECT_TRUE(first.parsed.has_timestamp);
    EXPECT_TRUE(first.parsed.has_window_scale);
    EXPECT_TRUE(first.parsed.sack_permitted);
}

TEST_F(fast_open_client, off_means_plain) {
    learn(some_cookie);
    peer.host().config.fast_open_client = false;
    open(10);
    EXPECT_EQ(taken, 0U);
    EXPECT_FALSE(cookie_in(sent()));
}

TEST_F(fast_open_client, a_simultaneous_open_sends_the_data_again) {
    learn(some_cookie);
    const auto handle = open(100);
    const wire_segment first = sent();
    wire_segment crossing{.flags = syn, .seq = 700};
    crossing.host_port = port;
    peer.give(crossing);
    EXPECT_EQ(sent().flags, syn | ack);
    wire_segment third{.flags = ack, .seq = 701, .ack = first.seq + 1};
    third.host_port = port;
    peer.give(third);
    EXPECT_EQ(peer.host().find(handle)->state, tcp::conn_state::established);
    const wire_segment data = sent();
    EXPECT_EQ(data.seq, first.seq + 1);
    EXPECT_EQ(data.payload.size(), 100U);
}

// A SYN says what will be, not what is held: blocks in it mean nothing.
struct fast_open_blocks : fast_open_client {
    void SetUp() override {
        learn(some_cookie);
        handle = open(100);
        first = sent();
        with_blocks = sack_permitted();
        const option_bytes block = sack_of(first.seq + 1, first.seq + 101);
        with_blocks.insert(with_blocks.end(), block.begin(), block.end());
    }
    void expect_sent_again(std::uint32_t server_seq) {
        const tcp::conn& c = *peer.host().find(handle);
        EXPECT_EQ(c.sacked_bytes, 0U);
        EXPECT_EQ(sent().payload.size(), 100U);
        wire_segment all{.flags = ack, .seq = server_seq, .ack = first.seq + 101};
        all.host_port = port;
        peer.give(all);
        EXPECT_EQ(c.sent_count, 0U);
        EXPECT_EQ(c.by_time.head, tcp::no_id);
        EXPECT_EQ(peer.host().sents.used(), 0U);
    }
    tcp::conn_handle handle;
    wire_segment first;
    option_bytes with_blocks;
};

TEST_F(fast_open_blocks, of_a_syn_ack_are_not_looked_at) {
    answer(first, 1, with_blocks);
    expect_sent_again(501);
}

TEST_F(fast_open_blocks, of_a_simultaneous_open_neither) {
    wire_segment crossing{.flags = syn, .seq = 700, .options = sack_permitted()};
    crossing.host_port = port;
    peer.give(crossing);
    EXPECT_EQ(sent().flags, syn | ack);
    crossing.flags = syn | ack;
    crossing.ack = first.seq + 1;
    crossing.options = with_blocks;
    peer.give(crossing);
    expect_sent_again(701);
}

TEST_F(fast_open_blocks, leave_what_they_name_alone_where_they_may_stand) {
    wire_segment crossing{.flags = syn, .seq = 700, .options = sack_permitted()};
    crossing.host_port = port;
    peer.give(crossing);
    EXPECT_EQ(sent().flags, syn | ack);
    wire_segment third{.flags = ack, .seq = 701, .ack = first.seq + 1};
    third.host_port = port;
    third.options = sack_of(first.seq + 51, first.seq + 101);
    peer.give(third);
    const tcp::conn& c = *peer.host().find(handle);
    EXPECT_EQ(c.sacked_bytes, 50U);
    EXPECT_EQ(sent().payload.size(), 50U);
    third.options.clear();
    third.ack = first.seq + 101;
    peer.give(third);
    EXPECT_EQ(c.by_time.head, tcp::no_id);
    EXPECT_EQ(peer.host().sents.used(), 0U);
}

TEST(fast_open_cache, keeps_no_more_than_it_has_room_for) {
    tcp::fast_open_cache cache(64, {1, 2});
    const auto address = [](std::uint32_t i) {
        return ip_address::from(wire::ipv4_address{be32::from(0x0a000000 + i)});
    };
    for (std::uint32_t i = 0; i < 10'000; ++i) {
        EXPECT_EQ(cache.find(address(i)), nullptr);
        cache.enter(address(i), i).cookie_bytes = 4;
    }
    unsigned kept = 0;
    for (std::uint32_t i = 0; i < 10'000; ++i) {
        kept += cache.find(address(i)) != nullptr ? 1 : 0;
    }
    EXPECT_EQ(kept, 64U);
    EXPECT_NE(cache.find(address(9'999)), nullptr);
}

// ---------------------------------------------------------------------------------------------
// Both, over a network that loses and reorders. (One that duplicates may well bring the data of a
// SYN to a second connection: section 6.1.)

TEST(fast_open_pair, every_byte_arrives_once_whatever_is_lost) {
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        pair_settings how;
        how.seed = seed;
        how.fast_open = true;
        how.v6 = seed % 3 == 0;
        how.forth = {.delay_ns = 5 * ns_per_ms, .jitter_ns = seed % 2 * 20 * ns_per_ms};
        how.forth.loss_ppm = seed % 4 * 100'000;
        how.back = how.forth;
        how.client_stream.send_bytes = how.server_stream.expect_bytes = 1 + seed * 300;
        how.server_stream.send_bytes = how.client_stream.expect_bytes = seed * 500;
        how.client_stream.send_seed = how.server_stream.expect_seed = 2 * seed;
        how.server_stream.send_seed = how.client_stream.expect_seed = 2 * seed + 1;
        tcp_pair pair(how);
        pair.connect();
        ASSERT_TRUE(pair.run_to_end(2'000)) << seed;
        EXPECT_EQ(pair.client_end->fault() + pair.server_end->fault(), "") << seed;
        EXPECT_TRUE(pair.client_end->complete()) << seed;
        EXPECT_TRUE(pair.server_end->complete()) << seed;
        EXPECT_EQ(pair.leftovers(), "") << seed;
        EXPECT_EQ(pair.client.host.stats.fo_syns_sent.read(), 1U);
        if (how.forth.loss_ppm == 0) {
            EXPECT_EQ(pair.client.host.stats.fo_syns_taken.read(), 1U) << seed;
        }
    }
}

} // namespace
} // namespace pantala::sim
