// Floods: every host of a link probed, and whatever else arrives. Bounded, accounted for, and no
// live neighbour pays for it.
#include "tests/stack/ip6/small_net6.hpp"

#include "stack/wire/checksum.hpp"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

using wire::icmp6_type;
using wire::ip_protocol;
using wire::ipv6_address;

// Hosts without end on a /64: 100,000 of them asked for in 20 seconds.
TEST(flood6, a_scan_of_a_link_evicts_nobody_who_lives) {
    small_net6 at;
    const ipv6_address friends[] = {
        ip6_host(2, 0, 0x11), ip6_host(2, 0, 0x12), ip6_host(2, 0, 0x13)};
    for (std::uint8_t i = 0; i < 3; ++i) {
        at.net.learn6(at.outside, friends[i], mac(static_cast<std::uint8_t>(0x11 + i)));
    }
    std::mt19937_64 random(1);
    for (unsigned round = 0; round < 1000; ++round) {
        for (unsigned i = 0; i < 100; ++i) {
            const auto prey = ipv6_address::from_halves(at.router_outside.high(), random());
            at.net.receive(
                0, ethernet(at.to_router, wire::ether_type::ipv6, datagram6({at.host, prey})));
        }
        at.net.advance(ns_per_s / 50);
        const ipv6_address& live = friends[round % 3];
        at.forget();
        at.from_host(datagram6({at.host, live}));
        ASSERT_EQ(at.net.sent_ip6(1).size(), 1u) << "in round " << round;
        if (round % 200 == 0) {
            for (std::uint8_t i = 0; i < 3; ++i) {
                at.net.learn6(at.outside, friends[i], mac(static_cast<std::uint8_t>(0x11 + i)));
            }
        }
        ASSERT_LE(at.net.worker_stack().neighbors().size(), neighbors_max + neighbors_waiting_max);
        ASSERT_LE(at.net.worker_stack().neighbors_owner()->size(), neighbor_settings{}.capacity);
        ASSERT_LE(at.net.worker_stack().neighbors().queued(), neighbor_slots_max);
        ASSERT_LE(at.pool.in_use(), neighbor_slots_max + 128);
    }
    EXPECT_GT(at.net.dropped(drop_reason::neighbor_table), 50'000u);
    at.net.advance(10 * ns_per_s);
    EXPECT_EQ(at.net.worker_stack().neighbors().queued(), 0u);
    EXPECT_LT(at.net.worker_stack().neighbors_owner()->size(), 10u);
}

// Neighbours that speak to us without end: their table stays as large as it is.
TEST(flood6, askers_without_end_do_not_grow_the_table) {
    small_net6 at;
    std::mt19937_64 random(2);
    for (unsigned i = 0; i < 20'000; ++i) {
        ip6_fields fields{
            ipv6_address::from_halves(at.host.high(), random()),
            wire::solicited_node(at.router_inside)};
        fields.hop_limit = 255;
        at.from_host(icmp6_packet(
            fields, icmp6_type::neighbor_solicitation, 0, 0,
            bytes_of(at.router_inside) + link_option(
                                             wire::nd_option_type::source_link_address,
                                             mac(static_cast<std::uint8_t>(random())))));
        at.forget();
    }
    EXPECT_LE(at.net.worker_stack().neighbors_owner()->size(), neighbor_settings{}.capacity);
    at.from_host(datagram6({at.host, at.far_away}));
    EXPECT_EQ(at.net.sent_ip6(1).size(), 1u);
}

bytes some_packet(const small_net6& at, std::mt19937& random) {
    const auto pick = [&](unsigned below) { return static_cast<unsigned>(random() % below); };
    const ipv6_address targets[] = {
        at.far_away,
        at.router_inside,
        ip6_host(2, 0, 0x77),
        ip6_host(0x900, 0, 1),
        wire::ipv6_all_nodes,
        wire::solicited_node(at.router_inside),
        link_local(router::mac_of(0))};
    ip6_fields fields{at.host, targets[pick(7)]};
    fields.hop_limit = static_cast<std::uint8_t>(pick(4) == 0 ? pick(3) : 255);
    bytes content;
    auto next = ip_protocol::udp;
    if (pick(2) == 0) {
        next = ip_protocol::icmpv6;
        const auto type = static_cast<icmp6_type>(pick(3) == 0 ? pick(6) : 128 + pick(16));
        content = icmp6(
            fields, type, static_cast<std::uint8_t>(pick(8) == 0),
            static_cast<std::uint32_t>(random()),
            bytes_of(targets[pick(7)]) +
                link_option(
                    static_cast<wire::nd_option_type>(1 + pick(5)),
                    mac(static_cast<std::uint8_t>(pick(9)))) +
                payload(8 * pick(6)));
    } else {
        content = udp6(fields, 1, 2, payload(pick(1300)));
    }
    for (unsigned i = pick(4); i > 0; --i) {
        switch (pick(4)) {
        case 0:
            content = options_header(next, payload(pick(12), static_cast<std::uint8_t>(random()))) +
                      content;
            next = ip_protocol::destination_options;
            break;
        case 1:
            content = fragment_header(next, 8 * pick(4), pick(2) == 0, pick(5)) + content;
            next = ip_protocol::fragment;
            break;
        case 2:
            content = options_header(next, {}) + content;
            next = ip_protocol::hop_by_hop;
            break;
        default:
            content = bytes{static_cast<std::uint8_t>(next),
                            0,
                            4,
                            static_cast<std::uint8_t>(pick(2)),
                            0,
                            0,
                            0,
                            0} +
                      content;
            next = ip_protocol::routing;
            break;
        }
    }
    fields.next_header = next;
    return ip6(fields, content);
}

class garbage6 : public testing::TestWithParam<unsigned> {};

TEST_P(garbage6, is_accounted_for) {
    std::mt19937 random(GetParam());
    small_net6 at;
    for (unsigned round = 0; round < 200; ++round) {
        for (unsigned i = 0; i < 40; ++i) {
            bytes frame = ethernet(at.to_router, wire::ether_type::ipv6, some_packet(at, random));
            for (unsigned wrong = random() % 4; wrong > 1; --wrong) {
                frame[14 + random() % (frame.size() - 14)] = static_cast<std::uint8_t>(random());
            }
            if (random() % 8 == 0) {
                frame.resize(1 + random() % frame.size());
            }
            at.net.receive(random() % 2, frame, 0, random() % 4 == 0 ? 1 + random() % 64 : 2048);
        }
        at.net.run();
        for (unsigned port = 0; port < 2; ++port) {
            for (const bytes& frame : at.net.sent(port)) {
                ASSERT_EQ(parse_frame(frame).link.source, router::mac_of(port)) << describe(frame);
                ASSERT_TRUE(parse_ip6_frame(frame).has_value()) << describe(frame);
                ASSERT_LE(frame.size(), 1514u);
            }
        }
        if (round % 10 == 9) {
            at.net.advance(ns_per_s);
        }
    }
    at.net.advance(90 * ns_per_s); // fragments and waiting packets have had their time
    EXPECT_EQ(at.pool.in_use(), 0u);
    EXPECT_GT(at.net.dropped_in_all(), 2000u);
    EXPECT_GT(at.net.worker_stack().ip6_counts().forwarded.read(), 100u);
    EXPECT_GT(at.net.worker_stack().ip6_counts().errors_sent.read(), 50u);
}

INSTANTIATE_TEST_SUITE_P(seeds, garbage6, testing::Range(1u, 6u));

} // namespace
} // namespace pantala::test
