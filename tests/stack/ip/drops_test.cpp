// Every reason for which a packet dies in this part of the tree, each by a packet made for it.
#include "tests/stack/ip/small_net.hpp"

#include <pantala/udp.hpp>

#include <functional>
#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

using wire::ether_type;
using wire::ip_protocol;

using drop_case = std::function<void(small_net&)>;

void corrupt_ip(small_net& at, std::size_t place, std::uint8_t value, bool fix = true) {
    bytes packet = datagram({at.host, at.far_away});
    packet[place] = value;
    if (fix) {
        fix_ip4_checksum(packet);
    }
    at.from_host(packet);
}

void frame_of_type(small_net& at, ether_type type, const bytes& content) {
    at.net.receive(0, ethernet(at.to_router, type, content));
    at.net.run();
}

bytes fragment(const small_net& at, std::uint16_t flags_offset, std::size_t count) {
    ip4_fields fields{at.host, at.router_inside};
    fields.identification = 7;
    fields.flags_offset = flags_offset;
    return ip4(fields, payload(count));
}

const std::map<drop_reason, drop_case>& cases() {
    using enum drop_reason;
    static const std::map<drop_reason, drop_case> all = {
        // port
        {tx_full,
         [](small_net& at) {
             at.net.limit(1, 0);
             at.from_host(datagram({at.host, at.far_away}));
         }},
        {no_mbuf,
         [](small_net& at) {
             std::vector<rte_mbuf*> taken;
             while (rte_mbuf* packet = rte_pktmbuf_alloc(at.pool.get())) {
                 taken.push_back(packet);
             }
             rte_pktmbuf_free(taken.back());
             taken.pop_back();
             at.from_host(datagram({at.host, at.far_away, ip_protocol::udp, 1}));
             rte_pktmbuf_free_bulk(taken.data(), static_cast<unsigned>(taken.size()));
         }},
        // ether
        {ether_short,
         [](small_net& at) {
             at.net.receive(0, payload(13));
             at.net.run();
         }},
        {ether_not_us,
         [](small_net& at) {
             at.net.receive(0, udp_frame({mac(0x77), at.host_mac}, {at.host, at.far_away}));
             at.net.run();
         }},
        {ether_source,
         [](small_net& at) {
             wire::mac_address group = at.host_mac;
             group.bytes[0] |= 1;
             at.net.receive(0, udp_frame({router::mac_of(0), group}, {at.host, at.far_away}));
             at.net.run();
         }},
        {ether_type,
         [](small_net& at) {
             frame_of_type(at, static_cast<wire::ether_type>(0x88cc), payload(46));
         }},
        {ether_vlan,
         [](small_net& at) {
             at.net.receive(
                 0, udp_frame({router::mac_of(0), at.host_mac, 99}, {at.host, at.far_away}));
             at.net.run();
         }},
        {ether_down,
         [](small_net& at) {
             EXPECT_TRUE(at.net.routes().set_up(at.inside, false).ok());
             at.net.run();
             at.from_host(datagram({at.host, at.far_away}));
         }},
        // arp
        {arp_short,
         [](small_net& at) {
             link_fields link = at.to_router;
             link.padded = false;
             at.net.receive(0, ethernet(link, ether_type::arp, payload(27)));
             at.net.run();
         }},
        {arp_format,
         [](small_net& at) {
             bytes packet =
                 arp(wire::arp_operation::request, at.host_mac, at.host, {}, at.router_inside);
             packet[7] = 9; // an operation that nobody knows
             frame_of_type(at, ether_type::arp, packet);
         }},
        {arp_source,
         [](small_net& at) {
             frame_of_type(
                 at, ether_type::arp,
                 arp(wire::arp_operation::request, at.host_mac, ip(172, 16, 0, 1), {},
                     at.router_inside));
         }},
        {arp_done,
         [](small_net& at) {
             frame_of_type(
                 at, ether_type::arp,
                 arp(wire::arp_operation::request, at.host_mac, at.host, {}, at.router_inside));
         }},
        // neighbours
        {neighbor_queue,
         [](small_net& at) {
             for (unsigned i = 0; i <= neighbor_queue_max; ++i) {
                 at.from_host(datagram({at.host, ip(10, 0, 1, 99)}));
             }
         }},
        {neighbor_failed,
         [](small_net& at) {
             at.from_host(datagram({at.host, ip(10, 0, 1, 99)}));
             at.net.advance(4 * ns_per_s);
         }},
        {neighbor_table,
         [](small_net& at) {
             const iface_id wide = at.net.add_iface(1, {"172.16.0.1/16"}, {.vlan = 5});
             (void)wide;
             for (unsigned i = 0; i <= neighbors_waiting_max; ++i) {
                 at.from_host(datagram({at.host, wire::ipv4_address::from(0xac100002 + i)}));
             }
         }},
        // ip4
        {ip4_short,
         [](small_net& at) {
             link_fields link = at.to_router;
             link.padded = false;
             at.net.receive(0, ethernet(link, ether_type::ipv4, payload(19)));
             at.net.run();
         }},
        {ip4_version, [](small_net& at) { corrupt_ip(at, 0, 0x55); }},
        {ip4_header_length, [](small_net& at) { corrupt_ip(at, 0, 0x44); }},
        {ip4_total_length, [](small_net& at) { corrupt_ip(at, 2, 0x10); }},
        {ip4_checksum, [](small_net& at) { corrupt_ip(at, 10, 0xab, false); }},
        {ip4_source, [](small_net& at) { corrupt_ip(at, 12, 127); }},
        {ip4_destination, [](small_net& at) { corrupt_ip(at, 16, 127); }},
        {ip4_options,
         [](small_net& at) {
             ip4_fields fields{at.host, at.far_away};
             fields.options = {131, 7, 4, 10, 0, 1, 2, 0}; // loose source route
             at.from_host(datagram(fields));
         }},
        {ip4_ttl,
         [](small_net& at) {
             at.from_host(datagram({at.host, at.far_away, ip_protocol::udp, 1}));
         }},
        {ip4_no_route,
         [](small_net& at) {
             at.from_host(datagram({at.host, ip(8, 8, 8, 8)}));
         }},
        {ip4_reverse_path,
         [](small_net& at) {
             ASSERT_TRUE(at.net.routes().set_duties(at.inside, iface_rpf_strict).ok());
             at.net.run();
             at.from_host(datagram({at.gateway, at.far_away}));
         }},
        {ip4_blackhole,
         [](small_net& at) {
             at.net.add_route("8.0.0.0/8", {}, nexthop_kind::blackhole);
             at.from_host(datagram({at.host, ip(8, 8, 8, 8)}));
         }},
        {ip4_prohibit,
         [](small_net& at) {
             at.net.add_route("8.0.0.0/8", {}, nexthop_kind::prohibit);
             at.from_host(datagram({at.host, ip(8, 8, 8, 8)}));
         }},
        {ip4_unreachable,
         [](small_net& at) {
             at.net.add_route("8.0.0.0/8", {}, nexthop_kind::unreachable);
             at.from_host(datagram({at.host, ip(8, 8, 8, 8)}));
         }},
        {ip4_directed_broadcast,
         [](small_net& at) {
             at.from_host(datagram({at.host, ip(10, 0, 1, 255)}));
         }},
        {ip4_multicast,
         [](small_net& at) {
             at.net.receive(
                 0,
                 udp_frame({{{0x01, 0, 0x5e, 0, 0, 1}}, at.host_mac}, {at.host, ip(224, 0, 0, 1)}));
             at.net.run();
         }},
        {ip4_dont_fragment,
         [](small_net& at) {
             EXPECT_TRUE(at.net.routes().set_mtu(at.outside, 600).ok());
             ip4_fields fields{at.host, at.far_away};
             fields.flags_offset = wire::ipv4_header::dont_fragment;
             at.from_host(datagram(fields, 1000));
         }},
        {ip4_fragment,
         [](small_net& at) {
             EXPECT_TRUE(at.net.routes().set_mtu(at.outside, 68).ok());
             ip4_fields fields{at.host, at.far_away};
             at.net.receive( // 48 bytes a fragment: more than 64 of them
                 0, ethernet(
                        at.to_router, ether_type::ipv4,
                        ip4(fields, udp(fields, 1, 2, payload(4000)))));
             at.net.run();
         }},
        {ip4_link_broadcast,
         [](small_net& at) {
             at.net.receive(
                 0, udp_frame({wire::mac_broadcast, at.host_mac}, {at.host, at.far_away}));
             at.net.run();
         }},
        {ip4_protocol,
         [](small_net& at) {
             at.from_host(ip4({at.host, at.router_inside, ip_protocol{89}}, payload(20)));
         }},
        {ip4_reassembly_timeout,
         [](small_net& at) {
             at.from_host(fragment(at, 0x2000, 16));
             at.net.advance(reassembly_ns);
         }},
        {ip4_reassembly_overlap,
         [](small_net& at) {
             at.from_host(fragment(at, 0x2000, 16));
             at.from_host(fragment(at, 0x2001, 16));
         }},
        {ip4_reassembly_full,
         [](small_net& at) {
             for (unsigned i = 0; i <= reassembly_fragments_max; ++i) {
                 at.from_host(fragment(at, static_cast<std::uint16_t>(0x2000 | (2 * i)), 8));
             }
         }},
        // icmp4
        {icmp4_short,
         [](small_net& at) {
             at.from_host(ip4({at.host, at.router_inside, ip_protocol::icmp}, payload(7)));
         }},
        {icmp4_checksum,
         [](small_net& at) {
             bytes echo = icmp4(wire::icmp4_type::echo, 0, 1, 1, payload(8));
             echo[2] ^= 1;
             at.from_host(ip4({at.host, at.router_inside, ip_protocol::icmp}, echo));
         }},
        {icmp4_type,
         [](small_net& at) {
             at.from_host(
                 ip4({at.host, at.router_inside, ip_protocol::icmp},
                     icmp4(wire::icmp4_type::timestamp, 0, 1, 1, payload(12))));
         }},
        {icmp4_broadcast,
         [](small_net& at) {
             at.net.receive(
                 0, ethernet(
                        {wire::mac_broadcast, at.host_mac}, ether_type::ipv4,
                        ip4({at.host, ip(10, 0, 0, 255), ip_protocol::icmp},
                            icmp4(wire::icmp4_type::echo, 0, 1, 1, payload(8)))));
             at.net.run();
         }},
        {icmp4_error_consumed,
         [](small_net& at) {
             at.from_host(
                 ip4({at.host, at.router_inside, ip_protocol::icmp},
                     icmp4(
                         wire::icmp4_type::time_exceeded, 0, 0, 0,
                         datagram({at.router_inside, ip(8, 8, 8, 8)}))));
         }},
        {icmp4_rate,
         [](small_net& at) {
             for (unsigned i = 0; i <= 2 * ip4_settings{}.icmp_errors_burst; ++i) {
                 at.from_host(datagram({at.host, ip(8, 8, 8, 8)}));
             }
         }},
        // udp
        {udp_port,
         [](small_net& at) {
             at.from_host(datagram({at.host, at.router_inside}));
         }},
        {udp_length,
         [](small_net& at) {
             at.from_host(ip4({at.host, at.router_inside}, payload(7)));
         }},
        {udp_checksum,
         [](small_net& at) {
             const ip4_fields fields{at.host, at.router_inside};
             bytes content = test::udp(fields, 1000, 2000, payload(8));
             content[9] ^= 1;
             at.from_host(ip4(fields, content));
         }},
        {ip4_loop_full,
         [](small_net& at) {
             udp_socket sink([](udp_socket&, std::span<const pantala::datagram>) {});
             const endpoint ourselves = *parse_endpoint("10.0.0.1:9");
             ASSERT_EQ(0, at.net.worker_stack().host().native().bind(sink, ourselves));
             for (unsigned i = 0; i <= 2 * burst_max; ++i) {
                 EXPECT_EQ(0, sink.send_to(ourselves, {}));
             }
             at.net.run();
         }},
    };
    return all;
}

