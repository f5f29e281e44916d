// Duplicate address detection (RFC 4862 5.4) and its like for IPv4 (RFC 5227): what is asked, what
// stays unused meanwhile, who is believed.
#include "stack/ether/addresses6.hpp"
#include "tests/stack/ip6/small_net6.hpp"

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

using wire::arp_operation;
using wire::icmp6_type;
using wire::ipv6_address;
using wire::nd_option_type;

constexpr std::uint8_t strict = address_probed | address_tentative;
constexpr std::uint8_t optimistic = strict | address_optimistic;

struct dad : testing::Test {
    explicit dad(unsigned workers = 2) : net(pool, {.workers = workers}) {
        id = net.add_iface(0, {});
        net.sent(0);
    }
    void add6(std::uint8_t flags) {
        ASSERT_TRUE(net.routes().add_address(id, {mine.high(), mine.low()}, 64, flags).ok());
        net.run();
    }
    void add4(std::uint8_t flags) {
        ASSERT_TRUE(net.routes().add_address(id, mine4.host(), 24, flags).ok());
        net.run();
    }
    std::uint8_t flags6() { return net.routes().interface(id).ip6()[0].flags; }
    std::uint8_t flags4() { return net.routes().interface(id).ip4()[0].flags; }
    bool is_local() {
        return net.worker_stack().routes().lookup6(0, {mine.high(), mine.low()}) !=
                   nexthop_default6 &&
               net.routes().get({mine.high(), mine.low()}).ok() &&
               net.routes().get({mine.high(), mine.low()})->targets[0].kind == nexthop_kind::local;
    }
    // Arrives at a worker that is not the owner of neighbours.
    void hear(icmp6_type type, std::uint32_t rest, ip6_fields fields, const bytes& content) {
        fields.hop_limit = 255;
        net.receive(
            0,
            ethernet(
                {wire::multicast_mac(fields.destination), peer_mac}, wire::ether_type::ipv6,
                icmp6_packet(fields, type, 0, rest, content)),
            1);
        net.run();
    }
    void hear_arp(const bytes& packet) {
        net.receive(0, ethernet({wire::mac_broadcast, peer_mac}, wire::ether_type::arp, packet), 1);
        net.run();
    }
    // The questions about an address of ours among what was sent.
    unsigned questions() {
        unsigned count = 0;
        for (const bytes& frame : net.sent(0)) {
            const auto packet = parse_ip6_frame(frame);
            const auto icmp = packet ? packet->icmp() : std::nullopt;
            if (icmp && icmp->kind() == icmp6_type::neighbor_solicitation) {
                EXPECT_TRUE(packet->header.source.is_unspecified());
                EXPECT_EQ(packet->header.destination, wire::solicited_node(mine));
                EXPECT_EQ(packet->header.hop_limit, 255);
                EXPECT_EQ(packet->content.size(), 32u); // no link address, but a nonce
                EXPECT_EQ(packet->content[24], static_cast<std::uint8_t>(nd_option_type::nonce));
                nonce = bytes(packet->content.begin() + 24, packet->content.end());
                ++count;
            }
        }
        return count;
    }
    // A listener report has a hop-by-hop header.
    static bool is_report(const bytes& frame) {
        const auto packet = parse_ip6_frame(frame);
        return packet && packet->header.next_header == 0;
    }
    unsigned arp_frames(bytes expected) {
        unsigned count = 0;
        link_fields link{wire::mac_broadcast, router::mac_of(0)};
        link.padded = false;
        const bytes frame = ethernet(link, wire::ether_type::arp, expected);
        for (const bytes& each : net.sent(0)) {
            count += each == frame;
        }
        return count;
    }
    bytes probe4() const { return arp(arp_operation::request, router::mac_of(0), {}, {}, mine4); }
    bytes announcement4() const {
        return arp(arp_operation::request, router::mac_of(0), mine4, {}, mine4);
    }
    const address_prober_counters& counts() { return net.worker_stack().duties()->prober.counters; }

