// Loss recovery on a real exchange: which mechanism repaired what, and how soon.
#include "tests/stack/tcp/scripted_peer.hpp"
#include "tests/stack/tcp/tcp_pair.hpp"

#include "stack/tcp/input/tcp_input.hpp"
#include "stack/wire/tcp.hpp"

#include <gtest/gtest.h>
#include <rte_mbuf.h>

namespace pantala::sim {
namespace {

pair_settings bulk(std::uint64_t bytes) {
    pair_settings how;
    how.forth.delay_ns = how.back.delay_ns = 20 * ns_per_ms;
    how.forth.bits_per_second = 50'000'000;
    how.client_stream = {.send_bytes = bytes, .send_seed = 5};
    how.server_stream = {.expect_bytes = bytes, .expect_seed = 5};
    return how;
}

unsigned payload_of(const rte_mbuf* packet) {
    const auto* tcp = rte_pktmbuf_mtod_offset(packet, const wire::tcp_header*, 20);
    return packet->pkt_len - 20 - tcp->header_bytes();
}

// Loses the data segments of the client whose numbers are in [first, last).
packet_filter lose(unsigned first, unsigned last) {
    return [=, seen = 0U](unsigned from, rte_mbuf* packet, instant) mutable {
        if (from != 0 || payload_of(packet) == 0) {
            return true;
        }
        const unsigned number = seen++;
        return number < first || number >= last;
    };
}

void run(tcp_pair& pair) {
    pair.connect();
    EXPECT_TRUE(pair.run_to_end(300));
    ASSERT_TRUE(pair.server_end);
    EXPECT_EQ(pair.server_end->fault(), "");
    EXPECT_TRUE(pair.server_end->complete());
    EXPECT_EQ(pair.leftovers(), "");
}

TEST(tcp_recovery, one_lost_segment_is_repaired_without_a_timeout) {
    tcp_pair pair(bulk(1'000'000));
    pair.net.filter = lose(50, 51);
    run(pair);
    EXPECT_EQ(pair.client.host.stats.rexmttimeo.read(), 0U);
    EXPECT_EQ(pair.client.host.stats.sndrexmitpack.read(), 1U);
    EXPECT_EQ(pair.client.host.stats.sack_recovery_episode.read(), 1U);
}

TEST(tcp_recovery, many_lost_in_one_window_are_repaired_without_a_timeout) {
    tcp_pair pair(bulk(1'000'000));
    pair.net.filter = lose(60, 75);
    run(pair);
    EXPECT_EQ(pair.client.host.stats.rexmttimeo.read(), 0U);
    EXPECT_EQ(pair.client.host.stats.sndrexmitpack.read(), 15U);
}

TEST(tcp_recovery, newreno_repairs_one_a_round_trip) { // RFC 6582
    pair_settings how = bulk(1'000'000);
    how.client.sack = false;
    tcp_pair pair(how);
    pair.net.filter = lose(60, 64);
    run(pair);
    EXPECT_EQ(pair.client.host.stats.rexmttimeo.read(), 0U);
    EXPECT_EQ(pair.client.host.stats.newreno_recovery_episode.read(), 1U);
}

// The first segment of a flight leaves alone; the probe stands behind the whole flight all the
// same.
TEST(tcp_recovery, a_flight_whose_ack_is_lost_is_found_by_a_probe) { // RFC 8985 7.2
    scripted_peer peer;
    const auto handle = peer.establish({wire::tcp_option_sack_permitted, 2, 1, 1});
    const auto flight = [&](unsigned segments) {
        peer.send(handle, segments * std::size_t{536});
        peer.wait_ms(2);
        while (const auto data = peer.next()) {
            peer.ack = data->seq + static_cast<std::uint32_t>(data->payload.size());
        }
    };
    for (unsigned i = 0; i < 5; ++i) {
        flight(4);
        peer.give(peer.segment(wire::tcp_flag::ack));
    }
    flight(4); // its ACK is lost
    EXPECT_EQ(peer.stats().tlp_probes.read(), 0U);
    for (unsigned ms = 0; ms < 50; ++ms) {
        peer.wait_ms(1);
    }
    EXPECT_EQ(peer.stats().tlp_probes.read(), 1U);
    EXPECT_EQ(peer.stats().tlpresends.read(), 1U);
    EXPECT_EQ(peer.stats().rexmttimeo.read(), 0U);
}

TEST(tcp_recovery, a_lost_tail_is_found_by_a_probe) { // RFC 8985 section 7
    tcp_pair pair(bulk(14'000));
    // Two, because the probe for a single one waits for the peer's delayed ACK: longer than an RTO.
    pair.net.filter = lose(8, 10);
    run(pair);
    EXPECT_EQ(pair.client.host.stats.rexmttimeo.read(), 0U);
    EXPECT_GE(pair.client.host.stats.tlp_probes.read(), 1U);
}

TEST(tcp_recovery, a_lost_retransmission_is_found_by_rack) {
    tcp_pair pair(bulk(1'000'000));
    pair.net.filter = [seen = 0U, hole = 0U,
                       lost = 0U](unsigned from, rte_mbuf* packet, instant) mutable {
        if (from != 0 || payload_of(packet) == 0) {
            return true;
        }
        const auto* tcp = rte_pktmbuf_mtod_offset(packet, const wire::tcp_header*, 20);
        if (seen++ == 50) {
            hole = tcp->sequence.host();
        }
        return seen <= 50 || tcp->sequence.host() != hole || ++lost > 2;
    };
    run(pair);
    EXPECT_EQ(pair.client.host.stats.rexmttimeo.read(), 0U);
    EXPECT_EQ(pair.client.host.stats.sndrexmitpack.read(), 2U);
}

TEST(tcp_recovery, reordering_teaches_patience) {
    pair_settings how = bulk(3'000'000);
    how.forth.bits_per_second = 0;
    how.forth.jitter_ns = 4 * ns_per_ms; // less than a quarter of the RTT
    tcp_pair pair(how);
    run(pair);
    // Nothing was lost: what was sent again was sent in vain, and must stay rare.
    const auto& stats = pair.client.host.stats;
    EXPECT_LT(stats.sndrexmitpack.read() * 20, stats.sndpack.read());
}

TEST(tcp_recovery, a_pause_of_the_path_is_undone) { // RFC 5682, 3522
    pair_settings how = bulk(2'000'000);
    tcp_pair pair(how);
    bool held = false;
    pair.net.filter = [&](unsigned from, rte_mbuf*, instant now) {
        if (from == 0 && !held && now.ms() > 1'300) {
            held = true;
            pair.net.link(0).delay_ns += 600 * ns_per_ms; // from here on everything is late
        }
        return true;
    };
    run(pair);
    const auto& stats = pair.client.host.stats;
    EXPECT_GE(stats.rexmttimeo.read(), 1U);
    EXPECT_GE(stats.sndrexmitbad.read(), 1U);
}

TEST(tcp_recovery, ecn_slows_down_without_loss) { // RFC 3168
    for (const auto kind :
         {tcp::congestion_kind::cubic, tcp::congestion_kind::newreno,
          tcp::congestion_kind::dctcp}) {
        pair_settings how = bulk(3'000'000);
        how.client.ecn_request = true;
        how.client.congestion = kind;
        how.forth.mark_packets = 50;
        how.server.rcv_buffer = 1'000'000;
        tcp_pair pair(how);
        run(pair);
        const auto& stats = pair.client.host.stats;
        EXPECT_EQ(stats.ecn_connects.read(), 1U);
        EXPECT_GE(stats.ecn_rcwnd.read(), 1U);
        EXPECT_GE(pair.server.host.stats.ecn_ce.read(), 1U);
        EXPECT_EQ(pair.net.packets_lost(), 0U);
        EXPECT_EQ(stats.sndrexmitpack.read(), 0U);
    }
}

// A bottleneck of 50 Mbit/s and 40 ms with a queue of one window: every algorithm fills it.
TEST(tcp_recovery, every_algorithm_fills_the_path) {
    for (const auto kind : {tcp::congestion_kind::cubic, tcp::congestion_kind::newreno}) {
        pair_settings how = bulk(60'000'000);
        how.forth.queue_packets = 170;
        how.client.congestion = kind;
        how.server.rcv_buffer = 2'000'000;
        tcp_pair pair(how);
        const instant begin = pair.net.now();
        pair.connect();
        EXPECT_TRUE(pair.run_to_end(300));
        const double seconds = static_cast<double>(pair.net.now() - begin) / 1e9;
        EXPECT_GT(60e6 * 8 / seconds, 0.8 * 50e6) << static_cast<int>(kind);
        EXPECT_LT(pair.client.host.stats.rexmttimeo.read(), 3U);
        EXPECT_EQ(pair.leftovers(), "");
    }
}

TEST(tcp_recovery, path_mtu_goes_down_on_icmp_that_quotes_the_flight) { // RFC 1191, 5927
    pair_settings how = bulk(500'000);
    tcp_pair pair(how);
    pair.net.filter = [&](unsigned from, rte_mbuf* packet, instant now) {
        if (from != 0 || packet->pkt_len <= 1'000) {
            return true;
        }
        const auto* tcp = rte_pktmbuf_mtod_offset(packet, const wire::tcp_header*, 20);
        tcp::icmp_error error{
            .key =
                {pair.client_address,
                 pair.server_address,
                 {tcp->source_port},
                 {tcp->destination_port}},
            .seq = tcp_seq{tcp->sequence.host() - 500'000},
            .meaning = tcp::icmp_meaning::too_big,
            .mtu = 1'000};
        tcp::icmp_input(pair.client.host, error, now); // not in flight: ignored
        error.seq = tcp_seq{tcp->sequence.host()};
        tcp::icmp_input(pair.client.host, error, now);
        return false;
    };
    run(pair);
    EXPECT_EQ(pair.client.host.stats.pmtu_updates.read(), 1U);
    EXPECT_GE(pair.client.host.stats.mturesent.read(), 1U);
    EXPECT_GE(pair.client.host.stats.icmp_ignored.read(), 1U);
}

// RFC 8985 6.2: what waits to be sent again is not looked at again; after a timeout of a whole
// window the order of time holds only what was sent since, and nothing once the pause is undone.
TEST(tcp_recovery, the_order_of_time_holds_what_may_still_be_lost) {
    tcp_pair pair(bulk(1'000'000));
    bool open = true;
    pair.net.filter = [&](unsigned from, rte_mbuf* packet, instant now) {
        open = now.ns < 1'150 * ns_per_ms || now.ns > 1'900 * ns_per_ms;
        return open || from != 0 || payload_of(packet) == 0;
    };
    pair.connect();
    unsigned waiting = 0;
    const auto look = [&] {
        const tcp::host& h = pair.client.host;
        const tcp::conn& c = h.conns[pair.client_end->handle().id];
        std::uint64_t last_ns = 0;
        unsigned standing = 0;
        for (auto id = c.by_time.head; id != tcp::no_id; id = h.sents[id].time_next) {
            EXPECT_TRUE(h.sents[id].in_time_order());
            EXPECT_GE(h.sents[id].xmit_ns, last_ns);
            last_ns = h.sents[id].xmit_ns;
            ++standing;
        }
        unsigned wanted = 0;
        for (auto id = c.by_seq.head; id != tcp::no_id; id = h.sents[id].seq_next) {
            wanted += h.sents[id].in_time_order() ? 1 : 0;
            waiting += h.sents[id].in_time_order() ? 0 : 1;
        }
        EXPECT_EQ(standing, wanted);
        EXPECT_EQ(c.resent_segments, h.stats.sndrexmitpack.read());
        return pair.finished();
    };
    EXPECT_TRUE(pair.net.run_until(look, pair.net.now() + 100 * ns_per_s));
    EXPECT_GT(waiting, 100U);
    EXPECT_TRUE(pair.server_end->complete());
    EXPECT_EQ(pair.leftovers(), "");
}

// RFC 1191 6.3: a segment too big for the path says nothing of congestion.
TEST(tcp_recovery, a_smaller_path_mtu_does_not_cut_the_window) {
    tcp_pair pair(bulk(500'000));
    std::uint32_t before = 0;
    bool told = false;
    unsigned number = 0;
    pair.net.filter = [&](unsigned from, rte_mbuf* packet, instant now) {
        if (from != 0 || payload_of(packet) == 0 || ++number < 60 || packet->pkt_len <= 1'000) {
            return true;
        }
        const tcp::conn& c = pair.client.host.conns[pair.client_end->handle().id];
        before = told ? before : c.cwnd;
        told = true;
        const auto* tcp = rte_pktmbuf_mtod_offset(packet, const wire::tcp_header*, 20);
        tcp::icmp_input(
            pair.client.host,
            {.key = c.key,
             .seq = tcp_seq{tcp->sequence.host()},
             .meaning = tcp::icmp_meaning::too_big,
             .mtu = 1'000},
            now);
        return false;
    };
    pair.connect();
    EXPECT_TRUE(pair.run_to_end(100));
    EXPECT_TRUE(pair.server_end->complete());
    ASSERT_TRUE(told);
    EXPECT_EQ(pair.client.host.stats.pmtu_updates.read(), 1U);
    EXPECT_EQ(pair.client.host.stats.sack_recovery_episode.read(), 0U);
    EXPECT_EQ(pair.client.host.stats.rexmttimeo.read(), 0U);
}

// RFC 2923 2.1: large segments vanish, and no ICMP says so.
TEST(tcp_recovery, a_black_hole_is_found_by_smaller_segments) {
    for (const bool v6 : {false, true}) {
        pair_settings how = bulk(200'000);
        how.v6 = v6;
        tcp_pair pair(how);
        pair.net.filter = [&](unsigned, rte_mbuf* packet, instant) {
            return packet->pkt_len <= 1'300;
        };
        pair.connect();
        EXPECT_TRUE(pair.run_to_end(300));
        EXPECT_TRUE(pair.server_end->complete());
        EXPECT_EQ(pair.client.host.stats.pmtud_blackhole.read(), 1U);
        EXPECT_EQ(pair.client.host.stats.pmtud_blackhole_failed.read(), 0U);
        EXPECT_EQ(pair.leftovers(), "");
    }
}

TEST(tcp_recovery, a_dead_path_is_no_black_hole) {
    tcp_pair pair(bulk(1'000'000));
    bool dead = false;
    pair.net.filter = [&](unsigned, rte_mbuf*, instant now) {
        dead = now.ns > 1'150 * ns_per_ms && now.ns < 60 * ns_per_s;
        return !dead;
    };
    run(pair);
    EXPECT_EQ(pair.client.host.stats.pmtud_blackhole.read(), 1U);
    EXPECT_EQ(pair.client.host.stats.pmtud_blackhole_failed.read(), 1U);
}

} // namespace
} // namespace pantala::sim
