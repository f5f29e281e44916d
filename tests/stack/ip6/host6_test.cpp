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

// RFC 4861 6.3.4: of our own packets on that link, unless they say another themselves.
struct hop_limits : host6 {
    hop_limits() {
        other = net.add_iface(1, {});
        net.add_address6(other, "2001:db8:2::1/64");
        for (const iface_id link : {id, other}) {
            net.learn6(link, station(link), other_mac);
        }
        net.advance(10 * ns_per_s);
        forget();
    }
    ipv6_address station(iface_id link) const { return ip6_host(link == id ? 1 : 2, 0, 9); }
    ipv6_address ours(iface_id link) const { return ip6_host(link == id ? 1 : 2, 0, 1); }
    void forget() {
        net.sent(0);
        net.sent(1);
    }
    void say(std::uint8_t hop_limit) {
        hear(
            icmp6_type::router_advertisement, std::uint32_t{hop_limit} << 24 | 9000,
            {link_local(peer_mac), wire::ipv6_all_nodes}, bytes(8));
        net.advance(ns_per_s);
        forget();
    }
    // Of what we send to the station of a link when it has sent this; 0: nothing.
    unsigned answered(iface_id link, wire::ip_protocol protocol, const bytes& content) {
        const ip6_fields fields{station(link), ours(link), protocol};
        const unsigned port = link == id ? 0 : 1;
        net.receive(
            port,
            ethernet(
                {router::mac_of(port), other_mac}, wire::ether_type::ipv6, ip6(fields, content)));
        net.run();
        return sent_to(link);
    }
    unsigned sent_to(iface_id link) {
        for (const bytes& frame : net.sent_ip6(link == id ? 0 : 1)) {
            if (const auto packet = parse_ip6_frame(frame);
                packet && packet->header.destination == station(link)) {
                return packet->header.hop_limit;
            }
        }
        return 0;
    }
    unsigned echo(iface_id link) {
        const ip6_fields fields{station(link), ours(link)};
        return answered(
            link, wire::ip_protocol::icmpv6,
            icmp6(fields, icmp6_type::echo_request, 0, 7, payload(8)));
    }
    // A SYN to a port where nobody listens is reset.
    unsigned reset(iface_id link) {
        bytes segment(20);
        segment[1] = 9; // ports 9 and 7
        segment[3] = 7;
        segment[12] = 0x50; // five words
        segment[13] = 2;    // SYN
        const bytes all = bytes_of(station(link)) + bytes_of(ours(link)) +
                          bytes{0, 0, 0, 20, 0, 0, 0, 6} + segment;
        std::uint32_t sum = 0;
        for (std::size_t i = 0; i < all.size(); i += 2) {
            sum += std::uint32_t{all[i]} << 8 | all[i + 1];
        }
        sum = (sum & 0xffff) + (sum >> 16);
        sum = ~((sum & 0xffff) + (sum >> 16));
        segment[16] = static_cast<std::uint8_t>(sum >> 8);
        segment[17] = static_cast<std::uint8_t>(sum);
        return answered(link, wire::ip_protocol::tcp, segment);
    }
    unsigned datagram(iface_id link, std::uint8_t own = 0) {
        const flow_key key{
            ip_address::from(ours(link)), ip_address::from(station(link)), l4_port{be16::from(53)},
            l4_port{be16::from(54)}};
        net.worker_stack().host().udp.send(key, {}, {0, own});
        net.run();
        return sent_to(link);
    }
    iface_id other{};
};

