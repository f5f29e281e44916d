// A segment whose ACK is refused, or that has none, is dropped (RFC 9293 3.10.7.4, fifth; RFC 5961
// 5.2): nothing it says is learnt.
#include "tests/stack/tcp/scripted_peer.hpp"

#include <array>
#include <functional>

#include <gtest/gtest.h>

namespace pantala::sim::refused_ack {
namespace {

using namespace wire::tcp_flag;

std::vector<std::uint8_t> stamped(std::uint32_t value) {
    wire::tcp_options options{.has_timestamp = true, .ts_value = value};
    std::array<std::uint8_t, wire::tcp_options_bytes_max> raw{};
    const unsigned length = wire::write_tcp_options(raw, options);
    return {raw.begin(), raw.begin() + length};
}

// What a stranger who hits the window makes of the ACK field.
const std::vector<std::function<void(wire_segment&)>> forgeries = {
    [](wire_segment& one) {
        one.flags = psh;
        one.ack = 0;
    },
    [](wire_segment& one) { one.ack += 100'000; },  // never sent
    [](wire_segment& one) { one.ack -= 100'000; }}; // long ago

struct tcp_refused_ack : testing::TestWithParam<unsigned> {
    void SetUp() override {
        peer.listen();
        peer.give({.flags = syn | ece | cwr, .seq = peer.seq, .options = stamped(1'000)});
        const auto answer = peer.next();
        ASSERT_TRUE(answer);
        ++peer.seq;
        peer.ack = answer->seq + 1;
        wire_segment third = peer.segment(ack);
        third.options = stamped(1'001);
        peer.give(third);
        handle = tcp::accept(peer.host(), peer.listener, nullptr);
        ASSERT_NE(handle.id, tcp::no_id);
    }
    tcp::conn& conn() { return *peer.host().find(handle); }
    void forge() {
        wire_segment forged = peer.segment(ack | psh | cwr, 1);
        forged.options = stamped(1'001 + (1U << 30));
        forgeries[GetParam()](forged);
        peer.give(forged);
    }

    scripted_peer peer;
    tcp::conn_handle handle;
};

TEST_P(tcp_refused_ack, does_not_move_the_timestamp) {
    forge();
    EXPECT_EQ(conn().ts_recent, 1'001U);
    EXPECT_EQ(tcp::readable_bytes(peer.host(), handle), 0U);
    wire_segment good = peer.segment(ack | psh, 10);
    good.options = stamped(1'002);
    peer.give(good);
    EXPECT_EQ(peer.stats().pawsdrop.read(), 0U);
    EXPECT_EQ(tcp::readable_bytes(peer.host(), handle), 10U);
}

TEST_P(tcp_refused_ack, is_answered_only_where_there_is_one) {
    forge();
    const auto answer = peer.next();
    EXPECT_EQ(answer.has_value(), GetParam() != 0);
    if (answer) {
        EXPECT_EQ(answer->flags, ack);
        EXPECT_EQ(answer->parsed.ts_echo, 1'001U);
    }
    EXPECT_EQ(peer.stats().rcvacktoomuch.read(), GetParam() == 1 ? 1U : 0U);
    EXPECT_EQ(peer.stats().rcvacktooold.read(), GetParam() == 2 ? 1U : 0U);
}

TEST_P(tcp_refused_ack, does_not_count_as_a_sign_of_life) {
    const std::uint32_t heard_ms = conn().last_heard_ms;
    conn().keep_probes = 2;
    peer.wait_ms(1'000);
    forge();
    EXPECT_EQ(conn().last_heard_ms, heard_ms);
    EXPECT_EQ(conn().keep_probes, 2U);
}

TEST_P(tcp_refused_ack, does_not_end_the_echo_of_congestion) {
    ASSERT_TRUE(conn().has(tcp::conn_flag::ecn));
    conn().set(tcp::conn_flag::ecn_echo);
    wire_segment forged = peer.segment(ack | psh | cwr, 1);
    forged.options = stamped(1'002);
    forgeries[GetParam()](forged);
    forged.flags |= cwr;
    peer.give(forged);
    EXPECT_TRUE(conn().has(tcp::conn_flag::ecn_echo));
}

INSTANTIATE_TEST_SUITE_P(all, tcp_refused_ack, testing::Range(0U, 3U));

} // namespace
} // namespace pantala::sim::refused_ack