    const ipv6_address mine = ip6_host(1, 0, 1);
    const ipv6_address peer = ip6_host(1, 0, 0x44);
    const wire::ipv4_address mine4 = ip(10, 0, 0, 1);
    const wire::ipv4_address peer4 = ip(10, 0, 0, 2);
    const wire::mac_address peer_mac = mac(0x44);
    bytes nonce;
    mbuf_pool pool;
    router net;
    iface_id id;
};

TEST_F(dad, an_address_is_asked_for_and_ours_after_a_second_of_silence) {
    add6(strict);
    EXPECT_FALSE(is_local());
    net.advance(1 * ns_per_s); // the random delay is at most that
    EXPECT_EQ(questions(), 1u);
    EXPECT_EQ(flags6(), strict);
    net.advance(1 * ns_per_s);
    EXPECT_EQ(flags6(), address_probed);
    EXPECT_TRUE(is_local());
    EXPECT_EQ(counts().settled.read(), 1u);
    net.advance(60 * ns_per_s);
    EXPECT_EQ(questions(), 0u);
}

TEST_F(dad, a_tentative_address_neither_answers_nor_speaks) {
    add6(strict);
    const std::uint64_t before = net.dropped(drop_reason::nd_done);
    hear(
        icmp6_type::neighbor_solicitation, 0, {peer, wire::solicited_node(mine)},
        bytes_of(mine) + link_option(nd_option_type::source_link_address, peer_mac));
    EXPECT_EQ(net.dropped(drop_reason::nd_done) - before, 1u);
    EXPECT_TRUE(net.sent_ip6(0).empty());
    EXPECT_FALSE(select_source(net.worker_stack().links(), id, peer));
    net.advance(3 * ns_per_s);
    net.sent(0);
    EXPECT_EQ(select_source(net.worker_stack().links(), id, peer), mine);
    hear(
        icmp6_type::neighbor_solicitation, 0, {peer, wire::solicited_node(mine)},
        bytes_of(mine) + link_option(nd_option_type::source_link_address, peer_mac));
    EXPECT_EQ(net.worker_stack(1).nd_counts().advertisements_out.read(), 1u);
}

TEST_F(dad, who_answers_has_it) {
    add6(strict);
    net.advance(1 * ns_per_s);
    hear(
        icmp6_type::neighbor_advertisement, wire::nd_flag_override, {mine, wire::ipv6_all_nodes},
        bytes_of(mine) + link_option(nd_option_type::target_link_address, peer_mac));
    EXPECT_EQ(flags6(), strict | address_duplicate);
    EXPECT_EQ(counts().duplicates.read(), 1u);
    net.advance(60 * ns_per_s);
    EXPECT_EQ(flags6(), strict | address_duplicate);
    EXPECT_FALSE(is_local());
}

TEST_F(dad, who_asks_for_the_same_keeps_both_from_it) {
    add6(strict);
    hear(icmp6_type::neighbor_solicitation, 0, {{}, wire::solicited_node(mine)}, bytes_of(mine));
    EXPECT_EQ(flags6(), strict | address_duplicate);
}

TEST_F(dad, our_own_question_come_back_is_no_conflict) {
    add6(strict);
    net.advance(1 * ns_per_s);
    ASSERT_EQ(questions(), 1u);
    hear(
        icmp6_type::neighbor_solicitation, 0, {{}, wire::solicited_node(mine)},
        bytes_of(mine) + nonce);
    EXPECT_EQ(flags6(), strict);
    net.advance(1 * ns_per_s);
    EXPECT_EQ(flags6(), address_probed);
}

