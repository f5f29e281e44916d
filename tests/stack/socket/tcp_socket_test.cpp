#include "tests/stack/socket/two_hosts.hpp"

#include <cerrno>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

const endpoint server_at = *parse_endpoint("10.0.0.2:80");

TEST(TcpSocket, CarriesBytesBothWays) {
    two_hosts net;
    test_server server(net.right, 80, true);
    test_conn client;
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at));
    net.carry();
    EXPECT_TRUE(client.seen & socket_event::connected);
    ASSERT_EQ(1u, server.conns.size());
    EXPECT_EQ(server_at, client.remote());
    EXPECT_EQ(server.conns[0]->remote(), client.local());
    const std::string sent = text_of(1'000'000);
    client.send(sent);
    net.advance(2 * ns_per_s);
    EXPECT_TRUE(sent == client.received) << client.received.size() << " bytes came back";
    client.shutdown_write();
    net.carry();
    EXPECT_TRUE(client.at_end());
    server.conns[0]->close();
    client.close();
    net.carry();
    EXPECT_EQ(0u, net.at_left().tcp.conns.used());
    EXPECT_EQ(0u, net.at_right().tcp.conns.used());
}

TEST(TcpSocket, AClosedPortRefuses) {
    two_hosts net;
    test_conn client;
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at));
    net.carry();
    EXPECT_EQ(socket_event::closed | socket_event::readable, client.seen);
    EXPECT_EQ(ECONNREFUSED, client.error());
    EXPECT_EQ(1u, net.at_right().tcp.stats.noport.read());
}

TEST(TcpSocket, ARefusedAcceptIsAReset) {
    two_hosts net;
    test_server server(net.right, 80, true);
    server.refuse = true;
    test_conn client;
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at));
    net.carry();
    EXPECT_EQ(ECONNRESET, client.error());
    EXPECT_EQ(0u, net.at_right().tcp.conns.used());
}

TEST(TcpSocket, NoWayIsToldAtOnce) {
    two_hosts net;
    test_conn client;
    sockets& here = net.at_left().native();
    EXPECT_EQ(ENETUNREACH, here.connect(client, *parse_endpoint("192.0.2.1:80")));
    EXPECT_EQ(EINVAL, here.connect(client, *parse_endpoint("10.0.0.2:0")));
    EXPECT_FALSE(client.is_open());
}

TEST(TcpSocket, ThePortAloneMayBeChosen) {
    two_hosts net;
    test_server server(net.right, 80, true);
    test_conn client;
    sockets& here = net.at_left().native();
    ASSERT_EQ(0, here.connect(client, server_at, *parse_endpoint("*:2000")));
    EXPECT_EQ("10.0.0.1:2000", to_string(client.local()));
    net.carry();
    EXPECT_TRUE(client.seen & socket_event::connected);
    test_conn same;
    EXPECT_EQ(EADDRINUSE, here.connect(same, server_at, *parse_endpoint("*:2000")));
}

TEST(TcpSocket, AnAddressIsTakenOnce) {
    two_hosts net;
    test_server server(net.right, 80, true);
    EXPECT_EQ(
        EADDRINUSE,
        net.at_right().native().listen(*parse_endpoint("*:80"), 1, {test_server::make, &server}));
    net.at_right().native().stop_listening(*parse_endpoint("*:80"));
    EXPECT_EQ(
        0,
        net.at_right().native().listen(*parse_endpoint("*:80"), 1, {test_server::make, &server}));
}

