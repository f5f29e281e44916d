// The loop, driven with a fake stack: no device, no stack, virtual time.
#include "engine/worker.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rte_mbuf.h>

namespace pantala {
namespace {

struct fake_stack {
    explicit fake_stack(worker_services given) : services(given) {}

    void input(port_id port, mbuf_burst& burst, instant now) {
        log.push_back("input " + std::to_string(port.value) + " x" + std::to_string(burst.count));
        last_input = now;
        for (rte_mbuf* packet : burst) {
            if (packet->data_len == 0) {
                services.drops.drop(packet, drop_reason::ether_short);
            } else {
                services.tx[packet->data_len].push(packet); // length says where to
            }
        }
        burst.clear();
    }
    void expire(instant, unsigned) { log.push_back("expire"); }
    void end_of_round(instant) { log.push_back("end"); }
    instant next_deadline() { return instant::never(); }

    worker_services services;
    std::vector<std::string> log;
    instant last_input;
};
static_assert(worker_stack<fake_stack>);

// Stands for a device: gives what lies in `arrived`, remembers what was sent.
struct fake_device {
    std::vector<rte_mbuf*> arrived;
    std::vector<rte_mbuf*> sent;
    std::vector<std::string>* log = nullptr;
    std::uint16_t room = burst_max;

    static std::uint16_t receive(void* self, rte_mbuf** packets, std::uint16_t wanted) {
        auto& device = *static_cast<fake_device*>(self);
        std::uint16_t count = 0;
        while (count < wanted && !device.arrived.empty()) {
            packets[count++] = device.arrived.front();
            device.arrived.erase(device.arrived.begin());
        }
        return count;
    }
    static std::uint16_t transmit(void* self, rte_mbuf** packets, std::uint16_t count) {
        auto& device = *static_cast<fake_device*>(self);
        const std::uint16_t taken = std::min(count, device.room);
        device.sent.insert(device.sent.end(), packets, packets + taken);
        if (device.log != nullptr) {
            device.log->push_back("tx x" + std::to_string(count));
        }
        return taken;
    }
};

class worker_loop : public testing::Test {
  protected:
    worker_loop() {
        static int made = 0;
        pool = rte_pktmbuf_pool_create(
            ("worker_loop" + std::to_string(made++)).c_str(), 511, 0, 0, 256, SOCKET_ID_ANY);
        EXPECT_NE(pool, nullptr);
        device.log = &stack.log;
        rig.rx.emplace_back(port_id{1}, fake_device::receive, &device);
        rig.tx[2].bind(fake_device::transmit, &device, &rig.drops);
    }
    ~worker_loop() override {
        for (rte_mbuf* packet : device.sent) {
            rte_pktmbuf_free(packet);
        }
        EXPECT_EQ(rte_mempool_in_use_count(pool), 0u) << "an mbuf leaked";
        rte_mempool_free(pool);
    }
    void arrive(unsigned count, std::uint16_t length) {
        for (unsigned i = 0; i < count; ++i) {
            rte_mbuf* packet = rte_pktmbuf_alloc(pool);
            ASSERT_NE(packet, nullptr);
            packet->data_len = length;
            device.arrived.push_back(packet);
        }
    }

    rte_mempool* pool = nullptr;
    netmsg_fabric fabric{1};
    handoff_lanes lanes{1, 64};
    toeplitz sum{rss_key_symmetric};
    worker_rig rig{fabric.endpoint(0), {.lanes = lanes, .sum = sum}, 1};
    fake_stack stack{rig.services()};
    fake_device device;
    worker<fake_stack> loop{rig, stack};
};

TEST_F(worker_loop, a_round_keeps_its_order) {
    fabric.set_context(0, &stack);
    netmsg message;
    message.handler = [](netmsg&, netmsg_endpoint& here) {
        here.context<fake_stack>().log.push_back("message");
    };
    fabric.control().send(0, message);
    arrive(3, 2);
    EXPECT_EQ(loop.round(instant{1000}), 4u);
    EXPECT_EQ(
        stack.log, (std::vector<std::string>{"message", "expire", "input 1 x3", "end", "tx x3"}));
    EXPECT_EQ(stack.last_input, instant{1000});
    EXPECT_EQ(rig.tx[2].sent(), 3u);
    EXPECT_EQ(rig.rx[0].received(), 3u);
}

TEST_F(worker_loop, drops_are_freed_within_the_round) {
    arrive(5, 0);
    loop.round(instant{1});
    EXPECT_EQ(rig.drops.dropped(drop_reason::ether_short), 5u);
    EXPECT_EQ(rte_mempool_in_use_count(pool), 0u);
}

TEST_F(worker_loop, a_full_burst_says_that_more_may_wait) {
    arrive(burst_max + 3, 2);
    EXPECT_EQ(loop.round(instant{1}), burst_max + 3);
    std::vector<std::string> expected = {"expire", "input 1 x64"};
    expected.insert(
        expected.end(), burst_max / tx_port::gather_max, "tx x8"); // before the next burst
    for (const char* then : {"input 1 x3", "end", "tx x3"}) {
        expected.emplace_back(then);
    }
    EXPECT_EQ(stack.log, expected);
}

TEST_F(worker_loop, a_queue_has_its_share_of_a_round_and_no_more) {
    arrive(bursts_a_queue * burst_max + 5, 2);
    EXPECT_EQ(loop.round(instant{1}), bursts_a_queue * burst_max);
    EXPECT_EQ(loop.round(instant{2}), 5u);
    EXPECT_EQ(rig.tx[2].sent(), bursts_a_queue * burst_max + 5);
}

TEST_F(worker_loop, what_a_port_does_not_take_dies_with_a_reason) {
    device.room = 2;
    arrive(6, 2);
    loop.round(instant{1});
    EXPECT_EQ(device.sent.size(), 2u);
    EXPECT_EQ(rig.drops.dropped(drop_reason::tx_full), 4u);
    EXPECT_EQ(rte_mempool_in_use_count(pool), 2u);
}

TEST_F(worker_loop, run_ends_when_control_says_stop) {
    rig.stop = true;
    loop.run();
    EXPECT_TRUE(stack.log.empty());
}

} // namespace
} // namespace pantala
