#include "engine/round_stats.hpp"

#include <memory>

#include <gtest/gtest.h>

namespace pantala {
namespace {

TEST(round_stats, buckets_tile_the_line) {
    EXPECT_EQ(round_stats::floor_ns(0), 0u);
    for (unsigned i = 0; i + 1 < round_stats::buckets; ++i) {
        const std::uint64_t low = round_stats::floor_ns(i);
        const std::uint64_t next = round_stats::floor_ns(i + 1);
        ASSERT_LT(low, next);
        ASSERT_EQ(round_stats::bucket_of(low), i);
        ASSERT_EQ(round_stats::bucket_of(next - 1), i);
    }
    EXPECT_EQ(round_stats::bucket_of(~std::uint64_t{0}), round_stats::buckets - 1);
}

TEST(round_stats, percentiles) {
    const auto stats = std::make_unique<round_stats>();
    EXPECT_EQ(stats->percentile_ns(999), 0u);
    for (int i = 0; i < 998; ++i) {
        stats->busy(1'000);
    }
    stats->busy(50'000);
    stats->busy(1'000'000);
    EXPECT_EQ(stats->busy_rounds(), 1000u);
    EXPECT_GE(stats->percentile_ns(500), 1'000u);
    EXPECT_LE(stats->percentile_ns(500), 1'250u);
    EXPECT_GE(stats->percentile_ns(999), 50'000u);
    EXPECT_LE(stats->percentile_ns(999), 62'500u);
    EXPECT_GE(stats->percentile_ns(1000), 1'000'000u);
}

} // namespace
} // namespace pantala
