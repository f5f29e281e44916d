// With which address a neighbour is asked for (RFC 4861 7.2.2): always one of the link.
#include "tests/stack/ip6/small_net6.hpp"

#include <optional>

#include <gtest/gtest.h>

namespace pantala::test::solicit6_tests {
namespace {

using wire::icmp6_type;
using wire::ipv6_address;

struct solicit6 : testing::Test, small_net6 {
    // Who asked for `target` by port 1 since it was last looked at.
    std::optional<ipv6_address> asker(const ipv6_address& target) {
        for (const bytes& frame : net.sent(1)) {
            const auto packet = parse_ip6_frame(frame);
            const auto icmp = packet ? packet->icmp() : std::nullopt;
            const bytes whom = icmp ? bytes_of(target) : bytes();
            if (icmp && icmp->kind() == icmp6_type::neighbor_solicitation &&
                std::equal(whom.begin(), whom.end(), packet->content.begin() + 8)) {
                return packet->header.source;
            }
        }
        return std::nullopt;
    }
    void packet(const ipv6_address& to) { from_host(datagram6({host, to})); }
    // These are on the outer link, though none of its addresses is of them.
    void lead_out(const prefix6& prefix) {
        route6 direct;
        direct.prefix = prefix;
        direct.targets.push_back({.kind = nexthop_kind::connected, .interface = outside});
        ASSERT_TRUE(net.routes().add(direct).ok());
        net.run();
    }
};

TEST_F(solicit6, by_a_deprecated_one_where_other_links_have_better_ones) {
    const address6 mine{0x20010db8'00020000, 1};
    ASSERT_TRUE(net.routes().set_address_flags(outside, mine, address_deprecated).ok());
    net.run();
    forget();
    packet(ip6_host(2, 0, 0x44));
    EXPECT_EQ(asker(ip6_host(2, 0, 0x44)), router_outside);
}

TEST_F(solicit6, by_the_link_local_one_where_there_is_no_other) {
    const address6 mine{0x20010db8'00020000, 1};
    ASSERT_TRUE(net.routes().del_address(outside, mine, 64).ok());
    lead_out(*parse_prefix6("2001:db8:9::/48"));
    forget();
    const ipv6_address peer = ip6_host(9, 0, 0x44);
    packet(peer);
    const ipv6_address ours = link_local(router::mac_of(1));
    EXPECT_EQ(asker(peer), ours);
    // It is answered, and the packet leaves.
    ip6_fields back{peer, ours};
    back.hop_limit = 255;
    net.receive(
        1, ethernet(
               {router::mac_of(1), mac(0x44)}, wire::ether_type::ipv6,
               icmp6_packet(
                   back, icmp6_type::neighbor_advertisement, 0,
                   wire::nd_flag_solicited | wire::nd_flag_override,
                   bytes_of(peer) +
                       link_option(wire::nd_option_type::target_link_address, mac(0x44)))));
    net.run();
    EXPECT_EQ(net.sent_ip6(1).size(), 1u);
}

// An address of another prefix of the link finds back less surely than a link-local one.
TEST_F(solicit6, not_by_one_of_another_prefix) {
    const address6 mine{0x20010db8'00020000, 1};
    net.add_address6(outside, "2001:db8:7::1/64");
    ASSERT_TRUE(
        net.routes().set_address_flags(outside, {0x20010db8'00070000, 1}, address_deprecated).ok());
    ASSERT_TRUE(net.routes().set_address_flags(outside, mine, address_deprecated).ok());
    lead_out(*parse_prefix6("2001:db8:9::/48"));
    forget();
    packet(ip6_host(9, 0, 0x44));
    EXPECT_EQ(asker(ip6_host(9, 0, 0x44)), link_local(router::mac_of(1)));
    packet(ip6_host(7, 0, 0x44));
    EXPECT_EQ(asker(ip6_host(7, 0, 0x44)), ip6_host(7, 0, 1));
}

} // namespace
} // namespace pantala::test::solicit6_tests
