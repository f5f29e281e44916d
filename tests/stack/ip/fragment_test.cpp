// Cutting packets, and options on their way through.
#include "tests/stack/ip/small_net.hpp"

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

using wire::ip_protocol;

struct fragments : testing::Test, small_net {
    void mtu(std::uint16_t bytes_of_l3) {
        ASSERT_TRUE(net.routes().set_mtu(outside, bytes_of_l3).ok());
        net.run();
    }
};

TEST_F(fragments, byte_for_byte) {
    mtu(600);
    ip4_fields fields{host, far_away};
    fields.identification = 0x4321;
    const bytes content = udp(fields, 1, 2, payload(1192)); // 1,200 bytes
    from_host(ip4(fields, content));
    fields.time_to_live = 63;
    link_fields link{gateway_mac, router::mac_of(1)};
    link.padded = false;
    frames expected;
    for (std::size_t at = 0; at < content.size(); at += 576) { // (600 - 20) / 8 * 8
        const std::size_t end = std::min<std::size_t>(at + 576, content.size());
        fields.flags_offset =
            static_cast<std::uint16_t>(at / 8 | (end < content.size() ? 0x2000 : 0));
        expected.push_back(ethernet(
            link, wire::ether_type::ipv4,
            ip4(fields, bytes(
                            content.begin() + static_cast<std::ptrdiff_t>(at),
                            content.begin() + static_cast<std::ptrdiff_t>(end)))));
    }
    EXPECT_TRUE(same(net.sent(1), expected));
    EXPECT_EQ(net.worker_stack().ip4_counts().fragmented.read(), 1u);
    EXPECT_EQ(net.worker_stack().ip4_counts().fragments_made.read(), 3u);
}

TEST_F(fragments, a_fragment_is_cut_again) {
    mtu(100);
    ip4_fields fields{host, far_away};
    fields.flags_offset = 0x2000 | 50; // 400 bytes on, and more to come
    from_host(ip4(fields, payload(160)));
    const frames sent = net.sent_ip(1);
    ASSERT_EQ(sent.size(), 2u);
    EXPECT_EQ(parse_ip4_frame(sent[0])->header.flags_offset.host(), 0x2000 | 50);
    EXPECT_EQ(parse_ip4_frame(sent[0])->content, payload(80));
    EXPECT_EQ(parse_ip4_frame(sent[1])->header.flags_offset.host(), 0x2000 | 60);
    EXPECT_EQ(parse_ip4_frame(sent[1])->content, payload(80, 80));
}

TEST_F(fragments, of_what_ends_behind_the_longest_datagram_are_not_made) {
    mtu(576);
    ip4_fields fields{host, far_away};
    fields.flags_offset = 8180;
    from_host(ip4(fields, payload(65535 - 20 - 8180 * 8)));
    EXPECT_EQ(net.sent_ip(1).size(), 1u); // ends just there
    fields.flags_offset = 8100;
    from_host(ip4(fields, payload(65535 - 20 - 8100 * 8)));
    EXPECT_EQ(net.sent_ip(1).size(), 2u);
    from_host(ip4(fields, payload(65535 - 20 - 8100 * 8 + 1)));
    EXPECT_EQ(net.sent_ip(1).size(), 0u);
    EXPECT_EQ(net.dropped(drop_reason::ip4_fragment), 1u);
}

TEST_F(fragments, of_every_mtu_and_length_make_the_whole_again) {
    for (const unsigned link_mtu : {68u, 69u, 75u, 76u, 77u, 576u, 1006u, 1492u}) {
        mtu(static_cast<std::uint16_t>(link_mtu));
        for (const std::size_t length : {48u, 49u, 80u, 96u, 97u, 1000u, 1479u, 1480u}) {
            ip4_fields fields{host, far_away, ip_protocol{99}};
            from_host(ip4(fields, payload(length, 5)));
            bytes whole;
            const frames sent = net.sent_ip(1);
            for (std::size_t i = 0; i < sent.size(); ++i) {
                const auto packet = parse_ip4_frame(sent[i]);
                ASSERT_TRUE(packet.has_value());
                ASSERT_LE(packet->whole.size(), link_mtu);
                EXPECT_EQ(packet->header.fragment_offset_bytes(), whole.size());
                EXPECT_EQ(packet->header.has_more_fragments(), i + 1 < sent.size());
                whole = whole + packet->content;
            }
            ASSERT_EQ(whole, payload(length, 5)) << link_mtu << " " << length;
        }
    }
}

