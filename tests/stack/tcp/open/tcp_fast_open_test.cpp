// Fast Open (RFC 7413): what a server takes and refuses, what a client sends, and what both do when
// it does not work out.
#include "stack/tcp/open/tcp_fast_open.hpp"
#include "tests/stack/tcp/scripted_peer.hpp"
#include "tests/stack/tcp/tcp_pair.hpp"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

namespace pantala::sim {
namespace {

using namespace wire::tcp_flag;
using option_bytes = std::vector<std::uint8_t>;

option_bytes with_cookie(const option_bytes& cookie) {
    option_bytes option = {34, static_cast<std::uint8_t>(2 + cookie.size())};
    option.insert(option.end(), cookie.begin(), cookie.end());
    return option;
}

// The cookie in a segment the host sent; nothing: no option. An empty one asks.
std::optional<option_bytes> cookie_in(const wire_segment& segment) {
    const wire::tcp_options options = wire::parse_tcp_options(segment.options);
    if (options.fast_open == nullptr) {
        return std::nullopt;
    }
    return option_bytes(options.fast_open, options.fast_open + options.fast_open_bytes);
}

std::size_t read_some(tcp::host& h, tcp::conn_handle handle) {
    std::size_t all = 0;
    for (auto piece = tcp::peek(h, handle); !piece.empty(); piece = tcp::peek(h, handle)) {
        all += piece.size();
        tcp::consume(h, handle, piece.size());
    }
    return all;
}

// ---------------------------------------------------------------------------------------------
// The server.

struct fast_open_listener : testing::Test {
    scripted_peer peer;

    void SetUp() override {
        peer.listen();
        tcp::set_listener_fast_open(peer.host(), peer.listener, 2);
    }

