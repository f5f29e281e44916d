// Two routing tables (VRFs) on one router, with the same addresses and prefixes in both: whatever
// comes in by an interface is looked up, checked and answered in its table alone.
#include "tests/harness/packets6.hpp"
#include "tests/harness/router.hpp"

#include <array>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

// Of a table: a link with a host, and one with a gateway; both are alike in both but for the ports.
struct customer {
    unsigned inside_port;
    unsigned outside_port;
    std::uint8_t table;
    wire::mac_address host_mac;
    wire::mac_address gateway_mac;
    iface_id inside{};
    iface_id outside{};
};

struct two_tables : testing::Test {
    two_tables() : net(pool, {.ports = 5}) {
        plain = net.add_iface(4, {"10.9.0.1/24"}); // of the main table
        for (customer& each : both) {
            const iface in_table{.table = each.table};
            each.inside = net.add_iface(each.inside_port, {"10.0.0.1/24"}, in_table);
            each.outside = net.add_iface(each.outside_port, {"10.0.1.1/24"}, in_table);
            net.add_address6(each.inside, "2001:db8:1::1/64");
            net.add_address6(each.outside, "2001:db8:2::1/64");
            add_route(each.table, "192.0.2.0/24", gateway);
            add_route6(each.table, "2001:db8:100::/40", gateway6);
            net.learn(each.inside, station, each.host_mac);
            net.learn(each.outside, gateway, each.gateway_mac);
            net.learn6(each.inside, station6, each.host_mac);
            net.learn6(each.outside, gateway6, each.gateway_mac);
        }
        net.learn(plain, ip(10, 9, 0, 2), mac(0x90));
        net.advance(10 * ns_per_s);
        forget();
    }

    void add_route(std::uint8_t table, std::string_view prefix, wire::ipv4_address via) {
        route added;
        added.prefix = *parse_prefix4(prefix);
        added.table = table;
        added.targets.push_back({.gateway = via.host()});
        ASSERT_TRUE(net.routes().replace(added).ok());
        net.run();
    }
    void add_route6(std::uint8_t table, std::string_view prefix, wire::ipv6_address via) {
        route6 added;
        added.prefix = *parse_prefix6(prefix);
        added.table = table;
        added.targets.push_back({.gateway6 = address6::from_bytes(via.bytes)});
        ASSERT_TRUE(net.routes().replace(added).ok());
        net.run();
    }
    void forget() {
        for (unsigned port = 0; port < 5; ++port) {
            net.sent(port);
        }
    }
    void arrive(
        const customer& from, const bytes& packet, wire::ether_type type = wire::ether_type::ipv4) {
        net.receive(
            from.inside_port,
            ethernet({router::mac_of(from.inside_port), from.host_mac}, type, packet));
    }
    // The only frame that left any port, which was this one; empty: not so.
    bytes only_frame(unsigned port) {
        bytes found;
        for (unsigned each = 0; each < 5; ++each) {
            const std::vector<bytes> frames = net.sent_ip(each);
            EXPECT_EQ(frames.size(), each == port ? 1U : 0U) << "port " << each;
            found = each == port && frames.size() == 1 ? frames[0] : found;
        }
        return found;
    }
    static bytes datagram_to(wire::ipv4_address to, std::size_t count = 18) {
        const ip4_fields fields{ip(10, 0, 0, 2), to};
        return ip4(fields, udp(fields, 1000, 2000, payload(count)));
    }
    static bytes datagram_to(const wire::ipv6_address& to) {
        const ip6_fields fields{ip6_host(1, 0, 2), to};
        return ip6(fields, udp6(fields, 1000, 2000, payload(18)));
    }

    const wire::ipv4_address station = ip(10, 0, 0, 2);
    const wire::ipv4_address ours = ip(10, 0, 0, 1);
    const wire::ipv4_address gateway = ip(10, 0, 1, 2);
    const wire::ipv4_address far = ip(192, 0, 2, 7);
    const wire::ipv6_address station6 = ip6_host(1, 0, 2);
    const wire::ipv6_address ours6 = ip6_host(1, 0, 1);
    const wire::ipv6_address gateway6 = ip6_host(2, 0, 2);
    const wire::ipv6_address far6 = ip6_host(0x100, 7, 9);

    mbuf_pool pool;
    router net;
    iface_id plain;
    std::array<customer, 2> both{
        customer{0, 1, 1, mac(0x10), mac(0x11)}, customer{2, 3, 2, mac(0x20), mac(0x21)}};
    customer& red = both[0];
    customer& blue = both[1];
};

