// What the wire headers say about themselves, against the bytes of the RFCs' figures.
#include "stack/wire/arp.hpp"
#include "stack/wire/ethernet.hpp"
#include "stack/wire/icmp4.hpp"
#include "stack/wire/icmp6.hpp"
#include "stack/wire/ipv4.hpp"
#include "stack/wire/ipv6.hpp"
#include "stack/wire/tcp.hpp"

#include <cstring>

#include <gtest/gtest.h>

namespace pantala::wire {
namespace {

template <class Header>
Header lay(const std::uint8_t (&bytes)[sizeof(Header)]) {
    Header header;
    std::memcpy(&header, bytes, sizeof header);
    return header;
}

TEST(ipv4_header, reads_flags_and_offset) {
    auto ip = lay<ipv4_header>(
        {0x46, 0, 0, 100, 0, 1, 0x20, 0x02, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2});
    EXPECT_EQ(ip.version(), 4u);
    EXPECT_EQ(ip.header_bytes(), 24u);
    EXPECT_TRUE(ip.is_fragment());
    EXPECT_TRUE(ip.has_more_fragments());
    EXPECT_FALSE(ip.may_not_fragment());
    EXPECT_EQ(ip.fragment_offset_bytes(), 16u);
    ip.flags_offset = be16::from(0x4000);
    EXPECT_TRUE(ip.may_not_fragment());
    EXPECT_FALSE(ip.is_fragment());
    EXPECT_EQ(ip.source, ipv4_address::of(10, 0, 0, 1));
}

TEST(ipv4_address, knows_its_kind) {
    EXPECT_TRUE(ipv4_address::of(224, 0, 0, 1).is_multicast());
    EXPECT_TRUE(ipv4_address::of(239, 255, 255, 255).is_multicast());
    EXPECT_FALSE(ipv4_address::of(240, 0, 0, 1).is_multicast());
    EXPECT_TRUE(ipv4_address::of(127, 9, 9, 9).is_loopback());
    EXPECT_TRUE(ipv4_address::of(255, 255, 255, 255).is_limited_broadcast());
    EXPECT_LT(ipv4_address::of(1, 0, 0, 255), ipv4_address::of(2, 0, 0, 0));
    EXPECT_EQ(ipv4_mask(0), 0u);
    EXPECT_EQ(ipv4_mask(24), 0xffffff00u);
    EXPECT_EQ(ipv4_mask(32), 0xffffffffu);
}

TEST(ipv6_address, knows_its_kind) {
    EXPECT_TRUE(ipv6_address::of(0xfebf, 0, 0, 0, 0, 0, 0, 1).is_link_local());
    EXPECT_FALSE(ipv6_address::of(0xfec0, 0, 0, 0, 0, 0, 0, 1).is_link_local());
    EXPECT_TRUE(ipv6_address::of(0xff02, 0, 0, 0, 0, 0, 0, 1).is_multicast());
    EXPECT_EQ(ipv6_address::of(0x2001, 0xdb8, 0, 1, 0, 0, 0, 2).high(), 0x20010db800000001ull);
    EXPECT_EQ(ipv6_address::of(0x2001, 0xdb8, 0, 1, 0, 0, 0, 2).low(), 2ull);
}

TEST(vlan_tag, identifier_is_twelve_bits) {
    const auto tag = lay<vlan_tag>({0xef, 0xfe, 0x08, 0x00});
    EXPECT_EQ(tag.identifier(), 0xffe);
    EXPECT_EQ(tag.ether(), ether_type::ipv4);
}

TEST(icmp, errors_are_told_from_queries) {
    for (const int type : {3, 4, 5, 11, 12}) {
        EXPECT_TRUE((icmp4_header{.type = static_cast<std::uint8_t>(type)}.is_error())) << type;
    }
    for (const int type : {0, 8, 9, 10, 13, 14, 17}) {
        EXPECT_FALSE((icmp4_header{.type = static_cast<std::uint8_t>(type)}.is_error())) << type;
    }
    EXPECT_TRUE((icmp6_header{.type = 2}.is_error()));
    EXPECT_FALSE((icmp6_header{.type = 135}.is_error()));
}

TEST(ipv6_fragment_header, reads_offset_and_more) {
    const auto fragment = lay<ipv6_fragment_header>({17, 0, 0x01, 0x01, 0, 0, 0, 9});
    EXPECT_EQ(fragment.offset_bytes(), 256u);
    EXPECT_TRUE(fragment.more());
}

TEST(tcp_header, length_is_in_words) {
    EXPECT_EQ((tcp_header{.data_offset = 0x80}.header_bytes()), 32u);
}

} // namespace
} // namespace pantala::wire