TEST_F(hop_limits, what_routers_say_is_that_of_our_packets_there) {
    duties(iface_accept_ra);
    EXPECT_EQ(echo(id), 64u);
    say(0); // not said
    EXPECT_EQ(echo(id), 64u);
    say(31);
    EXPECT_EQ(echo(id), 31u);
    EXPECT_EQ(reset(id), 31u);
    EXPECT_EQ(datagram(id), 31u);
    EXPECT_EQ(datagram(id, 64), 64u) << "it says so itself";
    EXPECT_EQ(echo(other), 64u) << "nobody said so there";
    EXPECT_EQ(reset(other), 64u);
    EXPECT_EQ(datagram(other), 64u);
    say(0);
    EXPECT_EQ(echo(id), 31u) << "as before";
    net.advance(10 * ns_per_s);
    say(200);
    EXPECT_EQ(reset(id), 200u);
    duties(0);
    net.advance(2 * ns_per_s);
    forget();
    EXPECT_EQ(echo(id), 64u);
    EXPECT_EQ(datagram(id), 64u);
}

TEST_F(hop_limits, it_changes_at_most_every_ten_seconds) {
    duties(iface_accept_ra);
    for (unsigned i = 1; i <= 100; ++i) {
        hear(
            icmp6_type::router_advertisement, i << 24, {link_local(peer_mac), wire::ipv6_all_nodes},
            bytes(8));
    }
    forget();
    EXPECT_EQ(echo(id), 1u);
    EXPECT_EQ(net.automatic().limits_put_off(), 99u);
    net.advance(11 * ns_per_s);
    forget();
    EXPECT_EQ(echo(id), 100u) << "the last counts";
}

// RFC 4862 5.1: the time that a router names is waited after a question.
TEST_F(host6, addresses_are_asked_for_as_slowly_as_the_link_says) {
    duties(iface_accept_ra);
    bytes times(8);
    const be32 retransmit = be32::from(6000);
    std::memcpy(&times[4], &retransmit, sizeof retransmit);
    hear_router(peer_mac, times + prefix_option(7200, 3600));
    unsigned asked = 0;
    unsigned seconds = 0;
    for (; (made()->flags & address_tentative) != 0 && seconds < 30; ++seconds) {
        net.advance(ns_per_s);
        asked += static_cast<unsigned>(sent(icmp6_type::neighbor_solicitation).size());
    }
    EXPECT_EQ(asked, 1u);
    EXPECT_GE(seconds, 6u);
    EXPECT_LE(seconds, 8u);
    duties(0);
    net.advance(2 * ns_per_s);
    net.add_address6(id, "2001:db8:5::5/64", address_probed | address_tentative);
    net.advance(3 * ns_per_s);
    for (const iface_address6& mine : net.routes().interface(id).ip6()) {
        EXPECT_EQ(mine.flags & address_tentative, 0) << "a second again";
    }
}

// RFC 4861 6.3.2: half to one and a half of what is said, another one in the next hours.
TEST(reachable_time, is_drawn) {
    mbuf_pool pool;
    unsigned least = 1000;
    unsigned most = 0;
    unsigned changed = 0;
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        router net(pool, {.workers = 1, .seed = seed, .reachable_spread = true});
        const iface_id id = net.add_iface(0, {});
        net.add_address6(id, "2001:db8:1::1/64");
        const ipv6_address neighbor = ip6_host(1, 0, 9);
        const auto stale_after = [&] {
            net.learn6(id, neighbor, mac(0x45));
            unsigned seconds = 0;
            neighbor_owner& owner = *net.worker_stack().neighbors_owner();
            while (owner.state_of(make_neighbor_key(id, neighbor)) == neighbor_state::reachable) {
                net.advance(ns_per_s);
                ++seconds;
            }
            net.forget6(id, neighbor);
            return seconds;
        };
        const unsigned first = stale_after();
        EXPECT_EQ(stale_after(), first) << "not drawn so soon";
        net.advance(2 * reachable_drawn_ns);
        const unsigned second = stale_after();
        least = std::min({least, first, second});
        most = std::max({most, first, second});
        changed += first != second ? 1 : 0;
    }
    EXPECT_GE(least, 15u);
    EXPECT_LE(most, 45u);
    EXPECT_GE(most - least, 10u);
    EXPECT_GE(changed, 6u);
}

} // namespace
} // namespace pantala::test
