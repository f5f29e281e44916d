// The settings of a net_shmif port: filters, MTU, segments, RSS, interrupts, attach and detach.
#include "tests/pmd/bus_rig.hpp"

#include "engine/base/rss.hpp"

#include <array>
#include <cstring>
#include <thread>

#include <gtest/gtest.h>
#include <rte_interrupts.h>
#include <sys/resource.h>

namespace pantala::bus::test {
namespace {

const rte_ether_addr other = {{2, 0, 0, 0, 0, 0x77}};
const rte_ether_addr multicast = {{1, 0, 0x5e, 0, 0, 5}};
const rte_ether_addr broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

TEST(net_shmif_settings, a_port_takes_what_is_addressed_to_it) {
    const scratch_path bus;
    const rig_port a(bus.string());
    const rig_port b(bus.string(), {.arguments = "mac=02:00:00:00:00:01", .promiscuous = false});
    const auto heard = [&](const rte_ether_addr& to) {
        a.send({addressed(udp_frame(1, 1), to)});
        return b.receive().size() == 1;
    };
    EXPECT_TRUE(heard(b.mac()));
    EXPECT_TRUE(heard(broadcast));
    EXPECT_FALSE(heard(other));
    EXPECT_FALSE(heard(multicast));
    EXPECT_EQ(b.xstat("shmif_rx_filtered"), 2u);

    rte_ether_addr address = other;
    ASSERT_EQ(rte_eth_dev_mac_addr_add(b.id(), &address, 0), 0);
    EXPECT_TRUE(heard(other));
    ASSERT_EQ(rte_eth_dev_mac_addr_remove(b.id(), &address), 0);
    EXPECT_FALSE(heard(other));
    ASSERT_EQ(rte_eth_dev_default_mac_addr_set(b.id(), &address), 0);
    EXPECT_TRUE(heard(other));
    EXPECT_FALSE(heard({{2, 0, 0, 0, 0, 1}}));

    address = multicast;
    ASSERT_EQ(rte_eth_dev_set_mc_addr_list(b.id(), &address, 1), 0);
    EXPECT_TRUE(heard(multicast));
    ASSERT_EQ(rte_eth_dev_set_mc_addr_list(b.id(), nullptr, 0), 0);
    EXPECT_FALSE(heard(multicast));
    ASSERT_EQ(rte_eth_allmulticast_enable(b.id()), 0);
    EXPECT_TRUE(heard(multicast));
    ASSERT_EQ(rte_eth_allmulticast_disable(b.id()), 0);
    ASSERT_EQ(rte_eth_promiscuous_enable(b.id()), 0);
    EXPECT_TRUE(heard(multicast));
}

TEST(net_shmif_settings, jumbo_frames_go_in_segments_and_come_scattered) {
    const scratch_path bus;
    const rig_port a(bus.string(), {.arguments = "mtu=16000", .mbuf_room = 4096});
    const rig_port b(
        bus.string(), {.arguments = "mtu=16000", .rx_offloads = RTE_ETH_RX_OFFLOAD_SCATTER});
    const rig_port strict(bus.string());
    for (const std::uint32_t bytes : {2048u, 2049u, 4096u, 9018u, 16014u}) {
        const frame sent = udp_frame(1, bytes, bytes);
        ASSERT_EQ(a.send({sent}, 0, 8), 1);
        const auto packets = b.receive_mbufs();
        ASSERT_EQ(packets.size(), 1u) << bytes;
        EXPECT_EQ(packets[0]->pkt_len, bytes);
        EXPECT_EQ(packets[0]->nb_segs, (bytes + 2047) / 2048);
        EXPECT_EQ(bytes_of(packets[0]), sent);
        rte_pktmbuf_free(packets[0]);
    }
    EXPECT_EQ(strict.receive().size(), 1u) << "without scatter only what fits one mbuf";
    EXPECT_EQ(strict.stats().ierrors, 4u);
    EXPECT_EQ(a.send({udp_frame(1, 1, 16100)}, 0, 8), 1);
    EXPECT_EQ(a.stats().oerrors, 1u) << "beyond the MTU";
}

TEST(net_shmif_settings, the_mtu_is_bounded_by_the_bus) {
    const scratch_path bus;
    const rig_port a(bus.string());
    rte_eth_dev_info info{};
    ASSERT_EQ(rte_eth_dev_info_get(a.id(), &info), 0);
    EXPECT_GE(info.max_mtu, 9000u);
    EXPECT_EQ(rte_eth_dev_set_mtu(a.id(), 9000), 0);
    EXPECT_NE(rte_eth_dev_set_mtu(a.id(), static_cast<std::uint16_t>(info.max_mtu + 1)), 0);
    EXPECT_EQ(probe_error("mtu=40000,bus=" + bus.string()), -EINVAL);
}

TEST(net_shmif_settings, what_is_longer_than_the_mtu_is_not_scattered_but_counted) {
    const scratch_path bus;
    const rig_port a(bus.string(), {.arguments = "mtu=9000", .mbuf_room = 9728});
    const rig_port b(bus.string(), {.rx_offloads = RTE_ETH_RX_OFFLOAD_SCATTER});
    const frame jumbo = udp_frame(1, 1, 9014);
    ASSERT_EQ(a.send({udp_frame(1, 2), jumbo, udp_frame(1, 3)}), 3);
    EXPECT_EQ(b.receive().size(), 2u) << "of MTU 1500";
    EXPECT_EQ(b.xstat("shmif_rx_too_long"), 1u);
    EXPECT_EQ(b.stats().ierrors, 1u);
    ASSERT_EQ(rte_eth_dev_set_mtu(b.id(), 9000), 0);
    ASSERT_EQ(a.send({jumbo}), 1);
    EXPECT_EQ(b.receive(), std::vector<frame>{jumbo});
    EXPECT_EQ(b.xstat("shmif_rx_too_long"), 1u);
}

TEST(net_shmif_settings, a_small_mtu_of_the_configuration_counts) {
    const scratch_path bus;
    const rig_port a(bus.string(), {});
    rte_eth_conf conf{};
    conf.rxmode.mtu = 1000;
    rte_eth_dev_stop(a.id());
    ASSERT_EQ(rte_eth_dev_configure(a.id(), 1, 1, &conf), 0);
    std::uint16_t mtu = 0;
    rte_eth_dev_get_mtu(a.id(), &mtu);
    EXPECT_EQ(mtu, 1000);
    const rig_port b(bus.string(), {.arguments = "mtu=1000"});
    rte_eth_dev_get_mtu(b.id(), &mtu);
    EXPECT_EQ(mtu, 1000);
}

// What an application asks for at configuration, ethdev does not tell by a call of its own.
TEST(net_shmif_settings, the_mtu_of_the_configuration_counts) {
    const scratch_path bus;
    const rig_port a(bus.string(), {.mbuf_room = 9728});
    const rig_port b(bus.string(), {.mbuf_room = 9728});
    const frame jumbo = udp_frame(1, 1, 9014);
    a.send({jumbo});
    EXPECT_EQ(a.xstat("shmif_tx_too_long"), 1u);
    rte_eth_conf conf{};
    conf.rxmode.mtu = 9000;
    rte_eth_dev_stop(a.id());
    ASSERT_EQ(rte_eth_dev_configure(a.id(), 1, 1, &conf), 0);
    ASSERT_EQ(rte_eth_rx_queue_setup(a.id(), 0, 512, SOCKET_ID_ANY, nullptr, a.pool()), 0);
    ASSERT_EQ(rte_eth_tx_queue_setup(a.id(), 0, 512, SOCKET_ID_ANY, nullptr), 0);
    ASSERT_EQ(rte_eth_dev_start(a.id()), 0);
    std::uint16_t mtu = 0;
    rte_eth_dev_get_mtu(a.id(), &mtu);
    EXPECT_EQ(mtu, 9000);
    a.send({jumbo});
    EXPECT_EQ(b.receive(), std::vector<frame>{jumbo});
}

TEST(net_shmif_settings, rss_tells_its_key_and_table) {
    const scratch_path bus;
    const rig_port a(bus.string(), {.queues = 3, .rss = true});
    std::array<std::uint8_t, rss_key_bytes> key{};
    rte_eth_rss_conf conf{key.data(), rss_key_bytes, 0};
    ASSERT_EQ(rte_eth_dev_rss_hash_conf_get(a.id(), &conf), 0);
    EXPECT_EQ(key, rss_key_symmetric);
    rte_eth_rss_reta_entry64 reta{};
    reta.mask = ~std::uint64_t{0};
    ASSERT_EQ(rte_eth_dev_rss_reta_query(a.id(), &reta, RTE_ETH_RSS_RETA_SIZE_64), 0);
    // Learn from the table where a flow should go, and see it go there.
    const rig_port b(bus.string());
    for (std::uint32_t flow = 0; flow < 40; ++flow) {
        const frame sent = udp_frame(flow, 1);
        b.send({sent});
        const std::uint32_t hash =
            toeplitz(rss_key_symmetric).hash(std::span(sent).subspan(26, 12));
        EXPECT_EQ(a.receive(reta.reta[hash % 64]).size(), 1u);
    }
    EXPECT_EQ(rte_eth_dev_rss_reta_update(a.id(), &reta, RTE_ETH_RSS_RETA_SIZE_64), 0);
    reta.reta[0] = 2;
    EXPECT_EQ(rte_eth_dev_rss_reta_update(a.id(), &reta, RTE_ETH_RSS_RETA_SIZE_64), -ENOTSUP);
}

TEST(net_shmif_settings, link_follows_start_and_stop) {
    const scratch_path bus;
    const rig_port a(bus.string());
    const rig_port b(bus.string());
    rte_eth_link link{};
    ASSERT_EQ(rte_eth_link_get_nowait(a.id(), &link), 0);
    EXPECT_EQ(link.link_status, RTE_ETH_LINK_UP);
    ASSERT_EQ(rte_eth_dev_stop(a.id()), 0);
    ASSERT_EQ(rte_eth_link_get_nowait(a.id(), &link), 0);
    EXPECT_EQ(link.link_status, RTE_ETH_LINK_DOWN);
    b.send({udp_frame(1, 1)}); // nobody is there: goes nowhere, waits for nobody
    ASSERT_EQ(rte_eth_dev_start(a.id()), 0);
    EXPECT_TRUE(a.receive().empty());
    b.send({udp_frame(1, 2)});
    EXPECT_EQ(a.receive().size(), 1u);
    a.send({udp_frame(1, 3)});
    EXPECT_EQ(b.receive().size(), 1u);
}

TEST(net_shmif_settings, statistics_start_anew_after_a_reset) {
    const scratch_path bus;
    const rig_port a(bus.string(), {.queues = 2});
    const rig_port b(bus.string());
    a.send({udp_frame(1, 1)}, 1);
    b.receive();
    EXPECT_EQ(a.xstat("tx_q1_packets"), 1u);
    EXPECT_EQ(a.xstat("shmif_tx_q1_packets"), 1u);
    ASSERT_EQ(rte_eth_stats_reset(a.id()), 0);
    EXPECT_EQ(a.stats().opackets, 0u);
    a.send({udp_frame(1, 1), udp_frame(1, 2)});
    EXPECT_EQ(a.stats().opackets, 2u);
    EXPECT_EQ(a.xstat("tx_q0_packets"), 2u);
}

TEST(net_shmif_settings, peers_come_and_go_while_others_talk) {
    const scratch_path bus;
    const rig_port a(bus.string());
    const rig_port b(bus.string());
    for (std::uint32_t round = 0; round < 20; ++round) {
        const rig_port guest(bus.string(), {.queues = static_cast<std::uint16_t>(1 + round % 4)});
        guest.send({udp_frame(9, round)});
        a.send({udp_frame(1, round)});
        const auto got = b.receive();
        ASSERT_EQ(got.size(), 2u) << round;
    }
    EXPECT_EQ(b.stats().imissed, 0u);
}

TEST(net_shmif_settings, a_full_bus_says_so) {
    const scratch_path bus;
    std::vector<std::unique_ptr<rig_port>> ports;
    ports.reserve(16);
    for (int i = 0; i < 16; ++i) {
        ports.push_back(std::make_unique<rig_port>(bus.string()));
    }
    EXPECT_EQ(probe_error("bus=" + bus.string()), -EUSERS);
    ports.pop_back();
    EXPECT_EQ(probe_error("bus=" + bus.string()), 0);
}

double cpu_seconds() {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

TEST(net_shmif_settings, a_sleeper_is_woken_by_a_frame_and_costs_nothing_before) {
    const scratch_path bus;
    const rig_port a(bus.string());
    const rig_port b(bus.string(), {.queues = 2, .interrupts = true});
    for (std::uint16_t queue = 0; queue < 2; ++queue) {
        ASSERT_EQ(
            rte_eth_dev_rx_intr_ctl_q(
                b.id(), queue, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD, nullptr),
            0);
    }
    for (std::uint32_t round = 0; round < 20; ++round) {
        ASSERT_EQ(rte_eth_dev_rx_intr_enable(b.id(), 0), 0);
        ASSERT_EQ(rte_eth_dev_rx_intr_enable(b.id(), 1), 0);
        std::thread sender([&] { a.send({udp_frame(round, round)}); });
        rte_epoll_event event{};
        const int woken = rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 10'000);
        sender.join();
        ASSERT_EQ(woken, 1) << round;
        rte_eth_dev_rx_intr_disable(b.id(), 0);
        rte_eth_dev_rx_intr_disable(b.id(), 1);
        ASSERT_EQ(b.receive(0).size() + b.receive(1).size(), 1u) << round;
    }
    // Asleep for 300 ms: no CPU but what the clock calls take.
    ASSERT_EQ(rte_eth_dev_rx_intr_enable(b.id(), 0), 0);
    const double before = cpu_seconds();
    rte_epoll_event event{};
    rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 300);
    EXPECT_LT(cpu_seconds() - before, 0.05);
    rte_eth_dev_rx_intr_disable(b.id(), 0);
}

TEST(net_shmif_settings, a_frame_sent_before_arming_rings_at_once) {
    const scratch_path bus;
    const rig_port a(bus.string());
    const rig_port b(bus.string(), {.interrupts = true});
    ASSERT_EQ(
        rte_eth_dev_rx_intr_ctl_q(b.id(), 0, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD, nullptr), 0);
    a.send({udp_frame(1, 1)});
    ASSERT_EQ(rte_eth_dev_rx_intr_enable(b.id(), 0), 0);
    rte_epoll_event event{};
    EXPECT_EQ(rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 10'000), 1);
    rte_eth_dev_rx_intr_disable(b.id(), 0);
    EXPECT_EQ(b.receive().size(), 1u);
}

TEST(net_shmif_settings, bad_arguments_are_refused) {
    const scratch_path bus;
    for (const char* const arguments :
         {"", "bus=", "bus=/dev/shm/x,colour=red", "queues=0", "queues=65", "queues=x", "size=3M",
          "size=1K", "flow=maybe", "format=vax", "mtu=10", "mtu=70000", "mac=ff:ff:ff:ff:ff:ff",
          "mac=zz"}) {
        const std::string text = std::string(arguments).substr(0, 4) == "bus=" || *arguments == '\0'
                                     ? arguments
                                     : "bus=" + bus.string() + "," + arguments;
        EXPECT_LT(probe_error(text), 0) << arguments;
    }
}

} // namespace
} // namespace pantala::bus::test