TEST_F(fragments, jumbo_frames_of_many_segments) {
    ASSERT_TRUE(net.routes().set_mtu(inside, 9000).ok());
    mtu(4000); // fragments longer than an mbuf
    ip4_fields fields{host, far_away, ip_protocol{99}};
    net.receive(0, ethernet(to_router, wire::ether_type::ipv4, ip4(fields, payload(8900))), 0, 700);
    net.run();
    bytes whole;
    for (const bytes& frame : net.sent_ip(1)) {
        whole = whole + parse_ip4_frame(frame)->content;
    }
    EXPECT_EQ(whole, payload(8900));
}

TEST_F(fragments, only_copied_options_go_into_the_later_ones) {
    mtu(100);
    ip4_fields fields{host, far_away, ip_protocol{99}};
    // No operation; record route, not copied; router alert, copied; end.
    fields.options = {1, 7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 0, 0, 0, 0};
    from_host(ip4(fields, payload(120)));
    const frames sent = net.sent_ip(1);
    ASSERT_GE(sent.size(), 2u);
    const bytes recorded = {1, 7, 7, 8, 10, 0, 1, 1, 148, 4, 0, 0, 0, 0, 0, 0};
    EXPECT_EQ(parse_ip4_frame(sent[0])->options, recorded);
    EXPECT_EQ(parse_ip4_frame(sent[1])->options, (bytes{148, 4, 0, 0}));
    EXPECT_EQ(parse_ip4_frame(sent[0])->content + parse_ip4_frame(sent[1])->content, payload(120));
}

struct options : testing::Test, small_net {
    bytes through(const bytes& sent_options) {
        ip4_fields fields{host, far_away};
        fields.options = sent_options;
        from_host(datagram(fields));
        const frames sent = net.sent_ip(1);
        EXPECT_EQ(sent.size(), 1u);
        return sent.empty() ? bytes{} : parse_ip4_frame(sent[0])->options;
    }
};

TEST_F(options, record_route_gets_the_address_of_the_way_out) {
    EXPECT_EQ(
        through({7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0}),
        (bytes{7, 11, 8, 10, 0, 1, 1, 0, 0, 0, 0, 0}));
    EXPECT_EQ(
        through({7, 11, 8, 1, 2, 3, 4, 0, 0, 0, 0, 0}),
        (bytes{7, 11, 12, 1, 2, 3, 4, 10, 0, 1, 1, 0}));
    const bytes full = {7, 11, 12, 1, 2, 3, 4, 5, 6, 7, 8, 0};
    EXPECT_EQ(through(full), full);
}

TEST_F(options, timestamp) {
    const std::uint32_t ms = (static_cast<std::uint32_t>(net.now().ms()) & 0x7fffffff) | 0x80000000;
    const auto stamp = [&](unsigned byte) {
        return static_cast<std::uint8_t>(ms >> (24 - 8 * byte));
    };
    EXPECT_EQ(
        through({68, 8, 5, 0, 0, 0, 0, 0}),
        (bytes{68, 8, 9, 0, stamp(0), stamp(1), stamp(2), stamp(3)}));
    EXPECT_EQ(
        through({68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0}),
        (bytes{68, 12, 13, 1, 10, 0, 1, 1, stamp(0), stamp(1), stamp(2), stamp(3)}));
    // Prespecified: ours, and not ours.
    EXPECT_EQ(
        through({68, 12, 5, 3, 10, 0, 0, 1, 0, 0, 0, 0}),
        (bytes{68, 12, 13, 3, 10, 0, 0, 1, stamp(0), stamp(1), stamp(2), stamp(3)}));
    const bytes others = {68, 12, 5, 3, 9, 9, 9, 9, 0, 0, 0, 0};
    EXPECT_EQ(through(others), others);
    // Full: the count of those without room grows, until it is full, too.
    EXPECT_EQ(through({68, 8, 9, 0, 1, 2, 3, 4}), (bytes{68, 8, 9, 0x10, 1, 2, 3, 4}));
    ip4_fields fields{host, far_away};
    fields.options = {68, 8, 9, 0xf0, 1, 2, 3, 4};
    from_host(datagram(fields));
    EXPECT_TRUE(net.sent_ip(1).empty());
    EXPECT_EQ(net.dropped(drop_reason::ip4_options), 1u);
}

TEST_F(options, unknown_ones_pass) {
    const bytes unknown = {0x9e, 6, 1, 2, 3, 4, 1, 0};
    EXPECT_EQ(through(unknown), unknown);
}

} // namespace
} // namespace pantala::test
