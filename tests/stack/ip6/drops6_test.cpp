// Every reason for which a packet of IPv6 dies, each by a packet made for it.
#include "tests/stack/ip6/small_net6.hpp"

#include <pantala/udp.hpp>

#include <functional>
#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

using wire::icmp6_type;
using wire::ip_protocol;
using wire::ipv6_address;

using drop_case = std::function<void(small_net6&)>;

bytes fragment(const small_net6& at, std::uint32_t offset, bool more, std::size_t count) {
    return ip6(
        {at.host, at.router_inside, ip_protocol::fragment},
        fragment_header(ip_protocol::udp, offset, more, 7) + payload(count));
}

void from_route(small_net6& at, nexthop_kind kind) {
    at.net.add_route6("2001:db8:900::/40", {}, kind);
    at.from_host(datagram6({at.host, ip6_host(0x900, 0, 1)}));
}

bytes discovery(
    ip6_fields fields, icmp6_type type, std::uint32_t rest, const ipv6_address& target) {
    fields.hop_limit = 255;
    return icmp6_packet(fields, type, 0, rest, bytes_of(target));
}

const std::map<drop_reason, drop_case>& cases() {
    using enum drop_reason;
    static const std::map<drop_reason, drop_case> all = {
        {ip6_version,
         [](small_net6& at) {
             bytes packet = datagram6({at.host, at.far_away});
             packet[0] = 0x40;
             at.from_host(packet);
         }},
        {ip6_length,
         [](small_net6& at) {
             bytes packet = datagram6({at.host, at.far_away});
             packet[4] = 5;
             at.from_host(packet);
         }},
        {ip6_source,
         [](small_net6& at) {
             at.from_host(datagram6({wire::ipv6_all_nodes, at.far_away}));
         }},
        {ip6_destination,
         [](small_net6& at) {
             at.from_host(datagram6({at.host, ipv6_address::of(0, 0, 0, 0, 0, 0, 0, 1)}));
         }},
        {ip6_scope,
         [](small_net6& at) {
             at.from_host(datagram6({at.host, link_local(mac(0x99))}));
         }},
        {ip6_multicast,
         [](small_net6& at) {
             at.from_host(datagram6({at.host, ipv6_address::of(0xff05, 0, 0, 0, 0, 0, 1, 3)}));
         }},
        {ip6_link_multicast,
         [](small_net6& at) {
             at.net.receive(
                 0, ethernet(
                        {wire::multicast_mac(wire::ipv6_all_nodes), at.host_mac},
                        wire::ether_type::ipv6, datagram6({at.host, at.far_away})));
             at.net.run();
         }},
        {ip6_headers,
         [](small_net6& at) {
             at.from_host(
                 ip6({at.host, at.router_inside, ip_protocol::destination_options}, payload(4)));
         }},
        {ip6_options,
         [](small_net6& at) {
             at.from_host(
                 ip6({at.host, at.far_away, ip_protocol::hop_by_hop},
                     options_header(ip_protocol::udp, {0x7f, 2, 0, 0}) + payload(8)));
         }},
        {ip6_hop_limit,
         [](small_net6& at) {
             at.from_host(datagram6({at.host, at.far_away, ip_protocol::udp, 1}));
         }},
        {ip6_no_route,
         [](small_net6& at) {
             at.from_host(datagram6({at.host, ip6_host(0x900, 0, 1)}));
         }},
        {ip6_reverse_path,
         [](small_net6& at) {
             ASSERT_TRUE(at.net.routes().set_duties(at.inside, iface_rpf_strict).ok());
             at.net.run();
             at.from_host(datagram6({at.gateway, at.far_away}));
         }},
        {ip6_blackhole, [](small_net6& at) { from_route(at, nexthop_kind::blackhole); }},
        {ip6_prohibit, [](small_net6& at) { from_route(at, nexthop_kind::prohibit); }},
        {ip6_unreachable, [](small_net6& at) { from_route(at, nexthop_kind::unreachable); }},
        {ip6_too_big,
         [](small_net6& at) {
             at.net.add_route6("2001:db8:900::/40", {"2001:db8:2::2"}, nexthop_kind::gateway, 1280);
             at.from_host(datagram6({at.host, ip6_host(0x900, 0, 1)}, 1300));
         }},
        {ip6_no_source,
         [](small_net6& at) {
             // An answer to a link-local asker, on a link where we have no such address.
             const iface& here = at.net.routes().interface(at.inside);
             const address6 own{
                 std::uint64_t{0xfe80} << 48, wire::eui64_identifier(router::mac_of(0))};
             ASSERT_TRUE(at.net.routes().del_address(at.inside, own, 64));
             ASSERT_TRUE(at.net.routes().del_address(
                 at.inside, {at.router_inside.high(), at.router_inside.low()}, 64));
             ASSERT_TRUE(at.net.routes().del_address(
                 at.outside, {at.router_outside.high(), at.router_outside.low()}, 64));
             at.net.run();
             ASSERT_TRUE(here.ip6().empty());
             at.net.add_route6("2001:db8:1::/64", {}, nexthop_kind::blackhole);
             route6 back;
             back.prefix = *parse_prefix6("2001:db8:a::/64");
             back.targets.push_back({.kind = nexthop_kind::connected, .interface = at.inside});
             ASSERT_TRUE(at.net.routes().add(back));
             at.net.run();
             at.from_host(datagram6({ip6_host(0xa, 0, 1), ip6_host(0x900, 0, 1)}));
         }},
        {ip6_protocol,
         [](small_net6& at) {
             at.from_host(ip6({at.host, at.router_inside, ip_protocol{200}}, payload(20)));
         }},
        {ip6_fragment, [](small_net6& at) { at.from_host(fragment(at, 0, true, 15)); }},
        {ip6_reassembly_timeout,
         [](small_net6& at) {
             at.from_host(fragment(at, 8, true, 16));
             at.net.advance(60 * ns_per_s);
         }},
        {ip6_reassembly_overlap,
         [](small_net6& at) {
             at.from_host(fragment(at, 0, true, 16));
             at.from_host(fragment(at, 8, true, 16));
         }},
        {ip6_reassembly_full,
         [](small_net6& at) {
             for (unsigned i = 0; i <= reassembly_fragments_max; ++i) {
                 at.from_host(fragment(at, 16 * i, true, 8));
             }
         }},
        {ip6_loop_full,
         [](small_net6& at) {
             udp_socket sink([](udp_socket&, std::span<const pantala::datagram>) {});
             const endpoint ourselves = *parse_endpoint("[2001:db8:1::1]:9");
             ASSERT_EQ(0, at.net.worker_stack().host().native().bind(sink, ourselves));
             for (unsigned i = 0; i <= 2 * burst_max; ++i) {
                 EXPECT_EQ(0, sink.send_to(ourselves, {}));
             }
             at.net.run();
         }},
        {icmp6_short,
         [](small_net6& at) {
             at.from_host(ip6({at.host, at.router_inside, ip_protocol::icmpv6}, payload(7)));
         }},
        {icmp6_checksum,
         [](small_net6& at) {
             bytes packet =
                 icmp6_packet({at.host, at.router_inside}, icmp6_type::echo_request, 0, 1);
             packet[43] ^= 1;
             at.from_host(packet);
         }},
        {icmp6_type,
         [](small_net6& at) {
             at.from_host(icmp6_packet({at.host, at.router_inside}, icmp6_type::echo_reply, 0, 1));
         }},
        {icmp6_multicast,
         [](small_net6& at) {
             at.net.receive(
                 0, ethernet(
                        {wire::multicast_mac(wire::ipv6_all_nodes), at.host_mac},
                        wire::ether_type::ipv6,
                        icmp6_packet(
                            {at.host, wire::ipv6_all_nodes}, icmp6_type::echo_request, 0, 1)));
             at.net.run();
         }},
        {icmp6_error_consumed,
         [](small_net6& at) {
             at.from_host(icmp6_packet(
                 {at.host, at.router_inside}, icmp6_type::time_exceeded, 0, 0,
                 datagram6({at.router_inside, ip6_host(0x900, 0, 1)})));
         }},
        {icmp6_rate,
         [](small_net6& at) {
             for (unsigned i = 0; i <= 2 * ip6_settings{}.icmp_errors_burst; ++i) {
                 at.from_host(datagram6({at.host, ip6_host(0x900, 0, 1)}));
             }
         }},
        {nd_format,
         [](small_net6& at) {
             ip6_fields fields{at.host, at.router_inside};
             at.from_host(icmp6_packet(
                 fields, icmp6_type::neighbor_solicitation, 0, 0, bytes_of(at.router_inside)));
         }},
        {nd_source,
         [](small_net6& at) {
             at.from_host(discovery(
                 {at.host, at.router_inside}, icmp6_type::neighbor_advertisement, 0,
                 at.router_inside));
         }},
        {nd_ignored,
         [](small_net6& at) {
             at.from_host(discovery(
                 {link_local(at.host_mac), at.router_inside}, icmp6_type::redirect, 0,
                 at.far_away));
         }},
        {nd_done,
         [](small_net6& at) {
             at.from_host(discovery(
                 {at.host, at.router_inside}, icmp6_type::neighbor_solicitation, 0,
                 at.router_inside));
         }},
    };
    return all;
}

