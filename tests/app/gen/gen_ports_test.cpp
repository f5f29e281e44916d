// The generator's two ends at work: probes from one port of a bus to another.
#include "app/gen/arp_station.hpp"
#include "app/gen/receiver.hpp"
#include "app/gen/transmitter.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <unistd.h>

using namespace pantala;
using namespace pantala::app;

namespace {

// A bus with a sender and a receiver. No mbuf goes from one thread to the other, as each has its
// own pool: DPDK's rings and pools would hand them over in a way that ThreadSanitizer cannot see.
class loop : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        const std::string bus = testing::TempDir() + "pantala_gen_" + std::to_string(getpid());
        const std::string at = "bus=" + bus + ",size=16M,flow=lossless";
        start_port("net_shmif8", at, sends_, send_pool_);
        start_port("net_shmif9", at, receives_, receive_pool_);
        ASSERT_EQ(rte_eth_promiscuous_enable(receives_), 0);
        unlink(bus.c_str());
    }
    static void
    start_port(const char* name, const std::string& how, std::uint16_t& port, rte_mempool*& pool) {
        ASSERT_EQ(rte_eal_hotplug_add("vdev", name, how.c_str()), 0);
        ASSERT_EQ(rte_eth_dev_get_port_by_name(name, &port), 0);
        pool = rte_pktmbuf_pool_create(name, 2047, 0, 0, 2176, SOCKET_ID_ANY);
        ASSERT_NE(pool, nullptr);
        const rte_eth_conf conf{};
        ASSERT_EQ(rte_eth_dev_configure(port, 1, 1, &conf), 0);
        ASSERT_EQ(rte_eth_rx_queue_setup(port, 0, 512, SOCKET_ID_ANY, nullptr, pool), 0);
        ASSERT_EQ(rte_eth_tx_queue_setup(port, 0, 512, SOCKET_ID_ANY, nullptr), 0);
        ASSERT_EQ(rte_eth_dev_start(port), 0);
    }
    static void TearDownTestSuite() {
        for (const std::uint16_t port : {sends_, receives_}) {
            rte_eth_dev_stop(port);
        }
        rte_eal_hotplug_remove("vdev", "net_shmif8");
        rte_eal_hotplug_remove("vdev", "net_shmif9");
        rte_mempool_free(send_pool_);
        rte_mempool_free(receive_pool_);
    }
    void SetUp() override {
        flows_.flows.resize(8);
        for (std::uint32_t i = 0; i < 8; ++i) {
            flows_.flows[i].destination = 0x14000000 + i;
            flows_.flows[i].gateway = static_cast<std::uint8_t>(i % 2);
            flows_.flows[i].other = static_cast<std::uint8_t>(i % 2);
        }
    }
    void TearDown() override {
        rte_mbuf* left[64];
        while (const unsigned count = rte_eth_rx_burst(receives_, 0, left, 64)) {
            rte_pktmbuf_free_bulk(left, count);
        }
    }

    // Sends one probe, after `spoil` has had it.
    template <class Spoil>
    void send(std::uint32_t flow, std::uint64_t sequence, Spoil&& spoil) {
        rte_mbuf* packet = rte_pktmbuf_alloc(send_pool_);
        ASSERT_NE(packet, nullptr);
        packet->data_len = 64;
        packet->pkt_len = 64;
        auto* frame = rte_pktmbuf_mtod(packet, probe_frame*);
        const wire::mac_address gateway{{2, 0x70, 0, 0, 0, static_cast<std::uint8_t>(flow % 2)}};
        const probe_template shape({{2, 0, 0, 0, 0, 1}}, gateway, 0xc6120001);
        shape.write(frame, 64, flows_.flows[flow].destination, flow, sequence, 5, rte_rdtsc());
        spoil(*frame);
        ASSERT_EQ(rte_eth_tx_burst(sends_, 0, &packet, 1), 1);
    }
    void send(std::uint32_t flow, std::uint64_t sequence) {
        send(flow, sequence, [](probe_frame&) {});
    }

    // Runs a receiver until it has seen `packets` of any kind.
    void receive(unsigned packets) {
        receiver::settings how;
        how.port = receives_;
        how.gateways = {{{2, 0x70, 0, 0, 0, 0}}, {{2, 0x70, 0, 0, 0, 1}}};
        receiver_ = std::make_unique<receiver>(how, flows_);
        std::thread lcore([&] { receiver_->run(); });
        const auto all = [&] {
            const receiver::tally& c = receiver_->counts();
            return c.received.read() + c.duplicate.read() + c.late.read() + receiver_->foreign();
        };
        EXPECT_TRUE(receiver_->begin(5));
        for (auto& one : pending_) {
            one();
        }
        pending_.clear();
        for (unsigned ms = 0; ms < 20'000 && all() < packets; ++ms) {
            usleep(1000);
        }
        receiver_->stop();
        lcore.join();
        EXPECT_EQ(all(), packets);
    }
    // Sent once the receiver listens.
    template <class... Args>
    void later(Args... args) {
        pending_.push_back([this, args...] { send(args...); });
    }
    const receiver::tally& counts() { return receiver_->counts(); }

    static inline std::uint16_t sends_ = 0;
    static inline std::uint16_t receives_ = 0;
    static inline rte_mempool* send_pool_ = nullptr;
    static inline rte_mempool* receive_pool_ = nullptr;
    flow_set flows_;
    std::unique_ptr<receiver> receiver_;
    std::vector<std::function<void()>> pending_;
};

