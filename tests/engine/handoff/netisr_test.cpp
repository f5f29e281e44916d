#include "engine/handoff/netisr.hpp"
#include "engine/random.hpp"
#include "tests/engine/packet_pool.hpp"

#include <map>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

namespace pantala {
namespace {

constexpr protocol_id protocol_test{5};

// One worker of the set: notes what its handlers got.
struct station {
    station(handoff_lanes& lanes, const toeplitz& sum, netmsg_endpoint& messages)
        : packets(lanes, sum, messages, drops) {
        packets.add(protocol_ether, "ether", take, this);
    }
    static void take(void* self, port_id port, mbuf_burst& burst, instant) {
        auto& here = *static_cast<station*>(self);
        ++here.calls;
        here.last_port = port;
        for (rte_mbuf* packet : burst) {
            here.numbers[flow_of(packet)].push_back(number_of(packet));
            ++here.got;
            rte_pktmbuf_free(packet);
        }
        burst.clear();
    }

    drop_sink drops;
    netisr packets;
    std::map<unsigned, std::vector<std::uint32_t>> numbers; // by flow
    unsigned got = 0;
    unsigned calls = 0;
    port_id last_port;
};

class netisr_of_three : public testing::Test {
  protected:
    netisr_of_three() {
        for (std::uint16_t i = 0; i < 3; ++i) {
            stations.push_back(std::make_unique<station>(lanes, *sum, fabric.endpoint(i)));
        }
    }
    void TearDown() override {
        for (auto& s : stations) {
            s->drops.flush();
        }
        stations.clear(); // frees what is still queued; then the pool must be whole
    }
    mbuf_burst burst_of(unsigned count, std::uint16_t flow, std::uint32_t first = 0) {
        mbuf_burst burst;
        for (unsigned i = 0; i < count; ++i) {
            burst.push(pool.packet(udp_frame(flow, first + i)));
        }
        return burst;
    }
    const netisr_counters& counts(unsigned worker, protocol_id protocol = protocol_ether) {
        return stations[worker]->packets.counters(protocol);
    }