TEST(drops6, every_reason_has_a_packet_that_dies_of_it) {
    const std::set<std::string> layers = {"ip6", "icmp6", "nd"};
    // Needs more packets to ourselves in a round than a burst holds: the host's room has that.
    const std::set<std::string> elsewhere = {"ip6_loop_full"};
    for (std::size_t i = 0; i < drop_reason_count; ++i) {
        const drop_reason_text& text = drop_reason_texts[i];
        if (layers.contains(text.layer) && !elsewhere.contains(text.name)) {
            EXPECT_TRUE(cases().contains(static_cast<drop_reason>(i))) << text.name;
        }
    }
}

class drops6_of : public testing::TestWithParam<drop_reason> {};

TEST_P(drops6_of, exactly_this_reason_is_counted) {
    small_net6 at;
    const std::uint64_t all_before = at.net.dropped_in_all();
    const std::uint64_t before = at.net.dropped(GetParam());
    cases().at(GetParam())(at);
    EXPECT_GT(at.net.dropped(GetParam()), before);
    // These say that an answer was not sent; the packet it was about dies of its own reason.
    const bool beside_another =
        GetParam() == drop_reason::ip6_no_source || GetParam() == drop_reason::icmp6_rate;
    if (!beside_another) {
        EXPECT_EQ(at.net.dropped_in_all() - all_before, at.net.dropped(GetParam()) - before);
    }
}

std::vector<drop_reason> keys() {
    std::vector<drop_reason> result;
    for (const auto& [reason, make] : cases()) {
        result.push_back(reason);
    }
    return result;
}

INSTANTIATE_TEST_SUITE_P(
    all, drops6_of, testing::ValuesIn(keys()), [](const testing::TestParamInfo<drop_reason>& at) {
        return std::string(drop_reason_texts[static_cast<std::size_t>(at.param)].name);
    });

} // namespace
} // namespace pantala::test
