// Ports with queues, RSS and receive interrupts: two of net_shmif on one bus, of which the engine
// opens one and the test speaks through the other.
#include "engine/dpdk/versions.hpp"
#include "engine/setup/engine.hpp"
#include "tests/engine/packet_pool.hpp"

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <poll.h>
#include <rte_bus_vdev.h>
#include <rte_ethdev.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace pantala {
namespace {

constexpr unsigned flows = 64;

void pass_ms(int ms) {
    ::poll(nullptr, 0, ms);
}

// A bus in a directory of its own, with the engine's port and the test's.
class two_ports {
  public:
    explicit two_ports(const std::string& arguments) {
        EXPECT_NE(mkdtemp(directory_.data()), nullptr);
        static int made = 0;
        for (std::string* name : {&mine_, &theirs_}) {
            *name = "net_shmif" + std::to_string(made++);
            const std::string words = "bus=" + directory_ + "/bus,size=4M" + arguments;
            EXPECT_EQ(rte_vdev_init(name->c_str(), words.c_str()), 0) << words;
        }
        open_mine();
    }
    ~two_ports() {
        rte_eth_dev_stop(id_of(mine_));
        rte_eth_dev_close(id_of(mine_));
        std::filesystem::remove_all(directory_);
    }

    port_id theirs() const { return port_id{id_of(theirs_)}; }

    // One packet of `flow`; reversed: addresses and ports the other way round.
    void send(std::uint16_t flow, bool reversed = false) {
        auto frame = udp_frame(flow, 0);
        frame[36] = 0x13;
        frame[37] = 0x88; // port 5000
        if (reversed) {
            std::swap_ranges(&frame[26], &frame[30], &frame[30]);
            std::swap_ranges(&frame[34], &frame[36], &frame[36]);
        }
        std::fill_n(frame.begin(), 6, std::uint8_t{0xff});
        rte_mbuf* packet = pool_.packet(frame);
        ASSERT_EQ(rte_eth_tx_burst(id_of(mine_), 0, &packet, 1), 1);
    }

  private:
    static std::uint16_t id_of(const std::string& name) {
        std::uint16_t id = 0;
        EXPECT_EQ(rte_eth_dev_get_port_by_name(name.c_str(), &id), 0) << name;
        return id;
    }
    void open_mine() {
        const std::uint16_t id = id_of(mine_);
        const rte_eth_conf plain{};
        ASSERT_EQ(rte_eth_dev_configure(id, 1, 1, &plain), 0);
        ASSERT_EQ(rte_eth_rx_queue_setup(id, 0, 256, 0, nullptr, pool_.get()), 0);
        ASSERT_EQ(rte_eth_tx_queue_setup(id, 0, 256, 0, nullptr), 0);
        ASSERT_EQ(rte_eth_dev_start(id), 0);
    }

    packet_pool pool_;
    std::string directory_ = std::filesystem::temp_directory_path() / "pantala-port-XXXXXX";
    std::string mine_;
    std::string theirs_;
};

// Counts the packets of each flow, either way.
struct counting_stack {
    explicit counting_stack(worker_services given) : services(given) {}

    void input(port_id, mbuf_burst& burst, instant) {
        for (rte_mbuf* packet : burst) {
            const auto* bytes = rte_pktmbuf_mtod(packet, const std::uint8_t*);
            const bool reversed = bytes[34] == 0x13 && bytes[35] == 0x88;
            const unsigned flow = bytes[reversed ? 37 : 35];
            from_flow[flow].add(1);
            misplaced.add(owner_of(packet->hash.rss, services.workers) != services.self);
            rte_pktmbuf_free(packet);
        }
        arrived.add(burst.count);
        burst.clear();
    }
    void expire(instant, unsigned) {}
    void end_of_round(instant) {}
    instant next_deadline() { return instant::never(); }

    worker_services services;
    std::array<counter, 256> from_flow{};
    counter misplaced;
    counter arrived;
};

struct running {
    explicit running(idle_policy policy) {
        auto made = engine::make({.idle = {.policy = policy}, .mbufs = 8191}, worker_places());
        EXPECT_TRUE(made) << made.failure().text;
        host = std::move(*made);
        for (std::uint16_t w = 0; w < host->workers(); ++w) {
            stacks.push_back(std::make_unique<counting_stack>(host->rig(worker_id{w}).services()));
            pointers.push_back(stacks.back().get());
            host->fabric().set_context(w, pointers.back());
        }
    }
    ~running() { host->stop(); }

    void start() {
        const auto started = host->start<counting_stack>(pointers);
        ASSERT_TRUE(started) << started.failure().text;
    }
    std::uint64_t arrived() const { return stacks[0]->arrived.read() + stacks[1]->arrived.read(); }
    void await(std::uint64_t wanted) const {
        for (int i = 0; i < 60'000 && arrived() < wanted; ++i) {
            pass_ms(1);
        }
        ASSERT_EQ(arrived(), wanted);
    }
    std::uint64_t handed_over() const {
        std::uint64_t sum = 0;
        for (std::uint16_t w = 0; w < 2; ++w) {
            sum += host->rig(worker_id{w}).packets.counters(protocol_ether).queued.read();
        }
        return sum;
    }

