// What a host makes of routers' advertisements beside addresses (RFC 4861 6.3): routers that fall
// silent, prefixes on the link, times of the link.
#include "tests/stack/ip6/link6.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

using wire::icmp6_type;
using wire::ipv6_address;
using wire::nd_option_type;

struct host6 : link6 {
    static constexpr address6 somewhere{std::uint64_t{0x20014860} << 32, 1};
    const wire::mac_address other_mac = mac(0x45);

    void hear_router(const wire::mac_address& from, const bytes& rest) {
        hear(
            icmp6_type::router_advertisement, 9000, {link_local(from), wire::ipv6_all_nodes}, rest);
    }
    // A second after another; routers among `speaking` answer what they are asked.
    void live(unsigned seconds, const std::vector<wire::mac_address>& speaking) {
        for (unsigned i = 0; i < seconds; ++i) {
            net.advance(ns_per_s);
            for (const parsed_ip6& asked : sent(icmp6_type::neighbor_solicitation)) {
                ipv6_address target;
                std::copy_n(asked.content.begin() + 8, 16, target.bytes.begin());
                for (const wire::mac_address& one : speaking) {
                    if (target == link_local(one)) {
                        hear(
                            icmp6_type::neighbor_advertisement,
                            wire::nd_flag_solicited | wire::nd_flag_override | wire::nd_flag_router,
                            {target, asked.header.source},
                            bytes_of(target) +
                                link_option(nd_option_type::target_link_address, one));
                    }
                }
            }
        }
    }
    std::vector<address6> ways() {
        std::vector<address6> gateways;
        if (const auto found = net.routes().get(somewhere); found.ok()) {
            for (const route_target& target : found->targets) {
                gateways.push_back(*target.gateway6);
            }
        }
        return gateways;
    }
    static address6 at(const wire::mac_address& router) { return halves_of(link_local(router)); }
    nexthop_kind kind_to(const ipv6_address& address) {
        const auto found = net.routes().get(halves_of(address));
        return found.ok() ? found->targets[0].kind : nexthop_kind::none;
    }
};

TEST_F(host6, a_silent_router_is_passed_over_while_another_answers) {
    duties(iface_accept_ra);
    hear_router(peer_mac, bytes(8));
    hear_router(other_mac, bytes(8));
    live(5, {peer_mac, other_mac});
    EXPECT_EQ(ways().size(), 2u);
    live(60, {other_mac}); // reachable, stale, probed: silent after 38 s
    EXPECT_EQ(ways(), std::vector<address6>{at(other_mac)});
    live(60, {other_mac});
    EXPECT_EQ(ways(), std::vector<address6>{at(other_mac)});
    live(10, {peer_mac, other_mac}); // it was asked all the time
    EXPECT_EQ(ways().size(), 2u);
    live(60, {}); // nobody is better than another
    EXPECT_EQ(ways().size(), 2u);
    live(10, {peer_mac});
    EXPECT_EQ(ways(), std::vector<address6>{at(peer_mac)});
    duties(0);
    EXPECT_TRUE(ways().empty());
    net.advance(ns_per_s);
    EXPECT_EQ(net.worker_stack(1).routes().hash(), net.routes().hash());
}

TEST_F(host6, the_only_router_stays) {
    duties(iface_accept_ra);
    hear_router(peer_mac, bytes(8));
    live(100, {});
    EXPECT_EQ(ways(), std::vector<address6>{at(peer_mac)});
}

