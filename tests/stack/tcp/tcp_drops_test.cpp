// Every reason for which a packet dies at TCP's door, each by a packet made for it.
#include "tests/stack/tcp/scripted_peer.hpp"

#include <functional>
#include <map>
#include <string>

#include <gtest/gtest.h>
#include <rte_mbuf.h>

namespace pantala::sim {
namespace {

const std::map<drop_reason, std::function<void(const scripted_peer&, rte_mbuf*)>>& spoilers() {
    using enum drop_reason;
    static const std::map<drop_reason, std::function<void(const scripted_peer&, rte_mbuf*)>> all = {
        {tcp_short, [](const scripted_peer&, rte_mbuf* packet) { rte_pktmbuf_trim(packet, 1); }},
        {tcp_checksum,
         [](const scripted_peer&, rte_mbuf* packet) {
             *rte_pktmbuf_mtod_offset(packet, std::uint8_t*, packet->l3_len + 4) ^= 1;
         }},
        {tcp_header,
         [](const scripted_peer&, rte_mbuf* packet) { // four words; the sum is still right
             auto* tcp = rte_pktmbuf_mtod_offset(packet, std::uint8_t*, packet->l3_len);
             tcp[12] = 0x40;
             tcp[13] = 0x12; // 0x5002 is 0x4012 and 0xff0 more, which the urgent pointer takes
             tcp[18] = 0x0f;
             tcp[19] = 0xf0;
         }},
        {tcp_peer, [](const scripted_peer&, rte_mbuf*) {}},
    };
    return all;
}

TEST(tcp_drops, every_reason_of_the_layer_is_here) {
    for (std::size_t i = 0; i < drop_reason_count; ++i) {
        if (std::string(drop_reason_texts[i].layer) == "tcp") {
            EXPECT_TRUE(spoilers().contains(static_cast<drop_reason>(i)))
                << drop_reason_texts[i].name;
        }
    }
}

// What a port says of a checksum: good is believed, anything else is judged again.
TEST(tcp_drops, a_port_may_vouch_for_a_checksum_but_not_condemn_it) {
    const struct {
        std::uint64_t flags;
        bool right;
        bool taken;
    } cases[] = {
        {RTE_MBUF_F_RX_L4_CKSUM_GOOD, false, true},
        {RTE_MBUF_F_RX_L4_CKSUM_GOOD, true, true},
        {RTE_MBUF_F_RX_L4_CKSUM_BAD, true, true},
        {RTE_MBUF_F_RX_L4_CKSUM_BAD, false, false},
        {RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN, true, true},
        {RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN, false, false},
        {RTE_MBUF_F_RX_IP_CKSUM_GOOD, false, false},
    };
    for (const auto& each : cases) {
        scripted_peer peer;
        peer.listen();
        rte_mbuf* packet = peer.packet_of({.flags = wire::tcp_flag::syn, .seq = 1});
        packet->ol_flags |= each.flags;
        if (!each.right) {
            spoilers().at(drop_reason::tcp_checksum)(peer, packet);
        }
        peer.give_packet(packet);
        EXPECT_EQ(peer.host().drops.dropped(drop_reason::tcp_checksum), each.taken ? 0u : 1u)
            << each.flags << " " << each.right;
    }
}

TEST(tcp_drops, exactly_this_reason_is_counted) {
    for (const auto& [reason, spoil] : spoilers()) {
        scripted_peer peer;
        peer.listen();
        wire_segment syn{.flags = wire::tcp_flag::syn, .seq = 1};
        syn.peer_port = reason == drop_reason::tcp_peer ? 0 : 1024; // port 0 is nobody's
        rte_mbuf* packet = peer.packet_of(syn);
        spoil(peer, packet);
        peer.give_packet(packet);
        for (const auto& [other, unused] : spoilers()) {
            EXPECT_EQ(peer.host().drops.dropped(other), other == reason ? 1u : 0u)
                << drop_reason_texts[static_cast<std::size_t>(reason)].name;
        }
        EXPECT_TRUE(peer.silent());
        EXPECT_EQ(peer.host().syns.size(), 0u);
    }
}

} // namespace
} // namespace pantala::sim
