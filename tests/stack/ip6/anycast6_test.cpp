// The subnet's router anycast address on its own link (RFC 4291 2.6.1, RFC 4861 7.2.7).
#include "stack/ether/addresses6.hpp"
#include "tests/stack/ip6/small_net6.hpp"

#include <algorithm>

namespace pantala::test::anycast6_tests {
namespace {

using wire::icmp6_type;
using wire::ipv6_address;

struct anycast6 : testing::Test, small_net6 {
    void ask(const ipv6_address& target) {
        ip6_fields fields{gateway, wire::solicited_node(target)};
        fields.hop_limit = 255;
        net.receive(
            1, ethernet(
                   {wire::multicast_mac(fields.destination), gateway_mac}, wire::ether_type::ipv6,
                   icmp6_packet(
                       fields, icmp6_type::neighbor_solicitation, 0, 0,
                       bytes_of(target) +
                           link_option(wire::nd_option_type::source_link_address, gateway_mac))));
        net.run();
    }
    bool silent() {
        const frames sent = net.sent(1);
        return std::ranges::none_of(sent, [](const bytes& frame) {
            const auto packet = parse_ip6_frame(frame);
            const auto icmp = packet ? packet->icmp() : std::nullopt;
            return icmp && icmp->kind() == icmp6_type::neighbor_advertisement;
        });
    }
    const ipv6_address subnet = ip6_host(2, 0, 0);
};

TEST_F(anycast6, is_told_of_without_override_and_reached) {
    ask(subnet);
    ip6_fields back{router_outside, gateway};
    back.hop_limit = 255;
    EXPECT_TRUE(same(
        net.sent(1),
        frames{leaving(
            gateway_mac, 1,
            icmp6_packet(
                back, icmp6_type::neighbor_advertisement, 0,
                wire::nd_flag_router | wire::nd_flag_solicited,
                bytes_of(subnet) +
                    link_option(wire::nd_option_type::target_link_address, router::mac_of(1))))}));
    net.receive(
        1, ethernet(
               {router::mac_of(1), gateway_mac}, wire::ether_type::ipv6,
               icmp6_packet({gateway, subnet}, icmp6_type::echo_request, 0, 7, payload(8))));
    net.run();
    EXPECT_EQ(net.sent_ip6(1).size(), 1u);
}

TEST_F(anycast6, its_group_is_joined_while_the_address_is_there) {
    const ipv6_address group = wire::solicited_node(subnet);
    EXPECT_TRUE(has_joined(net.routes().interface(outside), group));
    ASSERT_TRUE(net.routes().del_address(outside, {0x20010db8'00020000, 1}, 64).ok());
    net.run();
    EXPECT_FALSE(has_joined(net.routes().interface(outside), group));
    net.advance(3 * ns_per_s);
    const frames sent = net.sent(1);
    const bytes left = bytes_of(group);
    EXPECT_TRUE(std::ranges::any_of(sent, [&](const bytes& frame) { // reported as left
        return std::search(frame.begin(), frame.end(), left.begin(), left.end()) != frame.end();
    }));
    forget();
    ask(subnet);
    EXPECT_TRUE(silent());
}

TEST_F(anycast6, nobody_has_it_on_a_link_of_two_nor_where_we_are_a_host) {
    net.add_address6(outside, "2001:db8:5::1/127");
    forget();
    ask(ip6_host(5, 0, 0));
    EXPECT_TRUE(silent());
    ASSERT_TRUE(net.routes().set_duties(outside, iface_accept_ra).ok());
    net.run();
    forget();
    ask(subnet);
    EXPECT_TRUE(silent());
}

} // namespace
} // namespace pantala::test::anycast6_tests
