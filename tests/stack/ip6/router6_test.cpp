// Routers on the link: our advertisements, what is made of others', listener reports, and the
// reverse path check.
#include "stack/ether/addresses6.hpp"
#include "tests/stack/ip6/link6.hpp"
#include "tests/stack/ip6/small_net6.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

using wire::icmp6_type;
using wire::ipv6_address;
using wire::nd_option_type;

// --- advertisements of ours ---

TEST_F(link6, nothing_is_advertised_by_default) {
    hear(icmp6_type::router_solicitation, 0, {{}, wire::ipv6_all_routers}, {});
    EXPECT_EQ(net.dropped(drop_reason::nd_ignored), 1u);
    net.advance(4000 * ns_per_s);
    EXPECT_TRUE(sent(icmp6_type::router_advertisement).empty());
}

TEST_F(link6, an_advertisement_says_what_the_interface_is) {
    duties(iface_advertise);
    const auto all = sent(icmp6_type::router_advertisement);
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].header.source, link_local(router::mac_of(0)));
    EXPECT_EQ(all[0].header.destination, wire::ipv6_all_nodes);
    EXPECT_EQ(all[0].header.hop_limit, 255);
    EXPECT_EQ(lifetime_of(all[0]), 1800);
    const bytes& content = all[0].content;
    const auto options = wire::parse_nd_options({content.data() + 16, content.size() - 16});
    ASSERT_TRUE(options);
    EXPECT_EQ(options->source, router::mac_of(0));
    EXPECT_EQ(options->mtu, 1500u);
    ASSERT_EQ(options->prefix_count, 1u);
    EXPECT_EQ(options->prefixes[0].prefix, ip6_host(1, 0, 0));
    EXPECT_EQ(options->prefixes[0].prefix_length, 64);
    EXPECT_EQ(options->prefixes[0].flags, 0xc0);
    EXPECT_EQ(options->prefixes[0].valid_s.host(), 2'592'000u);
    EXPECT_EQ(options->prefixes[0].preferred_s.host(), 604'800u);
}

TEST_F(link6, three_soon_then_within_the_interval) {
    duties(iface_advertise);
    net.advance(33 * ns_per_s); // two more, 16 seconds apart at most
    EXPECT_EQ(sent(icmp6_type::router_advertisement).size(), 3u);
    net.advance(6000 * ns_per_s); // each 200 to 600 seconds
    const std::size_t later = sent(icmp6_type::router_advertisement).size();
    EXPECT_GE(later, 9u);
    EXPECT_LE(later, 30u);
}

TEST_F(link6, hosts_that_ask_are_answered_together_and_not_too_often) {
    duties(iface_advertise);
    net.advance(100 * ns_per_s);
    net.sent(0);
    const bytes option = link_option(nd_option_type::source_link_address, peer_mac);
    for (unsigned i = 0; i < 50; ++i) {
        hear(
            icmp6_type::router_solicitation, 0, {link_local(peer_mac), wire::ipv6_all_routers},
            option);
    }
    net.advance(500 * ns_per_ms);
    EXPECT_EQ(sent(icmp6_type::router_advertisement).size(), 1u);
    hear(icmp6_type::router_solicitation, 0, {{}, wire::ipv6_all_routers}, {});
    net.advance(2 * ns_per_s);
    EXPECT_TRUE(sent(icmp6_type::router_advertisement).empty());
    net.advance(2 * ns_per_s);
    EXPECT_EQ(sent(icmp6_type::router_advertisement).size(), 1u);
}

TEST_F(link6, the_last_one_says_goodbye) {
    duties(iface_advertise);
    net.sent(0);
    duties(0);
    const auto all = sent(icmp6_type::router_advertisement);
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(lifetime_of(all[0]), 0);
    net.advance(4000 * ns_per_s);
    EXPECT_TRUE(sent(icmp6_type::router_advertisement).empty());
}

TEST_F(link6, bad_solicitations_are_refused) {
    duties(iface_advertise);
    net.advance(100 * ns_per_s);
    net.sent(0);
    const std::uint64_t before = net.dropped(drop_reason::nd_format);
    const bytes option = link_option(nd_option_type::source_link_address, peer_mac);
    hear(icmp6_type::router_solicitation, 0, {{}, wire::ipv6_all_routers}, option);
    hear(icmp6_type::router_solicitation, 0, {{}, wire::ipv6_all_routers}, {}, 64);
    hear(icmp6_type::router_solicitation, 0, {{}, wire::ipv6_all_routers}, bytes{1, 0, 0, 0});
    EXPECT_EQ(net.dropped(drop_reason::nd_format) - before, 3u);
    net.advance(5 * ns_per_s);
    EXPECT_TRUE(sent(icmp6_type::router_advertisement).empty());
}

