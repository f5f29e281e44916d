// ICMP errors that reach the host, and what our own packets tell about others.
#include "stack/wire/checksum.hpp"
#include "stack/wire/icmp4.hpp"
#include "stack/wire/icmp6.hpp"
#include "stack/wire/ipv4.hpp"
#include "stack/wire/ipv6.hpp"
#include "stack/wire/udp.hpp"
#include "tests/stack/socket/two_hosts.hpp"

#include <pantala/udp.hpp>

#include <cerrno>
#include <cstring>
#include <set>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

struct quiet_socket : udp_socket {
    quiet_socket() : udp_socket([](udp_socket&, std::span<const datagram>) {}) {}
};

const ip_address right4 = ip_address::from(wire::ipv4_address::of(10, 0, 0, 2));
const ip_address right6 = ip_address::from(wire::ipv6_address::of(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2));

template <class T>
void put(std::string& packet, const T& header) {
    packet.append(reinterpret_cast<const char*>(&header), sizeof header);
}

// "Too big, 1300", quoting a datagram from the left host's port 53 to the right one's 9.
std::string too_big(bool six) {
    std::string packet;
    const wire::udp_header udp{be16::from(53), be16::from(9), be16::from(1'400), be16{}};
    if (six) {
        wire::ipv6_header ip;
        ip.version_class_flow = be32::from(6U << 28);
        ip.payload_length = be16::from(56);
        ip.next_header = static_cast<std::uint8_t>(wire::ip_protocol::icmpv6);
        ip.hop_limit = 64;
        ip.source = right6.v6();
        ip.destination = wire::ipv6_address::of(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        put(packet, ip);
        wire::icmp6_header icmp{};
        icmp.type = static_cast<std::uint8_t>(wire::icmp6_type::packet_too_big);
        icmp.rest = be32::from(1'300);
        put(packet, icmp);
        std::swap(ip.source, ip.destination);
        ip.next_header = static_cast<std::uint8_t>(wire::ip_protocol::udp);
        put(packet, ip);
    } else {
        wire::ipv4_header ip;
        ip.version_ihl = 0x45;
        ip.total_length = be16::from(56);
        ip.time_to_live = 64;
        ip.protocol = static_cast<std::uint8_t>(wire::ip_protocol::icmp);
        ip.source = right4.v4();
        ip.destination = wire::ipv4_address::of(10, 0, 0, 1);
        put(packet, ip);
        wire::icmp4_header icmp{};
        icmp.type = static_cast<std::uint8_t>(wire::icmp4_type::destination_unreachable);
        icmp.code = static_cast<std::uint8_t>(wire::icmp4_unreachable::fragmentation_needed);
        icmp.rest_low = be16::from(1'300);
        put(packet, icmp);
        std::swap(ip.source, ip.destination);
        ip.protocol = static_cast<std::uint8_t>(wire::ip_protocol::udp);
        ip.total_length = be16::from(1'420);
        put(packet, ip);
    }
    put(packet, udp);
    return packet;
}

void tell(net_host& host, rte_mempool* pool, const std::string& packet) {
    rte_mbuf* mbuf = rte_pktmbuf_alloc(pool);
    std::memcpy(
        rte_pktmbuf_append(mbuf, static_cast<std::uint16_t>(packet.size())), packet.data(),
        packet.size());
    mbuf->l3_len = packet[0] >> 4 == 4 ? 20 : 40;
    mbuf_burst burst;
    burst.push(mbuf);
    host.error_input(burst, host.tcp.now);
}

std::uint16_t path_mtu(net_host& host, const ip_address& to) {
    return host.ip().path_mtu(host.ip().context, to);
}

// Datagrams of IPv4 may be cut on their way: no router can have said such a thing.
TEST(icmp_errors, an_ipv4_datagram_is_never_too_big) {
    two_hosts net;
    quiet_socket socket;
    ASSERT_EQ(0, net.at_left().native().bind(socket, *parse_endpoint("*:53")));
    socket.send_to(*parse_endpoint("10.0.0.2:9"), {});
    net.carry();
    tell(net.at_left(), net.pool.get(), too_big(false));
    EXPECT_EQ(path_mtu(net.at_left(), right4), 1'500);
}

// RFC 8201 4: only what was sent can have been too big; and what quotes no sequence number does not
// make TCP's segments smaller (RFC 5927 section 7).
TEST(icmp_errors, an_ipv6_datagram_must_have_been_sent) {
    two_hosts net;
    quiet_socket socket;
    ASSERT_EQ(0, net.at_left().native().bind(socket, *parse_endpoint("[::]:53")));
    stack& left = net.left.worker_stack(0);
    const auto learned = [&] { return left.host_cache_counts().path_mtus.read(); };
    tell(net.at_left(), net.pool.get(), too_big(true));
    EXPECT_EQ(learned(), 0U); // it listens, and has sent nothing there
    socket.send_to(*parse_endpoint("[2001:db8::2]:9"), {});
    net.carry();
    tell(net.at_left(), net.pool.get(), too_big(true));
    EXPECT_EQ(learned(), 1U);
    EXPECT_EQ(path_mtu(net.at_left(), right6), 1'500);
    std::size_t longest = 0;
    net.arrives = [&](const bytes& frame) {
        longest = std::max(longest, frame.size());
        return true;
    };
    const std::vector<std::byte> much(1'400);
    EXPECT_EQ(0, socket.send_to(*parse_endpoint("[2001:db8::2]:9"), much));
    net.carry();
    EXPECT_LE(longest, 1'300U + 14U); // datagrams are cut to it
    EXPECT_GT(longest, 1'200U);
}

TEST(icmp_errors, an_ipv6_socket_that_is_connected_hears_of_it) {
    two_hosts net;
    quiet_socket socket;
    ASSERT_EQ(
        0, net.at_left().native().connect(
               socket, *parse_endpoint("[2001:db8::2]:9"), *parse_endpoint("[2001:db8::1]:53")));
    tell(net.at_left(), net.pool.get(), too_big(true));
    EXPECT_EQ(net.left.worker_stack(0).host_cache_counts().path_mtus.read(), 1U);
}

// The idle scan: how much we send to others does not show in the numbers that one peer sees.
TEST(icmp_errors, identifications_tell_nothing_of_other_peers) {
    two_hosts net;
    quiet_socket socket;
    ASSERT_EQ(0, net.at_left().native().bind(socket, *parse_endpoint("*:53")));
    std::vector<std::uint16_t> seen;
    net.arrives = [&](const bytes& frame) {
        if (frame.size() >= 34 && frame[12] == 8 && frame[13] == 0 && frame[30] == 10 &&
            frame[33] == 2) {
            seen.push_back(static_cast<std::uint16_t>(frame[18] << 8 | frame[19]));
        }
        return true;
    };
    const auto say = [&](const char* to) {
        EXPECT_EQ(0, socket.send_to(*parse_endpoint(to), {}));
        net.carry();
    };
    say("10.0.0.2:9"); // to learn the neighbour
    say("10.0.0.2:9");
    for (unsigned i = 0; i < 100; ++i) {
        say("10.0.0.77:9");
    }
    say("10.0.0.2:9");
    ASSERT_GE(seen.size(), 2U);
    const auto step = static_cast<std::uint16_t>(seen.back() - seen[seen.size() - 2]);
    EXPECT_GE(step, 1U);
    EXPECT_LE(step, 4U);
}

// CVE-2020-25705: how many errors a burst draws is not foreseeable, so that nobody counts by them
// how many somebody else drew.
TEST(icmp_errors, a_burst_of_them_is_of_no_known_length) {
    two_hosts net;
    quiet_socket socket;
    ASSERT_EQ(0, net.at_left().native().bind(socket, *parse_endpoint("*:53")));
    socket.send_to(*parse_endpoint("10.0.0.2:9"), {});
    net.carry();
    std::set<std::uint64_t> bursts;
    stack& right = net.right.worker_stack(0);
    for (unsigned second = 0; second < 6; ++second) {
        net.advance(ns_per_s, 100 * ns_per_ms);
        const std::uint64_t before = right.ip4_counts().errors_sent.read();
        for (unsigned i = 0; i < 300; ++i) {
            socket.send_to(*parse_endpoint("10.0.0.2:9"), {});
        }
        net.carry();
        const std::uint64_t burst = right.ip4_counts().errors_sent.read() - before;
        EXPECT_GE(burst, 50U);
        EXPECT_LE(burst, 200U);
        bursts.insert(burst);
    }
    EXPECT_GE(bursts.size(), 3U);
}

} // namespace
} // namespace pantala::test
