// Forwarding: what leaves, byte for byte, and by which way.
#include "stack/wire/format.hpp"
#include "tests/stack/ip/small_net.hpp"

#include <map>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

using wire::ether_type;

class forward : public testing::Test, protected small_net {};

TEST_F(forward, by_gateway_byte_for_byte) {
    ip4_fields fields{host, far_away};
    net.receive(0, udp_frame(to_router, fields));
    net.run();
    fields.time_to_live = 63;
    const bytes expected = udp_frame({gateway_mac, router::mac_of(1)}, fields);
    EXPECT_TRUE(same(net.sent(1), frames{expected}));
    EXPECT_TRUE(net.sent(0).empty());
    EXPECT_EQ(net.worker_stack().ip4_counts().forwarded.read(), 1u);
    EXPECT_EQ(net.dropped(drop_reason::arp_done), 4u); // two neighbours that asked and answered
    EXPECT_EQ(net.dropped_in_all(), 4u);
}

TEST_F(forward, padding_does_not_leave) {
    ip4_fields fields{host, far_away};
    net.receive(0, udp_frame(to_router, fields, 1)); // 29 bytes of IP in a frame of 60
    net.run();
    fields.time_to_live = 63;
    link_fields out{gateway_mac, router::mac_of(1)};
    out.padded = false;
    EXPECT_TRUE(same(net.sent(1), frames{udp_frame(out, fields, 1)}));
}

TEST_F(forward, many_packets_of_every_length_keep_their_order) {
    std::vector<bytes> expected;
    for (std::size_t length = 0; length < 300; ++length) {
        ip4_fields fields{host, far_away};
        fields.identification = static_cast<std::uint16_t>(length);
        net.receive(0, udp_frame(to_router, fields, length));
        fields.time_to_live = 63;
        link_fields out{gateway_mac, router::mac_of(1)};
        out.padded = false;
        expected.push_back(udp_frame(out, fields, length));
    }
    net.run();
    EXPECT_TRUE(same(net.sent(1), expected));
}

// A full burst is forwarded as one; whatever is not like the others is found wherever it stands, is
// judged as if it had come alone, and the others leave in their order.
TEST_F(forward, one_odd_frame_anywhere_in_a_burst) {
    struct odd {
        bytes frame;
        drop_reason reason;
        std::size_t answers; // to the host
    };
    const ip4_fields good{host, far_away};
    wire::mac_address group = host_mac;
    group.bytes[0] |= 1;
    ip4_fields old = good;
    old.time_to_live = 1;
    ip4_fields lost = good;
    lost.destination = ip(172, 16, 0, 1);
    bytes wrong_sum = udp_frame(to_router, good);
    wrong_sum[24] ^= 1;
    bytes short_frame = udp_frame(to_router, good);
    short_frame.resize(33);
    const odd odds[] = {
        {udp_frame({mac(0x99), host_mac}, good), drop_reason::ether_not_us, 0},
        {udp_frame({router::mac_of(0), group}, good), drop_reason::ether_source, 0},
        {short_frame, drop_reason::ip4_short, 0},
        {wrong_sum, drop_reason::ip4_checksum, 0},
        {udp_frame(to_router, old), drop_reason::ip4_ttl, 1},
        {udp_frame(to_router, lost), drop_reason::ip4_no_route, 1},
    };
    std::vector<bytes> expected;
    for (unsigned place = 0; place < burst_max; ++place) {
        const odd& other = odds[place % std::size(odds)];
        const std::uint64_t dropped = net.dropped(other.reason);
        expected.clear();
        for (unsigned i = 0; i < burst_max; ++i) {
            ip4_fields fields = good;
            fields.identification = static_cast<std::uint16_t>(i);
            net.receive(0, i == place ? other.frame : udp_frame(to_router, fields));
            fields.time_to_live = 63;
            if (i != place) {
                expected.push_back(udp_frame({gateway_mac, router::mac_of(1)}, fields));
            }
        }
        net.run();
        EXPECT_TRUE(same(net.sent(1), expected)) << "place " << place;
        EXPECT_EQ(net.dropped(other.reason), dropped + 1) << "place " << place;
        EXPECT_EQ(net.sent(0).size(), other.answers) << "place " << place;
    }
}

