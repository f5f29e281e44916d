// Neighbour discovery: solicitations answered, and every transition of RFC 4861 7.2 and 7.3.
#include "tests/stack/ip6/small_net6.hpp"

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

using wire::icmp6_type;
using wire::ipv6_address;
using wire::nd_option_type;
using enum neighbor_state;

struct nd : testing::Test, small_net6 {
    const ipv6_address peer = ip6_host(2, 0, 0x44);
    const wire::mac_address peer_mac = mac(0x44);
    const wire::mac_address other_mac = mac(0x45);

    neighbor_state state() {
        return net.worker_stack().neighbors_owner()->state_of(make_neighbor_key(outside, peer));
    }
    // A packet from the host to the peer.
    void packet() {
        net.receive(0, ethernet(to_router, wire::ether_type::ipv6, datagram6({host, peer})));
        net.run();
    }
    void hear(
        icmp6_type type, std::uint32_t rest, const bytes& content, ip6_fields fields,
        const wire::mac_address& from) {
        net.receive(
            1, ethernet(
                   {router::mac_of(1), from}, wire::ether_type::ipv6,
                   icmp6_packet(fields, type, 0, rest, content)));
        net.run();
    }
    void advertise(
        std::uint32_t flags, const wire::mac_address& at, bool with_option = true,
        std::uint8_t hop_limit = 255) {
        ip6_fields fields{peer, router_outside};
        fields.hop_limit = hop_limit;
        bytes content = bytes_of(peer);
        if (with_option) {
            content = content + link_option(nd_option_type::target_link_address, at);
        }
        hear(icmp6_type::neighbor_advertisement, flags, content, fields, at);
    }
    void answer() { advertise(wire::nd_flag_solicited | wire::nd_flag_override, peer_mac); }
    // Where packets to the peer go now; zero: nowhere.
    wire::mac_address way() {
        forget();
        packet();
        const auto sent = net.sent_ip6(1);
        return sent.size() == 1 ? parse_frame(sent[0]).link.destination : wire::mac_address{};
    }
    // The question about the peer, to everybody or to `known` alone.
    bytes question(const wire::mac_address* known = nullptr) const {
        ip6_fields fields{router_outside, known != nullptr ? peer : wire::solicited_node(peer)};
        fields.hop_limit = 255;
        return leaving(
            known != nullptr ? *known : wire::multicast_mac(fields.destination), 1,
            icmp6_packet(
                fields, icmp6_type::neighbor_solicitation, 0, 0,
                bytes_of(peer) +
                    link_option(nd_option_type::source_link_address, router::mac_of(1))));
    }
};

TEST_F(nd, asked_for_answered_and_reached) {
    packet();
    EXPECT_EQ(state(), incomplete);
    packet();
    EXPECT_TRUE(same(net.sent(1), frames{question()})); // one question is enough
    answer();
    EXPECT_EQ(state(), reachable);
    ip6_fields fields{host, peer};
    fields.hop_limit = 63;
    const bytes expected = leaving(peer_mac, 1, datagram6(fields));
    EXPECT_TRUE(same(net.sent(1), frames{expected, expected}));
}

TEST_F(nd, three_questions_then_address_unreachable) {
    packet();
    for (unsigned i = 0; i < 3; ++i) {
        EXPECT_TRUE(same(net.sent(1), frames{question()})) << i;
        net.advance(ns_per_s);
    }
    EXPECT_EQ(state(), failed);
    EXPECT_TRUE(
        same(net.sent(0), frames{error_frame(icmp6_type::destination_unreachable, 3, 0, [&] {
                 ip6_fields fields{host, peer};
                 fields.hop_limit = 63;
                 return datagram6(fields);
             }())}));
    EXPECT_EQ(net.dropped(drop_reason::neighbor_failed), 1u);
}

