// Forwarding of IPv6: what leaves, byte for byte, and what each ICMPv6 error says.
#include "tests/stack/ip6/small_net6.hpp"

#include <set>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

using wire::icmp6_type;
using wire::ip_protocol;
using wire::ipv6_address;

struct forward6 : testing::Test, small_net6 {
    bytes forwarded(ip6_fields fields, std::size_t count = 18) const {
        --fields.hop_limit;
        return leaving(gateway_mac, 1, datagram6(fields, count));
    }
};

TEST_F(forward6, a_packet_goes_by_its_route) {
    ip6_fields fields{host, far_away};
    fields.traffic_class = 0xb8;
    fields.flow_label = 0x12345;
    from_host(datagram6(fields));
    EXPECT_TRUE(same(net.sent(1), frames{forwarded(fields)}));
    EXPECT_EQ(net.worker_stack().ip6_counts().forwarded.read(), 1u);
}

TEST_F(forward6, a_burst_of_many_kinds_keeps_its_order) {
    frames expected;
    for (unsigned i = 0; i < 40; ++i) {
        ip6_fields fields{host, ip6_host(0x100, static_cast<std::uint16_t>(i), 1)};
        net.receive(0, ethernet(to_router, wire::ether_type::ipv6, datagram6(fields, i)));
        expected.push_back(forwarded(fields, i));
        if (i % 7 == 3) { // of IPv4, and not ours
            net.receive(0, udp_frame(to_router, {ip(10, 0, 0, 2), ip(10, 0, 0, 3)}));
        }
    }
    net.run();
    EXPECT_TRUE(same(net.sent(1), expected));
}

// A burst is taken as a whole if all of it is of the first frame's family, else one by one.
TEST_F(forward6, both_families_share_a_burst) {
    ASSERT_TRUE(net.routes().add_address(inside, ip(10, 0, 0, 1).host(), 24).ok());
    ASSERT_TRUE(net.routes().add_address(outside, ip(10, 0, 1, 1).host(), 24).ok());
    net.learn(outside, ip(10, 0, 1, 2), gateway_mac);
    for (const unsigned period : {2u, 3u, 63u, 64u}) {
        for (const bool six_leads : {false, true}) {
            forget();
            frames expected;
            frames expected6;
            for (unsigned i = 0; i < burst_max; ++i) {
                if ((i % period == 0) == six_leads) {
                    const ip6_fields fields{
                        host, ip6_host(0x100, static_cast<std::uint16_t>(i), 1)};
                    net.receive(
                        0, ethernet(to_router, wire::ether_type::ipv6, datagram6(fields, i)));
                    expected6.push_back(forwarded(fields, i));
                } else {
                    ip4_fields fields{ip(10, 0, 0, 2), ip(10, 0, 1, 2)};
                    fields.identification = static_cast<std::uint16_t>(i);
                    const link_fields out{gateway_mac, router::mac_of(1)};
                    net.receive(
                        0, ethernet(to_router, wire::ether_type::ipv4, ip4(fields, payload(26))));
                    --fields.time_to_live;
                    expected.push_back(
                        ethernet(out, wire::ether_type::ipv4, ip4(fields, payload(26))));
                }
            }
            net.run();
            const frames sent = net.sent(1);
            frames sent4;
            frames sent6;
            for (const bytes& frame : sent) {
                (frame[12] == 0x86 ? sent6 : sent4).push_back(frame);
            }
            EXPECT_TRUE(same(sent4, expected)) << period << six_leads;
            EXPECT_TRUE(same(sent6, expected6)) << period << six_leads;
        }
    }
}

TEST_F(forward6, padding_and_segments_do_not_matter) {
    const ip6_fields fields{host, far_away};
    net.receive(0, ethernet(to_router, wire::ether_type::ipv6, datagram6(fields, 700)), 0, 61);
    net.run();
    EXPECT_TRUE(same(net.sent(1), frames{forwarded(fields, 700)}));
    from_host(datagram6(fields, 0) + bytes(30, 0xee)); // Ethernet's padding
    EXPECT_TRUE(same(net.sent(1), frames{forwarded(fields, 0)}));
}

