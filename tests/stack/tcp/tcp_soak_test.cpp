// A fixed share of the soak; scripts/soak_tcp runs as many seeds as one likes.
#include "tests/stack/tcp/soak.hpp"

#include <gtest/gtest.h>

namespace pantala::sim {
namespace {

TEST(tcp_soak, every_byte_once_and_in_order_and_nothing_left) {
    for (std::uint64_t seed = 1; seed <= 150; ++seed) {
        const soak_result result = soak(seed);
        EXPECT_EQ(result.failure, "")
            << "replay: build/tests/stack/tcp/tcp_soak " << seed << "\n  world: " << result.world;
    }
}

} // namespace
} // namespace pantala::sim
