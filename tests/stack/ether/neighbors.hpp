// A router between two links, and what its workers know of the neighbours there (ARP).
#pragma once

#include "tests/harness/router.hpp"

#include <gtest/gtest.h>

namespace pantala::test {

// Two links; the host of the first is known, 10.0.1.2 of the second is what the tests are about.
struct neighbors : testing::Test {
    explicit neighbors(unsigned workers = 1, const stack_settings& settings = {})
        : net(pool, {.workers = workers, .stack = settings}) {
        inside = net.add_iface(0, {"10.0.0.1/24"});
        outside = net.add_iface(1, {"10.0.1.1/24"});
        net.learn(inside, host, host_mac);
        net.advance(10 * ns_per_s);
        net.sent(0);
        net.sent(1);
    }

    neighbor_state state(wire::ipv4_address of) {
        return net.worker_stack().neighbors_owner()->state_of(make_neighbor_key(outside, of.value));
    }
    neighbor_state state() { return state(peer); }
    void packet(wire::ipv4_address to, unsigned worker = 0, std::size_t length = 18) {
        net.receive(0, udp_frame({router::mac_of(0), host_mac}, {host, to}, length), worker);
        net.run();
    }
    void packet(unsigned worker = 0) { packet(peer, worker); }
    bytes request(const wire::mac_address* known = nullptr) const {
        link_fields link{known != nullptr ? *known : wire::mac_broadcast, router::mac_of(1)};
        link.padded = false;
        return ethernet(
            link, wire::ether_type::arp,
            arp(wire::arp_operation::request, router::mac_of(1), ours, {}, peer));
    }
    void hear(
        wire::arp_operation operation, wire::ipv4_address from, const wire::mac_address& at,
        wire::ipv4_address target, unsigned worker = 0) {
        net.receive(
            1,
            ethernet(
                {router::mac_of(1), at}, wire::ether_type::arp,
                arp(operation, at, from, router::mac_of(1), target)),
            worker);
        net.run();
    }
    void answer(unsigned worker = 0) {
        hear(wire::arp_operation::reply, peer, peer_mac, ours, worker);
    }

    const wire::ipv4_address host = ip(10, 0, 0, 2);
    const wire::ipv4_address ours = ip(10, 0, 1, 1);
    const wire::ipv4_address peer = ip(10, 0, 1, 2);
    const wire::mac_address host_mac = mac(0x10);
    const wire::mac_address peer_mac = mac(0x20);
    mbuf_pool pool;
    router net;
    iface_id inside;
    iface_id outside;
};

} // namespace pantala::test
