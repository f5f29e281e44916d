// ICMP: every error byte for byte, every case in which none may be sent, and echo.
#include "tests/stack/ip/small_net.hpp"

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

using wire::icmp4_type;
using wire::icmp4_unreachable;
using wire::ip_protocol;

struct icmp4_errors : testing::Test, small_net {
    // What the router says to the host about `packet`; its identification is taken as it comes.
    void expect_error(
        const bytes& packet, icmp4_type type, std::uint8_t code, std::uint16_t rest_high = 0,
        std::uint16_t rest_low = 0) {
        from_host(packet);
        const frames answers = net.sent_ip(0);
        ASSERT_EQ(answers.size(), 1u);
        const auto answer = parse_ip4_frame(answers[0]);
        ASSERT_TRUE(answer.has_value());
        EXPECT_TRUE(same(
            answers,
            frames{error_frame(
                type, code, rest_high, rest_low, packet, answer->header.identification.host())}));
        EXPECT_TRUE(net.sent_ip(1).empty());
    }
    void
    expect_unreachable(const bytes& packet, icmp4_unreachable code, std::uint16_t rest_low = 0) {
        expect_error(
            packet, icmp4_type::destination_unreachable, static_cast<std::uint8_t>(code), 0,
            rest_low);
    }
    void expect_silence() {
        EXPECT_TRUE(same(net.sent_ip(0), frames{}));
        EXPECT_TRUE(same(net.sent_ip(1), frames{}));
    }
};

TEST_F(icmp4_errors, time_exceeded) {
    expect_error(datagram({host, far_away, ip_protocol::udp, 1}), icmp4_type::time_exceeded, 0);
    expect_error(datagram({host, far_away, ip_protocol::udp, 0}), icmp4_type::time_exceeded, 0);
}

TEST_F(icmp4_errors, a_long_packet_is_quoted_up_to_576_bytes) {
    const bytes packet = datagram({host, far_away, ip_protocol::udp, 1}, 1400);
    expect_error(packet, icmp4_type::time_exceeded, 0);
}

TEST_F(icmp4_errors, net_unreachable) {
    expect_unreachable(datagram({host, ip(8, 8, 8, 8)}), icmp4_unreachable::net);
}

TEST_F(icmp4_errors, host_unreachable_by_route) {
    net.add_route("8.0.0.0/8", {}, nexthop_kind::unreachable);
    expect_unreachable(datagram({host, ip(8, 8, 8, 8)}), icmp4_unreachable::host);
}

TEST_F(icmp4_errors, host_unreachable_by_a_silent_neighbour) {
    const bytes packet = datagram({host, ip(10, 0, 1, 99)});
    from_host(packet);
    expect_silence();
    net.advance(4 * ns_per_s);
    const frames answers = net.sent_ip(0);
    ASSERT_EQ(answers.size(), 1u);
    const auto answer = parse_ip4_frame(answers[0]);
    ASSERT_TRUE(answer.has_value());
    // The quote is of the packet as it would have left: one less to live.
    bytes aged = datagram({host, ip(10, 0, 1, 99), ip_protocol::udp, 63});
    EXPECT_TRUE(same(
        answers, frames{error_frame(
                     icmp4_type::destination_unreachable, 1, 0, 0, aged,
                     answer->header.identification.host())}));
}

TEST_F(icmp4_errors, one_with_nowhere_to_go_ends_there) {
    // The host is gone as well, and an error about what it sent fails at its neighbour entry.
    net.advance(40 * ns_per_s);
    from_host(datagram({host, ip(10, 0, 1, 98)}));
    net.advance(ns_per_s);
    net.receive(
        1,
        ethernet(
            {router::mac_of(1), gateway_mac}, wire::ether_type::ipv4, datagram({far_away, host})));
    net.advance(60 * ns_per_s);
    for (unsigned i = 0; i < 70; ++i) { // two silent neighbours, each the answer to the other
        net.receive(
            0, ethernet(to_router, wire::ether_type::ipv4, datagram({host, ip(10, 0, 1, 98)})));
    }
    net.advance(60 * ns_per_s);
    EXPECT_EQ(pool.in_use(), 0u);
    EXPECT_EQ(net.worker_stack().neighbors().queued(), 0u);
}