TEST_F(nd, probes_what_is_in_use_and_stale) {
    packet();
    answer();
    net.advance(30 * ns_per_s);
    EXPECT_EQ(state(), stale);
    EXPECT_EQ(way(), peer_mac);
    EXPECT_EQ(state(), delay);
    net.sent(1);
    net.advance(5 * ns_per_s);
    EXPECT_EQ(state(), probe);
    EXPECT_TRUE(same(net.sent(1), frames{question(&peer_mac)}));
    answer();
    EXPECT_EQ(state(), reachable);
    // Silent this time: unicast questions, then it has failed; and it recovers.
    net.advance(30 * ns_per_s);
    packet();
    net.advance(8 * ns_per_s);
    EXPECT_EQ(state(), failed);
    answer();
    EXPECT_EQ(state(), reachable);
    EXPECT_EQ(way(), peer_mac);
}

// RFC 4861 7.2.5, by the flags of the advertisement.
TEST_F(nd, advertisements_nobody_asked_for_create_nothing) {
    answer();
    EXPECT_EQ(state(), unknown);
}

TEST_F(nd, an_incomplete_one_wants_the_link_address) {
    packet();
    advertise(wire::nd_flag_solicited, peer_mac, false);
    EXPECT_EQ(state(), incomplete);
    advertise(0, peer_mac);
    EXPECT_EQ(state(), stale);
    EXPECT_EQ(way(), peer_mac);
}

TEST_F(nd, without_override_another_address_is_not_taken) {
    packet();
    answer();
    advertise(wire::nd_flag_solicited, other_mac);
    EXPECT_EQ(state(), stale);
    EXPECT_EQ(way(), peer_mac);
}

TEST_F(nd, override_changes_the_address) {
    packet();
    answer();
    advertise(wire::nd_flag_override, other_mac);
    EXPECT_EQ(state(), stale);
    EXPECT_EQ(way(), other_mac);
    advertise(wire::nd_flag_override | wire::nd_flag_solicited, peer_mac);
    EXPECT_EQ(state(), reachable);
    EXPECT_EQ(way(), peer_mac);
}

TEST_F(nd, solicited_without_option_confirms) {
    packet();
    answer();
    net.advance(30 * ns_per_s);
    EXPECT_EQ(state(), stale);
    advertise(wire::nd_flag_solicited, peer_mac, false);
    EXPECT_EQ(state(), reachable);
}

TEST_F(nd, from_afar_or_malformed_nothing_is_believed) {
    packet();
    forget();
    advertise(wire::nd_flag_solicited, peer_mac, true, 254);
    EXPECT_EQ(state(), incomplete);
    ip6_fields fields{peer, router_outside};
    fields.hop_limit = 255;
    const std::uint32_t flags = wire::nd_flag_solicited | wire::nd_flag_override;
    const auto type = icmp6_type::neighbor_advertisement;
    hear(type, flags, payload(15), fields, peer_mac);                    // too short
    hear(type, flags, bytes_of(peer) + bytes(8), fields, peer_mac);      // option of length 0
    hear(type, flags, bytes_of(wire::ipv6_all_nodes), fields, peer_mac); // of a group
    fields.destination = wire::ipv6_all_nodes;                           // solicited, to all
    hear(
        type, flags, bytes_of(peer) + link_option(nd_option_type::target_link_address, peer_mac),
        fields, peer_mac);
    net.receive( // a fragment (RFC 6980)
        1, ethernet({router::mac_of(1), peer_mac}, wire::ether_type::ipv6, [&] {
            ip6_fields outer{peer, router_outside, wire::ip_protocol::fragment, 255};
            return ip6(
                outer, fragment_header(wire::ip_protocol::icmpv6, 0, false, 1) +
                           icmp6(
                               outer, type, 0, flags,
                               bytes_of(peer) +
                                   link_option(nd_option_type::target_link_address, peer_mac)));
        }()));
    net.run();
    EXPECT_EQ(state(), incomplete);
    EXPECT_EQ(net.dropped(drop_reason::nd_format), 6u);
}