TEST_F(dad, an_address_of_ours_is_not_lost_to_a_late_claim) {
    add6(strict);
    net.advance(3 * ns_per_s);
    const std::uint64_t before = net.dropped(drop_reason::nd_source);
    hear(
        icmp6_type::neighbor_advertisement, wire::nd_flag_override, {mine, wire::ipv6_all_nodes},
        bytes_of(mine) + link_option(nd_option_type::target_link_address, peer_mac));
    EXPECT_EQ(net.dropped(drop_reason::nd_source) - before, 1u);
    EXPECT_EQ(flags6(), address_probed);
}

TEST_F(dad, an_interface_that_comes_up_asks_anew) {
    add6(strict);
    hear(icmp6_type::neighbor_solicitation, 0, {{}, wire::solicited_node(mine)}, bytes_of(mine));
    ASSERT_EQ(flags6(), strict | address_duplicate);
    ASSERT_TRUE(net.routes().set_up(id, false).ok());
    net.advance(5 * ns_per_s);
    net.sent(0);
    ASSERT_TRUE(net.routes().set_up(id, true).ok());
    net.run();
    EXPECT_EQ(flags6(), strict);
    net.advance(2 * ns_per_s);
    EXPECT_EQ(questions(), 1u);
    EXPECT_EQ(flags6(), address_probed);
    EXPECT_TRUE(is_local());
}

TEST_F(dad, a_deleted_address_is_no_longer_asked_for) {
    add6(strict);
    ASSERT_TRUE(net.routes().del_address(id, {mine.high(), mine.low()}, 64).ok());
    net.advance(10 * ns_per_s);
    EXPECT_EQ(questions(), 0u);
    EXPECT_EQ(counts().settled.read(), 0u);
}

TEST_F(dad, on_trust_it_is_used_but_overrides_nobody) {
    add6(optimistic);
    EXPECT_TRUE(is_local());
    EXPECT_EQ(select_source(net.worker_stack().links(), id, peer), mine);
    hear(
        icmp6_type::neighbor_solicitation, 0, {peer, wire::solicited_node(mine)},
        bytes_of(mine) + link_option(nd_option_type::source_link_address, peer_mac));
    auto sent = net.sent(0);
    std::erase_if(sent, is_report);
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(
        parse_ip6_frame(sent[0])->icmp()->rest.host(),
        wire::nd_flag_router | wire::nd_flag_solicited);
    net.advance(2 * ns_per_s);
    EXPECT_EQ(flags6(), address_probed | address_optimistic);
    net.sent(0);
    hear(
        icmp6_type::neighbor_solicitation, 0, {peer, wire::solicited_node(mine)},
        bytes_of(mine) + link_option(nd_option_type::source_link_address, peer_mac));
    auto later = net.sent(0);
    std::erase_if(later, is_report);
    ASSERT_EQ(later.size(), 1u);
    EXPECT_EQ(
        parse_ip6_frame(later[0])->icmp()->rest.host(),
        wire::nd_flag_router | wire::nd_flag_solicited | wire::nd_flag_override);
}

TEST_F(dad, garbage_settles_nothing) {
    add6(strict);
    const std::uint64_t before = net.dropped(drop_reason::nd_format);
    ip6_fields to_all{mine, wire::ipv6_all_nodes}; // says that it was asked, to everybody
    hear(icmp6_type::neighbor_advertisement, wire::nd_flag_solicited, to_all, bytes_of(mine));
    hear(
        icmp6_type::neighbor_solicitation, 0, {{}, wire::solicited_node(mine)},
        bytes_of(mine) + link_option(nd_option_type::source_link_address, peer_mac));
    hear(icmp6_type::neighbor_solicitation, 0, {{}, wire::ipv6_all_nodes}, bytes_of(mine));
    EXPECT_EQ(net.dropped(drop_reason::nd_format) - before, 3u);
    EXPECT_EQ(flags6(), strict);
}

// --- IPv4 ---

