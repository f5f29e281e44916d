// A link with a host of two workers on it, and routers that advertise themselves; IPv6.
#pragma once

#include "tests/harness/packets6.hpp"
#include "tests/harness/router.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

namespace pantala::test {

struct link6 : testing::Test {
    link6() : net(pool, {.workers = 2}) {
        id = net.add_iface(0, {});
        net.add_address6(id, "2001:db8:1::1/64");
        net.advance(10 * ns_per_s);
        net.sent(0);
    }
    void duties(std::uint8_t wanted, std::uint16_t interval = 600, std::uint16_t lifetime = 1800) {
        ASSERT_TRUE(net.routes().set_duties(id, wanted, interval, lifetime).ok());
        net.run();
    }
    void hear(
        wire::icmp6_type type, std::uint32_t rest, ip6_fields fields, const bytes& content,
        std::uint8_t hop_limit = 255) {
        fields.hop_limit = hop_limit;
        net.receive(
            0,
            ethernet(
                {wire::multicast_mac(fields.destination), peer_mac}, wire::ether_type::ipv6,
                icmp6_packet(fields, type, 0, rest, content)),
            1);
        net.run();
    }
    // The messages of a type among what was sent.
    std::vector<parsed_ip6> sent(wire::icmp6_type type) {
        std::vector<parsed_ip6> found;
        for (const bytes& frame : net.sent(0)) {
            const auto packet = parse_ip6_frame(frame);
            const auto icmp = packet ? packet->icmp() : std::nullopt;
            if (icmp && icmp->kind() == type) {
                found.push_back(*packet);
            }
        }
        return found;
    }
    static std::uint16_t lifetime_of(const parsed_ip6& advertisement) {
        return static_cast<std::uint16_t>(advertisement.icmp()->rest.host());
    }
    bytes prefix_option(
        std::uint32_t valid_s, std::uint32_t preferred_s,
        std::uint8_t flags = wire::nd_prefix_option::on_link | wire::nd_prefix_option::autonomous,
        std::uint8_t length = 64) const {
        wire::nd_prefix_option option;
        option.prefix_length = length;
        option.flags = flags;
        option.valid_s = be32::from(valid_s);
        option.preferred_s = be32::from(preferred_s);
        option.prefix = wire::ipv6_address::of(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 0);
        bytes made(sizeof option);
        std::memcpy(made.data(), &option, sizeof option);
        return made;
    }
    void advertise(std::uint16_t lifetime_s, const bytes& options, std::uint8_t hop_limit = 255) {
        hear(
            wire::icmp6_type::router_advertisement, lifetime_s,
            {link_local(peer_mac), wire::ipv6_all_nodes}, bytes(8) + options, hop_limit);
    }
    const iface_address6* made() {
        const auto mine = net.routes().interface(id).ip6();
        const auto at = std::ranges::find_if(
            mine, [](const iface_address6& each) { return (each.flags & address_automatic) != 0; });
        return at == mine.end() ? nullptr : &*at;
    }
    bool has_default() { return net.routes().get({std::uint64_t{0x20014860} << 32, 1}).ok(); }

    const wire::mac_address peer_mac = mac(0x44);
    mbuf_pool pool;
    router net;
    iface_id id;
};

} // namespace pantala::test
