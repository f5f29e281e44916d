// What strangers can provoke: everybody who must be answered is, nobody learns from the limits.
#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_user.hpp"
#include "stack/wire/tcp.hpp"
#include "tests/stack/tcp/scripted_peer.hpp"

#include <set>

#include <gtest/gtest.h>

namespace pantala::sim {
namespace {

using namespace wire::tcp_flag;

unsigned count_answers(scripted_peer& peer) {
    unsigned answers = 0;
    while (peer.next()) {
        ++answers;
    }
    return answers;
}

// A half-open flow of 10.0.0.`last`, that SYNs with wrong numbers then ask about: how many of them
// were answered. Each is of a flow of its own.
unsigned challenges_of(scripted_peer& peer, std::uint8_t last, unsigned flows) {
    for (unsigned i = 0; i < flows; ++i) {
        wire_segment open = {.flags = syn, .seq = 1};
        open.peer_port = static_cast<std::uint16_t>(2'000 + i);
        open.peer_last = last;
        peer.give(open);
    }
    (void)count_answers(peer);
    for (unsigned i = 0; i < flows; ++i) {
        wire_segment forged = {.flags = syn, .seq = 77'777};
        forged.peer_port = static_cast<std::uint16_t>(2'000 + i);
        forged.peer_last = last;
        peer.give(forged);
    }
    return count_answers(peer);
}

tcp::limits roomy() {
    tcp::limits sizes = scripted_peer::small();
    sizes.syn_entries = 65'536;
    sizes.syn_bucket = 1'024;
    sizes.syn_peer = 20'000;
    return sizes;
}

// Nothing in it, and one before what is expected.
std::optional<wire_segment> answer_to_probe(scripted_peer& peer) {
    wire_segment probe = peer.segment(ack);
    probe.seq = peer.seq - 1;
    peer.give(probe);
    return peer.next();
}

// RFC 9293 3.8.4: a keep-alive is answered, whatever challenge ACKs others have drawn.
TEST(tcp_answers, a_keep_alive_is_always_answered) {
    scripted_peer peer({.challenge_acks_per_second = 0});
    peer.establish();
    for (unsigned i = 0; i < 20; ++i) {
        const auto answer = answer_to_probe(peer);
        ASSERT_TRUE(answer) << i;
        EXPECT_EQ(answer->flags, ack);
        EXPECT_EQ(answer->ack, peer.seq);
        peer.wait_ms(200);
        (void)count_answers(peer);
    }
}

// RFC 9293 3.8.6.1, MUST-36, in Linux's form: nothing in it, one before what is expected.
TEST(tcp_answers, a_probe_of_a_shut_window_is_always_answered) {
    scripted_peer peer({.rcv_buffer = 2'000, .auto_tune = false, .challenge_acks_per_second = 0});
    peer.establish();
    for (unsigned i = 0; i < 2; ++i) {
        peer.give(peer.segment(ack | psh, 1'000));
        peer.seq += 1'000;
    }
    (void)count_answers(peer);
    for (unsigned i = 0; i < 20; ++i) {
        const auto answer = answer_to_probe(peer);
        ASSERT_TRUE(answer) << i;
        EXPECT_EQ(answer->window, 0);
        peer.wait_ms(200);
    }
}

// Two hosts that disagree about their numbers answer each other's answers: that must die down.
TEST(tcp_answers, unfit_acks_make_no_storm) {
    for (const std::uint32_t off : {1U, 10'000U}) {
        scripted_peer peer;
        peer.establish();
        unsigned answers = 0;
        for (unsigned i = 0; i < 1'000; ++i) { // one a millisecond
            wire_segment unfit = peer.segment(ack);
            unfit.seq = peer.seq - off;
            peer.give(unfit);
            answers += count_answers(peer);
            peer.wait_ms(1);
        }
        EXPECT_GE(answers, 1U);
        EXPECT_LE(answers, 10U);
    }
}

// CVE-2016-5696: what one peer has drawn does not show at another.
TEST(tcp_answers, one_peer_cannot_measure_what_another_draws) {
    scripted_peer peer({}, roomy());
    peer.listen(80, 64);
    challenges_of(peer, 1, 5'000);
    EXPECT_EQ(challenges_of(peer, 3, 100), 100U);
}

TEST(tcp_answers, resets_to_one_peer_take_nothing_from_another) {
    scripted_peer peer;
    for (std::uint32_t i = 0; i < 5'000; ++i) {
        peer.give({.flags = ack, .seq = i, .ack = i, .host_port = 99});
    }
    (void)count_answers(peer);
    for (std::uint32_t i = 0; i < 100; ++i) {
        peer.give({.flags = ack, .seq = i, .ack = i, .host_port = 99, .peer_last = 3});
    }
    EXPECT_EQ(count_answers(peer), 100U);
}

// How many there are in a second is drawn anew each time, and the second begins with the first.
TEST(tcp_answers, the_budget_of_a_second_is_not_foreseeable) {
    scripted_peer peer({}, roomy());
    peer.now = instant{1'700 * ns_per_ms}; // in the midst of a second of the clock
    std::set<unsigned> seen;
    for (unsigned second = 0; second < 8; ++second) {
        unsigned answers = 0;
        for (unsigned part = 0; part < 2; ++part) { // the clock's second ends between the two
            for (std::uint32_t i = 0; i < 2'000; ++i) {
                peer.give({.flags = ack, .seq = i, .ack = i, .host_port = 99});
            }
            answers += count_answers(peer);
            peer.wait_ms(499);
        }
        EXPECT_GE(answers, 500U);
        EXPECT_LE(answers, 1'500U);
        seen.insert(answers);
        peer.wait_ms(2);
    }
    EXPECT_GE(seen.size(), 4U);
}

} // namespace
} // namespace pantala::sim
