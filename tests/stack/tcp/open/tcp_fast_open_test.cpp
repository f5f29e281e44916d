// Fast Open (RFC 7413), the server: what it takes and refuses.
#include "stack/tcp/open/tcp_fast_open.hpp"
#include "tests/stack/tcp/open/cookie_options.hpp"

#include <gtest/gtest.h>

namespace pantala::sim {
namespace {

using namespace wire::tcp_flag;
std::size_t read_some(tcp::host& h, tcp::conn_handle handle) {
    std::size_t all = 0;
    for (auto piece = tcp::peek(h, handle); !piece.empty(); piece = tcp::peek(h, handle)) {
        all += piece.size();
        tcp::consume(h, handle, piece.size());
    }
    return all;
}

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

TEST_F(fast_open_listener, a_close_with_unread_data_is_a_reset) { // RFC 2525 2.17
    answer_to(with_cookie(ask()), 100);
    const auto handle = accept();
    ASSERT_NE(handle.id, tcp::no_id);
    tcp::close(peer.host(), handle);
    peer.turn();
    const auto answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->flags & rst, rst);
    EXPECT_EQ(pending(), 0U);
    EXPECT_EQ(peer.host().conns.used(), 0U);
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

// All records of segments in flight are taken: there is none for the SYN-ACK.
TEST(fast_open_server, shakes_hands_as_usual_where_the_syn_ack_finds_no_record) {
    tcp::limits sizes = scripted_peer::small();
    sizes.sent_segments = 4;
    scripted_peer peer({}, sizes);
    peer.listen();
    tcp::set_listener_fast_open(peer.host(), peer.listener, 2);
    wire_segment opening{.flags = syn, .seq = 1'000, .options = with_cookie({})};
    opening.peer_port = 3'999;
    peer.give(opening);
    const auto cookie = cookie_in(*peer.next());
    ASSERT_TRUE(cookie);
    const auto busy = peer.establish();
    peer.send(busy, 4 * 536);
    ASSERT_EQ(peer.host().sents.used(), 4U);
    while (peer.next()) {
    }

    opening.options = with_cookie(*cookie);
    opening.payload = bytes(100);
    opening.peer_port = 4'001;
    peer.give(opening);
    const auto answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->flags, syn | ack);
    EXPECT_EQ(answer->ack, 1'001U); // the data comes again
    EXPECT_EQ(tcp::accept(peer.host(), peer.listener, nullptr).id, tcp::no_id);
    peer.ack += 4 * 536;
    peer.give(peer.segment(ack));
    wire_segment third{.flags = ack, .seq = 1'001, .ack = answer->seq + 1};
    third.peer_port = 4'001;
    peer.give(third);
    while (peer.next()) {
    }
    const auto handle = tcp::accept(peer.host(), peer.listener, nullptr);
    ASSERT_NE(handle.id, tcp::no_id);
    peer.send(handle, 10);
    const auto data = peer.next();
    ASSERT_TRUE(data);
    EXPECT_EQ(data->seq, answer->seq + 1);
    EXPECT_EQ(data->payload.size(), 10U);
}

} // namespace
} // namespace pantala::sim
