#include "engine/base/byte_order.hpp"
#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"
#include "engine/base/serial.hpp"
#include "engine/drop.hpp"

#include <cstring>

#include <gtest/gtest.h>

namespace pantala {
namespace {

TEST(byte_order, wire_bytes_are_big_endian) {
    const be32 value = be32::from(0x01020304);
    unsigned char bytes[4];
    std::memcpy(bytes, &value, 4);
    EXPECT_EQ(bytes[0], 1);
    EXPECT_EQ(bytes[3], 4);
    EXPECT_EQ(value.host(), 0x01020304u);
}

TEST(serial, half_the_circle_precedes) {
    EXPECT_TRUE(serial_less<std::uint32_t>(0xfffffff0u, 0x10u));
    EXPECT_FALSE(serial_less<std::uint32_t>(0x10u, 0xfffffff0u));
    EXPECT_FALSE(serial_less<std::uint32_t>(7, 7));
}

TEST(clock, scale_keeps_a_day_to_the_microsecond) {
    const std::uint64_t hz = 2'596'000'000;
    const tsc_scale scale(hz);
    const std::uint64_t day_ns = 86'400ull * ns_per_s;
    const std::uint64_t measured = scale.to_ns(hz * 86'400);
    EXPECT_LT(day_ns - measured, 60'000u);
}

TEST(result, holds_either) {
    result<int> good = 7;
    result<int> bad = error{ENOENT, "no such thing"};
    EXPECT_EQ(*good, 7);
    EXPECT_FALSE(bad);
    EXPECT_EQ(bad.failure().code, ENOENT);
}

TEST(drop_reasons, every_reason_has_a_text) {
    for (const auto& reason : drop_reason_texts) {
        EXPECT_GT(std::strlen(reason.text), 3u) << reason.name;
    }
}

} // namespace
} // namespace pantala
