// How far SACK blocks may cut what is in flight: its records are all connections' together, and
// blocks of one byte ask for one each (the kind of CVE-2019-11478).
#include "tests/stack/tcp/recovery/repair_script.hpp"

#include <gtest/gtest.h>

namespace pantala::sim::sack_bound {
namespace {

using namespace wire::tcp_flag;

constexpr std::uint32_t mss = 1'000;
const std::vector<std::uint8_t> agreed = {2, 4, mss >> 8, mss & 255, 4, 2, 1, 1};

struct tcp_sack_bound : testing::Test {
    void SetUp() override {
        handle = peer.establish(agreed);
        ASSERT_EQ(peer.send(handle, 100'000), 100'000U); // a window of ten segments leaves
        (void)all_sent(peer);
    }
    tcp::conn& conn() { return *peer.host().find(handle); }
    // An ACK of nothing new with blocks of `bytes`, as far apart, the first at this offset.
    void sack_four(std::uint32_t offset, std::uint32_t bytes) {
        wire_segment segment = peer.segment(ack);
        segment.options = {1, 1, wire::tcp_option_sack, 34};
        for (std::uint32_t edge = 0; edge < 8; ++edge) {
            const std::uint32_t at = peer.ack + offset + edge * bytes;
            for (const unsigned shift : {24U, 16U, 8U, 0U}) {
                segment.options.push_back(static_cast<std::uint8_t>(at >> shift));
            }
        }
        peer.give(segment);
        cut_packets += all_sent(peer).size();
    }
    void sack_one(std::uint32_t left, std::uint32_t right) {
        wire_segment segment = peer.segment(ack);
        segment.options = sack_of(peer.ack + left, peer.ack + right);
        peer.give(segment);
    }
    // Every second byte, of all that is out.
    void cut_all() {
        for (std::uint32_t offset = 1; offset + 8 < 10 * mss; offset += 8) {
            sack_four(offset, 1);
        }
    }
    std::uint32_t bound() { return 2 * ((conn().snd_nxt - conn().snd_una) / conn().snd_mss) + 64; }

    scripted_peer peer;
    tcp::conn_handle handle;
    std::size_t cut_packets = 0; // sent meanwhile
};

TEST_F(tcp_sack_bound, one_connection_does_not_take_the_records_of_all) {
    cut_all();
    EXPECT_LE(conn().sent_count, bound());
    EXPECT_GT(peer.stats().sack_sboverflow.read(), 0U);
    EXPECT_EQ(peer.host().sents.used(), conn().sent_count);

    wire_segment other{.flags = syn, .seq = 1, .options = agreed, .peer_port = 4'001};
    peer.give(other);
    const auto answer = peer.next();
    ASSERT_TRUE(answer);
    other = {.flags = ack, .seq = 2, .ack = answer->seq + 1, .peer_port = 4'001};
    peer.give(other);
    peer.send(tcp::accept(peer.host(), peer.listener, nullptr), mss);
    const auto data = peer.next();
    ASSERT_TRUE(data);
    EXPECT_EQ(data->peer_port, 4'001U);
    EXPECT_EQ(data->payload.size(), mss);
}

TEST_F(tcp_sack_bound, whole_segments_are_marked_where_nothing_more_is_cut) {
    cut_all();
    const std::uint32_t before = conn().sacked_bytes;
    sack_one(5 * mss + 500, 8 * mss + 500);
    EXPECT_EQ(conn().sacked_bytes, before + 2 * mss);
    peer.ack += 10 * mss; // and all is well that ends well
    peer.give(peer.segment(ack));
    EXPECT_EQ(conn().sacked_bytes, 0U);
    EXPECT_EQ(conn().lost_bytes, 0U);
    EXPECT_LT(conn().sent_count, 64U);
}

TEST_F(tcp_sack_bound, what_is_sent_again_in_small_pieces_is_bounded_too) {
    cut_all();
    EXPECT_GT(cut_packets, 0U);
    std::size_t packets = cut_packets;
    for (unsigned ms = 0; ms < 1'000; ++ms) {
        peer.wait_ms(1);
        packets += all_sent(peer).size();
    }
    EXPECT_LE(packets, 4 * bound());
}

TEST_F(tcp_sack_bound, a_block_that_cuts_segments_counts_to_the_byte) {
    sack_one(500, 2'500);
    EXPECT_EQ(conn().sacked_bytes, 2'000U);
    EXPECT_EQ(peer.stats().sack_sboverflow.read(), 0U);
}

} // namespace
} // namespace pantala::sim::sack_bound
