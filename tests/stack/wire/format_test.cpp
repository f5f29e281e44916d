#include "stack/wire/format.hpp"

#include "stack/wire/ethernet.hpp"

#include <cstdint>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace pantala::wire {
namespace {

std::vector<std::uint8_t> from_hex(const std::string& text) {
    std::vector<std::uint8_t> bytes;
    std::string digits;
    for (const char c : text) {
        if (c != ' ') {
            digits += c;
        }
        if (digits.size() == 2) {
            bytes.push_back(static_cast<std::uint8_t>(std::stoul(digits, nullptr, 16)));
            digits.clear();
        }
    }
    return bytes;
}

TEST(format, addresses) {
    EXPECT_EQ(format(mac_address{{0x02, 0, 0, 0, 0xab, 1}}), "02:00:00:00:ab:01");
    EXPECT_EQ(format(ipv4_address::of(192, 0, 2, 255)), "192.0.2.255");
    EXPECT_EQ(format(ipv6_address::of(0x2001, 0xdb8, 0, 0, 1, 0, 0, 1)), "2001:db8::1:0:0:1");
}

TEST(format, an_arp_request) {
    const auto frame = from_hex("ffffffffffff 020000000001 0806 0001 0800 06 04 0001"
                                "020000000001 c0000201 000000000000 c0000202");
    EXPECT_EQ(
        format_frame(frame), "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff, "
                             "ARP, Request who-has 192.0.2.2 tell 192.0.2.1, length 28");
}

TEST(format, a_tagged_tcp_syn) {
    const auto frame = from_hex("020000000002 020000000001 8100 000a 0800"
                                "45000028 00010000 40060000 c0000201 c0000202"
                                "3039 0050 00000001 00000000 5002 ffff 0000 0000");
    EXPECT_EQ(
        format_frame(frame), "02:00:00:00:00:01 > 02:00:00:00:00:02, vlan 10, "
                             "IP 192.0.2.1.12345 > 192.0.2.2.80: Flags [S], seq 1, win 65535, "
                             "length 0");
}

TEST(format, a_path_mtu_error) {
    const auto packet = from_hex("4500001c 00010000 40010000 c0000201 c0000202"
                                 "0304 0000 0000 0514");
    EXPECT_EQ(
        format_packet(packet),
        "IP 192.0.2.1 > 192.0.2.2: ICMP unreachable - need to frag (mtu 1300), length 8");
}

TEST(format, a_fragment) {
    const auto packet = from_hex("4500001c 00072001 40110000 c0000201 c0000202 0102030405060708");
    EXPECT_EQ(
        format_packet(packet),
        "IP 192.0.2.1 > 192.0.2.2: ip-proto-17 (frag id 7, offset 8, length 8, more)");
}

TEST(format, any_bytes_give_a_line) {
    std::mt19937 random(4);
    for (int round = 0; round < 20000; ++round) {
        std::vector<std::uint8_t> frame(random() % 80);
        for (auto& byte : frame) {
            byte = static_cast<std::uint8_t>(random());
        }
        if (frame.size() >= 14 && round % 2 == 0) {
            frame[12] = 0x08;
            frame[13] = round % 4 == 0 ? 0x00 : 0x06;
        }
        EXPECT_FALSE(format_frame(frame).empty());
        EXPECT_FALSE(format_packet(frame).empty());
    }
}

} // namespace
} // namespace pantala::wire
