#include "engine/impair/impair.hpp"

#include "tests/engine/packet_pool.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace pantala {
namespace {

// Sends `count` numbered packets through it; the numbers as they come out.
std::vector<std::uint32_t> pass(packet_pool& pool, impairment& network, unsigned count) {
    std::vector<std::uint32_t> numbers;
    const auto take = [&](mbuf_burst& out) {
        for (rte_mbuf* packet : out) {
            std::uint32_t number = 0;
            std::memcpy(&number, rte_pktmbuf_mtod(packet, void*), sizeof number);
            numbers.push_back(number);
            rte_pktmbuf_free(packet);
        }
    };
    for (std::uint32_t i = 0; i < count; ++i) {
        rte_mbuf* packet = rte_pktmbuf_alloc(pool.get());
        std::memcpy(rte_pktmbuf_append(packet, 64), &i, sizeof i);
        mbuf_burst out;
        network.pass(&packet, 1, out);
        take(out);
    }
    mbuf_burst rest;
    network.pass(nullptr, 0, rest);
    take(rest);
    return numbers;
}

TEST(Impairment, DoesNothingUnasked) {
    packet_pool pool;
    impairment network({}, 1, pool.get());
    const auto out = pass(pool, network, 1'000);
    ASSERT_EQ(1'000u, out.size());
    for (std::uint32_t i = 0; i < out.size(); ++i) {
        ASSERT_EQ(i, out[i]);
    }
}

TEST(Impairment, LosesItsShare) {
    packet_pool pool;
    impairment network({.lose = 100'000}, 1, pool.get());
    const auto out = pass(pool, network, 20'000);
    EXPECT_NEAR(18'000, static_cast<double>(out.size()), 300);
}

TEST(Impairment, DoublesItsShare) {
    packet_pool pool;
    impairment network({.duplicate = 100'000}, 1, pool.get());
    const auto out = pass(pool, network, 20'000);
    EXPECT_NEAR(22'000, static_cast<double>(out.size()), 300);
}

TEST(Impairment, LetsLaterOnesPass) {
    packet_pool pool;
    impairment network({.reorder = 50'000}, 1, pool.get());
    const auto out = pass(pool, network, 20'000);
    ASSERT_EQ(20'000u, out.size());
    unsigned late = 0;
    for (std::size_t i = 1; i < out.size(); ++i) {
        if (out[i] < out[i - 1]) {
            ++late;
            EXPECT_EQ(reorder_distance, out[i - 1] - out[i]);
        }
    }
    EXPECT_GT(late, 600u);
    EXPECT_LT(late, 1'000u);
}

} // namespace
} // namespace pantala
