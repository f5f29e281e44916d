// ARP on the wire: what is answered, what is announced, what is refused.
#include "tests/harness/router.hpp"

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

using wire::arp_operation;
using wire::ether_type;

struct arp_wire : testing::Test {
    arp_wire() {
        id = net.add_iface(0, {"10.0.0.1/24", "10.0.7.1/24"});
        net.advance(10 * ns_per_s);
        net.sent(0);
    }
    void hear(const bytes& packet, const wire::mac_address& to = wire::mac_broadcast) {
        net.receive(0, ethernet({to, peer_mac}, ether_type::arp, packet));
        net.run();
    }
    bytes reply(wire::ipv4_address ours, wire::ipv4_address to) const {
        link_fields link{peer_mac, router::mac_of(0)};
        link.padded = false;
        return ethernet(
            link, ether_type::arp,
            arp(arp_operation::reply, router::mac_of(0), ours, peer_mac, to));
    }
    bytes announcement(wire::ipv4_address ours) const {
        link_fields link{wire::mac_broadcast, router::mac_of(0)};
        link.padded = false;
        return ethernet(
            link, ether_type::arp, arp(arp_operation::request, router::mac_of(0), ours, {}, ours));
    }
    const arp_counters& counts() { return net.worker_stack().arp_counts(); }

    const wire::ipv4_address peer = ip(10, 0, 0, 2);
    const wire::mac_address peer_mac = mac(0x20);
    mbuf_pool pool;
    router net{pool};
    iface_id id;
};

TEST_F(arp_wire, a_request_for_us_is_answered) {
    hear(arp(arp_operation::request, peer_mac, peer, {}, ip(10, 0, 0, 1)));
    EXPECT_TRUE(same(net.sent(0), frames{reply(ip(10, 0, 0, 1), peer)}));
    hear(arp(arp_operation::request, peer_mac, ip(10, 0, 7, 9), {}, ip(10, 0, 7, 1)));
    EXPECT_TRUE(same(net.sent(0), frames{reply(ip(10, 0, 7, 1), ip(10, 0, 7, 9))}));
    EXPECT_EQ(counts().requests_in.read(), 2u);
    EXPECT_EQ(counts().replies_out.read(), 2u);
}

TEST_F(arp_wire, a_request_for_others_is_not) {
    hear(arp(arp_operation::request, peer_mac, peer, {}, ip(10, 0, 0, 3)));
    EXPECT_TRUE(net.sent(0).empty());
}

TEST_F(arp_wire, a_probe_for_our_address_is_answered_and_teaches_nothing) {
    hear(arp(arp_operation::request, peer_mac, {}, {}, ip(10, 0, 0, 1)));
    EXPECT_TRUE(same(net.sent(0), frames{reply(ip(10, 0, 0, 1), {})}));
    EXPECT_EQ(net.worker_stack().neighbors_owner()->size(), 0u);
}

TEST_F(arp_wire, senders_that_cannot_be_are_not_believed) {
    const wire::ipv4_address ours = ip(10, 0, 0, 1);
    const std::uint64_t before = net.dropped(drop_reason::arp_source);
    hear(arp(arp_operation::request, peer_mac, ip(172, 16, 0, 1), {}, ours)); // off the link
    hear(arp(arp_operation::request, peer_mac, ip(10, 0, 0, 255), {}, ours)); // broadcast
    hear(arp(arp_operation::request, peer_mac, ip(10, 0, 0, 0), {}, ours));   // the link itself
    hear(arp(arp_operation::request, wire::mac_broadcast, peer, {}, ours));   // not a station
    hear(arp(arp_operation::request, {}, peer, {}, ours));
    hear(arp(arp_operation::request, {}, {}, {}, ours)); // a probe without a station
    EXPECT_EQ(net.dropped(drop_reason::arp_source) - before, 6u);
    EXPECT_TRUE(net.sent(0).empty());
    EXPECT_EQ(net.worker_stack().neighbors_owner()->size(), 0u);
}

TEST_F(arp_wire, somebody_with_our_address_is_counted) {
    hear(arp(arp_operation::reply, peer_mac, ip(10, 0, 0, 1), mac(9), peer));
    EXPECT_EQ(counts().conflicts.read(), 1u);
    EXPECT_EQ(net.worker_stack().neighbors_owner()->size(), 0u);
    // Our own announcement that comes back is no conflict.
    hear(arp(arp_operation::request, router::mac_of(0), ip(10, 0, 0, 1), {}, ip(10, 0, 0, 1)));
    EXPECT_EQ(counts().conflicts.read(), 1u);
}

TEST_F(arp_wire, bad_formats_are_refused) {
    const bytes good = arp(arp_operation::request, peer_mac, peer, {}, ip(10, 0, 0, 1));
    const std::uint64_t before = net.dropped(drop_reason::arp_format);
    for (const std::size_t place : {1u, 2u, 4u, 5u, 7u}) {
        bytes bad = good;
        bad[place] = static_cast<std::uint8_t>(bad[place] + 5);
        hear(bad);
    }
    EXPECT_EQ(net.dropped(drop_reason::arp_format) - before, 5u);
    EXPECT_TRUE(net.sent(0).empty());
}

TEST_F(arp_wire, addresses_are_announced_twice_when_they_come_up) {
    ASSERT_TRUE(net.routes().add_address(id, ip(10, 0, 9, 1).host(), 24).ok());
    net.run();
    EXPECT_TRUE(same(net.sent(0), frames{announcement(ip(10, 0, 9, 1))})); // only the new one
    net.advance(1999 * ns_per_ms);
    EXPECT_TRUE(net.sent(0).empty());
    net.advance(ns_per_ms);
    EXPECT_TRUE(same(net.sent(0), frames{announcement(ip(10, 0, 9, 1))}));
    net.advance(60 * ns_per_s);
    EXPECT_TRUE(net.sent(0).empty());

    ASSERT_TRUE(net.routes().set_up(id, false).ok());
    net.run();
    ASSERT_TRUE(net.routes().set_up(id, true).ok());
    net.advance(10 * ns_per_s);
    EXPECT_EQ(net.sent(0).size(), 6u); // three addresses, twice
}

TEST_F(arp_wire, an_interface_without_addresses_is_silent) {
    router bare(pool);
    bare.add_iface(0, {});
    bare.advance(10 * ns_per_s);
    EXPECT_TRUE(bare.sent(0).empty());
}

} // namespace
} // namespace pantala::test