TEST_F(two_tables, the_same_destination_leaves_by_the_own_gateway) {
    for (const customer& each : both) {
        arrive(each, datagram_to(far));
        net.run();
        EXPECT_EQ(parse_frame(only_frame(each.outside_port)).link.destination, each.gateway_mac);
        arrive(each, datagram_to(far6), wire::ether_type::ipv6);
        net.run();
        EXPECT_EQ(parse_frame(only_frame(each.outside_port)).link.destination, each.gateway_mac);
    }
}

TEST_F(two_tables, bursts_of_any_size_do) {
    const std::uint64_t dropped = net.dropped_in_all();
    for (const unsigned count : {1U, 3U, 16U, 33U, 64U}) {
        for (const customer& each : both) {
            for (unsigned i = 0; i < count; ++i) {
                arrive(each, datagram_to(ip(192, 0, 2, static_cast<std::uint8_t>(i))));
            }
            net.run();
            EXPECT_EQ(net.sent_ip(each.outside_port).size(), count);
            for (unsigned i = 0; i < count; ++i) {
                arrive(each, datagram_to(far6), wire::ether_type::ipv6);
            }
            net.run();
            EXPECT_EQ(net.sent_ip6(each.outside_port).size(), count);
        }
    }
    EXPECT_EQ(net.dropped_in_all(), dropped);
}

TEST_F(two_tables, nothing_leaks_into_the_main_table_or_out_of_it) {
    net.add_route("default", {"10.9.0.2"}); // the tables have no default
    arrive(red, datagram_to(ip(8, 8, 8, 8)));
    net.run();
    EXPECT_EQ(net.dropped(drop_reason::ip4_no_route), 1U);
    const auto error = parse_ip4_frame(only_frame(red.inside_port));
    ASSERT_TRUE(error);
    EXPECT_EQ(header_of<wire::icmp4_header>(error->content).type, 3);
    const ip4_fields fields{ip(10, 9, 0, 2), gateway};
    net.receive(
        4, ethernet(
               {router::mac_of(4), mac(0x90)}, wire::ether_type::ipv4,
               ip4(fields, udp(fields, 1, 2, payload(18)))));
    net.run();
    EXPECT_EQ(parse_frame(only_frame(4)).link.destination, mac(0x90)) << "by main's own default";
}

TEST_F(two_tables, echoes_and_errors_are_answered_in_the_table_they_came_by) {
    for (const customer& each : both) {
        const ip4_fields to_us{station, ours, wire::ip_protocol::icmp};
        arrive(each, ip4(to_us, icmp4(wire::icmp4_type::echo, 0, 1, 2, payload(30))));
        net.run();
        const bytes answer = only_frame(each.inside_port);
        EXPECT_EQ(parse_frame(answer).link.destination, each.host_mac);
        arrive(
            each,
            icmp6_packet({station6, ours6}, wire::icmp6_type::echo_request, 0, 7, payload(30)),
            wire::ether_type::ipv6);
        net.run();
        EXPECT_EQ(parse_frame(only_frame(each.inside_port)).link.destination, each.host_mac);

        ip4_fields dying{station, far};
        dying.time_to_live = 1;
        arrive(each, ip4(dying, udp(dying, 1, 2, payload(18))));
        net.run();
        const auto error = parse_ip4_frame(only_frame(each.inside_port));
        ASSERT_TRUE(error);
        EXPECT_EQ(header_of<wire::icmp4_header>(error->content).type, 11);
        EXPECT_EQ(error->header.source, ours);
        ip6_fields dying6{station6, far6};
        dying6.hop_limit = 1;
        arrive(each, ip6(dying6, udp6(dying6, 1, 2, payload(18))), wire::ether_type::ipv6);
        net.run();
        EXPECT_EQ(parse_frame(only_frame(each.inside_port)).link.destination, each.host_mac);
    }
}

// A host of one table may have the address that is ours, or a broadcast, in another.
TEST_F(two_tables, what_is_ours_in_one_is_anybodys_in_another) {
    ASSERT_TRUE(net.routes().add_address(blue.inside, ip(10, 7, 0, 2).host(), 30).ok());
    add_route(1, "10.7.0.0/24", gateway);
    for (const wire::ipv4_address& source : {ip(10, 7, 0, 2), ip(10, 7, 0, 3)}) {
        ip4_fields dying{source, far};
        dying.time_to_live = 1;
        net.receive(
            red.outside_port,
            ethernet(
                {router::mac_of(red.outside_port), red.gateway_mac}, wire::ether_type::ipv4,
                ip4(dying, udp(dying, 1, 2, payload(18)))));
        net.run();
        const auto error = parse_ip4_frame(only_frame(red.outside_port));
        ASSERT_TRUE(error);
        EXPECT_EQ(error->header.destination, source);
    }
}

