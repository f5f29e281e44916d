// Packet Too Big about our own echo replies: believed where it quotes one that we sent, and the
// next one is cut.
#include "stack/route/host_cache/host_cache.hpp"
#include "tests/stack/ip6/small_net6.hpp"

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

using wire::icmp6_type;
using wire::ip_protocol;
using wire::ipv6_address;

struct echo_mtu : testing::Test, small_net6 {
    explicit echo_mtu(unsigned workers = 2) : small_net6({}, workers) {}

    static constexpr std::size_t whole = 1500;

    void receive(const ip6_fields& fields, const bytes& packet, unsigned worker) {
        static_cast<void>(fields);
        net.receive(
            1, ethernet({router::mac_of(1), gateway_mac}, wire::ether_type::ipv6, packet), worker);
        net.run();
    }
    // The replies to a request of `whole` bytes, as they leave.
    std::vector<parsed_ip6> ping(std::uint32_t id_and_sequence, unsigned worker = 0) {
        const ip6_fields fields{far_away, router_outside, ip_protocol::icmpv6};
        net.sent(1);
        receive(
            fields,
            icmp6_packet(fields, icmp6_type::echo_request, 0, id_and_sequence, payload(whole - 48)),
            worker);
        std::vector<parsed_ip6> replies;
        for (const bytes& frame : net.sent_ip6(1)) {
            replies.push_back(*parse_ip6_frame(frame));
        }
        return replies;
    }
    void too_big(std::uint32_t mtu, const bytes& quoted, unsigned worker = 0) {
        bytes quote = quoted;
        quote.resize(std::min<std::size_t>(quote.size(), 1232));
        const ip6_fields fields{ip6_host(0x100, 0, 1), router_outside, ip_protocol::icmpv6};
        receive(fields, icmp6_packet(fields, icmp6_type::packet_too_big, 0, mtu, quote), worker);
    }
    std::uint16_t known(unsigned worker = 0) {
        return net.worker_stack(worker).hosts().find_mtu(
            ip_address::from(far_away), net.now(), mtu_for::datagrams);
    }
};

TEST_F(echo_mtu, the_next_reply_is_cut) {
    const auto first = ping(0x00070001);
    ASSERT_EQ(first.size(), 1u);
    EXPECT_EQ(first[0].whole.size(), whole);
    too_big(1400, first[0].whole);
    EXPECT_EQ(known(), 1400);
    const auto second = ping(0x00070002);
    ASSERT_EQ(second.size(), 2u);
    EXPECT_LE(second[0].whole.size(), 1400u);
    EXPECT_EQ(second[0].header.next_header, static_cast<std::uint8_t>(ip_protocol::fragment));
    EXPECT_EQ(second[0].content.size() + second[1].content.size(), whole - 40 + 2 * 8);
    // A narrower link further on: the first fragment is quoted now.
    too_big(1300, second[0].whole);
    EXPECT_EQ(known(), 1300);
    EXPECT_LE(ping(0x00070003).at(0).whole.size(), 1300u);
}

// The error comes from another source than the request did, so to another worker.
TEST_F(echo_mtu, the_worker_that_answered_learns) {
    const auto first = ping(0x00070001, 1);
    ASSERT_EQ(first.size(), 1u);
    too_big(1400, first[0].whole, 0);
    EXPECT_EQ(known(1), 1400);
    EXPECT_EQ(known(0), host_cache::no_mtu);
    EXPECT_EQ(ping(0x00070002, 1).size(), 2u);
}

TEST_F(echo_mtu, nothing_is_believed_of_packets_that_we_did_not_send) {
    const auto first = ping(0x00070001);
    ASSERT_EQ(first.size(), 1u);
    const bytes sent = first[0].whole;
    const auto changed = [&](std::size_t at, std::uint8_t to) {
        bytes other = sent;
        other[at] = to;
        return other;
    };
    too_big(1400, changed(47, 9));    // another sequence number
    too_big(1400, changed(45, 9));    // another identifier
    too_big(1400, changed(40, 128));  // a request
    too_big(1400, changed(23, 9));    // from another address
    too_big(1400, changed(39, 0x33)); // to somebody else
    too_big(1500, sent);              // it was not larger than that
    too_big(1279, sent);              // RFC 8201 4: less than IPv6 needs
    EXPECT_EQ(known(), host_cache::no_mtu);
    EXPECT_EQ(
        net.worker_stack().hosts().find_mtu(
            ip_address::from(ip6_host(0x100, 7, 0x33)), net.now(), mtu_for::datagrams),
        host_cache::no_mtu);
    EXPECT_EQ(ping(0x00070002).size(), 1u);
    net.advance(60 * ns_per_s); // long ago
    too_big(1400, sent);
    EXPECT_EQ(known(), host_cache::no_mtu);
}

TEST_F(echo_mtu, many_pings_under_way_are_remembered) {
    std::vector<bytes> sent;
    for (std::uint32_t i = 0; i < 60; ++i) {
        sent.push_back(ping(0x00070000 + i).at(0).whole);
    }
    too_big(1400, sent.front());
    EXPECT_EQ(known(), 1400);
}

// A flood of errors leaves no more behind than there were replies.
TEST_F(echo_mtu, a_flood_of_errors_is_bounded) {
    const bytes sent = ping(0x00070001).at(0).whole;
    const std::uint32_t before = net.worker_stack().hosts().size();
    for (unsigned i = 0; i < 2000; ++i) {
        bytes other = sent;
        other[37] = static_cast<std::uint8_t>(i >> 8);
        other[38] = static_cast<std::uint8_t>(i);
        too_big(1400, other, i % 2);
    }
    EXPECT_LE(net.worker_stack().hosts().size(), before + 1);
}

} // namespace
} // namespace pantala::test