TEST_F(icmp4_errors, prohibited) {
    net.add_route("8.0.0.0/8", {}, nexthop_kind::prohibit);
    expect_unreachable(datagram({host, ip(8, 8, 8, 8)}), icmp4_unreachable::prohibited);
}

TEST_F(icmp4_errors, a_blackhole_is_silent) {
    net.add_route("8.0.0.0/8", {}, nexthop_kind::blackhole);
    from_host(datagram({host, ip(8, 8, 8, 8)}));
    expect_silence();
}

TEST_F(icmp4_errors, fragmentation_needed_names_the_mtu) {
    ASSERT_TRUE(net.routes().set_mtu(outside, 1300).ok());
    net.run();
    ip4_fields fields{host, far_away};
    fields.flags_offset = wire::ipv4_header::dont_fragment;
    expect_unreachable(
        datagram(fields, 1273), icmp4_unreachable::fragmentation_needed, 1300); // 1,301 bytes
    from_host(datagram(fields, 1272));
    EXPECT_EQ(net.sent_ip(1).size(), 1u);
}

TEST_F(icmp4_errors, fragmentation_needed_by_the_mtu_of_a_route) {
    net.add_route("8.0.0.0/8", {"10.0.1.2"}, nexthop_kind::gateway, 1000);
    ip4_fields fields{host, ip(8, 8, 8, 8)};
    fields.flags_offset = wire::ipv4_header::dont_fragment;
    expect_unreachable(datagram(fields, 1200), icmp4_unreachable::fragmentation_needed, 1000);
}

TEST_F(icmp4_errors, port_unreachable) {
    expect_unreachable(datagram({host, router_inside}), icmp4_unreachable::port);
}

TEST_F(icmp4_errors, protocol_unreachable) {
    expect_unreachable(
        ip4({host, router_inside, ip_protocol{89}}, payload(30)), icmp4_unreachable::protocol);
}

TEST_F(icmp4_errors, source_route_failed) {
    ip4_fields fields{host, far_away};
    fields.options = {137, 7, 4, 10, 0, 1, 2, 0};
    expect_unreachable(datagram(fields), icmp4_unreachable::source_route_failed);
}

TEST_F(icmp4_errors, parameter_problem_points_at_the_octet) {
    ip4_fields fields{host, far_away};
    fields.options = {1, 7, 40, 4}; // a record route longer than the header
    expect_error(datagram(fields), icmp4_type::parameter_problem, 0, 22 << 8);
    fields.options = {7, 7, 3, 0, 0, 0, 0, 0}; // its pointer before the first address
    expect_error(datagram(fields), icmp4_type::parameter_problem, 0, 22 << 8);
    fields.options = {1, 1, 1, 7}; // cut off after the type
    expect_error(datagram(fields), icmp4_type::parameter_problem, 0, 23 << 8);
    fields.options = {130, 1, 0, 0}; // a length that does not even cover itself
    expect_error(datagram(fields), icmp4_type::parameter_problem, 0, 21 << 8);
}

TEST_F(icmp4_errors, reassembly_time_exceeded_if_the_first_fragment_came) {
    ip4_fields fields{host, router_inside};
    fields.flags_offset = 0x2000;
    const bytes first = ip4(fields, payload(64));
    from_host(first);
    fields.identification = 8;
    fields.flags_offset = 0x2008; // of another datagram, whose first one never comes
    from_host(ip4(fields, payload(64)));
    net.advance(reassembly_ns);
    const frames answers = net.sent_ip(0);
    ASSERT_EQ(answers.size(), 1u);
    const auto answer = parse_ip4_frame(answers[0]);
    ASSERT_TRUE(answer.has_value());
    EXPECT_TRUE(same(
        answers,
        frames{error_frame(
            icmp4_type::time_exceeded, 1, 0, 0, first, answer->header.identification.host())}));
}

