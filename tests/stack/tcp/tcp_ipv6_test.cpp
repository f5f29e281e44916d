// What IPv6 has of its own in TCP: sizes, checksums, addresses that cannot be, ICMPv6.
#include "tests/stack/tcp/scripted_peer.hpp"

#include "stack/tcp/output/tcp_output.hpp"

#include <gtest/gtest.h>
#include <rte_mbuf.h>

namespace pantala::sim {
namespace {

using namespace wire::tcp_flag;

class tcp_ipv6 : public testing::Test {
  protected:
    tcp_ipv6() { peer.v6 = true; }
    scripted_peer peer;
};

TEST_F(tcp_ipv6, the_syn_ack_offers_1440_and_assumes_1220) { // RFC 9293 3.7.1
    const auto handle = peer.establish();
    EXPECT_EQ(peer.host().find(handle)->snd_mss, 1'220);
    EXPECT_EQ(tcp::mss_to_offer(peer.host(), peer.host().find(handle)->key, 1'500), 1'440);
}

TEST_F(tcp_ipv6, data_goes_both_ways_and_the_end_too) {
    const auto handle = peer.establish();
    peer.give(peer.segment(ack | psh, 100));
    peer.seq += 100;
    EXPECT_EQ(tcp::readable_bytes(peer.host(), handle), 100U);
    tcp::consume(peer.host(), handle, 100);
    tcp::set_no_delay(peer.host(), handle, true);
    peer.send(handle, 2'000);
    std::uint32_t got = 0;
    while (const auto data = peer.next()) {
        got += static_cast<std::uint32_t>(data->payload.size());
    }
    EXPECT_EQ(got, 2'000U);
    peer.ack += got;
    peer.give(peer.segment(ack | fin));
    peer.seq += 1;
    tcp::close(peer.host(), handle);
    peer.turn();
    bool ended = false;
    while (const auto answer = peer.next()) {
        ended = ended || (answer->flags & fin) != 0;
    }
    EXPECT_TRUE(ended);
    peer.ack += 1;
    peer.give(peer.segment(ack));
    EXPECT_EQ(peer.host().conns.used(), 0U);
}

TEST_F(tcp_ipv6, the_checksum_covers_the_addresses) { // RFC 8200 8.1
    const auto handle = peer.establish();
    rte_mbuf* packet = peer.packet_of(peer.segment(ack, 10));
    rte_pktmbuf_mtod(packet, std::uint8_t*)[8 + 15] ^= 0x40; // source fd00::41, same everything
    peer.give_packet(packet);
    EXPECT_EQ(peer.stats().rcvbadsum.read(), 1U);
    EXPECT_EQ(tcp::readable_bytes(peer.host(), handle), 0U);
}

TEST_F(tcp_ipv6, a_mapped_address_does_not_come_from_the_wire) { // RFC 4291 2.5.5.2
    peer.listen();
    rte_mbuf* packet = peer.packet_of({.flags = syn, .seq = 5});
    auto* source = rte_pktmbuf_mtod(packet, std::uint8_t*) + 8;
    const std::uint8_t mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1};
    std::copy(std::begin(mapped), std::end(mapped), source);
    peer.host().config.verify_checksum = false;
    peer.give_packet(packet);
    EXPECT_TRUE(peer.silent());
    EXPECT_EQ(peer.stats().rcvshort.read(), 1U);
}

TEST_F(tcp_ipv6, a_group_is_no_peer) { // RFC 9293 MUST-57
    peer.listen();
    rte_mbuf* packet = peer.packet_of({.flags = syn, .seq = 5});
    rte_pktmbuf_mtod(packet, std::uint8_t*)[8] = 0xff;
    peer.host().config.verify_checksum = false;
    peer.give_packet(packet);
    EXPECT_TRUE(peer.silent());
    EXPECT_EQ(peer.stats().badsource.read(), 1U);
}

TEST_F(tcp_ipv6, packet_too_big_goes_down_to_1280_and_no_further) { // RFC 8201 4
    const auto handle = peer.establish(
        {wire::tcp_option_mss, 4, 1'440 >> 8, 1'440 & 0xff, wire::tcp_option_sack_permitted, 2, 1,
         1});
    peer.send(handle, 10'000);
    const tcp::conn& c = *peer.host().find(handle);
    EXPECT_EQ(c.snd_mss, 1'440);
    for (const std::uint16_t mtu : {std::uint16_t{1'400}, std::uint16_t{500}}) {
        tcp::icmp_input(
            peer.host(),
            {.key = c.key, .seq = c.snd_una, .meaning = tcp::icmp_meaning::too_big, .mtu = mtu},
            peer.now);
    }
    EXPECT_EQ(c.snd_mss, 1'220);
    EXPECT_EQ(c.path_mtu, 1'280);
}

TEST_F(tcp_ipv6, a_cookie_opens_the_connection) {
    peer.host().config.syn_cookies = true;
    peer.listen();
    for (std::uint16_t i = 0; i < 200; ++i) { // fills the cache
        wire_segment half{.flags = syn, .seq = i};
        half.peer_port = static_cast<std::uint16_t>(10'000 + i);
        peer.give(half);
        (void)peer.next();
    }
    EXPECT_NE(peer.establish().id, tcp::no_id);
    EXPECT_GE(peer.stats().sc_sendcookie.read(), 1U);
}

TEST_F(tcp_ipv6, a_reset_answers_what_belongs_to_nobody) {
    peer.give({.flags = ack, .seq = 9, .ack = 77, .host_port = 99});
    const auto answer = peer.next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->flags, rst);
    EXPECT_EQ(answer->seq, 77U);
}

// RFC 8257 3.2: the receiver's ACK changes its echo where the marks change.
TEST(tcp_dctcp, the_echo_follows_the_marks) {
    scripted_peer peer({.quick_acks = 0, .congestion = tcp::congestion_kind::dctcp});
    peer.listen();
    peer.give({.flags = syn | ece | cwr, .seq = peer.seq});
    const auto answer = peer.next();
    ASSERT_TRUE(answer);
    ASSERT_EQ(answer->flags, syn | ack | ece);
    ++peer.seq;
    peer.ack = answer->seq + 1;
    peer.give(peer.segment(ack));
    const auto give = [&](bool marked) {
        rte_mbuf* packet = peer.packet_of(peer.segment(ack, 100));
        rte_pktmbuf_mtod(packet, std::uint8_t*)[1] = marked ? 3 : 2;
        peer.seq += 100;
        peer.give_packet(packet);
    };
    give(false);
    EXPECT_TRUE(peer.silent()); // delayed
    give(true);
    const auto unmarked = peer.next(); // what came before the first mark
    ASSERT_TRUE(unmarked);
    EXPECT_EQ(unmarked->flags & ece, 0);
    EXPECT_EQ(unmarked->ack, peer.seq - 100);
    give(false);
    const auto marked = peer.next();
    ASSERT_TRUE(marked);
    EXPECT_NE(marked->flags & ece, 0);
    EXPECT_EQ(marked->ack, peer.seq - 100);
}

} // namespace
} // namespace pantala::sim
