// The MTU that routers advertise (RFC 4861 6.3.4): what a host makes of it.
#include "tests/stack/ip6/small_net6.hpp"

#include <cstring>

namespace pantala::test {
namespace {

using wire::icmp6_type;

// The gateway on `outside` advertises.
struct link_mtu : testing::Test, small_net6 {
    link_mtu() { believe(true); }

    void believe(bool wanted) {
        const std::uint8_t duties = wanted ? iface_accept_ra : std::uint8_t{0};
        ASSERT_TRUE(net.routes().set_duties(outside, duties).ok());
        net.advance(2 * ns_per_s);
        forget();
    }
    void advertise(std::uint32_t mtu) {
        wire::nd_mtu_option option;
        option.mtu = be32::from(mtu);
        bytes options(8 + sizeof option);
        std::memcpy(options.data() + 8, &option, sizeof option);
        ip6_fields fields{link_local(gateway_mac), wire::ipv6_all_nodes};
        fields.hop_limit = 255;
        net.receive(
            1, ethernet(
                   {wire::multicast_mac(fields.destination), gateway_mac}, wire::ether_type::ipv6,
                   icmp6_packet(fields, icmp6_type::router_advertisement, 0, 0, options)));
        net.run();
    }
    std::uint16_t path_mtu(const ip_address& remote) {
        const ip_services& ip = net.worker_stack().host().ip();
        return ip.path_mtu(ip.context, remote);
    }
    std::uint16_t advertised() { return net.routes().interface(outside).mtu6; }
};

TEST_F(link_mtu, it_is_that_of_ipv6_packets_and_of_no_others) {
    ASSERT_TRUE(net.routes().add_address(outside, 10U << 24 | 1, 24).ok());
    advertise(1400);
    EXPECT_EQ(1400, path_mtu(ip_address::from(far_away)));
    EXPECT_EQ(1400, path_mtu(ip_address::from(gateway)));
    EXPECT_EQ(1500, path_mtu(ip_address::from(host))) << "the other link";
    EXPECT_EQ(1500, path_mtu(ip_address::from(wire::ipv4_address::of(10, 0, 0, 2))));
    EXPECT_EQ(1500, net.routes().interface(outside).mtu);
    forget();
    // Through it, too: what the link loses is no use to anybody.
    const ip6_fields fields{host, far_away};
    from_host(datagram6(fields, 1400 - 48));
    EXPECT_EQ(1u, net.sent(1).size());
    const bytes packet = datagram6(fields, 1401 - 48);
    from_host(packet);
    EXPECT_TRUE(net.sent(1).empty());
    const auto answers = net.sent(0);
    ASSERT_EQ(1u, answers.size());
    EXPECT_EQ(error_frame(icmp6_type::packet_too_big, 0, 1400, packet), answers[0]);
}

TEST_F(link_mtu, our_own_packets_are_cut_to_it) {
    advertise(1280);
    ip6_fields fields{far_away, router_outside};
    net.receive(
        1, ethernet(
               {router::mac_of(1), gateway_mac}, wire::ether_type::ipv6,
               icmp6_packet(fields, icmp6_type::echo_request, 0, 7, payload(1400))));
    net.run();
    const auto sent = net.sent(1);
    ASSERT_EQ(2u, sent.size());
    for (const bytes& frame : sent) {
        EXPECT_LE(frame.size(), 14u + 1280u);
    }
}

TEST_F(link_mtu, only_what_the_interface_carries_and_ipv6_needs_is_believed) {
    for (const std::uint32_t good : {1280U, 1499U, 1500U, 1400U}) {
        advertise(good);
        EXPECT_EQ(good, advertised());
        net.advance(autoconf::limits_pause_ns);
    }
    for (const std::uint32_t bad : {0U, 68U, 1279U, 1501U, 65'535U, 65'536U + 1'400U, ~0U}) {
        advertise(bad);
        EXPECT_EQ(1400, advertised()) << bad;
    }
    // The interface's own goes first, whichever came first.
    ASSERT_TRUE(net.routes().set_mtu(outside, 1300).ok());
    net.run();
    EXPECT_EQ(1300, path_mtu(ip_address::from(far_away)));
    ASSERT_TRUE(net.routes().set_mtu(outside, 1500).ok());
    net.run();
    EXPECT_EQ(1400, path_mtu(ip_address::from(far_away)));
}

TEST_F(link_mtu, one_that_never_rests_is_changed_every_ten_seconds) {
    advertise(1400);
    const std::uint64_t before = net.routes().counts().generation;
    for (unsigned i = 0; i < 200; ++i) {
        advertise(1280 + i % 7);
        EXPECT_EQ(1400, advertised());
    }
    EXPECT_EQ(before, net.routes().counts().generation) << "workers hear nothing of it";
    EXPECT_EQ(200U, net.automatic().limits_put_off());
    net.advance(autoconf::limits_pause_ns + ns_per_s);
    EXPECT_EQ(1280 + 199 % 7, advertised()) << "the last that was heard";
    EXPECT_EQ(1280 + 199 % 7, path_mtu(ip_address::from(far_away)));
    advertise(1280 + 199 % 7);
    EXPECT_EQ(200U, net.automatic().limits_put_off()) << "nothing to change";
}

TEST_F(link_mtu, it_counts_for_as_long_as_routers_are_believed) {
    advertise(1400);
    believe(false);
    EXPECT_EQ(0, advertised());
    EXPECT_EQ(1500, path_mtu(ip_address::from(far_away)));
    advertise(1400);
    EXPECT_EQ(0, advertised());
}

TEST_F(link_mtu, a_router_says_no_nonsense_to_the_rib_either) {
    EXPECT_FALSE(net.routes().set_mtu6(outside, 1279).ok());
    EXPECT_FALSE(net.routes().set_mtu6(outside, 1501).ok());
    EXPECT_FALSE(net.routes().set_mtu6(iface_id{99}, 1400).ok());
}

} // namespace
} // namespace pantala::test