TEST_F(forward, to_a_host_on_the_link) {
    ip4_fields fields{far_away, host};
    net.receive(1, udp_frame({router::mac_of(1), gateway_mac}, fields));
    net.run();
    fields.time_to_live = 63;
    EXPECT_TRUE(same(net.sent(0), frames{udp_frame({host_mac, router::mac_of(0)}, fields)}));
}

TEST_F(forward, a_packet_in_several_segments) {
    ip4_fields fields{host, far_away};
    link_fields out{gateway_mac, router::mac_of(1)};
    out.padded = false;
    struct {
        std::size_t length;
        std::size_t segment;
    } const cases[] = {{1000, 100}, {1, 50}, {1, 43}, {1000, 16}, {3000, 1000}};
    for (const auto& each : cases) {
        fields.time_to_live = 64;
        fields.flags_offset = 0;
        if (each.length > 1400) {
            ASSERT_TRUE(net.routes().set_mtu(outside, 9000).ok());
        }
        net.receive(0, udp_frame(to_router, fields, each.length), 0, each.segment);
        net.run();
        fields.time_to_live = 63;
        EXPECT_TRUE(same(net.sent(1), frames{udp_frame(out, fields, each.length)}))
            << each.length << " in segments of " << each.segment;
    }
}

TEST_F(forward, every_time_to_live_that_lives) {
    for (unsigned ttl = 2; ttl < 256; ++ttl) {
        ip4_fields fields{host, far_away};
        fields.time_to_live = static_cast<std::uint8_t>(ttl);
        net.receive(0, udp_frame(to_router, fields));
        net.run();
        fields.time_to_live = static_cast<std::uint8_t>(ttl - 1);
        ASSERT_TRUE(same(net.sent(1), frames{udp_frame({gateway_mac, router::mac_of(1)}, fields)}))
            << ttl;
    }
}

TEST_F(forward, counts_by_interface) {
    const link_counters& counts = net.worker_stack().link_counts();
    EXPECT_EQ(counts[inside].in_packets.read(), 2u); // ARP
    EXPECT_EQ(counts[inside].in_bytes.read(), 2 * 46u);
    net.receive(0, udp_frame(to_router, {host, far_away}, 100)); // 128 bytes of IP
    net.run();
    EXPECT_EQ(counts[inside].in_packets.read(), 3u);
    EXPECT_EQ(counts[inside].in_bytes.read(), 128u + 2 * 46);
    EXPECT_EQ(counts[outside].out_packets.read(), 1u);
    EXPECT_EQ(counts[outside].out_bytes.read(), 128u);
}

TEST_F(forward, a_changed_route_counts_at_once) {
    net.learn(outside, ip(10, 0, 1, 3), mac(0x30));
    route changed;
    changed.prefix = *parse_prefix4("192.0.2.0/24");
    changed.targets = {{.gateway = ip(10, 0, 1, 3).host()}};
    ASSERT_TRUE(net.routes().replace(changed).ok());
    net.run();
    net.receive(0, udp_frame(to_router, {host, far_away}));
    net.run();
    const auto sent = net.sent_ip(1);
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(parse_frame(sent[0]).link.destination, mac(0x30));
}

TEST_F(forward, a_link_that_went_down_takes_nothing) {
    ASSERT_TRUE(net.routes().set_up(outside, false).ok());
    net.run();
    net.receive(0, udp_frame(to_router, {host, far_away}));
    net.run();
    EXPECT_TRUE(net.sent(1).empty());
    ASSERT_TRUE(net.routes().set_up(outside, true).ok());
    net.learn(outside, gateway, gateway_mac);
    net.sent(1);
    net.receive(0, udp_frame(to_router, {host, far_away}));
    net.run();
    EXPECT_EQ(net.sent_ip(1).size(), 1u);
}

