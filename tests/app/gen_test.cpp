#include "app/gen/gen_options.hpp"
#include "app/gen/histogram.hpp"
#include "app/gen/receiver.hpp"
#include "app/gen/table/flows.hpp"
#include "app/gen/table/synthetic_table.hpp"
#include "app/gen/transmitter.hpp"
#include "app/next_hop_rule.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <thread>

#include <gtest/gtest.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <unistd.h>

using namespace pantala;
using namespace pantala::app;

namespace {

TEST(histogram, buckets_hold_what_they_say) {
    unsigned last = 0;
    for (std::uint64_t value = 0; value < 100'000; ++value) {
        const unsigned bucket = histogram::bucket_of(value);
        ASSERT_GE(bucket, last);
        last = bucket;
        ASSERT_GE(histogram::bucket_last(bucket), value);
        ASSERT_LE(
            static_cast<double>(histogram::bucket_last(bucket)),
            static_cast<double>(value) * (1 + 1.0 / 32) + 1);
    }
    EXPECT_LT(histogram::bucket_of(~std::uint64_t{0}), histogram::bucket_count);
}

TEST(histogram, percentiles) {
    auto h = std::make_unique<histogram>();
    EXPECT_EQ(h->percentile(0.5), 0U);
    for (unsigned value = 1; value <= 1000; ++value) {
        h->record(value);
    }
    EXPECT_EQ(h->total(), 1000U);
    EXPECT_NEAR(static_cast<double>(h->percentile(0.5)), 500, 500.0 / 32 + 1);
    EXPECT_NEAR(static_cast<double>(h->percentile(0.99)), 990, 990.0 / 32 + 1);
    EXPECT_GE(h->percentile(1.0), 1000U);
    h->reset();
    EXPECT_EQ(h->total(), 0U);
}

TEST(gen_options, rates) {
    EXPECT_EQ(*parse_rate("max"), 0U);
    EXPECT_EQ(*parse_rate("1500"), 1500U);
    EXPECT_EQ(*parse_rate("1.5M"), 1'500'000U);
    EXPECT_EQ(*parse_rate("250k"), 250'000U);
    for (const char* text : {"", "x", "-1", "1T", "1e99", "nan", "5 k"}) {
        EXPECT_FALSE(parse_rate(text)) << text;
    }
}

TEST(gen_options, sizes_keep_their_shares) {
    EXPECT_EQ(*parse_sizes("64"), std::vector<std::uint16_t>{64});
    const auto mix = parse_sizes("imix");
    ASSERT_TRUE(mix);
    EXPECT_EQ(std::count(mix->begin(), mix->end(), 64), 7);
    EXPECT_EQ(std::count(mix->begin(), mix->end(), 590), 4);
    EXPECT_EQ(std::count(mix->begin(), mix->end(), 1514), 1);
    EXPECT_NE((*mix)[0], (*mix)[1]) << "interleaved";
    for (const char* text : {"", "63", "9019", "64:0", "64:65", "a", "64:1:1", "64x"}) {
        EXPECT_FALSE(parse_sizes(text)) << text;
    }
}

TEST(slow_table, longest_prefix_wins) {
    slow_table table;
    EXPECT_EQ(table.lookup(0x0a000001), slow_table::no_route);
    table.add({0x0a000000, 8}, 1);
    table.add({0x0a010000, 16}, 2);
    table.add({0x0a010101, 32}, 3);
    table.add({0, 0}, 9);
    EXPECT_EQ(table.lookup(0x0a000001), 1);
    EXPECT_EQ(table.lookup(0x0a010001), 2);
    EXPECT_EQ(table.lookup(0x0a010101), 3);
    EXPECT_EQ(table.lookup(0x0b000000), 9);
    EXPECT_EQ(table.size(), 4U);
}

TEST(slow_table, agrees_with_a_map_by_length) {
    std::mt19937 random(7);
    slow_table table;
    std::map<std::pair<unsigned, std::uint32_t>, std::uint16_t> all;
    for (unsigned i = 0; i < 3000; ++i) {
        const unsigned length = random() % 33;
        const ip4_prefix prefix{
            static_cast<std::uint32_t>(random()) & 0x0fff0fff & prefix_mask(length),
            static_cast<std::uint8_t>(length)};
        table.add(prefix, static_cast<std::uint16_t>(i));
        all[{length, prefix.address}] = static_cast<std::uint16_t>(i);
    }
    EXPECT_EQ(table.size(), all.size());
    for (unsigned i = 0; i < 20'000; ++i) {
        const std::uint32_t address = static_cast<std::uint32_t>(random()) & 0x0fff0fff;
        std::uint16_t expected = slow_table::no_route;
        for (unsigned length = 0; length <= 32; ++length) {
            const auto found = all.find({length, address & prefix_mask(length)});
            expected = found == all.end() ? expected : found->second;
        }
        ASSERT_EQ(table.lookup(address), expected) << format_ip4(address);
    }
}

TEST(synthetic_table, is_distinct_public_and_repeatable) {
    const auto table = make_synthetic_table(1);
    EXPECT_EQ(table.size(), 901'899U);
    EXPECT_EQ(table, make_synthetic_table(1));
    std::map<unsigned, unsigned> lengths;
    for (std::size_t i = 0; i < table.size(); ++i) {
        ++lengths[table[i].length];
        ASSERT_EQ(table[i].address & ~prefix_mask(table[i].length), 0U);
        ASSERT_TRUE(i == 0 || table[i] != table[i - 1]);
        const std::uint32_t top = table[i].address >> 24;
        ASSERT_TRUE(top != 0 && top != 10 && top != 127 && top < 224);
    }
    EXPECT_EQ(lengths[24], 537'698U);
    EXPECT_EQ(lengths[8], 16U);
}

TEST(flows, are_the_same_at_both_ends_and_inside_the_table) {
    std::string path = "/tmp/pantala_flows_XXXXXX";
    const int fd = mkstemp(path.data());
    ASSERT_GE(fd, 0);
    close(fd);
    const std::vector<ip4_prefix> prefixes = {{0x14000000, 8}, {0x14010000, 16}, {0x15000000, 24}};
    ASSERT_TRUE(write_prefix_list(path, prefixes));
    flow_request request;
    request.table = path;
    request.flows = 5000;
    request.gateways = 7;
    const auto first = make_flows(request);
    const auto second = make_flows(request);
    ASSERT_TRUE(first && second);
    std::set<std::uint32_t> different;
    for (std::size_t i = 0; i < first->flows.size(); ++i) {
        const std::uint32_t to = first->flows[i].destination;
        different.insert(to);
        EXPECT_EQ(to, second->flows[i].destination);
        const ip4_prefix& prefix = to >> 24 == 0x15     ? prefixes[2]
                                   : to >> 16 == 0x1401 ? prefixes[1]
                                                        : prefixes[0];
        EXPECT_EQ(first->flows[i].gateway, skewed_choice(prefix, 7));
        EXPECT_EQ(first->flows[i].other, first->flows[i].gateway);
    }
    EXPECT_GT(different.size(), 3000U);
    request.table = "/nonexistent";
    EXPECT_FALSE(make_flows(request));
    unlink(path.c_str());
}

TEST(next_hop_rule, is_skewed_and_in_range) {
    std::vector<unsigned> count(63, 0);
    for (std::uint32_t i = 0; i < 100'000; ++i) {
        const unsigned choice = skewed_choice({i << 8, 24}, 63);
        ASSERT_LT(choice, 63U);
        ++count[choice];
    }
    EXPECT_GT(count[0], 20'000U);
    EXPECT_LT(count[0], 30'000U);
    EXPECT_GT(count[62], 100U);
}

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

} // namespace
