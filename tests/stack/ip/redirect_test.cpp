// ICMP redirects: when the router speaks of a better first hop, and when it does not.
#include "tests/stack/ip/small_net.hpp"

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

using wire::icmp4_type;
using wire::ip_protocol;

stack_settings with_redirects(bool sent) {
    stack_settings settings;
    settings.ip4.send_redirects = sent;
    return settings;
}

// 198.51.100.0/24 is behind a neighbour on the hosts' own link.
struct detour : small_net {
    explicit detour(bool redirects = true) : small_net(with_redirects(redirects)) {
        net.add_route("198.51.100.0/24", {"10.0.0.3"});
        net.learn(inside, neighbour, neighbour_mac);
        forget();
    }
    // Those of the frames sent on the hosts' link that are ICMP redirects.
    frames redirects() {
        frames found;
        forwarded = 0;
        for (const bytes& frame : net.sent_ip(0)) {
            const auto packet = parse_ip4_frame(frame);
            const bool icmp =
                packet && packet->header.protocol == static_cast<std::uint8_t>(ip_protocol::icmp);
            if (icmp && frame[34] == static_cast<std::uint8_t>(icmp4_type::redirect)) {
                found.push_back(frame);
            } else {
                ++forwarded;
            }
        }
        return found;
    }
    // One redirect to the host, for the host, that names `better` and quotes `about`.
    void expect_redirect(const bytes& about, std::uint16_t better_high, std::uint16_t better_low) {
        const frames found = redirects();
        ASSERT_EQ(found.size(), 1u);
        const auto packet = parse_ip4_frame(found[0]);
        ASSERT_TRUE(packet.has_value());
        EXPECT_TRUE(same(
            found, frames{error_frame(
                       icmp4_type::redirect, 1, better_high, better_low, about,
                       packet->header.identification.host())}));
        EXPECT_EQ(forwarded, 1u) << "the packet itself goes on";
    }

    const wire::ipv4_address neighbour = ip(10, 0, 0, 3);
    const wire::mac_address neighbour_mac = mac(0x30);
    const wire::ipv4_address behind = ip(198, 51, 100, 7);
    std::size_t forwarded = 0;
};

TEST(redirect, names_the_gateway_on_the_source_s_link) {
    detour at;
    at.from_host(datagram({at.host, at.behind}));
    // Quoted as it leaves: one less to live.
    at.expect_redirect(datagram({at.host, at.behind, ip_protocol::udp, 63}), 0x0a00, 0x0003);
}

TEST(redirect, names_the_destination_that_is_on_the_link_itself) {
    detour at;
    at.from_host(datagram({at.host, at.neighbour}));
    at.expect_redirect(datagram({at.host, at.neighbour, ip_protocol::udp, 63}), 0x0a00, 0x0003);
}

TEST(redirect, the_slow_path_sends_it_as_well) {
    detour at;
    at.net.add_route("203.0.113.0/24", {"10.0.0.3"}, nexthop_kind::gateway, 1000);
    const bytes large = datagram({at.host, ip(203, 0, 113, 7)}, 1200); // is cut
    at.from_host(large);
    const frames found = at.redirects();
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(at.forwarded, 2u);
    at.net.add_route("192.88.99.0/24", {"10.0.0.9"}); // not known: asked for
    const bytes waiting = datagram({at.host, ip(192, 88, 99, 8)});
    at.from_host(waiting);
    EXPECT_EQ(at.redirects().size(), 1u);
}

TEST(redirect, none_to_a_source_of_another_subnet) {
    detour at;
    at.from_host(datagram({ip(172, 16, 0, 9), at.behind}));
    EXPECT_TRUE(at.redirects().empty());
    EXPECT_EQ(at.forwarded, 1u);
}

TEST(redirect, none_when_another_interface_is_the_way) {
    detour at;
    at.from_host(datagram({at.host, at.far_away}));
    EXPECT_TRUE(at.redirects().empty());
    iface tagged;
    tagged.vlan = 7;
    const iface_id sub = at.net.add_iface(0, {"10.0.7.1/24"}, tagged);
    at.net.add_route("203.0.113.0/24", {"10.0.7.2"});
    at.net.learn(sub, ip(10, 0, 7, 2), mac(0x40));
    at.forget();
    at.from_host(datagram({at.host, ip(203, 0, 113, 7)}));
    EXPECT_TRUE(at.redirects().empty()) << "the same port, but not the same link";
    EXPECT_EQ(at.forwarded, 1u);
}

TEST(redirect, none_about_an_icmp_error) {
    detour at;
    ip4_fields fields{at.host, at.behind, ip_protocol::icmp};
    at.from_host(ip4(fields, icmp4(icmp4_type::destination_unreachable, 1, 0, 0, payload(28))));
    EXPECT_TRUE(at.redirects().empty());
    EXPECT_EQ(at.forwarded, 1u);
}

TEST(redirect, none_when_switched_off) {
    detour at(false);
    at.from_host(datagram({at.host, at.behind}));
    at.from_host(datagram({at.host, at.neighbour}));
    EXPECT_TRUE(at.redirects().empty());
    EXPECT_EQ(at.forwarded, 2u);
}

TEST(redirect, no_more_than_the_rate) {
    detour at;
    for (unsigned i = 0; i < 60; ++i) {
        at.from_host(datagram({at.host, at.behind}));
    }
    EXPECT_EQ(at.redirects().size(), 20u);
    EXPECT_EQ(at.forwarded, 60u);
    EXPECT_EQ(at.net.dropped_in_all(), at.net.dropped(drop_reason::arp_done));
    at.net.advance(ns_per_s);
    at.forget();
    for (unsigned i = 0; i < 60; ++i) {
        at.from_host(datagram({at.host, at.behind}));
    }
    EXPECT_EQ(at.redirects().size(), 20u);
}

} // namespace
} // namespace pantala::test