TEST_F(link6, duties_out_of_range_are_refused) {
    EXPECT_FALSE(net.routes().set_duties(id, iface_advertise | iface_accept_ra).ok());
    EXPECT_FALSE(net.routes().set_duties(id, iface_rpf_strict | iface_rpf_loose).ok());
    EXPECT_FALSE(net.routes().set_duties(id, iface_advertise, 3).ok());
    EXPECT_FALSE(net.routes().set_duties(id, iface_advertise, 1801).ok());
    EXPECT_FALSE(net.routes().set_duties(id, iface_advertise, 600, 599).ok());
    EXPECT_FALSE(net.routes().set_duties(id, iface_advertise, 600, 9001).ok());
    EXPECT_TRUE(net.routes().set_duties(id, iface_advertise, 600, 0).ok());
}

// --- advertisements of others ---

TEST_F(link6, others_are_not_believed_by_default) {
    advertise(1800, prefix_option(7200, 3600));
    EXPECT_EQ(net.dropped(drop_reason::nd_ignored), 1u);
    EXPECT_EQ(made(), nullptr);
    EXPECT_FALSE(has_default());
}

TEST_F(link6, an_address_and_a_default_route_are_made) {
    duties(iface_accept_ra);
    advertise(1800, prefix_option(7200, 3600));
    ASSERT_NE(made(), nullptr);
    const address6 mine = address6::from_bytes(made()->address);
    EXPECT_EQ(mine.high, ipv6_address::of(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 0).high());
    EXPECT_NE(mine.low, wire::eui64_identifier(router::mac_of(0))); // RFC 7217: of the secret
    EXPECT_NE(made()->flags & address_tentative, 0);
    EXPECT_TRUE(has_default());
    net.advance(3 * ns_per_s);
    EXPECT_TRUE(is_usable(*made()));
    EXPECT_EQ(net.routes().get(mine)->targets[0].kind, nexthop_kind::local);
}

TEST_F(link6, an_address_is_the_same_for_the_same_prefix_and_secret_only) {
    duties(iface_accept_ra);
    advertise(1800, prefix_option(7200, 3600));
    ASSERT_NE(made(), nullptr);
    const auto first = made()->address;
    duties(0);
    ASSERT_EQ(made(), nullptr);
    duties(iface_accept_ra);
    bytes other = prefix_option(7200, 3600);
    other[20] = 0x99; // of another prefix, first
    advertise(1800, other);
    ASSERT_NE(made(), nullptr);
    EXPECT_FALSE(std::equal(first.begin() + 8, first.end(), made()->address.begin() + 8));
    duties(0);
    duties(iface_accept_ra);
    advertise(1800, prefix_option(7200, 3600));
    ASSERT_NE(made(), nullptr);
    EXPECT_EQ(made()->address, first);

    autoconf stranger(net.routes(), siphash_key{3, 4});
    router_report report;
    report.iface = id;
    report.prefix_count = 1;
    report.prefixes[0].prefix_length = 64;
    report.prefixes[0].flags = wire::nd_prefix_option::on_link | wire::nd_prefix_option::autonomous;
    report.prefixes[0].valid_s = report.prefixes[0].preferred_s = be32::from(3600);
    report.prefixes[0].prefix =
        wire::ipv6_address::from_halves(address6::from_bytes(first).high, 0);
    stranger.heard(report);
    EXPECT_EQ(stranger.addresses(), 1u); // beside the one that is there, so it is another
}

