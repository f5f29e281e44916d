// Whatever arrives: random frames, and sound ones with random damage. Nothing may crash, hang or
// leak, every frame is accounted for, and what leaves is sound.
#include "tests/stack/ip/small_net.hpp"

#include <random>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

using wire::ether_type;
using wire::ip_protocol;

bytes some_frame(const small_net& at, std::mt19937& random) {
    const auto pick = [&](unsigned below) { return static_cast<unsigned>(random() % below); };
    ip4_fields fields{at.host, at.far_away};
    const wire::ipv4_address targets[] = {
        at.far_away, at.router_inside, ip(10, 0, 1, 77), ip(8, 8, 8, 8), ip(10, 0, 0, 255)};
    fields.destination = targets[pick(5)];
    fields.time_to_live = static_cast<std::uint8_t>(pick(4) == 0 ? pick(3) : 64);
    fields.identification = static_cast<std::uint16_t>(pick(8));
    if (pick(3) == 0) {
        fields.flags_offset = static_cast<std::uint16_t>(pick(40) | (pick(2) << 13));
    }
    if (pick(4) == 0) {
        fields.options = payload(4 * pick(11), static_cast<std::uint8_t>(random()));
    }
    bytes content = payload(pick(200));
    switch (pick(4)) {
    case 0:
        content = icmp4(static_cast<wire::icmp4_type>(pick(20)), 0, 1, 1, payload(pick(100)));
        fields.protocol = ip_protocol::icmp;
        break;
    case 1:
        content = udp(fields, 1, 2, payload(pick(1400)));
        break;
    case 2:
        return ethernet(
            {wire::mac_broadcast, at.host_mac}, ether_type::arp,
            arp(static_cast<wire::arp_operation>(pick(4)), mac(static_cast<std::uint8_t>(pick(9))),
                ip(10, 0, 0, static_cast<std::uint8_t>(pick(20))), {}, at.router_inside));
    default:
        break;
    }
    return ethernet(at.to_router, ether_type::ipv4, ip4(fields, content));
}

void damage(bytes& frame, std::mt19937& random) {
    for (unsigned i = random() % 4; i > 0; --i) {
        frame[random() % frame.size()] = static_cast<std::uint8_t>(random());
    }
    if (random() % 4 == 0) {
        frame.resize(1 + random() % frame.size());
    } else if (random() % 2 == 0 && frame.size() > 34) {
        fix_ip4_checksum(std::span(frame).subspan(14)); // past the first gate
    }
}

class garbage : public testing::TestWithParam<unsigned> {};

TEST_P(garbage, is_accounted_for) {
    std::mt19937 random(GetParam());
    small_net at;
    for (unsigned round = 0; round < 400; ++round) {
        for (unsigned i = 0; i < 40; ++i) {
            bytes frame = some_frame(at, random);
            if (random() % 8 == 0) {
                frame.resize(1 + random() % 120);
                std::ranges::generate(frame, [&] { return static_cast<std::uint8_t>(random()); });
            } else {
                damage(frame, random);
            }
            at.net.receive(random() % 2, frame, 0, random() % 4 == 0 ? 1 + random() % 64 : 2048);
        }
        at.net.run();
        for (unsigned port = 0; port < 2; ++port) {
            for (const bytes& frame : at.net.sent(port)) {
                const parsed_frame link = parse_frame(frame);
                ASSERT_EQ(link.link.source, router::mac_of(port)) << describe(frame);
                if (link.type == ether_type::ipv4) {
                    ASSERT_TRUE(parse_ip4(link.content).has_value()) << describe(frame);
                    ASSERT_LE(link.content.size(), 1500u);
                } else {
                    ASSERT_EQ(link.type, ether_type::arp);
                }
            }
        }
        if (round % 10 == 9) {
            at.net.advance(ns_per_s);
        }
    }
    at.net.advance(60 * ns_per_s); // fragments and waiting packets have had their time
    EXPECT_EQ(at.pool.in_use(), 0u);
    EXPECT_GT(at.net.dropped_in_all(), 5000u);
    EXPECT_GT(at.net.worker_stack().ip4_counts().forwarded.read(), 500u);
    EXPECT_GT(at.net.worker_stack().ip4_counts().errors_sent.read(), 50u);
}

INSTANTIATE_TEST_SUITE_P(seeds, garbage, testing::Range(1u, 6u));

} // namespace
} // namespace pantala::test
