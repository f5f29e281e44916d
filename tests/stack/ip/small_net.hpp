// A router between a link of hosts (port 0) and a gateway (port 1), all of them known to each
// other.
#pragma once

#include "tests/harness/router.hpp"

#include <gtest/gtest.h>

namespace pantala::test {

struct small_net {
    explicit small_net(const stack_settings& settings = {}, unsigned workers = 1)
        : net(pool, {.workers = workers, .stack = settings}) {
        inside = net.add_iface(0, {"10.0.0.1/24"});
        outside = net.add_iface(1, {"10.0.1.1/24"});
        net.add_route("192.0.2.0/24", {"10.0.1.2"});
        net.learn(inside, host, host_mac);
        net.learn(outside, gateway, gateway_mac);
        net.advance(10 * ns_per_s); // announcements are over
        forget();
    }

    // What was sent up to now.
    void forget() {
        net.sent(0);
        net.sent(1);
    }
    // A frame from the host arrives and all is done that follows.
    void from_host(const bytes& packet) {
        net.receive(0, ethernet(to_router, wire::ether_type::ipv4, packet));
        net.run();
    }
    // An ICMP error from the router to the host about `about`, as it must leave port 0.
    bytes error_frame(
        wire::icmp4_type type, std::uint8_t code, std::uint16_t rest_high, std::uint16_t rest_low,
        const bytes& about, std::uint16_t identification) const {
        bytes quote = about;
        quote.resize(std::min<std::size_t>(quote.size(), 548));
        ip4_fields fields{router_inside, host, wire::ip_protocol::icmp};
        fields.type_of_service = 0xc0;
        fields.identification = identification;
        link_fields link{host_mac, router::mac_of(0)};
        link.padded = false;
        return ethernet(
            link, wire::ether_type::ipv4,
            ip4(fields, icmp4(type, code, rest_high, rest_low, quote)));
    }

    const wire::ipv4_address host = ip(10, 0, 0, 2);
    const wire::ipv4_address router_inside = ip(10, 0, 0, 1);
    const wire::ipv4_address gateway = ip(10, 0, 1, 2);
    const wire::ipv4_address far_away = ip(192, 0, 2, 7);
    const wire::mac_address host_mac = mac(0x10);
    const wire::mac_address gateway_mac = mac(0x20);
    const link_fields to_router{router::mac_of(0), host_mac};

    mbuf_pool pool;
    router net;
    iface_id inside;
    iface_id outside;
};

// A UDP datagram from the host that is forwarded if nothing is wrong with it.
inline bytes datagram(const ip4_fields& fields, std::size_t count = 18) {
    return ip4(fields, udp(fields, 1000, 2000, payload(count)));
}

} // namespace pantala::test