TEST_F(forward6, by_vlan_and_back) {
    iface tagged;
    tagged.vlan = 7;
    const iface_id id = net.add_iface(1, {}, tagged);
    net.add_address6(id, "2001:db8:7::1/64");
    const ipv6_address there = ip6_host(7, 0, 9);
    net.learn6(id, there, mac(0x77));
    forget();
    ip6_fields fields{host, there};
    from_host(datagram6(fields));
    --fields.hop_limit;
    link_fields link{mac(0x77), router::mac_of(1), 7};
    link.padded = false;
    EXPECT_TRUE(
        same(net.sent(1), frames{ethernet(link, wire::ether_type::ipv6, datagram6(fields))}));
    ip6_fields back{there, host};
    net.receive(
        1, ethernet({router::mac_of(1), mac(0x77), 7}, wire::ether_type::ipv6, datagram6(back)));
    net.run();
    --back.hop_limit;
    EXPECT_TRUE(same(net.sent(0), frames{leaving(host_mac, 0, datagram6(back))}));
}

TEST_F(forward6, hop_limit_runs_out) {
    for (const std::uint8_t limit : {std::uint8_t{1}, std::uint8_t{0}}) {
        ip6_fields fields{host, far_away};
        fields.hop_limit = limit;
        const bytes packet = datagram6(fields);
        from_host(packet);
        EXPECT_TRUE(
            same(net.sent(0), frames{error_frame(icmp6_type::time_exceeded, 0, 0, packet)}));
    }
    EXPECT_EQ(net.dropped(drop_reason::ip6_hop_limit), 2u);
    EXPECT_TRUE(net.sent(1).empty());
}

TEST_F(forward6, too_big_is_never_cut) {
    net.add_route6("2001:db8:200::/40", {"2001:db8:2::2"}, nexthop_kind::gateway, 1300);
    ip6_fields fields{host, ip6_host(0x200, 0, 1)};
    const bytes fits = datagram6(fields, 1300 - 48);
    from_host(fits);
    EXPECT_EQ(net.sent(1).size(), 1u);
    const bytes packet = datagram6(fields, 1301 - 48);
    from_host(packet);
    EXPECT_TRUE(same(net.sent(1), frames{}));
    EXPECT_TRUE(
        same(net.sent(0), frames{error_frame(icmp6_type::packet_too_big, 0, 1300, packet)}));
    EXPECT_EQ(net.dropped(drop_reason::ip6_too_big), 1u);
}

TEST_F(forward6, routes_that_refuse_say_why) {
    const struct {
        nexthop_kind kind;
        std::uint8_t code;
        drop_reason reason;
    } kinds[] = {
        {nexthop_kind::unreachable, 6, drop_reason::ip6_unreachable},
        {nexthop_kind::prohibit, 1, drop_reason::ip6_prohibit},
    };
    for (const auto& each : kinds) {
        net.add_route6("2001:db8:300::/48", {}, each.kind);
        const bytes packet = datagram6({host, ip6_host(0x300, 0, 1)});
        from_host(packet);
        EXPECT_TRUE(same(
            net.sent(0),
            frames{error_frame(icmp6_type::destination_unreachable, each.code, 0, packet)}));
        EXPECT_EQ(net.dropped(each.reason), 1u);
        net.del_route6("2001:db8:300::/48");
    }
    const bytes nowhere = datagram6({host, ip6_host(0x300, 0, 1)});
    from_host(nowhere);
    EXPECT_TRUE(
        same(net.sent(0), frames{error_frame(icmp6_type::destination_unreachable, 0, 0, nowhere)}));
    net.add_route6("2001:db8:300::/48", {}, nexthop_kind::blackhole);
    from_host(nowhere);
    EXPECT_TRUE(net.sent(0).empty());
    EXPECT_EQ(net.dropped(drop_reason::ip6_blackhole), 1u);
}

TEST_F(forward6, prefixes_of_every_length_are_found) {
    for (const unsigned length : {20u, 32u, 48u, 64u, 65u, 96u, 127u, 128u}) {
        SCOPED_TRACE(length);
        net.add_route6(
            "2001:db8:5000::" + std::string(length == 128 ? "1" : "") + "/" +
                std::to_string(length == 20 || length == 32 ? 40 : length),
            {"2001:db8:2::2"});
        from_host(datagram6({host, ip6_host(0x5000, 0, length == 128 ? 1 : 0)}));
        EXPECT_EQ(net.sent(1).size(), 1u);
        net.del_route6(
            "2001:db8:5000::" + std::string(length == 128 ? "1" : "") + "/" +
            std::to_string(length == 20 || length == 32 ? 40 : length));
    }
}

