// IPv6 packets for this host: echo, header chains, fragments, protocols that nobody serves.
#include "tests/stack/ip6/small_net6.hpp"

#include <random>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

using wire::icmp6_parameter;
using wire::icmp6_type;
using wire::ip_protocol;

struct local6 : testing::Test, small_net6 {
    bytes echo_content(std::size_t count) const { return payload(count); }
    // What must come back for a request of `fields` with this content, in one piece.
    bytes echo_reply(ip6_fields fields, const bytes& content) const {
        std::swap(fields.source, fields.destination);
        fields.hop_limit = 64;
        fields.flow_label = 0;
        return leaving(
            host_mac, 0, icmp6_packet(fields, icmp6_type::echo_reply, 0, 0x00070001, content));
    }
    // Cuts what follows the IPv6 header into pieces of `size` bytes.
    frames cut(const ip6_fields& fields, const bytes& content, std::size_t size) const {
        frames pieces;
        for (std::size_t at = 0; at < content.size(); at += size) {
            const std::size_t part = std::min(size, content.size() - at);
            const bool more = at + part < content.size();
            ip6_fields outer = fields;
            outer.next_header = ip_protocol::fragment;
            const auto begin = content.begin() + static_cast<std::ptrdiff_t>(at);
            pieces.push_back(
                ip6(outer,
                    fragment_header(fields.next_header, static_cast<std::uint32_t>(at), more, 77) +
                        bytes(begin, begin + static_cast<std::ptrdiff_t>(part))));
        }
        return pieces;
    }
    bytes request(const ip6_fields& fields, std::size_t count) const {
        return icmp6(fields, icmp6_type::echo_request, 0, 0x00070001, payload(count));
    }
    ip6_fields to_us(ip_protocol next = ip_protocol::icmpv6) const {
        return {host, router_inside, next};
    }
};

TEST_F(local6, echo_is_answered) {
    ip6_fields fields = to_us();
    fields.traffic_class = 0x20;
    from_host(ip6(fields, request(fields, 56)));
    EXPECT_TRUE(same(net.sent(0), frames{echo_reply(fields, payload(56))}));
    // To the other interface's address as well, and whatever the hop limit.
    fields.destination = router_outside;
    fields.hop_limit = 1;
    from_host(ip6(fields, request(fields, 1400)));
    EXPECT_TRUE(same(net.sent(0), frames{echo_reply(fields, payload(1400))}));
    EXPECT_EQ(net.worker_stack().ip6_counts().echo_replies.read(), 2u);
}

TEST_F(local6, echo_between_link_local_addresses) {
    ip6_fields fields{link_local(host_mac), link_local(router::mac_of(0))};
    net.learn6(inside, fields.source, host_mac);
    forget();
    from_host(icmp6_packet(fields, icmp6_type::echo_request, 0, 0x00070001, payload(8)));
    EXPECT_TRUE(same(net.sent(0), frames{echo_reply(fields, payload(8))}));
    // The link-local address of the other interface is not ours on this link.
    fields.destination = link_local(router::mac_of(1));
    from_host(icmp6_packet(fields, icmp6_type::echo_request, 0, 0x00070001, payload(8)));
    EXPECT_TRUE(net.sent(0).empty());
    EXPECT_EQ(net.dropped(drop_reason::ip6_scope), 1u);
}

TEST_F(local6, echo_with_extension_headers) {
    ip6_fields fields = to_us(ip_protocol::hop_by_hop);
    const bytes content = options_header(ip_protocol::destination_options, {5, 2, 0, 0}) +
                          options_header(ip_protocol::icmpv6, {0x1e, 1, 0});
    from_host(ip6(fields, content + request(fields, 24)));
    EXPECT_TRUE(same(net.sent(0), frames{echo_reply(fields, payload(24))}));
    for (const std::size_t segment : {15u, 50u, 61u}) { // headers scattered by a device
        from_host(ip6(fields, content + request(fields, 24)), segment);
        EXPECT_TRUE(same(net.sent(0), frames{echo_reply(fields, payload(24))})) << segment;
    }
}