// RFC 1122 3.2.2, RFC 1812 4.3.2.7.
TEST_F(icmp4_errors, never_about_what_may_not_be_answered) {
    const auto dying = [&](ip4_fields fields, const bytes& content) {
        fields.time_to_live = 1;
        return ip4(fields, content);
    };
    // Errors of every kind; but an echo request gets its answer.
    for (const int type : {3, 4, 5, 11, 12}) {
        from_host(dying(
            {host, far_away, ip_protocol::icmp},
            icmp4(static_cast<icmp4_type>(type), 0, 0, 0, payload(28))));
        expect_silence();
    }
    // ICMP without a type.
    from_host(dying({host, far_away, ip_protocol::icmp}, {}));
    expect_silence();
    // A fragment that is not the first.
    ip4_fields later{host, far_away};
    later.flags_offset = 0x2010;
    from_host(dying(later, payload(16)));
    expect_silence();
    // From a group's or broadcast address, or from ourselves.
    from_host(dying({ip(10, 0, 0, 255), far_away}, payload(16)));
    expect_silence();
    from_host(dying({ip(10, 0, 1, 1), far_away}, payload(16)));
    expect_silence();
    // In a broadcast frame.
    net.receive(0, udp_frame({wire::mac_broadcast, host_mac}, {host, router_inside}));
    net.run();
    expect_silence();
    // To a broadcast address.
    net.receive(0, udp_frame({wire::mac_broadcast, host_mac}, {host, ip(255, 255, 255, 255)}));
    net.receive(0, udp_frame({router::mac_of(0), host_mac}, {host, ip(10, 0, 0, 255)}));
    net.run();
    expect_silence();
    EXPECT_EQ(net.worker_stack().ip4_counts().errors_sent.read(), 0u);
    // The first fragment is answered.
    later.flags_offset = 0x2000;
    from_host(dying(later, payload(16)));
    EXPECT_EQ(net.sent_ip(0).size(), 1u);
}

TEST_F(icmp4_errors, the_rate_is_limited) {
    const ip4_settings settings;
    const bytes packet = datagram({host, far_away, ip_protocol::udp, 1});
    for (unsigned i = 0; i < 500; ++i) {
        from_host(packet);
    }
    // Each has a price of 0 to 2 (token_bucket), so the burst is about what the setting says.
    const std::size_t burst = net.sent_ip(0).size();
    EXPECT_NEAR(static_cast<double>(burst), settings.icmp_errors_burst, 40);
    EXPECT_EQ(net.dropped(drop_reason::icmp4_rate), 500 - burst);
    // In the long run as many as the setting says.
    std::size_t sent = 0;
    for (unsigned i = 0; i < 2000; ++i) {
        net.advance(ns_per_ms / 2);
        from_host(packet);
        sent += net.sent_ip(0).size();
    }
    EXPECT_NEAR(static_cast<double>(sent), settings.icmp_errors_per_s, 120);
}

struct icmp4_echo : testing::Test, small_net {};

TEST_F(icmp4_echo, is_answered) {
    for (const std::size_t length : {0u, 1u, 56u, 1472u}) {
        ip4_fields fields{host, router_inside, ip_protocol::icmp};
        fields.time_to_live = 1; // enough for us
        fields.type_of_service = 0x28;
        const bytes content = payload(length, 3);
        from_host(ip4(fields, icmp4(icmp4_type::echo, 0, 0x1234, 7, content)));
        const frames answers = net.sent_ip(0);
        ASSERT_EQ(answers.size(), 1u);
        const auto answer = parse_ip4_frame(answers[0]);
        ASSERT_TRUE(answer.has_value());
        ip4_fields expected{router_inside, host, ip_protocol::icmp};
        expected.type_of_service = 0x28;
        expected.identification = answer->header.identification.host();
        link_fields link{host_mac, router::mac_of(0)};
        link.padded = false;
        EXPECT_TRUE(same(
            answers, frames{ethernet(
                         link, wire::ether_type::ipv4,
                         ip4(expected, icmp4(icmp4_type::echo_reply, 0, 0x1234, 7, content)))}));
    }
    EXPECT_EQ(net.worker_stack().ip4_counts().echo_replies.read(), 4u);
}