TEST_F(host6, prefixes_on_the_link_without_an_address) {
    duties(iface_accept_ra);
    const ipv6_address near = ipv6_address::of(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 9);
    advertise(0, prefix_option(7200, 3600, wire::nd_prefix_option::autonomous)); // nothing of it
    EXPECT_EQ(kind_to(near), nexthop_kind::none);
    ASSERT_TRUE(net.routes().del_address(id, address6::from_bytes(made()->address), 128).ok());
    net.advance(ns_per_s);
    advertise(0, prefix_option(7200, 3600, wire::nd_prefix_option::on_link));
    EXPECT_EQ(made(), nullptr);
    EXPECT_EQ(kind_to(near), nexthop_kind::connected);
    EXPECT_EQ(net.automatic().prefixes(), 1u);
    net.advance(7199 * ns_per_s);
    EXPECT_EQ(kind_to(near), nexthop_kind::connected);
    net.advance(2 * ns_per_s);
    EXPECT_EQ(kind_to(near), nexthop_kind::none);
    // Of any length, as long as the last of them says, and gone at once with lifetime 0.
    advertise(0, prefix_option(7200, 3600, wire::nd_prefix_option::on_link, 48));
    const ipv6_address far = ipv6_address::of(0x2001, 0xdb8, 0x77, 9, 0, 0, 0, 9);
    EXPECT_EQ(kind_to(far), nexthop_kind::connected);
    advertise(0, prefix_option(0, 0, wire::nd_prefix_option::on_link, 48));
    net.advance(ns_per_s);
    EXPECT_EQ(kind_to(far), nexthop_kind::none);
    // Everything is no link.
    advertise(0, prefix_option(7200, 3600, wire::nd_prefix_option::on_link, 0));
    EXPECT_EQ(net.automatic().prefixes(), 0u);
}

TEST_F(host6, prefixes_are_bounded_and_go_with_the_duty) {
    duties(iface_accept_ra);
    for (unsigned i = 0; i < 100; ++i) {
        bytes option = prefix_option(7200, 3600, wire::nd_prefix_option::on_link);
        option[20] = static_cast<std::uint8_t>(i);
        advertise(0, option);
    }
    EXPECT_EQ(net.automatic().prefixes(), autoconf::prefixes_max);
    duties(0);
    EXPECT_EQ(net.automatic().prefixes(), 0u);
    net.advance(ns_per_s);
    EXPECT_EQ(net.worker_stack(1).routes().hash(), net.routes().hash());
}

TEST_F(host6, times_of_the_link_are_taken_within_bounds) {
    const ipv6_address neighbor = ip6_host(1, 0, 9);
    const auto state = [&] {
        return net.worker_stack().neighbors_owner()->state_of(make_neighbor_key(id, neighbor));
    };
    const auto stale_after = [&] {
        net.learn6(id, neighbor, other_mac);
        EXPECT_EQ(state(), neighbor_state::reachable);
        unsigned seconds = 0;
        for (; state() == neighbor_state::reachable && seconds < 100; ++seconds) {
            net.advance(ns_per_s);
        }
        net.forget6(id, neighbor);
        return seconds;
    };
    const auto said = [](std::uint32_t reachable_ms, std::uint32_t retransmit_ms) {
        bytes both(8);
        const be32 words[2] = {be32::from(reachable_ms), be32::from(retransmit_ms)};
        std::memcpy(both.data(), words, sizeof words);
        return both;
    };
    duties(iface_accept_ra);
    EXPECT_EQ(stale_after(), 30u);
    hear_router(peer_mac, said(5000, 2000));
    net.advance(ns_per_s);
    EXPECT_EQ(stale_after(), 5u);
    hear_router(peer_mac, said(0, 0)); // not said: as before
    net.advance(ns_per_s);
    EXPECT_EQ(stale_after(), 5u);
    // Three questions two seconds apart.
    ip6_fields fields{neighbor, ip6_host(1, 0, 1)};
    fields.hop_limit = 255;
    hear(icmp6_type::neighbor_solicitation, 0, fields, bytes_of(fields.destination));
    ASSERT_EQ(state(), neighbor_state::incomplete);
    net.advance(5 * ns_per_s);
    EXPECT_EQ(state(), neighbor_state::incomplete);
    net.advance(ns_per_s);
    EXPECT_EQ(state(), neighbor_state::failed);
    net.forget6(id, neighbor);
    hear_router(peer_mac, said(1, 0)); // a second at least
    net.advance(ns_per_s);
    EXPECT_EQ(stale_after(), 1u);
    duties(0);
    net.advance(2 * ns_per_s);
    EXPECT_EQ(stale_after(), 30u);
}

} // namespace
} // namespace pantala::test
