// The habits by which kernels are told apart: order of a SYN's options, initial window, quick ACKs.
#include "stack/tcp/tcp_user.hpp"
#include "tests/stack/tcp/scripted_peer.hpp"

#include <gtest/gtest.h>

namespace pantala::sim {
namespace {

using namespace wire::tcp_flag;

constexpr std::uint32_t mss = 1'448;

// The kinds in the order in which they stand: 1 is a NOP, 2 the MSS, 3 the window scale, 4 SACK
// permitted, 8 a timestamp.
std::vector<unsigned> kinds_of(const std::vector<std::uint8_t>& options) {
    std::vector<unsigned> kinds;
    for (std::size_t at = 0; at < options.size(); at += options[at] == 1 ? 1 : options[at + 1]) {
        kinds.push_back(options[at]);
    }
    return kinds;
}

// What is asked of either: MSS 1460, SACK, a timestamp, window scale 7.
const std::vector<std::uint8_t> everything = {2, 4, 5, 180, 4, 2, 8, 10, 0, 0,
                                              1, 1, 0, 0,   0, 0, 1, 3,  3, 7};
std::vector<std::uint8_t> stamp(const wire_segment& answer) {
    const std::uint32_t echo = answer.parsed.ts_value;
    std::vector<std::uint8_t> options = {1, 1, 8, 10, 0, 0, 1, 1};
    for (unsigned shift = 32; shift != 0; shift -= 8) {
        options.push_back(static_cast<std::uint8_t>(echo >> (shift - 8)));
    }
    return options;
}

struct tcp_persona : testing::Test {
    // The connection is accepted, and has a round trip of 10 ms; answers its SYN-ACK's options.
    std::vector<unsigned> establish(scripted_peer& peer) {
        peer.listen();
        peer.give({.flags = syn, .seq = peer.seq, .options = everything});
        const auto answer = peer.next();
        options = stamp(*answer);
        ++peer.seq;
        peer.ack = answer->seq + 1;
        peer.wait_ms(10);
        peer.give(segment(peer, ack));
        handle = tcp::accept(peer.host(), peer.listener, nullptr);
        EXPECT_EQ(65'535, answer->window);
        return kinds_of(answer->options);
    }
    wire_segment segment(const scripted_peer& peer, std::uint8_t flags, std::size_t payload = 0) {
        wire_segment made = peer.segment(flags, payload);
        made.options = options;
        return made;
    }
    static std::vector<unsigned> asked_by(scripted_peer& peer) {
        tcp::open(
            peer.host(), {.local = peer.address(2), .remote = {peer.address(1), l4_port::from(9)}});
        peer.turn();
        return kinds_of(peer.next()->options);
    }
    std::vector<std::uint8_t> options;
    tcp::conn_handle handle;
};

TEST_F(tcp_persona, options_stand_in_the_kernels_order) {
    scripted_peer like_linux(tcp::settings_of(tcp::persona::linux_like));
    scripted_peer like_freebsd(tcp::settings_of(tcp::persona::freebsd_like));
    const std::vector<unsigned> of_linux = {2, 4, 8, 1, 3};
    const std::vector<unsigned> of_freebsd = {2, 1, 3, 4, 8};
    EXPECT_EQ(of_linux, asked_by(like_linux));
    EXPECT_EQ(of_freebsd, asked_by(like_freebsd));
    EXPECT_EQ(of_linux, establish(like_linux));
    EXPECT_EQ(of_freebsd, establish(like_freebsd));
}

TEST_F(tcp_persona, both_begin_with_ten_segments_and_that_is_a_setting) { // RFC 6928
    for (const auto whose : {tcp::persona::linux_like, tcp::persona::freebsd_like}) {
        for (const unsigned segments : {10U, 4U}) {
            tcp::settings config = tcp::settings_of(whose);
            EXPECT_EQ(10U, config.initial_window_segments);
            config.initial_window_segments = segments;
            scripted_peer peer(config);
            establish(peer);
            peer.send(handle, 20 * mss);
            unsigned sent = 0;
            while (peer.next()) {
                ++sent;
            }
            EXPECT_EQ(segments, sent);
        }
    }
}

TEST_F(tcp_persona, linux_acknowledges_the_first_segments_at_once_and_freebsd_every_second) {
    for (const bool quick : {true, false}) {
        scripted_peer peer(
            tcp::settings_of(quick ? tcp::persona::linux_like : tcp::persona::freebsd_like));
        establish(peer);
        peer.give(segment(peer, ack, mss));
        peer.seq += mss;
        EXPECT_EQ(quick, !peer.silent());
        peer.give(segment(peer, ack, mss));
        peer.seq += mss;
        EXPECT_FALSE(peer.silent());
        peer.give(segment(peer, ack, mss));
        peer.wait_ms(39);
        EXPECT_EQ(quick, !peer.silent());
        peer.wait_ms(2);
        EXPECT_EQ(quick, peer.silent());
    }
}

} // namespace
} // namespace pantala::sim
