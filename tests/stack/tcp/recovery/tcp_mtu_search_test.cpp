// The search for a larger path MTU, over paths that carry less than the handshake allows.
#include "stack/tcp/input/tcp_input.hpp"
#include "stack/wire/tcp.hpp"
#include "tests/stack/tcp/tcp_pair.hpp"

#include <algorithm>
#include <cstring>

#include <gtest/gtest.h>
#include <rte_mbuf.h>

namespace pantala::sim {
namespace {

constexpr std::uint16_t narrow_mtu = 1'400;

pair_settings bulk_of(std::uint64_t bytes) {
    pair_settings how;
    how.forth.delay_ns = how.back.delay_ns = 10 * ns_per_ms;
    how.client_stream = {.send_bytes = bytes, .send_seed = 5};
    how.server_stream = {.expect_bytes = bytes, .expect_seed = 5};
    return how;
}

// A client whose packets are looked at: the largest that the path has carried.
struct searching {
    explicit searching(const pair_settings& how) : pair(how) {
        pair.net.filter = [this](unsigned from, rte_mbuf* packet, instant now) {
            return from != 0 || passes(packet, now);
        };
    }
    void run() {
        pair.connect();
        EXPECT_TRUE(pair.run_to_end(2'000));
        EXPECT_TRUE(pair.server_end && pair.server_end->complete());
        EXPECT_EQ(pair.leftovers(), "");
    }
    const tcp::counters& stats() { return pair.client.host.stats; }

    tcp_pair pair;
    unsigned limit = narrow_mtu; // of the path from now on
    unsigned largest = 0;        // that passed
    bool tells = false;          // with ICMP

  private:
    bool passes(rte_mbuf* packet, instant now) {
        if (packet->pkt_len <= limit) {
            largest = std::max(largest, packet->pkt_len);
            return true;
        }
        if (tells) {
            wire::tcp_header tcp;
            std::memcpy(&tcp, rte_pktmbuf_mtod_offset(packet, const char*, 20), sizeof tcp);
            tcp::icmp_error error;
            error.key = {
                pair.client_address,
                pair.server_address,
                {tcp.source_port},
                {tcp.destination_port}};
            error.seq = tcp_seq{tcp.sequence.host()};
            error.mtu = static_cast<std::uint16_t>(limit);
            error.meaning = tcp::icmp_meaning::too_big;
            tcp::icmp_input(pair.client.host, error, now);
        }
        return false;
    }
};

TEST(tcp_mtu_search, behind_a_black_hole_finds_the_largest_that_passes) {
    searching one(bulk_of(4'000'000));
    one.run();
    EXPECT_EQ(one.stats().pmtud_blackhole.read(), 1U);
    EXPECT_GT(one.largest, narrow_mtu - 8U);
    EXPECT_LE(one.stats().rexmttimeo.read(), 4U); // those that found the black hole
    EXPECT_EQ(one.stats().sack_recovery_episode.read(), 0U);
    // Three for each size of a search that halves 260 bytes down to 8.
    EXPECT_GE(one.stats().mtu_probes_lost.read(), 3U);
    EXPECT_LE(one.stats().mtu_probes_lost.read(), 3U * 6);
}

TEST(tcp_mtu_search, without_sack_too) {
    pair_settings how = bulk_of(4'000'000);
    how.client.sack = false;
    searching one(how);
    one.run();
    EXPECT_GT(one.largest, narrow_mtu - 8U);
    EXPECT_EQ(one.stats().newreno_recovery_episode.read(), 0U);
}

TEST(tcp_mtu_search, a_path_that_is_wide_again_is_known_by_one_probe) {
    searching one(bulk_of(4'000'000));
    one.pair.client.application = [&one, run = one.pair.client.application] {
        one.limit = one.stats().pmtud_blackhole.read() != 0 ? 1'500 : narrow_mtu;
        run();
    };
    one.run();
    EXPECT_EQ(one.largest, 1'500U);
    EXPECT_EQ(one.stats().mtu_probes.read(), 1U);
    EXPECT_EQ(one.stats().mtu_probes_arrived.read(), 1U);
}

TEST(tcp_mtu_search, the_loss_of_a_probe_leaves_the_window_alone) { // RFC 4821 7.6.1
    searching one(bulk_of(8'000'000));
    std::uint64_t lost = 0;
    std::uint32_t window = 0;
    unsigned looked = 0;
    one.pair.client.application = [&, run = one.pair.client.application] {
        const tcp::conn* c = one.pair.client_end
                                 ? one.pair.client.host.find(one.pair.client_end->handle())
                                 : nullptr;
        if (c != nullptr && one.stats().mtu_probes_lost.read() != lost) {
            lost = one.stats().mtu_probes_lost.read();
            EXPECT_GE(c->cwnd, window);
            ++looked;
        }
        window = c != nullptr && c->recovery == tcp::recovery_state::open ? c->cwnd : window;
        run();
    };
    one.run();
    EXPECT_GE(looked, 3U);
}

TEST(tcp_mtu_search, after_an_icmp_error_it_waits) { // RFC 8201 4
    pair_settings how = bulk_of(4'000'000);
    how.forth.bits_per_second = 1'000'000; // half a minute
    how.forth.queue_packets = 50;          // not all of it is on its way at once
    how.client.mtu_raise_ms = 10'000;
    searching one(how);
    one.tells = true;
    std::uint64_t told_ns = 0;
    std::uint64_t probed_ns = 0;
    one.pair.client.application = [&, run = one.pair.client.application] {
        const std::uint64_t now_ns = one.pair.net.now().ns;
        if (told_ns == 0 && one.stats().pmtu_updates.read() != 0) {
            told_ns = now_ns;
            one.limit = 1'500;
        }
        if (probed_ns == 0 && one.stats().mtu_probes.read() != 0) {
            probed_ns = now_ns;
        }
        run();
    };
    one.run();
    ASSERT_NE(told_ns, 0U);
    EXPECT_GE(probed_ns - told_ns, 9'990 * ns_per_ms);
    EXPECT_EQ(one.stats().mtu_probes.read(), 1U);
    EXPECT_EQ(one.largest, 1'500U);
}

TEST(tcp_mtu_search, an_icmp_error_about_a_probe_says_what_passes) {
    searching one(bulk_of(4'000'000));
    one.pair.client.application = [&one, run = one.pair.client.application] {
        one.tells = one.stats().pmtud_blackhole.read() != 0;
        run();
    };
    one.run();
    EXPECT_EQ(one.largest, narrow_mtu);
    EXPECT_LE(one.stats().mtu_probes.read(), 2U); // the one that was told of, and that size
    EXPECT_EQ(one.stats().sack_recovery_episode.read(), 0U);
}

// The path is narrow and says so: a search after the rest is over with its first probe.
TEST(tcp_mtu_search, the_same_icmp_error_ends_the_next_search) {
    pair_settings how = bulk_of(4'000'000);
    how.forth.bits_per_second = 1'000'000; // half a minute
    how.forth.queue_packets = 50;
    how.client.mtu_raise_ms = 5'000;
    searching one(how);
    one.tells = true;
    one.run();
    EXPECT_EQ(one.largest, narrow_mtu);
    EXPECT_GE(one.stats().mtu_probes.read(), 2U);
    EXPECT_LE(one.stats().mtu_probes.read(), 7U); // one every five seconds
    EXPECT_EQ(one.stats().mtu_probes_arrived.read(), 0U);
}

TEST(tcp_mtu_search, never_means_never) {
    pair_settings how = bulk_of(2'000'000);
    how.client.mtu_probing = tcp::mtu_probing::never;
    searching one(how);
    one.run();
    EXPECT_EQ(one.stats().mtu_probes.read(), 0U);
    EXPECT_LE(one.largest, 1'240U);
}

TEST(tcp_mtu_search, always_begins_low_and_meets_no_black_hole) {
    for (const bool v6 : {false, true}) {
        for (const unsigned limit : {1'500U, unsigned{narrow_mtu}}) {
            pair_settings how = bulk_of(4'000'000);
            how.v6 = v6;
            how.client.mtu_probing = tcp::mtu_probing::always;
            searching one(how);
            one.limit = limit;
            unsigned first = 0;
            one.pair.client.application = [&, run = one.pair.client.application] {
                first = one.stats().mtu_probes.read() == 0 ? one.largest : first;
                run();
            };
            one.run();
            EXPECT_LE(first, v6 ? 1'280U : 1'024U);
            EXPECT_GT(one.largest, limit - 8);
            EXPECT_EQ(one.stats().rexmttimeo.read(), 0U);
            EXPECT_EQ(one.stats().pmtud_blackhole.read(), 0U);
        }
    }
}

TEST(tcp_mtu_search, goes_on_where_the_path_also_loses) {
    pair_settings how = bulk_of(4'000'000);
    how.forth.loss_ppm = 5'000;
    how.client.mtu_probing = tcp::mtu_probing::always;
    how.client.mtu_raise_ms = 1'000;
    searching one(how);
    one.run();
    EXPECT_GT(one.largest, 1'300U);
    EXPECT_LE(one.largest, narrow_mtu);
}

} // namespace
} // namespace pantala::sim