TEST_F(nd, solicitations_for_us_are_answered) {
    ip6_fields fields{peer, wire::solicited_node(router_outside)};
    fields.hop_limit = 255;
    const bytes asking =
        bytes_of(router_outside) + link_option(nd_option_type::source_link_address, peer_mac);
    hear(icmp6_type::neighbor_solicitation, 0, asking, fields, peer_mac);
    ip6_fields back{router_outside, peer};
    back.hop_limit = 255;
    EXPECT_TRUE(same(
        net.sent(1),
        frames{leaving(
            peer_mac, 1,
            icmp6_packet(
                back, icmp6_type::neighbor_advertisement, 0,
                wire::nd_flag_router | wire::nd_flag_solicited | wire::nd_flag_override,
                bytes_of(router_outside) +
                    link_option(nd_option_type::target_link_address, router::mac_of(1))))}));
    EXPECT_EQ(state(), stale); // it spoke to us, and that it hears us is not known yet
    // Another's address is not our business; what it says of itself is, if we know it.
    hear(
        icmp6_type::neighbor_solicitation, 0,
        bytes_of(gateway) + link_option(nd_option_type::source_link_address, other_mac), fields,
        other_mac);
    EXPECT_TRUE(net.sent(1).empty());
    EXPECT_EQ(way(), other_mac);
}

TEST_F(nd, who_wants_our_address_is_told_that_it_is_taken) {
    ip6_fields fields{{}, wire::solicited_node(router_outside)};
    fields.hop_limit = 255;
    hear(icmp6_type::neighbor_solicitation, 0, bytes_of(router_outside), fields, peer_mac);
    const auto sent = net.sent(1);
    ASSERT_EQ(sent.size(), 1u);
    const auto told = parse_ip6_frame(sent[0]);
    ASSERT_TRUE(told && told->icmp());
    EXPECT_EQ(told->header.destination, wire::ipv6_all_nodes);
    EXPECT_EQ(told->icmp()->rest.host() & wire::nd_flag_solicited, 0u);
    // With a link address, or to another group, it is malformed (RFC 4861 7.1.1).
    hear(
        icmp6_type::neighbor_solicitation, 0,
        bytes_of(router_outside) + link_option(nd_option_type::source_link_address, peer_mac),
        fields, peer_mac);
    fields.destination = wire::ipv6_all_nodes;
    hear(icmp6_type::neighbor_solicitation, 0, bytes_of(router_outside), fields, peer_mac);
    EXPECT_TRUE(net.sent(1).empty());
    EXPECT_EQ(net.dropped(drop_reason::nd_format), 2u);
}

TEST_F(nd, an_asker_without_link_address_is_looked_up) {
    ip6_fields fields{peer, router_outside};
    fields.hop_limit = 255;
    hear(icmp6_type::neighbor_solicitation, 0, bytes_of(router_outside), fields, peer_mac);
    EXPECT_TRUE(same(net.sent(1), frames{question()}));
    answer();
    const auto sent = net.sent(1);
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(parse_frame(sent[0]).link.destination, peer_mac);
    EXPECT_EQ(parse_ip6_frame(sent[0])->icmp()->kind(), icmp6_type::neighbor_advertisement);
}

TEST_F(nd, other_workers_know_the_same) {
    small_net6 two({}, 3);
    two.net.receive(
        0, ethernet(two.to_router, wire::ether_type::ipv6, datagram6({two.host, peer})), 2);
    two.net.run();
    ip6_fields fields{peer, router_outside};
    fields.hop_limit = 255;
    two.net.receive(
        1,
        ethernet(
            {router::mac_of(1), peer_mac}, wire::ether_type::ipv6,
            icmp6_packet(
                fields, icmp6_type::neighbor_advertisement, 0,
                wire::nd_flag_solicited | wire::nd_flag_override,
                bytes_of(peer) + link_option(nd_option_type::target_link_address, peer_mac))),
        1);
    two.net.run();
    EXPECT_EQ(two.net.sent_ip6(1).size(), 1u);
    for (unsigned worker = 0; worker < 3; ++worker) {
        two.net.receive(
            0, ethernet(two.to_router, wire::ether_type::ipv6, datagram6({two.host, peer})),
            worker);
        two.net.run();
        EXPECT_EQ(two.net.sent_ip6(1).size(), 1u) << worker;
    }
}

} // namespace
} // namespace pantala::test