TEST_F(local6, headers_at_fault_are_told) {
    const auto told = [&](ip_protocol next, const bytes& content, icmp6_parameter code,
                          std::uint32_t pointer) {
        const bytes packet = ip6(to_us(next), content);
        from_host(packet);
        EXPECT_TRUE(same(
            net.sent(0),
            frames{error_frame(
                icmp6_type::parameter_problem, static_cast<std::uint8_t>(code), pointer, packet)}));
    };
    told(static_cast<ip_protocol>(200), payload(20), icmp6_parameter::next_header, 6);
    told(
        ip_protocol::destination_options,
        options_header(static_cast<ip_protocol>(201), {}) + payload(9),
        icmp6_parameter::next_header, 40);
    told(
        ip_protocol::destination_options, options_header(ip_protocol::udp, {0xc3, 0}) + payload(9),
        icmp6_parameter::option, 42);
    told(
        ip_protocol::hop_by_hop, options_header(ip_protocol::udp, {0x83, 0}) + payload(9),
        icmp6_parameter::option, 42);
    told(
        ip_protocol::routing, bytes{17, 0, 3, 2, 0, 0, 0, 0} + payload(9),
        icmp6_parameter::header_field, 42);
    told( // a first fragment without all headers
        ip_protocol::fragment,
        fragment_header(ip_protocol::destination_options, 0, true, 5) +
            bytes{17, 1, 1, 4, 0, 0, 0, 0},
        icmp6_parameter::first_fragment, 0);
    told( // not a multiple of 8
        ip_protocol::fragment, fragment_header(ip_protocol::udp, 0, true, 5) + payload(15),
        icmp6_parameter::header_field, 4);
    told( // beyond the largest packet
        ip_protocol::fragment, fragment_header(ip_protocol::udp, 65528, false, 5) + payload(16),
        icmp6_parameter::header_field, 42);
}

// What we send to ourselves comes in by the interface that has the address, or the subnet whose
// routers all have it (RFC 4291 2.6.1), whatever table others are in.
TEST_F(local6, what_we_send_to_an_address_of_ours_comes_in_by_its_interface) {
    ASSERT_TRUE(net.routes().set_table(inside, 5).ok());
    net.run();
    udp_socket sink([](udp_socket&, std::span<const pantala::datagram>) {});
    ASSERT_EQ(0, net.worker_stack().host().native().bind(sink, *parse_endpoint("[::]:9")));
    const auto& received = net.worker_stack().host().udp.stats.received;
    std::uint64_t sent = 0;
    for (const char* ours : {"[2001:db8:2::1]:9", "[2001:db8:2::]:9"}) {
        EXPECT_EQ(0, sink.send_to(*parse_endpoint(ours), {}));
        net.run();
        EXPECT_EQ(++sent, received.read()) << ours;
    }
}

TEST_F(local6, ports_nobody_listens_at) {
    const bytes packet = datagram6(to_us(ip_protocol::udp));
    from_host(packet);
    EXPECT_TRUE(
        same(net.sent(0), frames{error_frame(icmp6_type::destination_unreachable, 4, 0, packet)}));
    EXPECT_EQ(net.dropped(drop_reason::udp_port), 1u);
}

TEST_F(local6, fragments_in_any_order_are_made_whole) {
    std::mt19937 random(7);
    for (int turn = 0; turn < 30; ++turn) {
        const ip6_fields fields = to_us();
        const bytes content = request(fields, 1200 + random() % 200);
        frames pieces = cut(fields, content, 8 * (1 + random() % 60));
        if (pieces.size() > reassembly_fragments_max) {
            continue;
        }
        std::shuffle(pieces.begin(), pieces.end(), random);
        for (const bytes& piece : pieces) {
            from_host(piece);
        }
        bytes data(content.begin() + 8, content.end());
        EXPECT_TRUE(same(net.sent(0), frames{echo_reply(fields, data)})) << turn;
    }
    EXPECT_GT(net.worker_stack().ip6_counts().reassembled.read(), 10u);
}