    std::unique_ptr<engine> host;
    std::vector<std::unique_ptr<counting_stack>> stacks;
    std::vector<counting_stack*> pointers;
};

void send_all_flows(two_ports& ports) {
    for (std::uint16_t flow = 0; flow < flows; ++flow) {
        ports.send(flow);
        ports.send(flow, true);
    }
}

// Both directions of a flow meet the same worker, both workers get some.
void expect_spread(const running& set) {
    for (unsigned flow = 0; flow < flows; ++flow) {
        const std::uint64_t first = set.stacks[0]->from_flow[flow].read();
        const std::uint64_t second = set.stacks[1]->from_flow[flow].read();
        EXPECT_EQ(first + second, 2u) << "flow " << flow;
        EXPECT_TRUE(first == 0 || second == 0) << "flow " << flow << " is torn apart";
    }
    EXPECT_GT(set.stacks[0]->arrived.read(), 0u);
    EXPECT_GT(set.stacks[1]->arrived.read(), 0u);
    EXPECT_EQ(set.stacks[0]->misplaced.read() + set.stacks[1]->misplaced.read(), 0u);
}

TEST(port, rss_spreads_flows_over_queues_without_hand_over) {
    two_ports ports(",queues=2");
    running set(idle_policy::adaptive);
    const auto report = set.host->add_port(ports.theirs(), {});
    ASSERT_TRUE(report) << report.failure().text;
    EXPECT_EQ(report->rx_queues, 2);
    EXPECT_EQ(report->tx_queues, 2);
    EXPECT_TRUE(report->rss);
    EXPECT_TRUE(report->rx_interrupts);
    EXPECT_TRUE(report->notes.empty()) << report->notes.front();
    rte_eth_conf conf{};
    ASSERT_EQ(rte_eth_dev_conf_get(ports.theirs().value, &conf), 0);
    EXPECT_NE(conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS, 0u);
    EXPECT_EQ(
        (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE) != 0,
        !dpdk::fast_free_excludes_segments);
    set.start();
    send_all_flows(ports);
    set.await(2 * flows);
    expect_spread(set);
    EXPECT_EQ(set.handed_over(), 0u);
}

// A vhost port, asked to verify checksums, would hand over packets that have none yet.
TEST(port, unfinished_checksums_are_not_asked_for) {
    const std::string socket = testing::TempDir() + "pantala_vhost_" + std::to_string(getpid());
    ASSERT_EQ(rte_eal_hotplug_add("vdev", "net_vhost7", ("iface=" + socket).c_str()), 0);
    std::uint16_t port = 0;
    ASSERT_EQ(rte_eth_dev_get_port_by_name("net_vhost7", &port), 0);
    rte_eth_dev_info info{};
    ASSERT_EQ(rte_eth_dev_info_get(port, &info), 0);
    constexpr std::uint64_t layer4 = RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
    ASSERT_EQ(info.rx_offload_capa & layer4, layer4);
    {
        running set(idle_policy::adaptive);
        const auto report = set.host->add_port(port_id{port}, {});
        ASSERT_TRUE(report) << report.failure().text;
        EXPECT_FALSE(report->rx_checksums);
        rte_eth_conf conf{};
        ASSERT_EQ(rte_eth_dev_conf_get(port, &conf), 0);
        EXPECT_EQ(conf.rxmode.offloads & layer4, 0u);
    }
    rte_eal_hotplug_remove("vdev", "net_vhost7");
    unlink(socket.c_str());
}

TEST(port, without_rss_the_owner_of_a_flow_is_handed_its_packets) {
    two_ports ports(",queues=2");
    running set(idle_policy::adaptive);
    const auto report = set.host->add_port(ports.theirs(), {.rss = false});
    ASSERT_TRUE(report) << report.failure().text;
    EXPECT_EQ(report->rx_queues, 1);
    EXPECT_EQ(report->tx_queues, 2);
    EXPECT_FALSE(report->rss);
    ASSERT_EQ(report->notes.size(), 1u);
    EXPECT_NE(report->notes[0].find("no RSS"), std::string::npos) << report->notes[0];
    set.start();
    send_all_flows(ports);
    set.await(2 * flows);
    expect_spread(set);
    EXPECT_GT(set.handed_over(), 0u);
}

TEST(port, a_busy_engine_asks_for_no_interrupts) {
    two_ports ports("");
    running set(idle_policy::busy);
    const auto report = set.host->add_port(ports.theirs(), {});
    ASSERT_TRUE(report) << report.failure().text;
    EXPECT_FALSE(report->rx_interrupts);
    for (const std::string& note : report->notes) {
        EXPECT_EQ(note.find("interrupt"), std::string::npos) << note;
    }
    EXPECT_LT(rte_eth_dev_rx_intr_ctl_q_get_fd(ports.theirs().value, 0), 0);
}

// A descriptor that nobody writes takes the place of the queue's: as a line that the kernel has
// switched off. Packets still arrive, and after some of them the port is known for what it is.
TEST(port, interrupts_that_stop_coming_are_noticed) {
    two_ports ports("");
    running set(idle_policy::adaptive);
    const auto report = set.host->add_port(ports.theirs(), {.queues = 1});
    ASSERT_TRUE(report) << report.failure().text;
    ASSERT_TRUE(report->rx_interrupts);
    set.start();
    ports.send(1);
    set.await(1);
    const auto silent = [&] {
        return set.host->rig(worker_id{0}).idle.silent_ports() |
               set.host->rig(worker_id{1}).idle.silent_ports();
    };
    EXPECT_EQ(silent(), 0u);
    const int line = rte_eth_dev_rx_intr_ctl_q_get_fd(ports.theirs().value, 0);
    const int dead = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    ASSERT_EQ(dup2(dead, line), line);
    close(dead);
    std::uint64_t sent = 1;
    for (int i = 0; i < 1000 && silent() == 0; ++i) {
        ports.send(2);
        set.await(++sent);
        pass_ms(5); // asleep again
    }
    EXPECT_EQ(silent(), 1U << ports.theirs().value);
    ports.send(3);
    set.await(++sent);
}

} // namespace
} // namespace pantala
