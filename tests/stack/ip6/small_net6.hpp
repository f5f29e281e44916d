// A router between a link of hosts (port 0) and a gateway (port 1), all of them known to each
// other; IPv6.
#pragma once

#include "tests/harness/packets6.hpp"
#include "tests/harness/router.hpp"

#include <gtest/gtest.h>

namespace pantala::test {

struct small_net6 {
    explicit small_net6(const stack_settings& settings = {}, unsigned workers = 1)
        : net(pool, {.workers = workers, .stack = settings}) {
        inside = net.add_iface(0, {});
        outside = net.add_iface(1, {});
        net.add_address6(inside, "2001:db8:1::1/64");
        net.add_address6(outside, "2001:db8:2::1/64");
        net.add_route6("2001:db8:100::/40", {"2001:db8:2::2"});
        net.learn6(inside, host, host_mac);
        net.learn6(outside, gateway, gateway_mac);
        net.advance(10 * ns_per_s);
        forget();
    }

    // What was sent up to now.
    void forget() {
        net.sent(0);
        net.sent(1);
    }
    // A frame from the host arrives and all is done that follows.
    void from_host(const bytes& packet, std::size_t segment = mbuf_pool::room) {
        net.receive(0, ethernet(to_router, wire::ether_type::ipv6, packet), 0, segment);
        net.run();
    }
    // A packet as it must leave the port of `to`.
    static bytes leaving(const wire::mac_address& to, unsigned port, const bytes& packet) {
        link_fields link{to, router::mac_of(port)};
        link.padded = false;
        return ethernet(link, wire::ether_type::ipv6, packet);
    }
    // An ICMPv6 error from the router to the host about `about`, as it must leave port 0.
    bytes error_frame(
        wire::icmp6_type type, std::uint8_t code, std::uint32_t rest, const bytes& about) const {
        bytes quote = about;
        quote.resize(std::min<std::size_t>(quote.size(), 1232));
        return leaving(host_mac, 0, icmp6_packet({router_inside, host}, type, code, rest, quote));
    }

    const wire::ipv6_address host = ip6_host(1, 0, 2);
    const wire::ipv6_address router_inside = ip6_host(1, 0, 1);
    const wire::ipv6_address router_outside = ip6_host(2, 0, 1);
    const wire::ipv6_address gateway = ip6_host(2, 0, 2);
    const wire::ipv6_address far_away = ip6_host(0x100, 7, 9);
    const wire::mac_address host_mac = mac(0x10);
    const wire::mac_address gateway_mac = mac(0x20);
    const link_fields to_router{router::mac_of(0), host_mac};

    mbuf_pool pool;
    router net;
    iface_id inside;
    iface_id outside;
};

// A UDP datagram from the host that is forwarded if nothing is wrong with it.
inline bytes datagram6(const ip6_fields& fields, std::size_t count = 18) {
    return ip6(fields, udp6(fields, 1000, 2000, payload(count)));
}

} // namespace pantala::test