// Two gateways behind the second port, one behind the third.
TEST(forward_ecmp, three_ways_share_the_flows_and_keep_each_on_one) {
    mbuf_pool pool;
    router net(pool, {.ports = 3});
    const iface_id in = net.add_iface(0, {"10.0.0.1/24"});
    const iface_id second = net.add_iface(1, {"10.0.1.1/24"});
    const iface_id third = net.add_iface(2, {"10.0.2.1/24"});
    net.add_route("default", {"10.0.1.2", "10.0.1.3", "10.0.2.2"});
    net.learn(in, ip(10, 0, 0, 2), mac(0x10));
    net.learn(second, ip(10, 0, 1, 2), mac(0x12));
    net.learn(second, ip(10, 0, 1, 3), mac(0x13));
    net.learn(third, ip(10, 0, 2, 2), mac(0x22));
    for (unsigned p = 0; p < 3; ++p) {
        net.sent(p);
    }
    constexpr unsigned flows = 3000;
    std::map<std::uint32_t, wire::mac_address> way; // by destination
    std::map<wire::mac_address, unsigned> share;
    for (unsigned turn = 0; turn < 2; ++turn) {
        for (unsigned flow = 0; flow < flows; ++flow) {
            const wire::ipv4_address to = wire::ipv4_address::from(0x08080000 + flow);
            net.receive(0, udp_frame({router::mac_of(0), mac(0x10)}, {ip(10, 0, 0, 2), to}));
        }
        net.run();
        for (unsigned p = 1; p < 3; ++p) {
            for (const bytes& frame : net.sent(p)) {
                const auto packet = parse_ip4_frame(frame);
                ASSERT_TRUE(packet.has_value());
                const wire::mac_address to = parse_frame(frame).link.destination;
                EXPECT_EQ(p, to == mac(0x22) ? 2u : 1u);
                const auto known = way.emplace(packet->header.destination.host(), to).first;
                EXPECT_EQ(known->second, to) << "a flow changed its way";
                ++share[to];
            }
        }
    }
    EXPECT_EQ(way.size(), flows);
    EXPECT_EQ(share.size(), 3u);
    for (const auto& [to, packets] : share) {
        // Buckets are dealt in powers of two: within a quarter of an even share.
        EXPECT_NEAR(packets, 2.0 * flows / 3, 0.25 * 2 * flows / 3) << wire::format(to);
    }
}

TEST(forward_vlan, between_sub_ports_of_one_port) {
    mbuf_pool pool;
    router net(pool, {.ports = 1});
    iface red;
    red.vlan = 10;
    iface blue;
    blue.vlan = 20;
    const iface_id red_id = net.add_iface(0, {"10.0.10.1/24"}, red);
    const iface_id blue_id = net.add_iface(0, {"10.0.20.1/24"}, blue);
    net.learn(red_id, ip(10, 0, 10, 2), mac(0x10));
    net.learn(blue_id, ip(10, 0, 20, 2), mac(0x20));
    net.sent(0);
    ip4_fields fields{ip(10, 0, 10, 2), ip(10, 0, 20, 2)};
    net.receive(0, udp_frame({router::mac_of(0), mac(0x10), 10}, fields));
    net.run();
    fields.time_to_live = 63;
    EXPECT_TRUE(
        same(net.sent(0), frames{udp_frame({mac(0x20), router::mac_of(0), 20, false}, fields)}));
}