TEST_F(icmp4_echo, to_an_address_of_another_interface) {
    from_host(ip4(
        {host, ip(10, 0, 1, 1), ip_protocol::icmp}, icmp4(icmp4_type::echo, 0, 1, 1, payload(20))));
    const frames answers = net.sent_ip(0);
    ASSERT_EQ(answers.size(), 1u);
    EXPECT_EQ(parse_ip4_frame(answers[0])->header.source, ip(10, 0, 1, 1));
}

TEST_F(icmp4_echo, larger_than_a_packet_may_be) {
    // 3,000 bytes come in three fragments, out of order, and go as three.
    const bytes message = icmp4(icmp4_type::echo, 0, 1, 1, payload(2992));
    const auto part = [&](std::size_t from, std::size_t to, std::uint16_t more) {
        ip4_fields fields{host, router_inside, ip_protocol::icmp};
        fields.identification = 77;
        fields.flags_offset = static_cast<std::uint16_t>(from / 8 | more);
        return ip4(
            fields, bytes(
                        message.begin() + static_cast<std::ptrdiff_t>(from),
                        message.begin() + static_cast<std::ptrdiff_t>(to)));
    };
    from_host(part(1480, 2960, 0x2000));
    from_host(part(2960, 3000, 0));
    EXPECT_TRUE(net.sent_ip(0).empty());
    from_host(part(0, 1480, 0x2000));
    const frames answers = net.sent_ip(0);
    ASSERT_EQ(answers.size(), 3u);
    bytes whole;
    for (const bytes& frame : answers) {
        const auto packet = parse_ip4_frame(frame);
        ASSERT_TRUE(packet.has_value());
        EXPECT_EQ(packet->header.fragment_offset_bytes(), whole.size());
        EXPECT_EQ(packet->header.has_more_fragments(), whole.size() != 2960);
        whole = whole + packet->content;
    }
    EXPECT_EQ(whole, icmp4(icmp4_type::echo_reply, 0, 1, 1, payload(2992)));
    EXPECT_EQ(net.worker_stack().ip4_counts().reassembled.read(), 1u);
}

// As many pieces as may wait, of datagrams that never are whole: the oldest make room.
TEST_F(icmp4_echo, in_pieces_while_others_send_pieces_alone) {
    ip4_fields piece{host, router_inside, ip_protocol::icmp};
    for (unsigned i = 0; i < reassembly_mbufs_max; ++i) {
        piece.identification = static_cast<std::uint16_t>(1000 + i / reassembly_fragments_max);
        piece.flags_offset = static_cast<std::uint16_t>(0x2000 | i % reassembly_fragments_max);
        from_host(ip4(piece, payload(8)));
    }
    ASSERT_EQ(net.dropped(drop_reason::ip4_reassembly_full), 0u);
    for (std::uint16_t id = 1; id <= 40; ++id) { // more than there were of those
        const bytes message = icmp4(icmp4_type::echo, 0, id, 1, payload(56));
        ip4_fields fields{host, router_inside, ip_protocol::icmp};
        fields.identification = id;
        fields.flags_offset = 0x2000;
        from_host(ip4(fields, bytes(message.begin(), message.begin() + 32)));
        fields.flags_offset = 4;
        from_host(ip4(fields, bytes(message.begin() + 32, message.end())));
        EXPECT_EQ(net.sent_ip(0).size(), 1u) << id;
    }
    // One at a time is enough: what is whole gives its places back.
    EXPECT_EQ(net.dropped(drop_reason::ip4_reassembly_full), reassembly_fragments_max);
}

} // namespace
} // namespace pantala::test
