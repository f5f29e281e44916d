// Routers that are none any more, or never were (RFC 4861 6.3.7, 7.2.5).
#include "tests/stack/ip6/link6.hpp"

namespace pantala::test::no_router_tests {
namespace {

using wire::icmp6_type;
using wire::ipv6_address;

struct no_router : link6 {
    // A host asks for an address of ours: it is a neighbour from then on.
    void greet(const wire::mac_address& from) {
        const ipv6_address ours = link_local(router::mac_of(0));
        hear(
            icmp6_type::neighbor_solicitation, 0, {link_local(from), wire::solicited_node(ours)},
            bytes_of(ours) + link_option(wire::nd_option_type::source_link_address, from));
    }
    void say(const wire::mac_address& from, std::uint32_t flags) {
        hear(
            icmp6_type::neighbor_advertisement, flags | wire::nd_flag_solicited,
            {link_local(from), link_local(router::mac_of(0))},
            bytes_of(link_local(from)) +
                link_option(wire::nd_option_type::target_link_address, from));
    }
};

TEST_F(no_router, one_that_says_so_is_no_default_route) {
    duties(iface_accept_ra);
    greet(peer_mac);
    advertise(1800, prefix_option(7200, 3600));
    say(peer_mac, wire::nd_flag_router | wire::nd_flag_override);
    net.advance(5 * ns_per_s);
    EXPECT_TRUE(has_default());
    const std::uint16_t mtu = net.routes().interface(id).mtu6;
    say(peer_mac, wire::nd_flag_override);
    EXPECT_FALSE(has_default());
    EXPECT_EQ(net.automatic().routers(), 0u);
    EXPECT_NE(made(), nullptr) << "of its prefixes it said nothing";
    EXPECT_EQ(net.routes().interface(id).mtu6, mtu);
    advertise(1800, {}); // it is one again
    EXPECT_TRUE(has_default());
    say(peer_mac, wire::nd_flag_override);
    EXPECT_FALSE(has_default());
}

// The message that tells control may have told of another link before.
TEST_F(no_router, one_that_ends_says_nothing_of_hop_limits) {
    duties(iface_accept_ra);
    const iface_id other = net.add_iface(1, {});
    net.add_address6(other, "2001:db8:2::1/64");
    ASSERT_TRUE(net.routes().set_duties(other, iface_accept_ra, 600, 1800).ok());
    net.advance(10 * ns_per_s);
    ip6_fields fields{link_local(mac(0x45)), wire::ipv6_all_nodes};
    fields.hop_limit = 255;
    net.receive(
        1,
        ethernet(
            {wire::multicast_mac(fields.destination), mac(0x45)}, wire::ether_type::ipv6,
            icmp6_packet(fields, icmp6_type::router_advertisement, 0, 99U << 24 | 1800U, bytes(8))),
        0);
    net.run();
    EXPECT_EQ(net.routes().interface(other).hop_limit6, 99U);
    greet(peer_mac);
    advertise(1800, {});
    say(peer_mac, wire::nd_flag_router | wire::nd_flag_override);
    net.advance(5 * ns_per_s);
    EXPECT_EQ(net.automatic().routers(), 2u);
    say(peer_mac, wire::nd_flag_override);
    EXPECT_EQ(net.automatic().routers(), 1u);
    EXPECT_EQ(net.routes().interface(id).hop_limit6, 0U);
}

TEST_F(no_router, a_host_that_says_so_changes_nothing) {
    duties(iface_accept_ra);
    greet(peer_mac);
    advertise(1800, {});
    greet(mac(0x45));
    say(mac(0x45), wire::nd_flag_override);
    EXPECT_TRUE(has_default());
    EXPECT_EQ(net.automatic().routers(), 1u);
}

TEST_F(no_router, an_advertisement_for_no_time_does_not_end_the_search) {
    duties(iface_accept_ra);
    net.advance(1 * ns_per_s);
    ASSERT_EQ(sent(icmp6_type::router_solicitation).size(), 1u);
    advertise(0, prefix_option(7200, 3600));
    net.advance(4 * ns_per_s);
    EXPECT_EQ(sent(icmp6_type::router_solicitation).size(), 1u);
    advertise(1800, {});
    net.advance(60 * ns_per_s);
    EXPECT_TRUE(sent(icmp6_type::router_solicitation).empty());
}

} // namespace
} // namespace pantala::test::no_router_tests
