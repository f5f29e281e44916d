// net_shmif through ethdev: what any DPDK program sees of it.
#include "tests/pmd/bus_rig.hpp"

#include "engine/base/rss.hpp"
#include "pmd/flow_hash.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace pantala::bus::test {
namespace {

std::vector<frame> numbered(std::uint32_t count, std::uint32_t bytes = 64) {
    std::vector<frame> frames;
    for (std::uint32_t i = 0; i < count; ++i) {
        frames.push_back(udp_frame(i % 5, i, bytes));
    }
    return frames;
}

TEST(net_shmif, frames_arrive_whole_and_in_order) {
    const scratch_path bus;
    const rig_port a(bus.string());
    const rig_port b(bus.string());
    const auto frames = numbered(32);
    EXPECT_EQ(a.send(frames), 32);
    EXPECT_EQ(b.receive(), frames);
    EXPECT_TRUE(a.receive().empty()) << "a port hears itself";
    EXPECT_EQ(a.stats().opackets, 32u);
    EXPECT_EQ(a.stats().obytes, 32u * 64);
    EXPECT_EQ(b.stats().ipackets, 32u);
    EXPECT_EQ(b.stats().ibytes, 32u * 64);
    EXPECT_EQ(b.stats().imissed, 0u);
}

TEST(net_shmif, everybody_else_hears_a_frame) {
    const scratch_path bus;
    const rig_port a(bus.string());
    const rig_port b(bus.string());
    const rig_port c(bus.string());
    a.send({udp_frame(1, 1)});
    b.send({udp_frame(2, 2)});
    EXPECT_EQ(a.receive().size(), 1u);
    EXPECT_EQ(b.receive().size(), 1u);
    EXPECT_EQ(c.receive().size(), 2u);
}

TEST(net_shmif, every_frame_length_arrives_whole) {
    const scratch_path bus;
    const rig_port a(bus.string());
    const rig_port b(bus.string());
    for (std::uint32_t bytes = 46; bytes <= 1514; ++bytes) {
        const frame sent = udp_frame(1, bytes, bytes);
        ASSERT_EQ(a.send({sent}), 1);
        const auto got = b.receive();
        ASSERT_EQ(got.size(), 1u) << bytes;
        ASSERT_EQ(got[0], sent) << bytes;
    }
}

TEST(net_shmif, frames_of_before_the_start_are_not_delivered_later_ones_all_are) {
    const scratch_path bus;
    const rig_port a(bus.string());
    a.send(numbered(8));
    const rig_port b(bus.string());
    EXPECT_TRUE(b.receive().empty());
    const rig_port late(bus.string());
    late.send(numbered(5)); // b learns of this peer only now
    EXPECT_EQ(b.receive(), numbered(5));
}

TEST(net_shmif, what_a_leaver_sent_is_still_delivered) {
    const scratch_path bus;
    const rig_port b(bus.string());
    {
        const rig_port a(bus.string());
        a.send(numbered(7));
    }
    const rig_port next(bus.string()); // does not get the leaver's place at once
    next.send(numbered(3));
    EXPECT_EQ(b.receive().size(), 10u);
}

TEST(net_shmif, a_burst_looks_at_a_bounded_number_of_frames_for_others) {
    const scratch_path bus;
    const rig_port a(bus.string());
    const rig_port b(bus.string(), {.promiscuous = false});
    const std::vector<frame> burst(32, addressed(udp_frame(1, 1), {{2, 9, 9, 9, 9, 9}}));
    for (int i = 0; i < 100; ++i) {
        ASSERT_EQ(a.send(burst), 32);
    }
    a.send({addressed(udp_frame(1, 7), b.mac())});
    std::vector<rte_mbuf*> got;
    for (unsigned bursts = 1; got.empty() && bursts < 1000; ++bursts) {
        got = b.receive_mbufs(0, 32);
        EXPECT_LE(b.xstat("shmif_rx_filtered"), bursts * 256);
    }
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(number_of(bytes_of(got[0])), 7u);
    rte_pktmbuf_free(got[0]);
    EXPECT_EQ(b.xstat("shmif_rx_filtered"), 3200u);
}

TEST(net_shmif, a_slow_reader_loses_and_counts_every_lost_frame) {
    const scratch_path bus;
    const rig_port a(bus.string(), {.arguments = "size=4M"});
    const rig_port b(bus.string());
    constexpr std::uint32_t bursts = 2000;
    for (std::uint32_t i = 0; i < bursts; ++i) {
        std::vector<frame> burst;
        for (std::uint32_t k = 0; k < 32; ++k) {
            burst.push_back(udp_frame(1, i * 32 + k));
        }
        ASSERT_EQ(a.send(burst), 32);
    }
    const auto got = b.receive();
    ASSERT_FALSE(got.empty());
    EXPECT_EQ(number_of(got.back()), bursts * 32 - 1);
    for (std::size_t i = 1; i < got.size(); ++i) {
        ASSERT_EQ(number_of(got[i]), number_of(got[i - 1]) + 1);
    }
    EXPECT_EQ(b.stats().imissed + got.size(), bursts * 32u);
}

TEST(net_shmif, a_lossless_sender_waits_for_the_reader) {
    const scratch_path bus;
    const rig_port a(bus.string(), {.arguments = "size=4M,flow=lossless"});
    const rig_port b(bus.string());
    std::uint32_t sent = 0;
    std::uint32_t expected = 0;
    unsigned refusals = 0;
    while (sent < 50000) {
        if (a.send({udp_frame(1, sent, 200)}) == 1) {
            ++sent;
            continue;
        }
        ++refusals;
        for (const frame& one : b.receive()) {
            ASSERT_EQ(number_of(one), expected++);
        }
    }
    for (const frame& one : b.receive()) {
        ASSERT_EQ(number_of(one), expected++);
    }
    EXPECT_EQ(expected, sent);
    EXPECT_GT(refusals, 0u);
    EXPECT_EQ(b.stats().imissed, 0u);
    EXPECT_GT(a.xstat("shmif_tx_waited"), 0u);
}

TEST(net_shmif, flows_spread_over_queues_and_keep_their_order) {
    const scratch_path bus;
    const rig_port a(bus.string());
    const rig_port b(bus.string(), {.queues = 4, .rss = true});
    for (std::uint32_t round = 0; round < 20; ++round) {
        std::vector<frame> burst;
        for (std::uint32_t flow = 0; flow < 64; ++flow) {
            burst.push_back(udp_frame(flow, round));
        }
        ASSERT_EQ(a.send(burst), 64);
    }
    std::map<std::uint32_t, std::uint32_t> next;
    std::map<std::uint32_t, std::uint16_t> home;
    std::set<std::uint16_t> used;
    const toeplitz reference(rss_key_symmetric);
    for (std::uint16_t queue = 0; queue < 4; ++queue) {
        for (auto packets = b.receive_mbufs(queue); !packets.empty();
             packets = b.receive_mbufs(queue)) {
            for (rte_mbuf* const packet : packets) {
                const frame bytes = bytes_of(packet);
                const std::uint32_t flow = bytes[29];
                EXPECT_TRUE(packet->ol_flags & RTE_MBUF_F_RX_RSS_HASH);
                EXPECT_EQ(packet->hash.rss, reference.hash(std::span(bytes).subspan(26, 12)));
                EXPECT_EQ(number_of(bytes), next[flow]++);
                EXPECT_EQ(home.try_emplace(flow, queue).first->second, queue);
                used.insert(queue);
                rte_pktmbuf_free(packet);
            }
        }
    }
    EXPECT_EQ(next.size(), 64u);
    EXPECT_TRUE(std::all_of(next.begin(), next.end(), [](auto& one) { return one.second == 20; }));
    EXPECT_EQ(used.size(), 4u);
}

TEST(net_shmif, the_hash_is_the_same_both_ways) {
    frame there = udp_frame(3, 0);
    frame back = there;
    std::swap_ranges(back.begin() + 26, back.begin() + 30, back.begin() + 30);
    std::swap_ranges(back.begin() + 34, back.begin() + 36, back.begin() + 36);
    EXPECT_EQ(flow_hash(there.data(), 64), flow_hash(back.data(), 64));
    EXPECT_NE(flow_hash(there.data(), 64), 0u);
}

TEST(net_shmif, the_file_is_private) {
    const scratch_path bus;
    const rig_port a(bus.string());
    struct stat status {};
    ASSERT_EQ(stat(bus.string().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0600u);
}

} // namespace
} // namespace pantala::bus::test