TEST_F(link6, another_address_is_tried_where_somebody_has_the_first) {
    duties(iface_accept_ra);
    advertise(1800, prefix_option(7200, 3600));
    std::vector<std::array<std::uint8_t, 16>> tried;
    for (unsigned attempt = 0; attempt < autoconf::attempts_max + 2; ++attempt) {
        ASSERT_NE(made(), nullptr);
        if (tried.empty() || tried.back() != made()->address) {
            tried.push_back(made()->address);
        }
        ASSERT_TRUE(net.routes()
                        .set_address_flags(
                            id, address6::from_bytes(made()->address),
                            static_cast<std::uint8_t>(
                                (made()->flags | address_duplicate) & ~unsigned{address_tentative}))
                        .ok());
        net.advance(2 * ns_per_s);
    }
    EXPECT_EQ(tried.size(), autoconf::attempts_max);
    std::sort(tried.begin(), tried.end());
    EXPECT_EQ(std::unique(tried.begin(), tried.end()), tried.end());
    EXPECT_EQ(net.automatic().addresses(), 1u);
}

TEST_F(link6, lifetimes_run_out) {
    duties(iface_accept_ra);
    advertise(1800, prefix_option(7200, 3600));
    net.advance(1799 * ns_per_s);
    EXPECT_TRUE(has_default());
    net.advance(2 * ns_per_s);
    EXPECT_FALSE(has_default());
    EXPECT_EQ(made()->flags & address_deprecated, 0);
    net.advance(1800 * ns_per_s);
    EXPECT_NE(made()->flags & address_deprecated, 0);
    net.advance(3600 * ns_per_s);
    EXPECT_EQ(made(), nullptr);
}

TEST_F(link6, nobody_takes_addresses_away_at_once) {
    duties(iface_accept_ra);
    advertise(1800, prefix_option(100'000, 50'000));
    advertise(0, prefix_option(0, 0)); // forged, or in earnest: two hours are left
    EXPECT_FALSE(has_default());
    net.advance(7199 * ns_per_s);
    ASSERT_NE(made(), nullptr);
    EXPECT_NE(made()->flags & address_deprecated, 0);
    net.advance(2 * ns_per_s);
    EXPECT_EQ(made(), nullptr);
}

TEST_F(link6, prefixes_that_make_no_address) {
    duties(iface_accept_ra);
    advertise(0, prefix_option(7200, 3600, wire::nd_prefix_option::on_link)); // not autonomous
    advertise(0, prefix_option(3600, 7200)); // preferred for longer
    advertise(0, prefix_option(7200, 3600, 0xc0, 56));
    advertise(0, prefix_option(0, 0));
    EXPECT_EQ(made(), nullptr);
    EXPECT_FALSE(has_default());
}

TEST_F(link6, forged_advertisements_are_refused) {
    duties(iface_accept_ra);
    const std::uint64_t before = net.dropped(drop_reason::nd_format);
    advertise(1800, prefix_option(7200, 3600), 64); // from afar
    hear(
        icmp6_type::router_advertisement, 1800, {ip6_host(1, 0, 9), wire::ipv6_all_nodes},
        bytes(8) + prefix_option(7200, 3600)); // not a link-local source
    hear(
        icmp6_type::router_advertisement, 1800, {link_local(peer_mac), wire::ipv6_all_nodes},
        bytes(4)); // short
    EXPECT_EQ(net.dropped(drop_reason::nd_format) - before, 3u);
    EXPECT_EQ(made(), nullptr);
}

TEST_F(link6, a_flood_of_routers_and_prefixes_is_bounded) {
    duties(iface_accept_ra);
    for (unsigned i = 0; i < 100; ++i) {
        bytes option = prefix_option(7200, 3600);
        option[20] = static_cast<std::uint8_t>(i); // another prefix
        const wire::mac_address from = mac(static_cast<std::uint8_t>(i), 0x55);
        hear(
            icmp6_type::router_advertisement, 1800, {link_local(from), wire::ipv6_all_nodes},
            bytes(8) + option);
    }
    EXPECT_EQ(net.automatic().routers(), autoconf::routers_max);
    EXPECT_EQ(net.automatic().addresses(), autoconf::addresses_max);
}

TEST_F(link6, what_was_made_goes_with_the_duty) {
    duties(iface_accept_ra);
    advertise(1800, prefix_option(7200, 3600));
    net.advance(5 * ns_per_s);
    duties(0);
    EXPECT_EQ(made(), nullptr);
    EXPECT_FALSE(has_default());
    EXPECT_EQ(net.automatic().routers() + net.automatic().addresses(), 0u);
    net.advance(5 * ns_per_s);
    EXPECT_EQ(net.worker_stack(1).routes().hash(), net.routes().hash());
}