TEST_F(two_tables, sockets_are_of_the_main_table) {
    for (const customer& each : both) {
        arrive(each, datagram_to(ours));
        net.run();
        const auto error = parse_ip4_frame(only_frame(each.inside_port));
        ASSERT_TRUE(error);
        EXPECT_EQ(header_of<wire::icmp4_header>(error->content).code, 3) << "port unreachable";
        const ip4_fields segment{station, ours, wire::ip_protocol::tcp};
        arrive(each, ip4(segment, payload(20)));
        net.run();
        ASSERT_TRUE(parse_ip4_frame(only_frame(each.inside_port)));
        arrive(each, datagram_to(ours6), wire::ether_type::ipv6);
        net.run();
        EXPECT_EQ(parse_frame(only_frame(each.inside_port)).link.destination, each.host_mac);
        const ip4_fields told{station, ours, wire::ip_protocol::icmp};
        const bytes about = datagram_to(far);
        arrive(each, ip4(told, icmp4(wire::icmp4_type::destination_unreachable, 1, 0, 0, about)));
        net.run();
    }
    EXPECT_EQ(net.dropped(drop_reason::host_table), 8U);
    EXPECT_EQ(net.dropped(drop_reason::udp_port), 0U);
    // In the main table it is as ever.
    const ip4_fields fields{ip(10, 9, 0, 2), ip(10, 9, 0, 1)};
    net.receive(
        4, ethernet(
               {router::mac_of(4), mac(0x90)}, wire::ether_type::ipv4,
               ip4(fields, udp(fields, 1000, 2000, payload(18)))));
    net.run();
    EXPECT_EQ(net.dropped(drop_reason::udp_port), 1U);
    EXPECT_EQ(net.dropped(drop_reason::host_table), 8U);
}

TEST_F(two_tables, fragments_of_two_are_not_made_into_one) {
    ip4_fields first{station, ours, wire::ip_protocol::icmp};
    first.identification = 77;
    first.flags_offset = wire::ipv4_header::more_fragments;
    const bytes whole = icmp4(wire::icmp4_type::echo, 0, 1, 2, payload(40));
    ip4_fields second = first;
    second.flags_offset = 2;
    const bytes front = ip4(first, {whole.begin(), whole.begin() + 16});
    const bytes back = ip4(second, {whole.begin() + 16, whole.end()});
    arrive(red, front);
    arrive(blue, back);
    net.run();
    for (unsigned port = 0; port < 5; ++port) {
        EXPECT_TRUE(net.sent_ip(port).empty());
    }
    arrive(blue, front);
    net.run();
    EXPECT_EQ(parse_frame(only_frame(blue.inside_port)).link.destination, blue.host_mac);
    arrive(red, back);
    net.run();
    EXPECT_EQ(parse_frame(only_frame(red.inside_port)).link.destination, red.host_mac);
}

TEST_F(two_tables, sources_are_checked_in_the_own_table) {
    ASSERT_TRUE(net.routes().set_duties(red.inside, iface_rpf_strict).ok());
    ASSERT_TRUE(net.routes().set_duties(blue.inside, iface_rpf_loose).ok());
    add_route(1, "198.51.100.0/24", station); // red alone has it, by its inside
    const ip4_fields from_there{ip(198, 51, 100, 9), far};
    const bytes packet = ip4(from_there, udp(from_there, 1, 2, payload(18)));
    arrive(red, packet);
    net.run();
    EXPECT_EQ(net.sent_ip(red.outside_port).size(), 1U);
    EXPECT_EQ(net.dropped(drop_reason::ip4_reverse_path), 0U);
    arrive(blue, packet);
    net.run();
    EXPECT_EQ(net.dropped(drop_reason::ip4_reverse_path), 1U);
    add_route(2, "198.51.100.0/24", gateway); // by another way: that will do where it is loose
    add_route(1, "198.51.100.0/24", gateway);
    arrive(blue, packet);
    arrive(red, packet);
    net.run();
    EXPECT_EQ(net.sent_ip(blue.outside_port).size(), 1U);
    EXPECT_EQ(net.sent_ip(red.outside_port).size(), 0U);
    EXPECT_EQ(net.dropped(drop_reason::ip4_reverse_path), 2U);
}

