// What hosts remember of one another from connection to connection, over both families, and what
// becomes of it under a memory alarm or another route.
#include "stack/route/host_cache/host_cache_command.hpp"
#include "stack/route/host_cache/memory_alarm.hpp"
#include "stack/socket/endpoints.hpp"
#include "stack/tcp/congestion/tcp_congestion.hpp"
#include "tests/stack/socket/two_hosts.hpp"

#include <map>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

constexpr std::uint64_t tick = 5 * ns_per_ms; // a frame's way: a round trip is two of them

class memory : public testing::TestWithParam<const char*> {
  protected:
    static endpoint server_at(unsigned port) {
        return *parse_endpoint(GetParam() + (":" + std::to_string(port)));
    }
    static ip_address server() { return to_internal(server_at(0)).address; }
    static void play(two_hosts& net, const std::function<bool()>& enough) {
        net.play(100 * ns_per_s, tick, enough);
        EXPECT_TRUE(enough());
    }
    // A connection that brings `bytes` to the server and back, is looked at, and ends.
    void talk(
        two_hosts& net, std::size_t bytes,
        const std::function<void(const tcp::conn&)>& look = [](const tcp::conn&) {}) {
        test_server server(net.right, 79, true);
        sockets& right = net.at_right().native();
        const endpoint any = *parse_endpoint("[::]:80");
        ASSERT_EQ(0, right.listen(any, 9, {test_server::make, &server}));
        test_conn client;
        ASSERT_EQ(0, net.at_left().native().connect(client, server_at(80)));
        client.send(text_of(bytes));
        play(net, [&] { return client.read_bytes == bytes; });
        look(*net.at_left().tcp.find(net_host::handle_of(client)));
        client.shutdown_write();
        play(net, [&] { return client.at_end(); });
        client.close();
        net.advance(100 * ns_per_s, ns_per_s); // TIME-WAIT
        right.stop_listening(any);
        right.stop_listening(*parse_endpoint("*:79"));
    }
    static host_cache_row row_of(router& host, const ip_address& remote) {
        host_cache_row row;
        EXPECT_TRUE(host.worker_stack().hosts().look_at(remote, row));
        return row;
    }
};

bool is_tcp(const bytes& frame) {
    const bool four = frame[12] == 0x08 && frame[13] == 0x00 && frame[14 + 9] == 6;
    return four || (frame[12] == 0x86 && frame[14 + 6] == 6);
}