TEST_F(loop, what_is_right_is_counted_so) {
    for (std::uint64_t s = 0; s < 40; ++s) {
        later(static_cast<std::uint32_t>(s % 8), s);
    }
    receive(40);
    EXPECT_EQ(counts().received.read(), 40U);
    EXPECT_EQ(counts().misrouted.read() + counts().corrupt.read() + counts().reordered.read(), 0U);
    EXPECT_EQ(counts().latency_tsc.total(), 40U);
    EXPECT_EQ(counts().bytes.read(), 40U * 64);
}

TEST_F(loop, duplicates_and_order_within_a_flow) {
    later(0U, std::uint64_t{0});
    later(1U, std::uint64_t{3}); // another flow may be ahead
    later(0U, std::uint64_t{2});
    later(0U, std::uint64_t{1}); // behind its flow
    later(0U, std::uint64_t{2}); // again
    receive(5);
    EXPECT_EQ(counts().received.read(), 4U);
    EXPECT_EQ(counts().reordered.read(), 1U);
    EXPECT_EQ(counts().duplicate.read(), 1U);
}

TEST_F(loop, far_behind_is_late) {
    later(0U, std::uint64_t{1} << 23);
    later(1U, std::uint64_t{1});
    receive(2);
    EXPECT_EQ(counts().late.read(), 1U);
    EXPECT_EQ(counts().received.read(), 1U);
}

TEST_F(loop, another_gateway_is_misrouted) {
    later(2U, std::uint64_t{0});
    later(2U, std::uint64_t{1}, [](probe_frame& f) { f.ethernet.destination.bytes[5] ^= 1; });
    receive(2);
    EXPECT_EQ(counts().misrouted.read(), 1U);
}

TEST_F(loop, either_gateway_is_right_while_routes_change) {
    flows_.flows[2].other = 1;
    later(2U, std::uint64_t{0});
    later(2U, std::uint64_t{1}, [](probe_frame& f) { f.ethernet.destination.bytes[5] ^= 1; });
    receive(2);
    EXPECT_EQ(counts().misrouted.read(), 0U);
}

TEST_F(loop, damage_is_seen) {
    later(0U, std::uint64_t{0}, [](probe_frame& f) { f.ip.time_to_live -= 1; }); // checksum
    later(0U, std::uint64_t{1}, [](probe_frame& f) { f.payload.flow = 3; });     // not its address
    later(0U, std::uint64_t{2}, [](probe_frame& f) { f.payload.magic = 0; });    // not ours
    later(0U, std::uint64_t{3}, [](probe_frame& f) { f.payload.stream = 6; });   // another trial
    later(0U, std::uint64_t{4}, [](probe_frame& f) {
        f.payload.flow = 4'000'000'000;
    }); // no such flow
    receive(5);
    EXPECT_EQ(counts().corrupt.read(), 2U);
    EXPECT_EQ(receiver_->foreign(), 3U);
}

TEST_F(loop, what_is_transmitted_is_sound) {
    transmitter::settings how;
    how.port = sends_;
    how.pool = send_pool_;
    how.next = {{2, 0x70, 0, 0, 0, 0}};
    how.source_address = 0xc6120001;
    how.sizes = {64, 1000, 65};
    for (flow& one : flows_.flows) {
        one.gateway = one.other = 0;
    }
    transmitter sender(how, flows_.flows);
    std::thread lcore([&] { sender.run(); });
    pending_.push_back([&] {
        sender.start(
            {.stream = 5,
             .packets_per_second = 0,
             .duration_tsc = ~std::uint64_t{0},
             .packets = 3000});
    });
    receive(3000);
    while (sender.busy()) {
        usleep(1000);
    }
    EXPECT_EQ(sender.sent(), 3000U);
    sender.stop();
    lcore.join();
    EXPECT_EQ(counts().received.read(), 3000U);
    EXPECT_EQ(counts().bytes.read(), 1000U * (64 + 1000 + 65));
    EXPECT_EQ(counts().corrupt.read() + counts().misrouted.read() + counts().reordered.read(), 0U);
}

constexpr std::uint32_t own_address = 0x0a010002;
constexpr std::uint32_t router_address = 0x0a010001;
constexpr wire::mac_address router_mac{{2, 0, 0, 0, 0, 9}};