TEST_F(dad, ip4_three_probes_then_announced) {
    add4(strict);
    EXPECT_FALSE(net.worker_stack().links().owner_of(mine4.value, 0));
    net.advance(5 * ns_per_s); // 0..1 s, and twice 1..2 s
    EXPECT_EQ(arp_frames(probe4()), 3u);
    net.advance(2 * ns_per_s);
    EXPECT_EQ(flags4(), address_probed);
    EXPECT_EQ(net.worker_stack().links().owner_of(mine4.value, 0), id);
    EXPECT_TRUE(net.routes().get(mine4.host()).ok());
    net.advance(60 * ns_per_s);
    EXPECT_EQ(arp_frames(announcement4()), 2u);
}

TEST_F(dad, ip4_a_tentative_address_neither_answers_nor_asks) {
    add4(strict);
    hear_arp(arp(arp_operation::request, peer_mac, peer4, {}, mine4));
    EXPECT_TRUE(net.sent(0).empty());
    EXPECT_EQ(net.worker_stack().links().source_for(id, peer4.value), be32{});
}

TEST_F(dad, ip4_who_speaks_with_it_has_it) {
    add4(strict);
    hear_arp(arp(arp_operation::reply, peer_mac, mine4, router::mac_of(0), {}));
    EXPECT_EQ(flags4(), strict | address_duplicate);
    net.advance(60 * ns_per_s);
    EXPECT_EQ(arp_frames(announcement4()), 0u);
    EXPECT_EQ(flags4(), strict | address_duplicate);
    // It is a neighbour like others now.
    hear_arp(arp(arp_operation::request, peer_mac, mine4, {}, peer4));
    EXPECT_EQ(net.worker_stack(1).arp_counts().conflicts.read(), 1u);
}

TEST_F(dad, ip4_who_probes_for_the_same_keeps_both_from_it) {
    add4(strict);
    hear_arp(arp(arp_operation::request, router::mac_of(0), {}, {}, mine4)); // our own, come back
    EXPECT_EQ(flags4(), strict);
    hear_arp(arp(arp_operation::request, peer_mac, {}, {}, mine4));
    EXPECT_EQ(flags4(), strict | address_duplicate);
}

TEST_F(dad, ip4_ours_is_defended_once_in_ten_seconds) {
    add4(strict);
    net.advance(30 * ns_per_s);
    net.sent(0);
    for (unsigned i = 0; i < 5; ++i) {
        hear_arp(arp(arp_operation::reply, peer_mac, mine4, mac(9), peer4));
        net.advance(1 * ns_per_s);
    }
    EXPECT_EQ(arp_frames(announcement4()), 1u);
    net.advance(5 * ns_per_s);
    hear_arp(arp(arp_operation::reply, peer_mac, mine4, mac(9), peer4));
    EXPECT_EQ(arp_frames(announcement4()), 1u);
    EXPECT_EQ(flags4(), address_probed);
    EXPECT_EQ(counts().defended.read(), 2u);
    EXPECT_EQ(net.worker_stack(1).arp_counts().conflicts.read(), 6u);
}

TEST_F(dad, ip4_on_trust_it_is_used_and_announced_later) {
    add4(optimistic);
    EXPECT_EQ(net.worker_stack().links().owner_of(mine4.value, 0), id);
    EXPECT_EQ(arp_frames(announcement4()), 0u);
    net.advance(8 * ns_per_s);
    EXPECT_EQ(flags4(), address_probed | address_optimistic);
    net.advance(60 * ns_per_s);
    EXPECT_EQ(counts().probes_out.read(), 3u);
    EXPECT_EQ(arp_frames(announcement4()), 2u);
}

TEST_F(dad, every_replica_agrees_in_the_end) {
    add4(strict);
    add6(optimistic);
    net.advance(30 * ns_per_s);
    EXPECT_EQ(net.worker_stack(0).routes().hash(), net.routes().hash());
    EXPECT_EQ(net.worker_stack(1).routes().hash(), net.routes().hash());
}

} // namespace
} // namespace pantala::test
