// Neighbours: the state table of worker 0, and what all workers make of it.
#include "tests/stack/ether/neighbors.hpp"

#include <map>
#include <string>

namespace pantala::test {
namespace {

using wire::arp_operation;
using wire::ether_type;
using enum neighbor_state;

TEST_F(neighbors, asked_for_answered_and_reached) {
    EXPECT_EQ(state(), unknown);
    packet();
    EXPECT_EQ(state(), incomplete);
    EXPECT_TRUE(same(net.sent(1), frames{request()}));
    packet();
    EXPECT_TRUE(same(net.sent(1), frames{})); // one question is enough
    answer();
    EXPECT_EQ(state(), reachable);
    ip4_fields fields{host, peer};
    fields.time_to_live = 63;
    const bytes expected = udp_frame({peer_mac, router::mac_of(1)}, fields);
    EXPECT_TRUE(same(net.sent(1), frames{expected, expected})); // what waited, in order
    packet();
    EXPECT_TRUE(same(net.sent(1), frames{expected}));
    EXPECT_EQ(net.worker_stack().neighbors().queued(), 0u);
}

TEST_F(neighbors, three_questions_then_failed_then_forgotten) {
    packet();
    for (unsigned i = 0; i < 3; ++i) {
        EXPECT_TRUE(same(net.sent(1), frames{request()})) << i;
        EXPECT_EQ(state(), incomplete);
        net.advance(ns_per_s);
    }
    EXPECT_EQ(state(), failed);
    EXPECT_TRUE(net.sent(1).empty());
    EXPECT_EQ(net.dropped(drop_reason::neighbor_failed), 1u);
    packet(); // not asked for again for a while
    EXPECT_TRUE(net.sent(1).empty());
    EXPECT_EQ(net.dropped(drop_reason::neighbor_failed), 2u);
    net.advance(3 * ns_per_s);
    EXPECT_EQ(state(), unknown);
    EXPECT_EQ(net.worker_stack().neighbors().find(make_neighbor_key(outside, peer.value)), nullptr);
    packet();
    EXPECT_EQ(state(), incomplete);
}

TEST_F(neighbors, an_answer_after_failure_counts) {
    packet();
    net.advance(3 * ns_per_s);
    ASSERT_EQ(state(), failed);
    answer();
    EXPECT_EQ(state(), reachable);
    net.sent(1);
    packet();
    EXPECT_EQ(net.sent_ip(1).size(), 1u);
}

TEST_F(neighbors, ageing_of_one_in_use) {
    packet();
    answer();
    net.advance(30 * ns_per_s);
    EXPECT_EQ(state(), stale);
    net.sent(1);
    packet();
    EXPECT_EQ(net.sent_ip(1).size(), 1u); // packets go on meanwhile
    EXPECT_EQ(state(), delay);
    net.advance(5 * ns_per_s);
    EXPECT_EQ(state(), probe);
    EXPECT_TRUE(same(net.sent(1), frames{request(&peer_mac)})); // to it alone
    answer();
    EXPECT_EQ(state(), reachable);
}

TEST_F(neighbors, one_that_is_gone_fails_after_three_probes) {
    packet();
    answer();
    net.advance(30 * ns_per_s);
    packet();
    net.sent(1);
    net.advance(5 * ns_per_s);
    net.advance(2 * ns_per_s);
    EXPECT_TRUE(
        same(net.sent(1), frames{request(&peer_mac), request(&peer_mac), request(&peer_mac)}));
    packet();
    EXPECT_EQ(net.sent_ip(1).size(), 1u); // still believed
    net.advance(ns_per_s);
    EXPECT_EQ(state(), failed);
    packet();
    EXPECT_TRUE(net.sent_ip(1).empty());
}

TEST_F(neighbors, one_that_nobody_uses_is_forgotten) {
    packet();
    answer();
    net.advance(30 * ns_per_s);
    net.advance(1199 * ns_per_s);
    EXPECT_EQ(state(), stale);
    net.advance(2 * ns_per_s);
    EXPECT_EQ(state(), unknown);
}

TEST_F(neighbors, a_gateway_is_kept_fresh_without_packets) {
    net.add_route("192.0.2.0/24", {"10.0.1.2"});
    packet(ip(192, 0, 2, 1));
    answer();
    EXPECT_EQ(net.sent_ip(1).size(), 1u);
    net.advance(35 * ns_per_s);
    EXPECT_EQ(state(), probe);
    answer();
    EXPECT_EQ(state(), reachable);
    net.advance(39 * ns_per_s); // nobody answers any more
    EXPECT_EQ(state(), failed);
    net.sent(1);
    packet(ip(192, 0, 2, 1));
    EXPECT_TRUE(net.sent_ip(1).empty());
    net.advance(3 * ns_per_s);
    packet(ip(192, 0, 2, 1)); // forgotten: asked for anew
    EXPECT_TRUE(same(net.sent(1), frames{request()}));
    answer();
    EXPECT_EQ(net.sent_ip(1).size(), 1u);
}

TEST_F(neighbors, what_is_overheard) {
    // A request to others, or an announcement, of somebody whom nobody needs: no entry.
    hear(arp_operation::request, peer, peer_mac, ip(10, 0, 1, 9));
    EXPECT_EQ(state(), unknown);
    hear(arp_operation::reply, peer, peer_mac, ours); // nobody asked
    EXPECT_EQ(state(), unknown);
    // A request for us: worth an entry, whose reachability is not known.
    hear(arp_operation::request, peer, peer_mac, ours);
    EXPECT_EQ(state(), stale);
    net.sent(1);
    packet();
    EXPECT_EQ(net.sent_ip(1).size(), 1u);
    EXPECT_EQ(state(), delay);
    // An announcement with another address: packets follow it.
    hear(arp_operation::request, peer, mac(0x21), peer);
    EXPECT_EQ(state(), stale);
    packet();
    EXPECT_EQ(parse_frame(net.sent_ip(1).at(0)).link.destination, mac(0x21));
    // While one waits, hearing from it in any way is enough.
    packet(ip(10, 0, 1, 3));
    hear(arp_operation::request, ip(10, 0, 1, 3), mac(0x33), ip(10, 0, 1, 9));
    EXPECT_EQ(net.sent_ip(1).size(), 1u);
    EXPECT_EQ(state(ip(10, 0, 1, 3)), stale);
}

TEST_F(neighbors, permanent_ones_do_not_move) {
    neighbor_command add;
    add.operation = neighbor_operation::add;
    add.key = make_neighbor_key(outside, peer.value);
    add.mac = peer_mac;
    net.control().call(0, add);
    EXPECT_TRUE(add.done);
    net.run();
    EXPECT_EQ(state(), permanent);
    hear(arp_operation::request, peer, mac(0x66), ours);
    net.advance(5000 * ns_per_s);
    EXPECT_EQ(state(), permanent);
    net.sent(1);
    packet();
    EXPECT_EQ(parse_frame(net.sent_ip(1).at(0)).link.destination, peer_mac);

    neighbor_command list;
    list.operation = neighbor_operation::list;
    net.control().call(0, list);
    EXPECT_TRUE(list.done);
    bool found = false;
    for (unsigned i = 0; i < list.count; ++i) {
        found = found || (list.rows[i].key == add.key && list.rows[i].state == permanent &&
                          list.rows[i].mac == peer_mac);
    }
    EXPECT_TRUE(found);

    neighbor_command remove;
    remove.operation = neighbor_operation::remove;
    remove.key = add.key;
    net.control().call(0, remove);
    EXPECT_TRUE(remove.done);
    net.run();
    EXPECT_EQ(state(), unknown);
    packet();
    EXPECT_TRUE(same(net.sent(1), frames{request()}));
}

TEST_F(neighbors, the_latest_packets_wait) {
    for (unsigned i = 0; i < neighbor_queue_max + 4; ++i) {
        packet(peer, 0, 100 + i);
    }
    EXPECT_EQ(net.dropped(drop_reason::neighbor_queue), 4u);
    net.sent(1);
    answer();
    const frames sent = net.sent_ip(1);
    ASSERT_EQ(sent.size(), neighbor_queue_max);
    EXPECT_EQ(sent.front().size(), 42u + 104);
    EXPECT_EQ(sent.back().size(), 42u + 100 + neighbor_queue_max + 3);
}

// A scan of a large link may fill neither the table nor the wire, and live ones stay.
TEST_F(neighbors, a_scan_is_bounded) {
    net.add_iface(1, {"172.16.0.1/16"}, {.vlan = 9});
    packet();
    answer();
    net.sent(1);
    std::size_t asked = 0;
    for (unsigned second = 0; second < 10; ++second) {
        for (unsigned i = 0; i < 6000; ++i) {
            net.receive(
                0, udp_frame(
                       {router::mac_of(0), host_mac},
                       {host, wire::ipv4_address::from(0xac100002 + second * 6000 + i)}));
            if (i % 64 == 63) {
                net.run();
            }
        }
        net.advance(ns_per_s);
        asked += net.sent(1).size();
        packet();
        EXPECT_EQ(net.sent_ip(1).size(), 1u) << "a live neighbour was lost";
    }
    EXPECT_LE(asked, 12 * 1024u) << "more questions than the quota lets out";
    EXPECT_GT(asked, 1024u);
    EXPECT_LE(net.worker_stack().neighbors_owner()->size(), 2 * 1024u + 2);
    net.advance(10 * ns_per_s);
    EXPECT_LE(net.worker_stack().neighbors_owner()->size(), 2u); // it leaves nothing behind
    EXPECT_EQ(net.worker_stack().neighbors().queued(), 0u);
}

TEST_F(neighbors, an_interface_that_goes_down_forgets_them) {
    packet();
    answer();
    ASSERT_TRUE(net.routes().set_up(outside, false).ok());
    net.run();
    EXPECT_EQ(state(), unknown);
    ASSERT_TRUE(net.routes().set_up(outside, true).ok());
    net.run();
    net.sent(1);
    packet();
    EXPECT_EQ(state(), incomplete);
}

TEST_F(neighbors, a_new_address_of_our_own_interface_reaches_what_is_sent) {
    packet();
    answer();
    ASSERT_TRUE(net.routes().set_mac(outside, mac(0x99).bytes).ok());
    net.run();
    net.sent(1);
    packet();
    EXPECT_EQ(parse_frame(net.sent_ip(1).at(0)).link.source, mac(0x99));
}

// A route's gateway is asked for at once, however many hosts of a link are.
TEST_F(neighbors, a_gateway_is_asked_for_in_a_scan) {
    net.add_iface(1, {"172.16.0.1/16"}, {.vlan = 9});
    net.add_route("192.0.2.0/24", {"10.0.1.2"});
    for (unsigned i = 0; i < 3000; ++i) {
        packet(wire::ipv4_address::from(0xac100002 + i));
    }
    ASSERT_EQ(net.worker_stack().neighbors().waiting(), neighbors_waiting_max);
    net.sent(1);
    packet(ip(192, 0, 2, 1));
    EXPECT_TRUE(same(net.sent(1), frames{request()}));
    answer();
    EXPECT_EQ(net.sent_ip(1).size(), 1u);
    EXPECT_EQ(state(), reachable);
}

struct few_neighbors : neighbors {
    static stack_settings settings() {
        stack_settings small;
        small.neighbors.capacity = 32;
        return small;
    }
    few_neighbors() : neighbors(1, settings()) {}
    // Hosts that ask for us: remembered, and not yet stale for long enough to make room.
    void fill() {
        for (unsigned i = 0; i < 100; ++i) {
            const auto low = static_cast<std::uint8_t>(100 + i);
            hear(arp_operation::request, ip(10, 0, 1, low), mac(low), ours);
        }
    }
};

TEST_F(few_neighbors, gateways_find_room_in_a_full_table) {
    packet();
    answer(); // a live one
    fill();
    packet(ip(10, 0, 1, 99));
    EXPECT_EQ(state(ip(10, 0, 1, 99)), unknown); // full, for a host
    for (unsigned i = 0; i < 24; ++i) {
        const auto low = static_cast<std::uint8_t>(10 + i);
        const std::string text = "10.0.1." + std::to_string(low);
        const std::string prefix = "192.0." + std::to_string(i) + ".0/24";
        net.add_route(prefix, {text});
        packet(ip(192, 0, static_cast<std::uint8_t>(i), 1));
        EXPECT_EQ(state(ip(10, 0, 1, low)), incomplete) << text;
        hear(arp_operation::reply, ip(10, 0, 1, low), mac(low), ours);
        EXPECT_EQ(state(ip(10, 0, 1, low)), reachable) << text;
    }
    EXPECT_EQ(state(), reachable) << "a live neighbour was lost";
    EXPECT_LE(net.worker_stack().neighbors_owner()->size(), 32u);
}

// A remote host chooses which addresses of a link it has us look up; it must not choose the chain.
TEST(neighbor_map, chosen_addresses_do_not_share_a_bucket) {
    // Of low halves whose product with the constant is a multiple of 2^47.
    constexpr std::uint64_t constant = 0xd6e8feb86659fd93u;
    std::uint64_t inverse = constant;
    for (unsigned i = 0; i < 6; ++i) { // Newton's, five bits doubled each time
        inverse *= 2 - constant * inverse;
    }
    ASSERT_EQ(constant * inverse, 1u);
    constexpr std::uint64_t high = 0x20010db8'00010000;
    constexpr std::uint64_t folded = high * 0x9e3779b97f4a7c15u;
    random_source random(1);
    const neighbor_secret secret = neighbor_secret::drawn(random);
    struct entry {
        neighbor_key key;
        std::uint32_t hash_next = 0;
    };
    neighbor_map<entry> map(8192, secret);
    std::map<std::uint32_t, unsigned> chains;
    unsigned longest = 0;
    for (std::uint64_t i = 0; i < 4096; ++i) {
        const neighbor_key key{high, ((i << 47) * inverse) ^ folded, iface_id{}};
        ASSERT_NE(map.insert(key), nullptr);
        longest = std::max(longest, ++chains[map.bucket_of(key)]);
    }
    EXPECT_LE(longest, 8u);
    // Another secret, other buckets.
    neighbor_map<entry> other(8192, neighbor_secret::drawn(random));
    unsigned same_bucket = 0;
    for (std::uint64_t i = 0; i < 4096; ++i) {
        const neighbor_key key{high, i, iface_id{}};
        same_bucket += map.bucket_of(key) == other.bucket_of(key) ? 1 : 0;
    }
    EXPECT_LT(same_bucket, 64u);
}

// The same from any worker: questions of all go out by worker 0, answers may arrive anywhere.
struct neighbors_of_workers : neighbors {
    neighbors_of_workers() : neighbors(4) {}
};

TEST_F(neighbors_of_workers, one_question_for_all_and_one_answer) {
    for (unsigned worker = 0; worker < 4; ++worker) {
        packet(worker);
        packet(worker);
    }
    EXPECT_TRUE(same(net.sent(1), frames{request()}));
    answer(2);
    EXPECT_EQ(net.sent_ip(1).size(), 8u);
    for (unsigned worker = 0; worker < 4; ++worker) {
        packet(worker);
        EXPECT_EQ(net.sent_ip(1).size(), 1u) << worker;
        EXPECT_EQ(
            net.worker_stack(worker).neighbors().find(make_neighbor_key(outside, peer.value))->view,
            neighbor_view::valid);
    }
}

TEST_F(neighbors_of_workers, use_on_any_worker_keeps_it_alive) {
    packet(3);
    answer(1);
    net.advance(30 * ns_per_s);
    EXPECT_EQ(state(), stale);
    packet(3);
    EXPECT_EQ(state(), delay);
    net.advance(5 * ns_per_s);
    answer(3);
    EXPECT_EQ(state(), reachable);
}

TEST_F(neighbors_of_workers, failure_reaches_all) {
    for (unsigned worker = 0; worker < 4; ++worker) {
        packet(worker);
    }
    net.advance(3 * ns_per_s);
    EXPECT_EQ(net.dropped(drop_reason::neighbor_failed), 4u);
    net.advance(3 * ns_per_s);
    for (unsigned worker = 0; worker < 4; ++worker) {
        EXPECT_EQ(net.worker_stack(worker).neighbors().size(), 1u); // the host
    }
}

// The same within one round: reports under way are bounded as well.
TEST_F(neighbors_of_workers, a_gateway_is_asked_for_in_the_round_of_a_scan) {
    net.add_iface(1, {"172.16.0.1/16"}, {.vlan = 9});
    net.add_route("192.0.2.0/24", {"10.0.1.2"});
    for (unsigned i = 0; i < 2000; ++i) {
        net.receive(
            0,
            udp_frame(
                {router::mac_of(0), host_mac}, {host, wire::ipv4_address::from(0xac100002 + i)}),
            3);
    }
    net.receive(0, udp_frame({router::mac_of(0), host_mac}, {host, ip(192, 0, 2, 1)}), 3);
    net.run();
    EXPECT_EQ(state(), incomplete);
    answer(2);
    EXPECT_EQ(state(), reachable);
}

TEST_F(neighbors_of_workers, gateways_are_rewritten_everywhere) {
    net.add_route("192.0.2.0/24", {"10.0.1.2"});
    packet(ip(192, 0, 2, 1), 3);
    answer(0);
    net.sent(1);
    hear(arp_operation::request, peer, mac(0x21), peer, 1); // it moved
    for (unsigned worker = 0; worker < 4; ++worker) {
        packet(ip(192, 0, 2, 1), worker);
        const frames sent = net.sent_ip(1);
        ASSERT_EQ(sent.size(), 1u);
        EXPECT_EQ(parse_frame(sent[0]).link.destination, mac(0x21)) << worker;
    }
}

} // namespace
} // namespace pantala::test
