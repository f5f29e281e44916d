// The third segment of a handshake: what the connection would refuse does not make one.
#include "tests/stack/tcp/scripted_peer.hpp"

#include <array>

#include <gtest/gtest.h>

namespace pantala::sim::third_segment {
namespace {

using namespace wire::tcp_flag;

std::vector<std::uint8_t> timestamp_of(std::uint32_t value) {
    wire::tcp_options options{.has_timestamp = true, .ts_value = value};
    std::array<std::uint8_t, wire::tcp_options_bytes_max> raw{};
    const unsigned length = wire::write_tcp_options(raw, options);
    return {raw.begin(), raw.begin() + length};
}

struct tcp_third_segment : testing::Test {
    void begin(const std::vector<std::uint8_t>& options) {
        peer.listen();
        peer.give({.flags = syn, .seq = peer.seq, .options = options});
        const auto answer = peer.next();
        ASSERT_TRUE(answer);
        ++peer.seq;
        peer.ack = answer->seq + 1;
    }
    tcp::conn_handle accept() { return tcp::accept(peer.host(), peer.listener, nullptr); }
    void expect_half_open() {
        EXPECT_EQ(accept().id, tcp::no_id);
        EXPECT_EQ(peer.host().conns.used(), 0U);
        EXPECT_EQ(peer.host().syns.size(), 1U);
    }
    void expect_opens(const wire_segment& good) {
        peer.give(good);
        const auto handle = accept();
        ASSERT_NE(handle.id, tcp::no_id);
        EXPECT_EQ(peer.host().find(handle)->state, tcp::conn_state::established);
    }

    scripted_peer peer;
};

TEST_F(tcp_third_segment, without_the_timestamp_agreed_completes_nothing) { // RFC 7323 3.2
    begin(timestamp_of(1'000));
    wire_segment third = peer.segment(ack);
    peer.give(third);
    EXPECT_EQ(peer.stats().notsdrop.read(), 1U);
    EXPECT_TRUE(peer.silent());
    expect_half_open();
    third.options = timestamp_of(1'001);
    expect_opens(third);
}

TEST_F(tcp_third_segment, with_bytes_beyond_the_window_completes_nothing) { // RFC 9293 3.4
    begin({});
    wire_segment third = peer.segment(ack | psh, 1);
    third.seq += 65'535; // what the SYN-ACK told
    peer.give(third);
    EXPECT_EQ(peer.stats().sc_badack.read(), 1U);
    expect_half_open();
    third.payload.clear();
    third.flags = ack | fin; // takes a number, too
    peer.give(third);
    EXPECT_EQ(peer.stats().sc_badack.read(), 2U);
    expect_half_open();
    third.flags = ack; // a bare one may stand at the very edge
    expect_opens(third);
}

TEST_F(tcp_third_segment, of_a_bad_kind_leaves_nothing_behind) {
    for (const bool stamped : {true, false}) {
        begin(stamped ? timestamp_of(1'000) : std::vector<std::uint8_t>{});
        wire_segment third = peer.segment(ack, stamped ? 0 : 1);
        third.seq += stamped ? 0 : 65'535;
        peer.give(third);
        tcp::close(peer.host(), accept());
        peer.wait_ms(86'400'000);
        EXPECT_EQ(peer.host().conns.used(), 0U) << stamped;
        EXPECT_EQ(peer.host().syns.size(), 0U) << stamped;
        while (peer.next()) {
        }
        tcp::close_listener(peer.host(), peer.listener);
    }
}

} // namespace
} // namespace pantala::sim::third_segment