// The next ARP packet that reaches the port.
arp_frame next_arp(std::uint16_t port) {
    for (unsigned ms = 0; ms < 20'000; ++ms) {
        rte_mbuf* packet = nullptr;
        if (rte_eth_rx_burst(port, 0, &packet, 1) == 0) {
            usleep(1000);
            continue;
        }
        const auto arp = arp_of(*packet);
        rte_pktmbuf_free(packet);
        if (arp) {
            return *arp;
        }
    }
    ADD_FAILURE() << "no ARP packet comes";
    return {};
}

arp_frame router_says(wire::arp_operation operation, const wire::mac_address& own_mac) {
    arp_frame frame{};
    frame.ethernet.destination = own_mac;
    frame.ethernet.source = router_mac;
    frame.ethernet.type = be16::from(0x0806);
    frame.arp.hardware = be16::from(1);
    frame.arp.protocol = be16::from(0x0800);
    frame.arp.hardware_length = 6;
    frame.arp.protocol_length = 4;
    frame.arp.operation = be16::from(static_cast<std::uint16_t>(operation));
    frame.arp.sender_hardware = router_mac;
    frame.arp.sender_protocol = wire::ipv4_address::from(router_address);
    frame.arp.target_protocol = wire::ipv4_address::from(own_address);
    return frame;
}

void send_frame(std::uint16_t port, rte_mempool* pool, const arp_frame& frame) {
    rte_mbuf* packet = rte_pktmbuf_alloc(pool);
    ASSERT_NE(packet, nullptr);
    packet->data_len = packet->pkt_len = sizeof frame;
    std::memcpy(rte_pktmbuf_mtod(packet, void*), &frame, sizeof frame);
    ASSERT_EQ(rte_eth_tx_burst(port, 0, &packet, 1), 1);
}

TEST_F(loop, the_next_hop_is_found_by_arp_and_questions_are_answered) {
    rte_ether_addr address{};
    ASSERT_EQ(rte_eth_macaddr_get(sends_, &address), 0);
    wire::mac_address own_mac;
    std::copy_n(address.addr_bytes, own_mac.bytes.size(), own_mac.bytes.begin());
    arp_station station({.port = sends_, .pool = send_pool_, .answers = {{own_address, own_mac}}});
    transmitter::settings how;
    how.port = sends_;
    how.pool = send_pool_;
    how.sizes = {64};
    how.station = &station;
    transmitter sender(how, flows_.flows);
    std::thread lcore([&] { sender.run(); });

    station.ask(router_address);
    const arp_frame question = next_arp(receives_);
    EXPECT_EQ(question.arp.operation.host(), 1);
    EXPECT_EQ(question.ethernet.destination.bytes[0], 0xff);
    EXPECT_EQ(question.arp.sender_protocol.host(), own_address);
    EXPECT_EQ(question.arp.sender_hardware, own_mac);
    EXPECT_EQ(question.arp.target_protocol.host(), router_address);
    EXPECT_FALSE(station.answer());
    arp_frame answer = router_says(wire::arp_operation::reply, own_mac);
    answer.arp.sender_hardware.bytes[0] |= 1; // a group is nobody's address
    send_frame(receives_, receive_pool_, answer);
    send_frame(receives_, receive_pool_, router_says(wire::arp_operation::reply, own_mac));
    for (unsigned ms = 0; ms < 20'000 && !station.answer(); ++ms) {
        usleep(1000);
    }
    EXPECT_EQ(station.answer(), std::optional(router_mac));

    send_frame(receives_, receive_pool_, router_says(wire::arp_operation::request, own_mac));
    arp_frame reply = next_arp(receives_);
    while (reply.arp.operation.host() == 1) { // asked before the answer was heard
        reply = next_arp(receives_);
    }
    EXPECT_EQ(reply.arp.operation.host(), 2);
    EXPECT_EQ(reply.ethernet.destination, router_mac);
    EXPECT_EQ(reply.arp.sender_hardware, own_mac);
    EXPECT_EQ(reply.arp.sender_protocol.host(), own_address);
    EXPECT_EQ(reply.arp.target_protocol.host(), router_address);
    sender.stop();
    lcore.join();
}

TEST_F(loop, an_order_may_have_sizes_of_its_own) {
    transmitter::settings how;
    how.port = sends_;
    how.pool = send_pool_;
    how.next = {{2, 0x70, 0, 0, 0, 0}};
    how.source_address = 0xc6120001;
    how.sizes = {64};
    transmitter sender(how, flows_.flows);
    std::thread lcore([&] { sender.run(); });
    pending_.push_back([&] {
        sender.start(
            {.stream = 5,
             .packets_per_second = 0,
             .duration_tsc = ~std::uint64_t{0},
             .packets = 100,
             .sizes = {100, 200}});
    });
    receive(100);
    while (sender.busy()) {
        usleep(1000);
    }
    sender.stop();
    lcore.join();
    EXPECT_EQ(counts().bytes.read(), 50U * 300);
}

} // namespace