// Layers whose deaths are produced here. Others have tests of their own (handoff_full:
// tests/engine/handoff).
bool is_ours(const drop_reason_text& reason) {
    const std::set<std::string> layers = {"ether", "arp", "neighbor", "ip4", "icmp4", "udp"};
    const std::string name = reason.name;
    return layers.contains(reason.layer) || name == "tx_full" || name == "no_mbuf";
}

TEST(drops, every_reason_has_a_packet_that_dies_of_it) {
    for (std::size_t i = 0; i < drop_reason_count; ++i) {
        const auto reason = static_cast<drop_reason>(i);
        if (is_ours(drop_reason_texts[i])) {
            EXPECT_TRUE(cases().contains(reason)) << drop_reason_texts[i].name;
        }
    }
}

class drops_of : public testing::TestWithParam<drop_reason> {};

TEST_P(drops_of, exactly_this_reason_is_counted) {
    small_net at;
    const std::uint64_t all_before = at.net.dropped_in_all();
    const std::uint64_t before = at.net.dropped(GetParam());
    cases().at(GetParam())(at);
    EXPECT_GT(at.net.dropped(GetParam()), before);
    // These two say that an answer was not sent; the packet it was about dies of its own reason.
    const bool beside_another =
        GetParam() == drop_reason::no_mbuf || GetParam() == drop_reason::icmp4_rate;
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
    all, drops_of, testing::ValuesIn(keys()), [](const testing::TestParamInfo<drop_reason>& at) {
        return std::string(drop_reason_texts[static_cast<std::size_t>(at.param)].name);
    });

} // namespace
} // namespace pantala::test
