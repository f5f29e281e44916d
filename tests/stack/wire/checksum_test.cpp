#include "stack/wire/checksum.hpp"

#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace pantala::wire {
namespace {

// The definition, word by word in network order (RFC 1071 1), as an independent twin.
std::uint16_t slow_sum(const std::vector<std::uint8_t>& bytes) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); i += 2) {
        sum +=
            static_cast<std::uint32_t>(bytes[i] << 8) + (i + 1 < bytes.size() ? bytes[i + 1] : 0u);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return static_cast<std::uint16_t>(sum);
}

TEST(checksum, example_of_rfc_1071) {
    const std::array<std::uint8_t, 8> bytes = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    EXPECT_EQ(be16::from_raw(fold(sum_bytes(bytes.data(), bytes.size()))).host(), 0xddf2);
}

TEST(checksum, agrees_with_the_definition_at_every_length_and_alignment) {
    std::mt19937 random(1);
    std::vector<std::uint8_t> bytes(300);
    for (auto& byte : bytes) {
        byte = static_cast<std::uint8_t>(random());
    }
    for (std::size_t start = 0; start < 8; ++start) {
        for (std::size_t length = 0; length + start <= bytes.size(); ++length) {
            const std::vector<std::uint8_t> part(
                bytes.begin() + static_cast<std::ptrdiff_t>(start),
                bytes.begin() + static_cast<std::ptrdiff_t>(start + length));
            ASSERT_EQ(
                be16::from_raw(fold(sum_bytes(bytes.data() + start, length))).host(),
                slow_sum(part))
                << "start " << start << " length " << length;
        }
    }
}

TEST(checksum, a_copy_is_whole_and_sums_alike) {
    std::mt19937 random(3);
    std::vector<std::uint8_t> bytes(300);
    for (auto& byte : bytes) {
        byte = static_cast<std::uint8_t>(random());
    }
    for (std::size_t length = 0; length < 290; ++length) {
        std::vector<std::uint8_t> copy(300, 0xee);
        const std::size_t start = length % 7;
        const partial_sum sum = copy_and_sum(copy.data() + 3, bytes.data() + start, length, 5);
        ASSERT_EQ(fold(sum), fold(sum_bytes(bytes.data() + start, length, 5))) << length;
        ASSERT_TRUE(std::equal(
            copy.begin() + 3, copy.begin() + 3 + static_cast<std::ptrdiff_t>(length),
            bytes.begin() + static_cast<std::ptrdiff_t>(start)));
        ASSERT_EQ(copy[2], 0xee);
        ASSERT_EQ(copy[3 + length], 0xee);
    }
}

TEST(checksum, all_ones_carry_all_the_way) {
    const std::vector<std::uint8_t> bytes(65535, 0xff);
    EXPECT_EQ(be16::from_raw(fold(sum_bytes(bytes.data(), bytes.size()))).host(), slow_sum(bytes));
}

TEST(checksum, header_sum_equals_the_general_one) {
    std::mt19937 random(2);
    for (int round = 0; round < 1000; ++round) {
        std::array<std::uint8_t, 20> header;
        for (auto& byte : header) {
            byte = static_cast<std::uint8_t>(random());
        }
        ASSERT_EQ(fold(sum_ipv4_header20(header.data())), fold(sum_bytes(header.data(), 20)));
    }
}

TEST(checksum, update_equals_recomputation_for_every_word) {
    // Includes RFC 1624's own trouble case (section 4): a sum that must not become 0x0000 wrongly.
    std::mt19937 random(3);
    for (unsigned before = 0; before <= 0xffff; ++before) {
        std::array<std::uint8_t, 20> header{};
        for (auto& byte : header) {
            byte = static_cast<std::uint8_t>(random());
        }
        header[8] = static_cast<std::uint8_t>(before >> 8);
        header[9] = static_cast<std::uint8_t>(before);
        header[10] = header[11] = 0;
        const be16 old_checksum = checksum_of(sum_bytes(header.data(), 20));
        const auto after = static_cast<std::uint16_t>(before - 0x100);
        header[8] = static_cast<std::uint8_t>(after >> 8);
        ASSERT_EQ(
            checksum_update(
                old_checksum, be16::from(static_cast<std::uint16_t>(before)), be16::from(after)),
            checksum_of(sum_bytes(header.data(), 20)));
    }
}

TEST(checksum, trouble_case_of_rfc_1624) {
    // "a header field of 0x5555 with checksum 0xdd2f changes to 0x3285": the answer is 0x0000.
    EXPECT_EQ(
        checksum_update(be16::from(0xdd2f), be16::from(0x5555), be16::from(0x3285)).host(), 0);
}

TEST(checksum, pseudo_headers_match_their_layout) {
    const std::vector<std::uint8_t> four = {192, 0, 2, 1, 198, 51, 100, 2, 0, 17, 0x12, 0x34};
    EXPECT_EQ(
        fold(sum_pseudo_header(
            ipv4_address::of(192, 0, 2, 1), ipv4_address::of(198, 51, 100, 2), ip_protocol::udp,
            0x1234)),
        fold(sum_bytes(four.data(), four.size())));

    const auto source = ipv6_address::of(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const auto destination = ipv6_address::of(0x2001, 0xdb8, 1, 2, 3, 4, 5, 0xffff);
    std::vector<std::uint8_t> six(source.bytes.begin(), source.bytes.end());
    six.insert(six.end(), destination.bytes.begin(), destination.bytes.end());
    for (const int byte : {0, 1, 2, 3, 0, 0, 0, 58}) {
        six.push_back(static_cast<std::uint8_t>(byte));
    }
    EXPECT_EQ(
        fold(sum_pseudo_header(source, destination, ip_protocol::icmpv6, 0x00010203)),
        fold(sum_bytes(six.data(), six.size())));
}

} // namespace
} // namespace pantala::wire
