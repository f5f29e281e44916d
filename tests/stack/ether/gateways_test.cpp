// Neighbours that routes lead to: kept fresh, told of before hosts are, and gone with their
// interface.
#include "tests/stack/ether/neighbors.hpp"

#include <algorithm>

namespace pantala::test::gateways_tests {
namespace {

using wire::arp_operation;
using wire::ether_type;
using enum neighbor_state;

// 10.0.1.2 of the second link is the gateway.
struct gateways : neighbors {
    static neighbor_key key(iface_id id, wire::ipv4_address of) {
        return make_neighbor_key(id, of.value);
    }
    neighbor_table& table() { return net.worker_stack().neighbors(); }
    using neighbors::state;
    neighbor_state state(const neighbor_key& of) {
        return net.worker_stack().neighbors_owner()->state_of(of);
    }
    // The peer asks for our address: it is known from then on, not that it hears us.
    void ask() { hear(arp_operation::request, peer, peer_mac, ours); }
    // Whether the peer alone was asked whether it is there.
    bool probed() {
        const frames sent = net.sent(1);
        return std::ranges::any_of(sent, [this](const bytes& frame) {
            const parsed_frame parsed = parse_frame(frame);
            return parsed.type == ether_type::arp && parsed.link.destination == peer_mac;
        });
    }
    // As a round full of hosts that speak does. Returns how many were told of.
    unsigned use_up_reports() {
        unsigned told = 0;
        while (table().report(
            neighbor_event::seen, key(outside, ip(10, 0, 1, 200)), wire::mac_address{})) {
            ++told;
        }
        return told;
    }

    const wire::ipv4_address far_away = ip(192, 0, 2, 1);
};

TEST_F(gateways, one_that_is_learned_as_stale_is_probed) {
    net.add_route("192.0.2.0/24", {"10.0.1.2"});
    ask();
    net.sent(1);
    packet(far_away);
    EXPECT_EQ(net.sent_ip(1).size(), 1u);
    net.advance(6 * ns_per_s);
    EXPECT_EQ(state(), probe);
    EXPECT_TRUE(probed());
    net.advance(3 * ns_per_s); // silent
    EXPECT_EQ(state(), failed);
    packet(far_away);
    EXPECT_TRUE(net.sent_ip(1).empty());
}

TEST_F(gateways, a_stale_host_that_becomes_one_is_probed) {
    ask();
    EXPECT_EQ(state(), stale);
    net.advance(60 * ns_per_s);
    EXPECT_EQ(state(), stale);
    net.add_route("192.0.2.0/24", {"10.0.1.2"});
    net.sent(1);
    net.advance(6 * ns_per_s);
    EXPECT_EQ(state(), probe);
    EXPECT_TRUE(probed());
}

TEST_F(gateways, one_that_finds_no_message_is_told_of_when_one_is_back) {
    ask();
    const iface_id other = net.add_iface(1, {"172.17.0.1/16"}, {.vlan = 10});
    use_up_reports();
    for (unsigned i = 0; i < neighbor_reports_kept; ++i) { // and what is kept for gateways
        const auto to = key(other, wire::ipv4_address::from(0xac110002 + i));
        table().wait(to, pool.packet(ip4({host, far_away}, payload(8))), true);
    }
    net.add_route("192.0.2.0/24", {"10.0.1.2"});
    EXPECT_EQ(state(), delay);
    net.advance(6 * ns_per_s);
    EXPECT_EQ(state(), probe);
}

// In one round many hosts speak, and a packet wants an unknown gateway.
TEST_F(gateways, one_is_asked_for_however_many_hosts_were_heard) {
    net.add_route("192.0.2.0/24", {"10.0.1.2"});
    EXPECT_EQ(use_up_reports(), neighbor_reports_max - neighbor_reports_kept);
    EXPECT_FALSE(table().report_advertised(key(outside, ip(10, 0, 1, 9)), peer_mac, {}));
    EXPECT_FALSE(table().report_query(key(outside, ip(10, 0, 1, 9)), 100, false));
    EXPECT_TRUE(table().report(neighbor_event::conflicted, key(outside, ours), peer_mac));
    packet(far_away);
    EXPECT_EQ(net.dropped(drop_reason::neighbor_table), 0u);
    EXPECT_EQ(state(), incomplete);
    use_up_reports();
    ask(); // is heard all the same
    EXPECT_NE(state(), incomplete);
    net.sent(1);
    packet(far_away);
    EXPECT_EQ(net.sent_ip(1).size(), 1u);
}

// Next hops are looked through for a gateway alone.
TEST_F(gateways, a_host_that_fails_concerns_no_next_hop) {
    const auto says = [this](neighbor_view view, wire::ipv4_address of) {
        neighbor_update update;
        update.view = view;
        update.key = key(outside, of);
        update.mac = peer_mac;
        return table().apply(update);
    };
    const wire::ipv4_address neighbor = ip(10, 0, 1, 7);
    packet(neighbor);
    EXPECT_FALSE(says(neighbor_view::failed, neighbor));
    EXPECT_FALSE(says(neighbor_view::unknown, neighbor));
    EXPECT_TRUE(says(neighbor_view::valid, neighbor)) << "it may be some route's";
    net.add_route("192.0.2.0/24", {"10.0.1.2"});
    packet(far_away);
    EXPECT_TRUE(says(neighbor_view::failed, peer));
    EXPECT_TRUE(says(neighbor_view::unknown, peer));
}

TEST_F(gateways, those_of_an_interface_that_is_deleted_are_no_others) {
    const iface_id gone = net.add_iface(1, {"10.9.0.1/24"}, {.vlan = 10});
    neighbor_command add;
    add.operation = neighbor_operation::add;
    add.key = key(gone, ip(10, 9, 0, 2));
    add.mac = peer_mac;
    net.control().call(0, add);
    ASSERT_TRUE(add.done);
    net.run();
    ASSERT_TRUE(net.routes().set_up(gone, false).ok());
    net.run();
    EXPECT_EQ(state(add.key), permanent) << "down, it keeps what an operator said";
    ASSERT_TRUE(net.routes().del_interface(gone).ok());
    net.run();
    EXPECT_EQ(state(add.key), unknown);
    EXPECT_EQ(table().find(add.key), nullptr);
    const iface_id next = net.add_iface(1, {"10.9.0.1/24"}, {.vlan = 20});
    ASSERT_EQ(next, gone);
    net.sent(1);
    packet(ip(10, 9, 0, 2));
    EXPECT_TRUE(net.sent_ip(1).empty());
    EXPECT_EQ(state(add.key), incomplete);
}

} // namespace
} // namespace pantala::test::gateways_tests