TEST_F(forward6, equal_paths_by_flow) {
    net.learn6(outside, ip6_host(2, 0, 3), mac(0x30));
    net.add_route6("2001:db8:400::/40", {"2001:db8:2::2", "2001:db8:2::3"});
    forget();
    std::set<wire::mac_address> used;
    for (std::uint16_t i = 0; i < 64; ++i) {
        ip6_fields fields{host, ip6_host(0x400, i, 1)};
        from_host(datagram6(fields));
        from_host(datagram6(fields)); // a flow keeps its way
        const auto sent = net.sent(1);
        ASSERT_EQ(sent.size(), 2u);
        const auto first = parse_frame(sent[0]).link.destination;
        EXPECT_EQ(first, parse_frame(sent[1]).link.destination);
        used.insert(first);
    }
    EXPECT_EQ(used.size(), 2u);
}

TEST_F(forward6, link_local_addresses_do_not_leave_their_link) {
    const bytes packet = datagram6({link_local(host_mac), far_away});
    from_host(packet);
    EXPECT_TRUE(net.sent(1).empty());
    EXPECT_EQ(net.dropped(drop_reason::ip6_scope), 1u);
    const auto sent = net.sent(0);
    ASSERT_EQ(sent.size(), 1u); // a question for the host's link address, or the error itself
    from_host(datagram6({host, link_local(mac(0x99))}));
    EXPECT_EQ(net.dropped(drop_reason::ip6_scope), 2u);
}

TEST_F(forward6, errors_are_not_answered_with_errors) {
    const bytes inner = datagram6({far_away, host});
    ip6_fields fields{host, ip6_host(0x300, 0, 1)};
    for (const icmp6_type type :
         {icmp6_type::time_exceeded, icmp6_type::packet_too_big, icmp6_type::redirect}) {
        from_host(icmp6_packet(fields, type, 0, 0, inner));
        EXPECT_TRUE(net.sent(0).empty());
    }
    from_host(icmp6_packet(fields, icmp6_type::echo_reply, 0, 0, payload(8)));
    EXPECT_EQ(net.sent(0).size(), 1u);
}

TEST_F(forward6, errors_are_limited) {
    for (unsigned i = 0; i < 250; ++i) {
        from_host(datagram6({host, ip6_host(0x300, 0, 1)}));
    }
    // About a hundred: each has a price of 0 to 2 (token_bucket).
    const std::size_t burst = net.sent(0).size();
    EXPECT_NEAR(static_cast<double>(burst), 100, 40);
    EXPECT_EQ(net.dropped(drop_reason::icmp6_rate), 250 - burst);
    net.advance(ns_per_s / 10);
    from_host(datagram6({host, ip6_host(0x300, 0, 1)}));
    EXPECT_EQ(net.sent(0).size(), 1u);
}

TEST_F(forward6, unresolved_gateways_are_asked_for) {
    net.add_route6("2001:db8:500::/40", {"2001:db8:2::55"});
    forget();
    ip6_fields fields{host, ip6_host(0x500, 0, 1)};
    from_host(datagram6(fields));
    const ipv6_address unknown = ip6_host(2, 0, 0x55);
    auto sent = net.sent(1);
    ASSERT_EQ(sent.size(), 1u);
    const auto question = parse_ip6_frame(sent[0]);
    ASSERT_TRUE(question && question->icmp());
    EXPECT_EQ(question->icmp()->kind(), icmp6_type::neighbor_solicitation);
    EXPECT_EQ(question->header.hop_limit, 255);
    EXPECT_EQ(question->header.destination, wire::solicited_node(unknown));
    EXPECT_EQ(
        parse_frame(sent[0]).link.destination, wire::multicast_mac(wire::solicited_node(unknown)));
    EXPECT_EQ(header_of<wire::nd_message>(question->content).target, unknown);
    net.learn6(outside, unknown, mac(0x55));
    --fields.hop_limit;
    EXPECT_TRUE(same(net.sent_ip6(1), frames{leaving(mac(0x55), 1, datagram6(fields))}));
}