TEST(TcpSocket, TalksToItself) {
    two_hosts net;
    test_server server(net.right, 80, true);
    test_conn client;
    ASSERT_EQ(0, net.at_right().native().connect(client, server_at));
    const std::string sent = text_of(300'000);
    client.send(sent);
    net.advance(2 * ns_per_s);
    EXPECT_TRUE(sent == client.received) << client.received.size() << " bytes came back";
}

// Frames arrive on any worker; a flow is worked on by one, at each end, and answers come home.
TEST(TcpSocket, EveryFlowHasOneWorker) {
    constexpr unsigned workers = 4;
    constexpr unsigned count = 64;
    two_hosts net(workers);
    test_server server(net.right, 80, true);
    std::vector<std::unique_ptr<test_conn>> clients;
    const std::string sent = text_of(20'000);
    for (unsigned i = 0; i < count; ++i) {
        clients.push_back(std::make_unique<test_conn>());
        sockets& here = net.at_left(i % workers).native();
        ASSERT_EQ(0, here.connect(*clients.back(), server_at));
        clients.back()->send(sent);
    }
    net.advance(5 * ns_per_s, 10 * ns_per_ms);
    for (const auto& client : clients) {
        EXPECT_TRUE(sent == client->received) << client->received.size() << " bytes came back";
    }
    ASSERT_EQ(workers, server.by_worker.size());
    for (unsigned w = 0; w < workers; ++w) {
        EXPECT_GT(server.by_worker[w], 0u);
        EXPECT_EQ(count / workers, net.at_left(w).tcp.conns.used());
        EXPECT_EQ(0u, net.at_left(w).tcp.stats.noport.read());
        EXPECT_EQ(0u, net.at_right(w).tcp.stats.noport.read());
    }
    EXPECT_EQ(0u, net.right.dropped(drop_reason::handoff_full));
}

TEST(TcpSocket, BytesSurviveLoss) {
    two_hosts net;
    test_server server(net.right, 80, true);
    unsigned frame = 0;
    net.arrives = [&](const bytes&) { return ++frame % 17 != 0; };
    test_conn client;
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at));
    const std::string sent = text_of(200'000);
    client.send(sent);
    net.advance(20 * ns_per_s, 5 * ns_per_ms);
    EXPECT_TRUE(sent == client.received) << client.received.size() << " bytes came back";
}

TEST(TcpSocket, AHandlerMayDestroyOtherSockets) {
    two_hosts net;
    struct pair_of_conns : tcp_socket {
        pair_of_conns() : tcp_socket(on_event) {}
        static void on_event(tcp_socket& socket, std::uint8_t) {
            static_cast<pair_of_conns&>(socket).other->reset();
        }
        std::unique_ptr<pair_of_conns>* other = nullptr;
    };
    auto first = std::make_unique<pair_of_conns>();
    auto second = std::make_unique<pair_of_conns>();
    first->other = &second;
    second->other = &first;
    ASSERT_EQ(0, net.at_left().native().connect(*first, server_at));
    ASSERT_EQ(0, net.at_left().native().connect(*second, server_at));
    net.carry(); // both are refused in one round: the first that hears of it destroys the other
    EXPECT_NE(first == nullptr, second == nullptr);
}

TEST(TcpSocket, TcpToABroadcastAddressIsDropped) {
    two_hosts net;
    test_server server(net.right, 80, true);
    ip4_fields fields{ip(10, 0, 0, 9), ip(10, 0, 0, 255), wire::ip_protocol::tcp};
    bytes syn(20);
    syn[3] = 80;
    syn[1] = 1;
    syn[12] = 0x50;
    syn[13] = 2;
    net.right.receive(
        1, ethernet({router::mac_of(1), mac(9)}, wire::ether_type::ipv4, ip4(fields, syn)));
    net.right.run();
    EXPECT_EQ(1u, net.right.dropped(drop_reason::host_broadcast));
    EXPECT_EQ(0u, net.at_right().tcp.stats.rcvtotal.read());
}

TEST(Endpoint, ReadsAndWrites) {
    for (const char* text : {"10.0.0.1:80", "[2001:db8::1]:65535", "[::]:1", "0.0.0.0:7"}) {
        const auto read = parse_endpoint(text);
        ASSERT_TRUE(read) << text;
        EXPECT_EQ(text, to_string(*read));
    }
    EXPECT_EQ("0.0.0.0:80", to_string(*parse_endpoint("*:80")));
    for (const char* text :
         {"", ":", "10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:-1", "10.0.0:1",
          "2001:db8::1:80", "[2001:db8::1]", "[10.0.0.1]:1", "[::ffff:10.0.0.1]:1", "*:80x"}) {
        EXPECT_FALSE(parse_endpoint(text)) << text;
    }
}

} // namespace
} // namespace pantala::test