TEST_F(two_tables, an_interface_that_moved_is_of_its_new_table) {
    // The blue inside goes to red, where its address is taken: it must get another first.
    EXPECT_EQ(net.routes().set_table(blue.inside, 1).failure().code, EEXIST);
    ASSERT_TRUE(net.routes().del_address(blue.inside, ours.host(), 24).ok());
    const iface& record = net.routes().interface(blue.inside);
    for (const iface_address6& mine : std::vector(record.ip6().begin(), record.ip6().end())) {
        const address6 address = address6::from_bytes(mine.address);
        ASSERT_TRUE(net.routes().del_address(blue.inside, address, mine.prefix_length).ok());
    }
    ASSERT_TRUE(net.routes().add_address(blue.inside, ip(10, 8, 0, 1).host(), 24).ok());
    ASSERT_TRUE(net.routes().set_table(blue.inside, 1).ok());
    net.learn(blue.inside, ip(10, 8, 0, 2), blue.host_mac);
    forget();
    const ip4_fields fields{ip(10, 8, 0, 2), far};
    arrive(blue, ip4(fields, udp(fields, 1, 2, payload(18))));
    net.run();
    EXPECT_EQ(parse_frame(only_frame(red.outside_port)).link.destination, red.gateway_mac);
    const ip4_fields back{far, ip(10, 8, 0, 2)};
    net.receive(
        red.outside_port, ethernet(
                              {router::mac_of(red.outside_port), red.gateway_mac},
                              wire::ether_type::ipv4, ip4(back, udp(back, 1, 2, payload(18)))));
    net.run();
    EXPECT_EQ(parse_frame(only_frame(blue.inside_port)).link.destination, blue.host_mac);
    // The table that it left has its other interface still, and the route.
    EXPECT_EQ(net.routes().counts_of(2).interfaces, 1U);
}

TEST_F(two_tables, one_that_goes_takes_nobody_along) {
    ASSERT_TRUE(net.routes().del_interface(blue.inside).ok());
    ASSERT_TRUE(net.routes().del_interface(blue.outside).ok());
    route gone;
    gone.prefix = *parse_prefix4("192.0.2.0/24");
    gone.table = 2;
    ASSERT_TRUE(net.routes().del(gone).ok());
    net.run();
    EXPECT_EQ(net.worker_stack().routes().image4(2), nullptr);
    arrive(blue, datagram_to(far));
    net.run();
    EXPECT_EQ(net.dropped(drop_reason::ether_vlan), 1U);
    arrive(red, datagram_to(far));
    net.run();
    EXPECT_EQ(parse_frame(only_frame(red.outside_port)).link.destination, red.gateway_mac);
}

TEST_F(two_tables, a_route_may_lead_out_of_another_tables_interface) {
    route leak;
    leak.prefix = *parse_prefix4("203.0.113.0/24");
    leak.table = 1;
    leak.targets.push_back({.gateway = gateway.host(), .interface = blue.outside});
    ASSERT_TRUE(net.routes().add(leak).ok());
    net.run();
    arrive(red, datagram_to(ip(203, 0, 113, 1)));
    net.run();
    EXPECT_EQ(parse_frame(only_frame(blue.outside_port)).link.destination, blue.gateway_mac);
}

// VLANs of one port, each in a table of its own, with the same addresses.
TEST_F(two_tables, vlans_of_a_trunk_may_be_of_several) {
    std::array<iface_id, 3> vlan;
    for (std::uint8_t i = 0; i < 3; ++i) {
        const iface base{.vlan = static_cast<std::uint16_t>(10 + i), .table = i};
        vlan[i] = net.add_iface(4, {"10.5.0.1/24"}, base);
        net.learn(vlan[i], ip(10, 5, 0, 2), mac(static_cast<std::uint8_t>(0x50 + i)));
    }
    net.add_route("192.0.2.0/24", {"10.9.0.2"});
    forget();
    const auto tagged = [&](unsigned which) {
        const ip4_fields fields{ip(10, 5, 0, 2), far};
        link_fields link{router::mac_of(4), mac(static_cast<std::uint8_t>(0x50 + which))};
        link.vlan = static_cast<std::uint16_t>(10 + which);
        return ethernet(link, wire::ether_type::ipv4, ip4(fields, udp(fields, 1, 2, payload(18))));
    };
    const auto untagged = [&] {
        const ip4_fields fields{ip(10, 9, 0, 2), far};
        return ethernet(
            {router::mac_of(4), mac(0x90)}, wire::ether_type::ipv4,
            ip4(fields, udp(fields, 1, 2, payload(18))));
    };
    const std::vector<std::vector<int>> bursts = {
        {1, 1, 1, 1, 1}, {2}, {0, 1, 2, 0, 1, 2}, {-1, 1, 2, -1}, {2, 2, -1, 1}, {1, 2, 0}};
    for (const std::vector<int>& burst : bursts) {
        std::array<std::size_t, 5> expected{};
        for (const int each : burst) {
            net.receive(4, each < 0 ? untagged() : tagged(static_cast<unsigned>(each)));
            ++expected[each <= 0 ? 4U : each == 1 ? red.outside_port : blue.outside_port];
        }
        net.run();
        for (unsigned port = 0; port < 5; ++port) {
            std::size_t forwarded = 0;
            for (const bytes& frame : net.sent_ip(port)) {
                const auto packet = parse_ip4_frame(frame);
                forwarded += packet && packet->header.destination == far;
            }
            EXPECT_EQ(forwarded, expected[port]) << "port " << port;
        }
    }
}

} // namespace
} // namespace pantala::test