    packet_pool pool;
    std::unique_ptr<toeplitz> sum = std::make_unique<toeplitz>(rss_key_symmetric);
    netmsg_fabric fabric{3};
    handoff_lanes lanes{3, 64};
    std::vector<std::unique_ptr<station>> stations;
};

TEST_F(netisr_of_three, direct_dispatch_runs_here_and_now) {
    mbuf_burst burst = burst_of(5, 1);
    stations[0]->packets.dispatch(protocol_ether, port_id{3}, burst, instant{});
    EXPECT_TRUE(burst.empty());
    EXPECT_EQ(stations[0]->got, 5u);
    EXPECT_EQ(stations[0]->last_port, port_id{3});
    EXPECT_EQ(counts(0).came.read(), 5u);
    EXPECT_EQ(counts(0).direct.read(), 5u);
    EXPECT_EQ(counts(0).deferred.read(), 0u);
}

TEST_F(netisr_of_three, deferred_dispatch_waits_for_run) {
    stations[0]->packets.set_policy(dispatch_policy::deferred);
    mbuf_burst burst = burst_of(5, 1);
    stations[0]->packets.dispatch(protocol_ether, port_id{3}, burst, instant{});
    EXPECT_EQ(stations[0]->got, 0u);
    EXPECT_TRUE(stations[0]->packets.has_packets());
    EXPECT_EQ(stations[0]->packets.run(instant{}), 5u);
    EXPECT_EQ(stations[0]->got, 5u);
    EXPECT_EQ(stations[0]->last_port, port_id{3});
    EXPECT_EQ(counts(0).deferred.read(), 5u);
    EXPECT_EQ(counts(0).handled.read(), 5u);
    EXPECT_EQ(counts(0).runs.read(), 1u);
}

TEST_F(netisr_of_three, a_flow_keeps_its_order_when_the_policy_changes) {
    stations[0]->packets.set_policy(dispatch_policy::deferred);
    mbuf_burst first = burst_of(5, 1, 0);
    stations[0]->packets.dispatch(protocol_ether, port_id{0}, first, instant{});
    stations[0]->packets.set_policy(dispatch_policy::direct);
    mbuf_burst second = burst_of(5, 1, 5);
    stations[0]->packets.dispatch(protocol_ether, port_id{0}, second, instant{});
    stations[0]->packets.run(instant{});
    EXPECT_EQ(stations[0]->numbers[1], (std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
    EXPECT_EQ(counts(0).direct.read(), 0u);
}

TEST_F(netisr_of_three, no_handler_counts_and_frees) {
    mbuf_burst burst = burst_of(3, 1);
    stations[0]->packets.dispatch(protocol_test, port_id{0}, burst, instant{});
    EXPECT_EQ(counts(0, protocol_test).unhandled.read(), 3u);
    burst = burst_of(2, 1);
    stations[0]->packets.queue(protocol_test, worker_id{1}, burst);
    stations[1]->packets.run(instant{});
    EXPECT_EQ(counts(1, protocol_test).unhandled.read(), 2u);
    EXPECT_EQ(stations[1]->drops.dropped(drop_reason::netisr_unhandled), 2u);
    stations[0]->drops.flush();
    stations[1]->drops.flush();
    EXPECT_EQ(pool.in_use(), 0u);
}

TEST_F(netisr_of_three, protocols_and_ports_stay_apart_in_a_queue) {
    station other(lanes, *sum, fabric.endpoint(2));
    stations[2]->packets.add(protocol_test, "test", station::take, &other);
    for (const protocol_id protocol : {protocol_ether, protocol_test, protocol_ether}) {
        mbuf_burst burst = burst_of(4, 1);
        stations[0]->packets.queue(protocol, worker_id{2}, burst);
    }
    mbuf_burst ported = burst_of(4, 2);
    ported.packets[2]->port = 9;
    ported.packets[3]->port = 9;
    stations[0]->packets.queue(protocol_ether, worker_id{2}, ported);
    EXPECT_EQ(stations[2]->packets.run(instant{}), 16u);
    EXPECT_EQ(stations[2]->got, 12u);
    EXPECT_EQ(other.got, 4u);
    EXPECT_EQ(stations[2]->calls, 3u) << "two bursts by protocol, one more by port";
    EXPECT_EQ(stations[2]->last_port, port_id{9});
    EXPECT_STREQ(stations[2]->packets.name(protocol_test), "test");
}

TEST_F(netisr_of_three, a_full_queue_drops_with_a_reason) {
    for (unsigned i = 0; i < 4; ++i) {
        mbuf_burst burst = burst_of(20, 1, 20 * i);
        stations[0]->packets.queue(protocol_ether, worker_id{1}, burst);
    }
    EXPECT_EQ(counts(0).queued.read(), 64u);
    EXPECT_EQ(counts(0).dropped.read(), 16u);
    EXPECT_EQ(stations[0]->drops.dropped(drop_reason::handoff_full), 16u);
    EXPECT_EQ(stations[1]->packets.run(instant{}), 64u);
    EXPECT_EQ(stations[1]->numbers[1].back(), 63u) << "the oldest stay";
}

TEST_F(netisr_of_three, steer_brings_each_flow_to_its_owner_in_order) {
    constexpr unsigned flows = 40;
    random_source random(4);
    std::vector<std::uint32_t> next(flows, 0);
    unsigned sent = 0;
    for (int turn = 0; turn < 300; ++turn) {
        mbuf_burst burst;
        const unsigned count = 1 + random.below(40);
        for (unsigned i = 0; i < count; ++i) {
            const auto flow = static_cast<std::uint16_t>(random.below(flows));
            burst.push(pool.packet(udp_frame(flow, next[flow]++)));
        }
        sent += count;
        stations[1]->packets.steer(protocol_ether, port_id{0}, burst, instant{});
        for (auto& s : stations) {
            s->packets.run(instant{});
        }
    }
    unsigned got = 0;
    for (std::uint16_t w = 0; w < 3; ++w) {
        got += stations[w]->got;
        EXPECT_GT(stations[w]->got, 0u);
        for (const auto& [flow, numbers] : stations[w]->numbers) {
            const std::uint32_t hash =
                sum->hash4(0x0a000001, 0x0a000002, static_cast<std::uint16_t>(flow), 0);
            EXPECT_EQ(owner_of(hash, 3), worker_id{w});
            ASSERT_EQ(numbers.size(), next[flow]) << "all of a flow at one worker";
            for (std::uint32_t i = 0; i < numbers.size(); ++i) {
                ASSERT_EQ(numbers[i], i);
            }
        }
    }
    EXPECT_EQ(got, sent);
    EXPECT_EQ(counts(1).came.read(), sent);
    EXPECT_EQ(counts(1).direct.read() + counts(1).queued.read(), sent);
}

TEST_F(netisr_of_three, a_hash_of_the_nic_is_believed) {
    mbuf_burst burst = burst_of(1, 1);
    burst.packets[0]->hash.rss = 2; // owner 2 of 3
    burst.packets[0]->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
    stations[0]->packets.steer(protocol_ether, port_id{0}, burst, instant{});
    EXPECT_EQ(stations[2]->packets.run(instant{}), 1u);
}

} // namespace
} // namespace pantala