    wire_segment first_syn(const option_bytes& options, std::size_t payload, std::uint16_t port) {
        wire_segment opening{
            .flags = syn, .seq = 1'000, .options = options, .payload = bytes(payload)};
        opening.peer_port = port;
        return opening;
    }
    // The answer to a SYN.
    wire_segment
    answer_to(const option_bytes& options, std::size_t payload = 0, std::uint16_t port = 4'000) {
        peer.give(first_syn(options, payload, port));
        const auto answer = peer.next();
        EXPECT_TRUE(answer);
        return answer.value_or(wire_segment{});
    }
    option_bytes ask() {
        const auto cookie = cookie_in(answer_to(with_cookie({}), 0, 3'999));
        EXPECT_TRUE(cookie);
        return cookie.value_or(option_bytes{});
    }
    tcp::conn_handle accept() { return tcp::accept(peer.host(), peer.listener, nullptr); }
    std::uint32_t pending() { return peer.host().listeners[peer.listener].fast_open.pending; }
};

TEST_F(fast_open_listener, gives_a_cookie_and_takes_no_data_without_one) { // 4.2.1
    const wire_segment answer = answer_to(with_cookie({}), 100);
    EXPECT_EQ(answer.flags, syn | ack);
    EXPECT_EQ(answer.ack, 1'001U);
    ASSERT_TRUE(cookie_in(answer));
    EXPECT_EQ(cookie_in(answer)->size(), tcp::fast_open_cookie_bytes);
    EXPECT_EQ(accept().id, tcp::no_id);
    EXPECT_EQ(peer.stats().fo_cookies_given.read(), 1U);
}

TEST_F(fast_open_listener, is_off_unless_asked_for) {
    tcp::set_listener_fast_open(peer.host(), peer.listener, 0);
    EXPECT_FALSE(cookie_in(answer_to(with_cookie({}))));
    tcp::set_listener_fast_open(peer.host(), peer.listener, 2);
    const option_bytes cookie = ask();
    peer.host().config.fast_open_server = false;
    const wire_segment answer = answer_to(with_cookie(cookie), 100);
    EXPECT_FALSE(cookie_in(answer));
    EXPECT_EQ(answer.ack, 1'001U);
}

TEST_F(fast_open_listener, data_of_the_syn_is_read_and_answered_before_the_handshake_ends) {
    const wire_segment answer = answer_to(with_cookie(ask()), 100); // 4.2.2, 4 and 5
    EXPECT_EQ(answer.flags, syn | ack);
    EXPECT_EQ(answer.ack, 1'101U);
    EXPECT_FALSE(cookie_in(answer)); // the client's is good
    EXPECT_EQ(pending(), 1U);
    const auto handle = accept();
    ASSERT_NE(handle.id, tcp::no_id);
    EXPECT_EQ(read_some(peer.host(), handle), 100U);
    peer.send(handle, 50); // section 3: at once, Nagle waits for nothing
    auto data = peer.next();
    ASSERT_TRUE(data);
    EXPECT_EQ(data->payload.size(), 50U);
    EXPECT_EQ(data->ack, 1'101U);
    peer.send(handle, 50); // and now it does
    EXPECT_TRUE(peer.silent());
    wire_segment third{.flags = ack, .seq = 1'101, .ack = answer.seq + 51};
    peer.give(third);
    data = peer.next();
    ASSERT_TRUE(data);
    EXPECT_EQ(data->payload.size(), 50U);
    EXPECT_EQ(peer.host().find(handle)->state, tcp::conn_state::established);
    EXPECT_EQ(pending(), 0U);
    EXPECT_EQ(peer.stats().fo_accepts.read(), 1U);
    EXPECT_EQ(peer.stats().connects.read(), 1U);
}

TEST_F(fast_open_listener, a_syn_with_a_cookie_alone_opens_too) {
    const wire_segment answer = answer_to(with_cookie(ask()), 0);
    EXPECT_EQ(answer.ack, 1'001U);
    EXPECT_NE(accept().id, tcp::no_id);
}

TEST_F(fast_open_listener, wrong_cookies_open_nothing) { // 4.1.2
    const option_bytes good = ask();
    option_bytes wrong = good;
    wrong[3] ^= 1;
    option_bytes longer = good;
    longer.resize(16);
    const std::vector<option_bytes> all = {
        wrong, longer, option_bytes(good.begin(), good.begin() + 4), option_bytes(8, 0)};
    std::uint16_t port = 4'000;
    for (const option_bytes& one : all) {
        const wire_segment answer = answer_to(with_cookie(one), 100, port++);
        EXPECT_EQ(answer.ack, 1'001U);
        EXPECT_EQ(cookie_in(answer), good); // so that the next time is better
    }
    EXPECT_EQ(peer.stats().fo_cookies_bad.read(), all.size());
    EXPECT_EQ(accept().id, tcp::no_id);
    // Lengths that the option cannot have: as if it were not there (4.1.1).
    for (const std::size_t length : {1U, 2U, 3U, 5U, 7U, 15U, 17U, 18U, 30U}) {
        const wire_segment answer = answer_to(with_cookie(option_bytes(length, 7)), 100, port++);
        EXPECT_FALSE(cookie_in(answer)) << length;
        EXPECT_EQ(answer.ack, 1'001U);
    }
}

TEST_F(fast_open_listener, a_cookie_is_one_addresss) {
    wire_segment opening = first_syn(with_cookie(ask()), 100, 4'000);
    opening.peer_last = 9;
    peer.give(opening);
    EXPECT_EQ(peer.next()->ack, 1'001U);
    EXPECT_EQ(peer.stats().fo_cookies_bad.read(), 1U);
}

TEST_F(fast_open_listener, a_cookie_lives_one_to_two_periods) { // 4.1.2
    peer.host().config.fast_open_period_ms = 10'000;
    const option_bytes cookie = ask();
    peer.wait_ms(peer.host().config.fast_open_period_ms);
    while (peer.next()) {
    }
    const wire_segment next_period = answer_to(with_cookie(cookie), 100, 4'001);
    EXPECT_EQ(next_period.ack, 1'101U);
    ASSERT_TRUE(cookie_in(next_period)); // taken, and replaced
    EXPECT_NE(*cookie_in(next_period), cookie);
    peer.wait_ms(peer.host().config.fast_open_period_ms);
    while (peer.next()) {
    }
    EXPECT_EQ(answer_to(with_cookie(cookie), 100, 4'002).ack, 1'001U);
}

TEST_F(fast_open_listener, workers_with_one_key_know_each_others_cookies) {
    const siphash_key key{1, 2};
    scripted_peer one({.fast_open_key = key});
    scripted_peer other({.fast_open_key = key});
    for (scripted_peer* worker : {&one, &other}) {
        worker->listen();
        tcp::set_listener_fast_open(worker->host(), worker->listener, 2);
    }
    one.give(first_syn(with_cookie({}), 0, 4'000));
    const auto cookie = cookie_in(*one.next());
    ASSERT_TRUE(cookie);
    other.give(first_syn(with_cookie(*cookie), 10, 4'001));
    EXPECT_EQ(other.next()->ack, 1'011U);
}

TEST_F(fast_open_listener, those_beyond_the_limit_are_plain_ones) { // 4.2.2, 2; 5.1
    const option_bytes cookie = ask();
    EXPECT_EQ(answer_to(with_cookie(cookie), 100, 4'000).ack, 1'101U);
    const wire_segment second = answer_to(with_cookie(cookie), 100, 4'001);
    EXPECT_EQ(second.ack, 1'101U);
    const wire_segment third = answer_to(with_cookie(cookie), 100, 4'002);
    EXPECT_EQ(third.ack, 1'001U);
    EXPECT_EQ(peer.stats().fo_overflow.read(), 1U);
    wire_segment last{.flags = ack, .seq = 1'001, .ack = third.seq + 1};
    last.peer_port = 4'002;
    peer.give(last); // an ordinary handshake
    EXPECT_EQ(peer.stats().sc_completed.read(), 1U);
    last = {.flags = ack, .seq = 1'101, .ack = second.seq + 1};
    last.peer_port = 4'001;
    peer.give(last);
    EXPECT_EQ(pending(), 1U);
    EXPECT_EQ(answer_to(with_cookie(cookie), 100, 4'003).ack, 1'101U); // room again
}

TEST_F(fast_open_listener, a_reset_one_counts_for_a_while) { // 5.1
    const option_bytes cookie = ask();
    for (std::uint16_t port = 4'000; port < 4'002; ++port) {
        answer_to(with_cookie(cookie), 100, port);
        wire_segment reset{.flags = rst, .seq = 1'101};
        reset.peer_port = port;
        peer.give(reset);
    }
    EXPECT_EQ(pending(), 0U);
    EXPECT_EQ(peer.host().conns.used(), 0U);
    EXPECT_EQ(answer_to(with_cookie(cookie), 100, 4'010).ack, 1'001U);
    peer.wait_ms(120'000);
    while (peer.next()) {
    }
    EXPECT_EQ(answer_to(with_cookie(cookie), 100, 4'011).ack, 1'101U);
}

TEST_F(fast_open_listener, a_full_accept_queue_takes_none) {
    tcp::set_listener_fast_open(peer.host(), peer.listener, 100);
    const option_bytes cookie = ask();
    for (std::uint16_t port = 4'000; port < 4'008; ++port) { // the backlog
        EXPECT_EQ(answer_to(with_cookie(cookie), 10, port).ack, 1'011U);
    }
    EXPECT_EQ(answer_to(with_cookie(cookie), 10, 4'008).ack, 1'001U);
}

TEST_F(fast_open_listener, a_lost_syn_ack_is_sent_again) {
    const wire_segment answer = answer_to(with_cookie(ask()), 100);
    peer.give(first_syn({}, 0, 4'000)); // the client's second attempt: plain
    auto again = peer.next();
    ASSERT_TRUE(again);
    EXPECT_EQ(again->flags, syn | ack);
    EXPECT_EQ(again->seq, answer.seq);
    EXPECT_EQ(again->ack, 1'101U);
    EXPECT_TRUE(peer.silent());
    peer.wait_ms(1'100); // and by itself
    again = peer.next();
    ASSERT_TRUE(again);
    EXPECT_EQ(again->flags, syn | ack);
    EXPECT_EQ(again->ack, 1'101U);
    EXPECT_EQ(peer.host().conns.used(), 1U);
}

TEST_F(fast_open_listener, one_that_is_never_completed_goes) {
    const unsigned before = packets_out();
    const option_bytes cookie = ask();
    answer_to(with_cookie(cookie), 100, 4'000); // nobody accepts it
    answer_to(with_cookie(cookie), 100, 4'001);
    const auto handle = accept();
    peer.send(handle, 5'000); // the initial window and no more
    unsigned answered = 0;
    while (peer.next()) {
        ++answered;
    }
    EXPECT_GT(answered, 0U);
    tcp::close(peer.host(), accept());
    peer.wait_ms(200'000);
    while (peer.next()) {
    }
    EXPECT_EQ(pending(), 0U);
    tcp::close(peer.host(), handle);
    peer.turn();
    while (peer.next()) {
    }
    EXPECT_EQ(peer.host().conns.used(), 0U);
    EXPECT_EQ(packets_out(), before);
}

TEST_F(fast_open_listener, a_close_before_the_handshake_ends_waits_for_it) {
    const wire_segment answer = answer_to(with_cookie(ask()), 100);
    const auto handle = accept();
    read_some(peer.host(), handle);
    peer.send(handle, 10);
    EXPECT_EQ(peer.next()->flags, psh | ack);
    tcp::close(peer.host(), handle);
    peer.turn();
    EXPECT_TRUE(peer.silent());
    peer.give({.flags = ack, .seq = 1'101, .ack = answer.seq + 11});
    EXPECT_EQ(peer.next()->flags, fin | ack);
    EXPECT_EQ(peer.host().find(handle)->state, tcp::conn_state::fin_wait_1);
}

TEST_F(fast_open_listener, a_listener_that_closes_resets_those_that_wait) {
    answer_to(with_cookie(ask()), 100);
    tcp::close_listener(peer.host(), peer.listener);
    peer.turn();
    EXPECT_EQ(peer.next()->flags & rst, rst);
    EXPECT_EQ(peer.host().conns.used(), 0U);
    peer.listen(); // the same record, with nothing left of the one before
    EXPECT_EQ(pending(), 0U);
    EXPECT_FALSE(cookie_in(answer_to(with_cookie({}), 0, 4'005)));
}

TEST_F(fast_open_listener, a_syn_that_comes_twice_opens_once) {
    const option_bytes cookie = ask();
    const wire_segment answer = answer_to(with_cookie(cookie), 100);
    const auto handle = accept();
    peer.give(first_syn(with_cookie(cookie), 100, 4'000)); // while pending
    EXPECT_EQ(peer.next()->ack, 1'101U);
    peer.give({.flags = ack, .seq = 1'101, .ack = answer.seq + 1});
    peer.give(first_syn(with_cookie(cookie), 100, 4'000)); // and later: RFC 5961 4
    const auto challenge = peer.next();
    ASSERT_TRUE(challenge);
    EXPECT_EQ(challenge->flags, ack);
    EXPECT_EQ(read_some(peer.host(), handle), 100U);
    EXPECT_EQ(accept().id, tcp::no_id);
}

TEST_F(fast_open_listener, a_flood_of_good_cookies_holds_no_more_than_the_limit) {
    const option_bytes cookie = ask();
    for (std::uint16_t port = 5'000; port < 6'000; ++port) {
        peer.give(first_syn(with_cookie(cookie), 1'000, port));
        while (peer.next()) {
        }
    }
    EXPECT_EQ(pending(), 2U);
    EXPECT_EQ(peer.host().conns.used(), 2U);
    EXPECT_EQ(peer.stats().fo_overflow.read(), 998U);
}

TEST(fast_open_v6, works_over_ipv6) {
    scripted_peer peer;
    peer.v6 = true;
    peer.listen();
    tcp::set_listener_fast_open(peer.host(), peer.listener, 2);
    peer.give({.flags = syn, .seq = 1'000, .options = with_cookie({})});
    const auto cookie = cookie_in(*peer.next());
    ASSERT_TRUE(cookie);
    wire_segment opening{
        .flags = syn, .seq = 1'000, .options = with_cookie(*cookie), .payload = bytes(99)};
    opening.peer_port = 4'001;
    peer.give(opening);
    EXPECT_EQ(peer.next()->ack, 1'100U);
}

// ---------------------------------------------------------------------------------------------
// The client. The peer is the server, at port 4000.

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