TEST_F(forward6, a_detour_is_told_to_its_source) {
    const ipv6_address other = ip6_host(1, 0, 0x33); // on the host's own link
    net.learn6(inside, other, mac(0x33));
    forget();
    const bytes packet = datagram6({host, other});
    from_host(packet);
    const auto sent = net.sent(0);
    ASSERT_EQ(sent.size(), 2u); // the redirect, and the packet on its way
    const auto told = parse_ip6_frame(sent[0]);
    ASSERT_TRUE(told && told->icmp());
    EXPECT_EQ(told->icmp()->kind(), icmp6_type::redirect);
    EXPECT_EQ(told->header.hop_limit, 255);
    EXPECT_EQ(told->header.source, link_local(router::mac_of(0)));
    EXPECT_EQ(told->header.destination, host);
    const auto what = header_of<wire::nd_redirect>(told->content);
    EXPECT_EQ(what.target, other);
    EXPECT_EQ(what.destination, other);
    const auto link = header_of<wire::nd_link_address_option>(told->content, sizeof what);
    EXPECT_EQ(link.type, 2);
    EXPECT_EQ(link.address, mac(0x33));
    EXPECT_EQ(parse_frame(sent[1]).link.destination, mac(0x33));
    // At most 20 at once; the packets go on.
    for (unsigned i = 0; i < 40; ++i) {
        from_host(packet);
    }
    EXPECT_EQ(net.sent(0).size(), 40u + 19u);
    EXPECT_EQ(net.worker_stack().ip6_counts().redirects_sent.read(), 20u);
}

TEST_F(forward6, gateways_are_told_by_their_link_local_address) {
    const ipv6_address next = link_local(mac(0x34));
    route6 route;
    route.prefix = *parse_prefix6("2001:db8:600::/40");
    route_target target;
    target.gateway6 = address6{next.high(), next.low()};
    target.interface = inside;
    route.targets.push_back(target);
    ASSERT_TRUE(net.routes().add(route));
    net.learn6(inside, next, mac(0x34));
    forget();
    from_host(datagram6({host, ip6_host(0x600, 0, 1)}));
    const auto sent = net.sent(0);
    ASSERT_EQ(sent.size(), 2u);
    EXPECT_EQ(header_of<wire::nd_redirect>(parse_ip6_frame(sent[0])->content).target, next);
}

TEST_F(forward6, two_routers_in_a_row) {
    router second(pool, {.seed = 2});
    const iface_id near = second.add_iface(0, {});
    const iface_id far = second.add_iface(1, {});
    second.add_address6(near, "2001:db8:2::2/64");
    second.add_address6(far, "2001:db8:100::1/64");
    second.add_route6("2001:db8:1::/64", {"2001:db8:2::1"});
    // Whatever one sends on the wire between them the other receives.
    const auto exchange = [&] {
        for (int turn = 0; turn < 8; ++turn) {
            for (const bytes& frame : net.sent(1)) {
                second.receive(0, frame);
            }
            second.run();
            for (const bytes& frame : second.sent(0)) {
                net.receive(1, frame);
            }
            net.run();
        }
    };
    // The neighbour of this test's set-up is another machine than the second router.
    net.forget6(outside, gateway);
    const ipv6_address end = ip6_host(0x100, 0, 9);
    second.learn6(far, end, mac(0x66));
    second.sent(1);
    ip6_fields fields{host, end};
    from_host(datagram6(fields));
    exchange();
    fields.hop_limit -= 2;
    EXPECT_TRUE(same(second.sent_ip6(1), frames{leaving(mac(0x66), 1, datagram6(fields))}));
    // And as traceroute sees them.
    fields.hop_limit = 2;
    from_host(datagram6(fields));
    exchange();
    const auto answer = net.sent_ip6(0);
    ASSERT_EQ(answer.size(), 1u);
    const auto error = parse_ip6_frame(answer[0]);
    ASSERT_TRUE(error && error->icmp());
    EXPECT_EQ(error->icmp()->kind(), icmp6_type::time_exceeded);
    EXPECT_EQ(error->header.source, gateway); // the second router's address on the way
}

} // namespace
} // namespace pantala::test