TEST(forward_vlan, tagged_to_untagged_and_priority_tags) {
    mbuf_pool pool;
    router net(pool);
    iface tagged;
    tagged.vlan = 7;
    const iface_id in = net.add_iface(0, {"10.0.0.1/24"}, tagged);
    const iface_id out = net.add_iface(1, {"10.0.1.1/24"});
    net.learn(in, ip(10, 0, 0, 2), mac(0x10));
    net.learn(out, ip(10, 0, 1, 2), mac(0x20));
    net.sent(0);
    net.sent(1);
    ip4_fields there{ip(10, 0, 0, 2), ip(10, 0, 1, 2)};
    ip4_fields back{ip(10, 0, 1, 2), ip(10, 0, 0, 2)};
    net.receive(0, udp_frame({router::mac_of(0), mac(0x10), 0x6007}, there)); // priority 3
    net.receive(1, udp_frame({router::mac_of(1), mac(0x20)}, back));
    net.receive(1, udp_frame({router::mac_of(1), mac(0x20), 0xe000}, back)); // priority only
    net.run();
    there.time_to_live = back.time_to_live = 63;
    EXPECT_TRUE(same(net.sent(1), frames{udp_frame({mac(0x20), router::mac_of(1)}, there)}));
    const bytes expected = udp_frame({mac(0x10), router::mac_of(0), 7, false}, back);
    EXPECT_TRUE(same(net.sent(0), (frames{expected, expected})));
}

TEST(forward_two_routers, in_a_row) {
    mbuf_pool pool;
    router left(pool);
    router right(pool);
    const iface_id left_in = left.add_iface(0, {"10.0.0.1/24"});
    left.add_iface(1, {"172.16.0.1/30"});
    left.add_route("10.0.1.0/24", {"172.16.0.2"});
    iface other;
    right.add_iface(0, {"172.16.0.2/30"}, other);
    const iface_id right_out = right.add_iface(1, {"10.0.1.1/24"});
    right.add_route("10.0.0.0/24", {"172.16.0.1"});
    left.learn(left_in, ip(10, 0, 0, 2), mac(0x10));
    right.learn(right_out, ip(10, 0, 1, 2), mac(0x20));
    left.sent(0);
    right.sent(1);
    // Both routers' MACs of port n are alike, so the wire between them rewrites nothing: port 1 of
    // the left is another address than port 0 of the right.
    const auto carry = [&] {
        for (bool moved = true; moved;) {
            moved = false;
            left.run();
            right.run();
            for (const bytes& frame : left.sent(1)) {
                right.receive(0, frame);
                moved = true;
            }
            for (const bytes& frame : right.sent(0)) {
                left.receive(1, frame);
                moved = true;
            }
        }
    };
    carry();
    ip4_fields there{ip(10, 0, 0, 2), ip(10, 0, 1, 2)};
    ip4_fields back{ip(10, 0, 1, 2), ip(10, 0, 0, 2)};
    left.receive(0, udp_frame({router::mac_of(0), mac(0x10)}, there));
    right.receive(1, udp_frame({router::mac_of(1), mac(0x20)}, back));
    carry();
    there.time_to_live = back.time_to_live = 62;
    EXPECT_TRUE(same(right.sent(1), frames{udp_frame({mac(0x20), router::mac_of(1)}, there)}));
    EXPECT_TRUE(same(left.sent(0), frames{udp_frame({mac(0x10), router::mac_of(0)}, back)}));

    // A time to live for one hop: the second router speaks, and its word comes back through the
    // first.
    there.time_to_live = 2;
    left.receive(0, udp_frame({router::mac_of(0), mac(0x10)}, there));
    carry();
    const auto errors = left.sent(0);
    ASSERT_EQ(errors.size(), 1u);
    const auto error = parse_ip4_frame(errors[0]);
    ASSERT_TRUE(error.has_value());
    EXPECT_EQ(error->header.source, ip(172, 16, 0, 2));
    EXPECT_EQ(error->header.time_to_live, 63);
    EXPECT_EQ(error->content[0], static_cast<std::uint8_t>(wire::icmp4_type::time_exceeded));
}

} // namespace
} // namespace pantala::test
