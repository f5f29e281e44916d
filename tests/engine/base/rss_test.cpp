#include "engine/base/rss.hpp"
#include "engine/random.hpp"

#include <algorithm>
#include <bit>
#include <memory>
#include <vector>

#include <gtest/gtest.h>
#include <rte_thash.h>

namespace pantala {
namespace {

constexpr std::uint32_t ip(unsigned a, unsigned b, unsigned c, unsigned d) {
    return a << 24 | b << 16 | c << 8 | d;
}

// "Verifying the RSS Hash Calculation", Microsoft's driver documentation.
TEST(rss, published_vectors_of_ipv4) {
    const auto hash = std::make_unique<toeplitz>(rss_key_microsoft);
    EXPECT_EQ(hash->hash4(ip(66, 9, 149, 187), ip(161, 142, 100, 80), 2794, 1766), 0x51ccc178u);
    EXPECT_EQ(hash->hash4(ip(66, 9, 149, 187), ip(161, 142, 100, 80)), 0x323e8fc2u);
    EXPECT_EQ(hash->hash4(ip(199, 92, 111, 2), ip(65, 69, 140, 83), 14230, 4739), 0xc626b0eau);
    EXPECT_EQ(hash->hash4(ip(24, 19, 198, 95), ip(12, 22, 207, 184), 12898, 38024), 0x5c2b394au);
}

TEST(rss, fast_scalar_and_dpdk_agree_for_any_key_and_length) {
    random_source random(7);
    for (int turn = 0; turn < 200; ++turn) {
        rss_key key;
        for (auto& byte : key) {
            byte = static_cast<std::uint8_t>(random.next());
        }
        if (turn % 4 == 0) {
            key = rss_key_symmetric;
        }
        const auto hash = std::make_unique<toeplitz>(key);
        std::vector<std::uint8_t> input(4 * (1 + random.below(9)));
        for (auto& byte : input) {
            byte = static_cast<std::uint8_t>(random.next());
        }
        std::vector<std::uint32_t> words;
        for (std::size_t i = 0; i < input.size(); i += 4) {
            words.push_back(ip(input[i], input[i + 1], input[i + 2], input[i + 3]));
        }
        const std::uint32_t expected =
            rte_softrss(words.data(), static_cast<std::uint32_t>(words.size()), key.data());
        EXPECT_EQ(hash->hash(input), expected);
        EXPECT_EQ(hash->hash_scalar(input), expected);
        input.pop_back(); // lengths DPDK's has no answer for
        EXPECT_EQ(hash->hash(input), hash->hash_scalar(input));
        if (words.size() >= 3) {
            const std::vector<std::uint8_t> tuple(input.begin(), input.begin() + 8);
            EXPECT_EQ(hash->hash4(words[0], words[1]), hash->hash_scalar(tuple));
        }
    }
}

TEST(rss, symmetric_key_gives_both_directions_one_hash) {
    const auto hash = std::make_unique<toeplitz>(rss_key_symmetric);
    const auto one_way = std::make_unique<toeplitz>(rss_key_microsoft);
    random_source random(8);
    bool differed = false;
    for (int i = 0; i < 1000; ++i) {
        const auto a = static_cast<std::uint32_t>(random.next());
        const auto b = static_cast<std::uint32_t>(random.next());
        const auto p = static_cast<std::uint16_t>(random.next());
        const auto q = static_cast<std::uint16_t>(random.next());
        EXPECT_EQ(hash->hash4(a, b, p, q), hash->hash4(b, a, q, p));
        differed |= one_way->hash4(a, b, p, q) != one_way->hash4(b, a, q, p);
    }
    EXPECT_TRUE(differed);
    EXPECT_TRUE(hash->symmetric());
    EXPECT_FALSE(one_way->symmetric());
}

} // namespace
} // namespace pantala
