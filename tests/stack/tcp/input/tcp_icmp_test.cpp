// ICMP errors about segments of ours (RFC 5461, 5927, 1191).
#include "stack/tcp/input/tcp_input.hpp"
#include "stack/tcp/tcp_host.hpp"
#include "stack/tcp/tcp_user.hpp"
#include "stack/wire/ipv4.hpp"
#include "stack/wire/tcp.hpp"
#include "tests/stack/tcp/scripted_peer.hpp"
#include "tests/stack/tcp/tcp_pair.hpp"

#include <cstring>
#include <set>

#include <rte_mbuf.h>

#include <gtest/gtest.h>

namespace pantala::sim {
namespace {

// POSIX and Linux call it ECONNREFUSED, whether a reset says so or an ICMP error.
TEST(tcp_icmp, nobody_behind_the_port_is_a_refusal) {
    scripted_peer peer;
    tcp::host& host = peer.host();
    host.now = peer.now;
    const auto opened =
        tcp::open(host, {.local = peer.address(2), .remote = {peer.address(1), l4_port::from(80)}});
    peer.turn();
    const tcp::conn& c = *host.find(opened.handle);
    EXPECT_TRUE(tcp::icmp_input(
        host, {.key = c.key, .seq = c.iss, .meaning = tcp::icmp_meaning::hard, .mtu = 0},
        peer.now));
    EXPECT_EQ(c.error, tcp::conn_error::refused);
    tcp::close(host, opened.handle);
}

wire::ipv4_header header_of(const rte_mbuf* packet) {
    wire::ipv4_header ip;
    std::memcpy(&ip, rte_pktmbuf_mtod(packet, const void*), sizeof ip);
    return ip;
}

// A path narrower than any MTU that is believed: its router drops what may not be cut and says so;
// what may be cut arrives (here: whole). Were DF set for ever, nothing would arrive.
TEST(tcp_icmp, a_very_narrow_path_carries_what_routers_may_cut) {
    for (const std::uint16_t narrow : {std::uint16_t{508}, std::uint16_t{296}}) {
        pair_settings how;
        how.client_stream = {.send_bytes = 100'000, .send_seed = 5};
        how.server_stream = {.expect_bytes = 100'000, .expect_seed = 5};
        tcp_pair pair(how);
        std::set<std::uint16_t> ids;
        unsigned cut = 0;
        pair.net.filter = [&](unsigned from, rte_mbuf* packet, instant now) {
            if (from != 0 || packet->pkt_len <= narrow) {
                return true;
            }
            const wire::ipv4_header ip = header_of(packet);
            if ((ip.flags_offset.host() & wire::ipv4_header::dont_fragment) == 0) {
                EXPECT_LE(packet->pkt_len, 552U);
                ids.insert(ip.identification.host());
                ++cut;
                return true;
            }
            const auto* tcp = rte_pktmbuf_mtod_offset(packet, const wire::tcp_header*, 20);
            tcp::icmp_input(
                pair.client.host,
                {.key =
                     {pair.client_address,
                      pair.server_address,
                      {tcp->source_port},
                      {tcp->destination_port}},
                 .seq = tcp_seq{tcp->sequence.host()},
                 .meaning = tcp::icmp_meaning::too_big,
                 .mtu = narrow},
                now);
            return false;
        };
        pair.connect();
        EXPECT_TRUE(pair.run_to_end(300)) << narrow;
        EXPECT_TRUE(pair.server_end && pair.server_end->complete());
        EXPECT_EQ(pair.client.host.stats.pmtu_updates.read(), 1U);
        EXPECT_GT(cut, 100U);
        EXPECT_EQ(ids.size(), cut); // pieces of two must not meet (RFC 6864 4.3)
        EXPECT_EQ(pair.leftovers(), "");
    }
}

} // namespace
} // namespace pantala::sim