TEST_P(memory, AConnectionUsesItsEntryAndLeavesWhatItFound) {
    two_hosts net;
    talk(net, 300'000, [&](const tcp::conn&) { EXPECT_EQ(1u, row_of(net.left, server()).users); });
    const host_cache_row row = row_of(net.left, server());
    EXPECT_EQ(0u, row.users);
    EXPECT_GT(row.expires_s, 3'000u);
    EXPECT_LE(10'000u, row.metrics.srtt_us);
    EXPECT_GE(60'000u, row.metrics.srtt_us) << "a round trip and a delayed ACK";
    EXPECT_GT(row.metrics.cwnd, 14'600u) << "it has grown";
    EXPECT_EQ(0u, row.metrics.ssthresh) << "nothing was lost";
    EXPECT_EQ(1u, net.right.worker_stack().hosts().size()) << "the passive side remembers as well";
    EXPECT_EQ(0u, net.at_left().tcp.stats.usedrtt.read());
    talk(net, 1'000);
    EXPECT_EQ(1u, net.at_left().tcp.stats.usedrtt.read());
    EXPECT_EQ(1u, net.at_right().tcp.stats.usedrtt.read());
}

TEST_P(memory, SlowStartEndsWhereThePathWasFull) {
    two_hosts net;
    unsigned large = 0;
    net.arrives = [&](const bytes& frame) {
        const bool forth = parse_frame(frame).link.source == router::mac_of(0);
        return !forth || frame.size() < 1'000 || ++large != 40;
    };
    talk(net, 300'000);
    const std::uint32_t ssthresh = row_of(net.left, server()).metrics.ssthresh;
    EXPECT_GT(ssthresh, 0u);
    const tcp::counters& stats = net.at_left().tcp.stats;
    EXPECT_EQ(1u, stats.cachedssthresh.read());
    talk(net, 1'000, [&](const tcp::conn& c) {
        EXPECT_EQ(std::max(ssthresh, tcp::initial_window(net.at_left().tcp, c)), c.ssthresh);
    });
    EXPECT_EQ(1u, stats.usedssthresh.read());
}

TEST_P(memory, ANarrowPathIsBegunWithLess) {
    two_hosts net;
    host_cache& hosts = net.left.worker_stack().hosts();
    hosts.release(hosts.attach(server(), net.left.now()), {.cwnd = 3'000}, net.left.now());
    test_conn client;
    test_server accepts(net.right, 80, true);
    ASSERT_EQ(
        0, net.at_right().native().listen(
               *parse_endpoint("[::]:81"), 9, {test_server::make, &accepts}));
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at(81)));
    net.carry();
    EXPECT_EQ(1u, net.at_left().tcp.stats.usedcwnd.read());
    const tcp::conn* c = net.at_left().tcp.find(net_host::handle_of(client));
    ASSERT_NE(nullptr, c);
    EXPECT_EQ(4'380u, c->cwnd);
}

// The first SYN waits as long as the path is known to take.
TEST_P(memory, ALongPathIsNotAskedTwice) {
    two_hosts net;
    host_cache& hosts = net.left.worker_stack().hosts();
    hosts.release(
        hosts.attach(server(), net.left.now()), {.srtt_us = 2'500'000, .rttvar_us = 100'000},
        net.left.now());
    net.arrives = [&](const bytes& frame) { return !is_tcp(frame); };
    test_conn client;
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at(81)));
    net.advance(2'800 * ns_per_ms);
    EXPECT_EQ(0u, net.at_left().tcp.stats.rexmttimeo.read());
    net.advance(200 * ns_per_ms);
    EXPECT_EQ(1u, net.at_left().tcp.stats.rexmttimeo.read());
}

INSTANTIATE_TEST_SUITE_P(
    Both, memory, testing::Values("10.0.0.2", "[2001:db8::2]"),
    [](const testing::TestParamInfo<const char*>& of) {
        return of.param[0] == '[' ? "ip6" : "ip4";
    });

// ---------------------------------------------------------------------------------------------

TEST(Alarm, EveryWorkerDrainsOnceASecond) {
    two_hosts net(2);
    memory_alarm alarm;
    const auto marked = [&](unsigned w) { return net.left.worker_stack(w).hosts().expiring(); };
    for (unsigned w = 0; w < 2; ++w) {
        host_cache& hosts = net.left.worker_stack(w).hosts();
        for (std::uint32_t i = 0; i < 1'000; ++i) {
            const ip_address remote = ip_address::from(wire::ipv4_address::from(0x14000000 + i));
            hosts.release(hosts.attach(remote, net.left.now()), {.srtt_us = 1}, net.left.now());
        }
    }
    EXPECT_EQ(2u, alarm.raise(net.left.control(), net.left.now()));
    EXPECT_EQ(0u, alarm.raise(net.left.control(), net.left.now())) << "they are at it";
    net.carry();
    EXPECT_EQ(0u, marked(0) + marked(1));
    EXPECT_EQ(0u, alarm.raise(net.left.control(), net.left.now())) << "in this very second";
    net.advance(ns_per_s, 100 * ns_per_ms);
    EXPECT_EQ(2u, alarm.raise(net.left.control(), net.left.now()));
    EXPECT_EQ(2u, alarm.raised());
    net.carry();
}

TEST(Operator, AsksByParts) {
    two_hosts net;
    router& left = net.left;
    host_cache& cache = left.worker_stack().hosts();
    const auto at = [](std::uint32_t i) {
        return ip_address::from(wire::ipv4_address::from(0x14000000 + i));
    };
    for (std::uint32_t i = 0; i < 100; ++i) {
        cache.release(cache.attach(at(i), left.now()), {.srtt_us = 1 + i}, left.now());
    }
    cache.learn_mtu(at(5), 1'400, left.now());
    left.run();
    host_cache_command command;
    std::map<std::uint32_t, host_cache_row> rows;
    unsigned calls = 0;
    do {
        run(cache, command);
        for (unsigned i = 0; i < command.count; ++i) {
            rows[command.rows[i].metrics.srtt_us] = command.rows[i];
        }
    } while (!command.done && ++calls < 10);
    EXPECT_EQ(100u, rows.size());
    EXPECT_EQ(1'400u, rows[6].mtu);
    EXPECT_EQ(600u, rows[6].mtu_left_s);
    EXPECT_EQ(0u, rows[7].mtu);
    EXPECT_EQ(3'600u, command.expire_s);

    host_cache_command one;
    one.one = true;
    one.remote = at(7);
    run(cache, one);
    EXPECT_EQ(1u, one.count);
    EXPECT_EQ(8u, one.rows[0].metrics.srtt_us);
    one.flush = true;
    run(cache, one);
    EXPECT_EQ(1u, one.count);
    run(cache, one);
    EXPECT_EQ(0u, one.count);
    host_cache_command all;
    all.flush = true;
    run(cache, all);
    EXPECT_TRUE(all.done);
    EXPECT_EQ(0u, cache.size());
}

TEST(Route, AnotherWayHasAnotherMtu) {
    two_hosts net;
    net.left.add_iface(1, {"10.9.0.1/24"});
    net.left.add_route("20.0.0.0/8", {"10.0.0.2"});
    net.carry();
    const ip_services& ip = net.at_left().ip();
    const ip_address remote = ip_address::from(wire::ipv4_address::of(20, 0, 0, 1));
    ip.learn_mtu(ip.context, remote, 1'300, mtu_for::all);
    EXPECT_EQ(1'300, ip.path_mtu(ip.context, remote));
    net.left.add_route("20.0.0.0/24", {"10.9.0.2"});
    net.carry();
    EXPECT_EQ(1'500, ip.path_mtu(ip.context, remote));
}

} // namespace
} // namespace pantala::test