TEST_F(link6, routers_are_asked_for_until_one_answers) {
    duties(iface_accept_ra);
    net.advance(1 * ns_per_s);
    const auto first = sent(icmp6_type::router_solicitation);
    ASSERT_EQ(first.size(), 1u);
    EXPECT_EQ(first[0].header.destination, wire::ipv6_all_routers);
    EXPECT_EQ(first[0].header.hop_limit, 255);
    net.advance(4 * ns_per_s);
    EXPECT_EQ(sent(icmp6_type::router_solicitation).size(), 1u);
    advertise(1800, {});
    net.advance(60 * ns_per_s);
    EXPECT_TRUE(sent(icmp6_type::router_solicitation).empty());
}

// --- listener reports ---

// The records of the reports among `frames`: type, then group.
std::vector<std::pair<unsigned, ipv6_address>> records_of(const frames& all) {
    std::vector<std::pair<unsigned, ipv6_address>> records;
    for (const bytes& frame : all) {
        const auto packet = parse_ip6_frame(frame);
        if (!packet || packet->header.next_header != 0) {
            continue;
        }
        EXPECT_EQ(packet->header.hop_limit, 1);
        EXPECT_EQ(packet->content[0], static_cast<std::uint8_t>(wire::ip_protocol::icmpv6));
        EXPECT_EQ(packet->content[2], static_cast<std::uint8_t>(wire::ipv6_option::router_alert));
        EXPECT_EQ(packet->content[8], static_cast<std::uint8_t>(icmp6_type::listener_report));
        const unsigned count = packet->content[14] << 8U | packet->content[15];
        EXPECT_EQ(packet->content.size(), 16 + 20 * count);
        for (unsigned i = 0; i < count; ++i) {
            ipv6_address group;
            std::memcpy(group.bytes.data(), &packet->content[16 + 20 * i + 4], 16);
            records.emplace_back(packet->content[16 + 20 * i], group);
        }
    }
    return records;
}

