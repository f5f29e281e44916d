// Pacing: segments leave spread over the round trip, at the rate that is asked for and not below.
#include "tests/stack/tcp/scripted_peer.hpp"
#include "tests/stack/tcp/tcp_pair.hpp"

#include "stack/tcp/congestion/tcp_pacing.hpp"
#include "stack/wire/tcp.hpp"

#include <algorithm>

#include <gtest/gtest.h>
#include <rte_mbuf.h>

namespace pantala::sim {
namespace {

constexpr std::uint64_t bulk_bytes = 4'000'000;

pair_settings paced_or_not(bool pacing) {
    pair_settings how;
    how.forth.delay_ns = how.back.delay_ns = 20 * ns_per_ms;
    how.client.pacing = pacing;
    how.client_stream = {.send_bytes = bulk_bytes, .send_seed = 5};
    how.server_stream = {.expect_bytes = bulk_bytes, .expect_seed = 5};
    return how;
}

bool has_payload(const rte_mbuf* packet) {
    const auto* tcp = rte_pktmbuf_mtod_offset(packet, const wire::tcp_header*, 20);
    return packet->pkt_len > 20U + tcp->header_bytes();
}

// Runs to the end; milliseconds it took.
std::uint64_t run_to_the_end(tcp_pair& pair) {
    const instant begin = pair.net.now();
    pair.connect();
    EXPECT_TRUE(pair.run_to_end(300));
    EXPECT_TRUE(pair.server_end && pair.server_end->complete());
    const std::uint64_t took_ms = (pair.net.now() - begin) / ns_per_ms;
    EXPECT_EQ(pair.leftovers(), "");
    return took_ms;
}

// The most data segments that the client sends within a millisecond once the transfer runs.
unsigned densest(tcp_pair& pair) {
    unsigned most = 0;
    pair.net.filter = [&most, begin_ns = std::uint64_t{0},
                       count = 0U](unsigned from, rte_mbuf* packet, instant now) mutable {
        if (from != 0 || !has_payload(packet) || now.ns < 1'300 * ns_per_ms) {
            return true;
        }
        if (now.ns - begin_ns >= ns_per_ms) {
            begin_ns = now.ns;
            count = 0;
        }
        most = std::max(most, ++count);
        return true;
    };
    run_to_the_end(pair);
    return most;
}

// A window of 100 segments over a path of 40 ms without a bottleneck, where nothing else spreads
// them.
TEST(tcp_pacing, spreads_a_window_over_the_round_trip) {
    pair_settings how = paced_or_not(false);
    how.client.snd_buffer = 100 * 1'448;
    how.client.auto_tune = false;
    tcp_pair free(how);
    const unsigned burst = densest(free);
    how.client.pacing = true;
    tcp_pair paced(how);
    const unsigned portion = densest(paced);
    EXPECT_GT(burst, 40U);
    // At most twice cwnd (itself at most twice the flight) a round trip, in portions of 1 ms.
    EXPECT_LE(portion, 25U);
    EXPECT_GT(paced.client.host.stats.paced.read(), 20U);
    EXPECT_EQ(free.client.host.stats.paced.read(), 0U);
    EXPECT_EQ(paced.client.host.stats.rexmttimeo.read(), 0U);
}

TEST(tcp_pacing, spares_a_shallow_queue_and_costs_no_time) {
    const auto shallow = [](bool pacing) {
        pair_settings how = paced_or_not(pacing);
        how.forth.bits_per_second = 20'000'000;
        how.forth.queue_packets = 16;
        return how;
    };
    tcp_pair free(shallow(false));
    const std::uint64_t free_ms = run_to_the_end(free);
    tcp_pair paced(shallow(true));
    const std::uint64_t paced_ms = run_to_the_end(paced);
    EXPECT_LT(paced.net.packets_lost(), free.net.packets_lost());
    EXPECT_LE(paced_ms, free_ms);
}

TEST(tcp_pacing, fills_a_path_as_well) {
    const auto wide = [](bool pacing) {
        pair_settings how = paced_or_not(pacing);
        how.forth.bits_per_second = 200'000'000;
        return how;
    };
    tcp_pair free(wide(false));
    tcp_pair paced(wide(true));
    EXPECT_LE(run_to_the_end(paced), run_to_the_end(free) * 11 / 10);
}

TEST(tcp_pacing, is_off_where_the_round_trip_is_a_few_ticks) {
    pair_settings how = paced_or_not(true);
    how.forth.delay_ns = how.back.delay_ns = ns_per_ms;
    tcp_pair pair(how);
    run_to_the_end(pair);
    EXPECT_EQ(pair.client.host.stats.paced.read(), 0U);
}

// The bound holds whatever the window and the round trip, and is used up to a few per cent.
TEST(tcp_pacing, keeps_to_the_rate_that_is_asked_for) {
    for (const std::uint64_t rate : {200'000ULL, 1'000'000ULL, 100'000'000ULL}) {
        for (const std::uint64_t delay_us : {10U, 20'000U}) {
            pair_settings how = paced_or_not(false);
            how.forth.delay_ns = how.back.delay_ns = delay_us * ns_per_us;
            how.client.snd_buffer = how.server.rcv_buffer = 4'000'000;
            tcp_pair pair(how);
            pair.connect();
            tcp::set_pacing(pair.client.host, pair.client_end->handle(), true, rate);
            const instant begin = pair.net.now();
            EXPECT_TRUE(pair.run_to_end(300));
            const std::uint64_t took_us = (pair.net.now() - begin) / ns_per_us;
            const std::uint64_t ideal_us = bulk_bytes * 1'000'000 / rate;
            EXPECT_GE(took_us + 90'000, ideal_us) << rate << " " << delay_us;
            EXPECT_LE(took_us, ideal_us * 106 / 100 + 30 * delay_us + 5'000)
                << rate << " " << delay_us;
            EXPECT_EQ(pair.leftovers(), "");
        }
    }
}

TEST(tcp_pacing, no_rate_is_lower_than_238_bytes_a_second) {
    scripted_peer peer;
    const auto handle = peer.establish();
    for (const std::uint64_t rate : {1, 200, 238}) {
        tcp::set_pacing(peer.host(), handle, true, rate);
        EXPECT_EQ(238U, tcp::pacing_rate(peer.host(), *peer.host().find(handle)));
    }
    tcp::set_pacing(peer.host(), handle, true, 300);
    EXPECT_EQ(300U, tcp::pacing_rate(peer.host(), *peer.host().find(handle)));
}

// Two segments at a time, one ACK's worth, when the rate is low; what is late is not lost.
TEST(tcp_pacing, low_rates_leave_in_pairs) {
    scripted_peer peer({.pacing = true});
    peer.listen();
    peer.give({.flags = wire::tcp_flag::syn, .seq = peer.seq});
    const auto answer = peer.next();
    ASSERT_TRUE(answer);
    ++peer.seq;
    peer.ack = answer->seq + 1;
    peer.wait_ms(100);
    peer.give(peer.segment(wire::tcp_flag::ack));
    const auto handle = tcp::accept(peer.host(), peer.listener, nullptr);
    const auto count = [&] {
        unsigned segments = 0;
        while (peer.next()) {
            ++segments;
        }
        return segments;
    };
    const std::uint32_t mss = peer.host().find(handle)->snd_mss;
    peer.send(handle, 40 * mss);
    EXPECT_EQ(count(), 10U); // the initial window at once
    peer.wait_ms(100);
    EXPECT_EQ(count(), 0U);
    peer.ack += 10 * mss;
    peer.give(peer.segment(wire::tcp_flag::ack));
    EXPECT_EQ(count(), 2U);
    unsigned left = 0;
    for (unsigned ms = 0; ms < 50; ++ms) {
        peer.wait_ms(1);
        const unsigned now = count();
        EXPECT_TRUE(now == 0 || now == 2) << now;
        left += now;
    }
    // Twice the window in a round trip of 100 ms: the window within 50.
    const std::uint32_t cwnd = peer.host().find(handle)->cwnd;
    EXPECT_GE((left + 2) * mss + 2 * mss, cwnd);
}

} // namespace
} // namespace pantala::sim