TEST_F(local6, answers_that_do_not_fit_are_cut_at_their_source) {
    const ip6_fields fields = to_us();
    const bytes content = request(fields, 4000);
    for (const bytes& piece : cut(fields, content, 1440)) {
        from_host(piece);
    }
    const auto sent = net.sent(0);
    ASSERT_EQ(sent.size(), 3u);
    bytes together;
    std::optional<be32> identification;
    for (std::size_t i = 0; i < sent.size(); ++i) {
        const auto packet = parse_ip6_frame(sent[i]);
        ASSERT_TRUE(packet);
        ASSERT_LE(packet->whole.size(), 1500u);
        ASSERT_EQ(packet->header.next_header, 44);
        const auto header = header_of<wire::ipv6_fragment_header>(packet->content);
        EXPECT_EQ(header.next_header, 58);
        EXPECT_EQ(header.offset_bytes(), together.size());
        EXPECT_EQ(header.more(), i + 1 < sent.size());
        EXPECT_EQ(identification.value_or(header.identification), header.identification);
        identification = header.identification;
        together.insert(together.end(), packet->content.begin() + 8, packet->content.end());
    }
    ip6_fields back{router_inside, host};
    EXPECT_EQ(
        together, icmp6(
                      back, icmp6_type::echo_reply, 0, 0x00070001,
                      bytes(content.begin() + 8, content.end())));
    EXPECT_EQ(net.worker_stack().ip6_counts().fragments_made.read(), 3u);
}

TEST_F(local6, atomic_fragments_wait_for_nothing) {
    const ip6_fields fields = to_us();
    const frames other = cut(fields, request(fields, 100), 56);
    from_host(other[0]); // same identification, and incomplete
    from_host(cut(fields, request(fields, 100), 2000)[0]);
    EXPECT_TRUE(same(net.sent(0), frames{echo_reply(fields, payload(100))}));
    from_host(other[1]);
    EXPECT_TRUE(same(net.sent(0), frames{echo_reply(fields, payload(100))}));
}

TEST_F(local6, overlaps_give_the_whole_packet_up) {
    const ip6_fields fields = to_us();
    const frames pieces = cut(fields, request(fields, 100), 40);
    ip6_fields outer = fields;
    outer.next_header = ip_protocol::fragment;
    from_host(pieces[0]);
    from_host(pieces[0]); // a repetition is only dropped
    EXPECT_EQ(net.dropped(drop_reason::ip6_reassembly_overlap), 1u);
    from_host(ip6(outer, fragment_header(ip_protocol::icmpv6, 32, true, 77) + payload(16)));
    EXPECT_EQ(net.dropped(drop_reason::ip6_reassembly_overlap), 3u);
    from_host(pieces[1]);
    from_host(pieces[2]);
    EXPECT_TRUE(net.sent(0).empty()); // the first one is gone
    from_host(pieces[0]);
    EXPECT_EQ(net.sent(0).size(), 1u);
}

TEST_F(local6, incomplete_packets_end_after_a_minute) {
    const ip6_fields fields = to_us();
    const frames pieces = cut(fields, request(fields, 100), 40);
    from_host(pieces[0]);
    net.advance(60 * ns_per_s);
    EXPECT_EQ(net.dropped(drop_reason::ip6_reassembly_timeout), 1u);
    const auto sent = net.sent_ip6(0);
    ASSERT_EQ(sent.size(), 1u);
    const auto error = parse_ip6_frame(sent[0]);
    ASSERT_TRUE(error && error->icmp());
    EXPECT_EQ(error->icmp()->kind(), icmp6_type::time_exceeded);
    EXPECT_EQ(error->icmp()->code, 1);
    from_host(pieces[1]); // without the first one nothing is said
    net.advance(60 * ns_per_s);
    EXPECT_TRUE(net.sent_ip6(0).empty());
    EXPECT_EQ(net.dropped(drop_reason::ip6_reassembly_timeout), 2u);
}

TEST_F(local6, a_flood_of_fragments_is_bounded) {
    ip6_fields fields = to_us(ip_protocol::fragment);
    for (std::uint32_t i = 0; i < 5000; ++i) {
        from_host(ip6(fields, fragment_header(ip_protocol::udp, 0, true, i) + payload(64)));
    }
    EXPECT_LE(pool.in_use(), reassembly_datagrams_max + 64u);
    EXPECT_EQ(net.dropped(drop_reason::ip6_reassembly_full), 5000u - reassembly_datagrams_max);
}

} // namespace
} // namespace pantala::test