TEST_F(link6, groups_are_reported_when_joined_and_left_twice_each) {
    ASSERT_TRUE(net.routes().add_address(id, {0x20010db8'00010000, 0x99}, 64).ok());
    net.advance(5 * ns_per_s);
    const ipv6_address group = wire::solicited_node(ip6_host(1, 0, 0x99));
    using records = std::vector<std::pair<unsigned, ipv6_address>>;
    EXPECT_EQ(records_of(net.sent(0)), (records{{4, group}, {4, group}}));
    ASSERT_TRUE(net.routes().del_address(id, {0x20010db8'00010000, 0x99}, 64).ok());
    net.advance(5 * ns_per_s);
    EXPECT_EQ(records_of(net.sent(0)), (records{{3, group}, {3, group}}));
}

TEST_F(link6, a_query_is_answered_with_all_groups_in_time) {
    bytes query = bytes_of({}) + bytes{2, 125, 0, 0};
    ip6_fields fields{link_local(peer_mac), wire::ipv6_all_nodes};
    fields.hop_limit = 1;
    fields.next_header = wire::ip_protocol::hop_by_hop;
    const auto ask = [&](const bytes& content, std::uint8_t hop_limit) {
        ip6_fields pseudo{fields.source, fields.destination};
        fields.hop_limit = hop_limit;
        const bytes message = icmp6(pseudo, icmp6_type::listener_query, 0, 1000u << 16, content);
        net.receive(
            0,
            ethernet(
                {wire::multicast_mac(fields.destination), peer_mac}, wire::ether_type::ipv6,
                ip6(fields, options_header(wire::ip_protocol::icmpv6, {5, 2, 0, 0}) + message)),
            1);
        net.run();
    };
    ask(query, 1);
    net.advance(1 * ns_per_s);
    // All routers, the groups of the link-local and the global address, and the anycast address's.
    EXPECT_EQ(records_of(net.sent(0)).size(), 4u);
    EXPECT_EQ(net.worker_stack(1).nd_counts().listener_queries_in.read(), 1u);
    const std::uint64_t before = net.dropped(drop_reason::nd_format);
    ask(query, 2); // from afar
    ask(bytes_of(ip6_host(1, 0, 1)) + bytes{2, 125, 0, 0}, 1);
    ask(bytes(17), 1);
    EXPECT_EQ(net.dropped(drop_reason::nd_format) - before, 3u);
    net.advance(5 * ns_per_s);
    EXPECT_TRUE(records_of(net.sent(0)).empty());
}

// --- reverse path ---

struct reverse_path : testing::Test, small_net6 {
    void from(const ipv6_address& source) { from_host(datagram6({source, far_away})); }
};

TEST_F(reverse_path, strict_wants_the_way_it_came) {
    ASSERT_TRUE(net.routes().set_duties(inside, iface_rpf_strict).ok());
    net.run();
    from(host);
    EXPECT_EQ(net.sent_ip6(1).size(), 1u);
    from(ip6_host(0x100, 1, 1)); // its route leaves by the other link
    from(ip6_host(0x900, 1, 1)); // no route
    from(router_inside);         // ours
    EXPECT_EQ(net.dropped(drop_reason::ip6_reverse_path), 3u);
    EXPECT_TRUE(net.sent_ip6(1).empty());
    EXPECT_TRUE(net.sent_ip6(0).empty());
}

TEST_F(reverse_path, loose_wants_any_way) {
    ASSERT_TRUE(net.routes().set_duties(inside, iface_rpf_loose).ok());
    net.run();
    from(host);
    from(ip6_host(0x100, 1, 1));
    EXPECT_EQ(net.sent_ip6(1).size(), 2u);
    from(ip6_host(0x900, 1, 1));
    EXPECT_EQ(net.dropped(drop_reason::ip6_reverse_path), 1u);
}

TEST_F(reverse_path, others_links_are_not_checked) {
    ASSERT_TRUE(net.routes().set_duties(outside, iface_rpf_strict).ok());
    net.run();
    from(ip6_host(0x900, 1, 1));
    EXPECT_EQ(net.sent_ip6(1).size(), 1u);
    EXPECT_EQ(net.dropped(drop_reason::ip6_reverse_path), 0u);
}

// Not the first interface: what a packet came in by is known of plain packets, too.
TEST_F(reverse_path, on_the_other_link) {
    ASSERT_TRUE(net.routes().add_address(inside, ip(10, 0, 0, 1).host(), 24).ok());
    ASSERT_TRUE(net.routes().add_address(outside, ip(10, 0, 1, 1).host(), 24).ok());
    ASSERT_TRUE(net.routes().set_duties(outside, iface_rpf_strict).ok());
    net.learn(inside, ip(10, 0, 0, 2), host_mac);
    forget();
    const link_fields link{router::mac_of(1), gateway_mac};
    const auto send = [&](wire::ipv4_address source, const ipv6_address& source6) {
        const ip4_fields fields{source, ip(10, 0, 0, 2)};
        net.receive(1, ethernet(link, wire::ether_type::ipv4, ip4(fields, payload(20))));
        net.receive(1, ethernet(link, wire::ether_type::ipv6, datagram6({source6, host})));
        net.run();
    };
    send(ip(10, 0, 1, 9), far_away);
    EXPECT_EQ(net.sent_ip(0).size(), 2u);         // of both families
    send(ip(10, 9, 9, 9), ip6_host(0x900, 1, 1)); // no route
    EXPECT_EQ(net.dropped(drop_reason::ip4_reverse_path), 1u);
    EXPECT_EQ(net.dropped(drop_reason::ip6_reverse_path), 1u);
}

TEST_F(reverse_path, of_ip4) {
    ASSERT_TRUE(net.routes().add_address(inside, ip(10, 0, 0, 1).host(), 24).ok());
    ASSERT_TRUE(net.routes().add_address(outside, ip(10, 0, 1, 1).host(), 24).ok());
    ASSERT_TRUE(net.routes().set_duties(inside, iface_rpf_strict).ok());
    net.learn(outside, ip(10, 0, 1, 2), gateway_mac);
    forget();
    const auto send = [&](wire::ipv4_address source) {
        const ip4_fields fields{source, ip(10, 0, 1, 2)};
        net.receive(0, ethernet(to_router, wire::ether_type::ipv4, ip4(fields, payload(20))));
        net.run();
    };
    send(ip(10, 0, 0, 2));
    EXPECT_EQ(net.sent_ip(1).size(), 1u);
    send(ip(10, 0, 1, 9));
    send(ip(192, 0, 2, 1));
    EXPECT_EQ(net.dropped(drop_reason::ip4_reverse_path), 2u);
    EXPECT_TRUE(net.sent_ip(1).empty());
}

} // namespace
} // namespace pantala::test
