// What must be the same over IPv4 and IPv6, and path MTU discovery of both.
#include "stack/socket/endpoints.hpp"
#include "tests/harness/packets6.hpp"
#include "tests/stack/socket/two_hosts.hpp"

#include <pantala/udp.hpp>

#include <cerrno>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

struct mailbox_socket : udp_socket {
    mailbox_socket() : udp_socket(on_receive) {}
    static void on_receive(udp_socket& socket, std::span<const datagram> came) {
        auto& self = static_cast<mailbox_socket&>(socket);
        for (const datagram& one : came) {
            std::string text(one.size, '\0');
            EXPECT_EQ(one.size, one.copy(std::as_writable_bytes(std::span(text))));
            self.received.push_back(text);
            if (self.answers) {
                EXPECT_EQ(0, self.reply(one, std::as_bytes(std::span(text))));
            }
        }
    }
    int say(const std::string& text) { return send(std::as_bytes(std::span(text))); }

    bool answers = false;
    std::vector<std::string> received;
};

struct family {
    const char* name;
    const char* server;      // of `right`, without a port
    const char* any;         // every address of ours
    const char* nobody_near; // no way there
    const char* narrow;      // a router on the path whose next link carries less
    std::uint16_t least_mtu; // what nobody has to believe less than
};
constexpr family ip4_family{"ip4", "10.0.0.2", "0.0.0.0", "192.0.2.1", "10.0.0.77", 552};
constexpr family ip6_family{"ip6",           "[2001:db8::2]",  "[::]",
                            "[2001:db9::1]", "[2001:db8::77]", 1280};

class families : public testing::TestWithParam<family> {
  protected:
    static endpoint at(const char* address, unsigned port) {
        return *parse_endpoint(address + (":" + std::to_string(port)));
    }
    bool six() const { return GetParam().least_mtu == 1280; }
    endpoint server_at(unsigned port) const { return at(GetParam().server, port); }

    // From now on frames with more than `mtu` bytes of IP are lost between the hosts, and their
    // sender hears of it, if he is told.
    void narrow(two_hosts& net, std::uint16_t mtu, bool told = true) {
        net.arrives = [this, &net, mtu, told](const bytes& frame) {
            const parsed_frame parsed = parse_frame(frame);
            if (parsed.content.size() <= mtu) {
                return true;
            }
            ++lost;
            if (told) {
                const bool from_left = parsed.link.source == router::mac_of(0);
                (from_left ? net.left : net.right).receive(from_left ? 0 : 1, too_big(parsed, mtu));
            }
            return false;
        };
    }
    bytes too_big(const parsed_frame& about, std::uint16_t mtu) const {
        const link_fields link{about.link.source, mac(77)};
        if (six()) {
            const auto ip = parse_ip6(about.content);
            const wire::ipv6_address router = to_internal(at(GetParam().narrow, 0)).address.v6();
            bytes quoted = about.content;
            quoted.resize(std::min<std::size_t>(quoted.size(), 1232));
            return ethernet(
                link, wire::ether_type::ipv6,
                icmp6_packet(
                    {router, ip->header.source}, wire::icmp6_type::packet_too_big, 0, mtu, quoted));
        }
        const auto ip = parse_ip4(about.content);
        const wire::ipv4_address router = to_internal(at(GetParam().narrow, 0)).address.v4();
        bytes quoted = about.content;
        quoted.resize(28);
        return ethernet(
            link, wire::ether_type::ipv4,
            ip4({router, ip->header.source, wire::ip_protocol::icmp},
                icmp4(wire::icmp4_type::destination_unreachable, 4, 0, mtu, quoted)));
    }
    unsigned lost = 0;
};

TEST_P(families, TcpCarriesBytesBothWays) {
    two_hosts net;
    test_server server(net.right, 79, true);
    ASSERT_EQ(
        0,
        net.at_right().native().listen(at(GetParam().any, 80), 128, {test_server::make, &server}));
    test_conn client;
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at(80)));
    const std::string sent = text_of(1'000'000);
    client.send(sent);
    net.advance(2 * ns_per_s);
    EXPECT_TRUE(sent == client.received) << client.received.size() << " bytes came back";
    EXPECT_EQ(server_at(80), client.remote());
    ASSERT_EQ(1u, server.conns.size());
    EXPECT_EQ(server.conns[0]->remote(), client.local());
    EXPECT_EQ(0u, net.at_left().tcp.stats.rexmttimeo.read());
}

TEST_P(families, AListenerOfAllFamiliesTakesBoth) {
    two_hosts net;
    test_server server(net.left, 79, true); // for its acceptor
    ASSERT_EQ(0, net.at_right().native().listen(at("[::]", 80), 128, {test_server::make, &server}));
    test_conn client;
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at(80)));
    net.carry();
    EXPECT_TRUE(client.seen & socket_event::connected);
}

TEST_P(families, AClosedPortRefuses) {
    two_hosts net;
    test_conn client;
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at(80)));
    net.carry();
    EXPECT_EQ(ECONNREFUSED, client.error());
}

TEST_P(families, NoWayIsToldAtOnce) {
    two_hosts net;
    test_conn client;
    mailbox_socket socket;
    sockets& here = net.at_left().native();
    EXPECT_EQ(ENETUNREACH, here.connect(client, at(GetParam().nobody_near, 80)));
    ASSERT_EQ(0, here.bind(socket, at(GetParam().any, 0)));
    EXPECT_EQ(ENETUNREACH, socket.send_to(at(GetParam().nobody_near, 80), {}));
}

TEST_P(families, TalksToItself) {
    two_hosts net;
    test_server server(net.right, 79, true);
    ASSERT_EQ(0, net.at_right().native().listen(at("[::]", 80), 9, {test_server::make, &server}));
    test_conn client;
    ASSERT_EQ(0, net.at_right().native().connect(client, server_at(80)));
    const std::string sent = text_of(300'000);
    client.send(sent);
    mailbox_socket echo;
    mailbox_socket asker;
    echo.answers = true;
    ASSERT_EQ(0, net.at_right().native().bind(echo, at(GetParam().any, 7)));
    ASSERT_EQ(0, net.at_right().native().connect(asker, server_at(7)));
    asker.say("it is me");
    net.advance(2 * ns_per_s);
    EXPECT_TRUE(sent == client.received) << client.received.size() << " bytes came back";
    EXPECT_EQ(std::vector<std::string>{"it is me"}, asker.received);
}

TEST_P(families, DatagramsOfAnyLength) {
    two_hosts net;
    mailbox_socket server;
    mailbox_socket client;
    server.answers = true;
    ASSERT_EQ(0, net.at_right().native().bind(server, at(GetParam().any, 53)));
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at(53)));
    for (const std::size_t size : {0U, 1U, 1232U, 1452U, 1453U, 1472U, 1473U, 10'001U, 65'487U}) {
        EXPECT_EQ(0, client.say(text_of(size)));
        net.carry();
        ASSERT_FALSE(client.received.empty()) << size;
        EXPECT_TRUE(text_of(size) == client.received.back()) << size;
    }
    EXPECT_EQ(9u, client.received.size());
}

// A connected socket hears nothing from another address than the one it asked.
TEST_P(families, WhoWasAskedAnswers) {
    two_hosts net;
    net.right.add_address6(iface_id{0}, "2001:db8::22/64");
    net.right.add_iface(0, {"10.0.2.1/24", "10.0.2.2/24"});
    net.left.add_route("10.0.2.0/24", {"10.0.0.2"});
    mailbox_socket server;
    mailbox_socket client;
    server.answers = true;
    ASSERT_EQ(0, net.at_right().native().bind(server, at(GetParam().any, 53)));
    const endpoint asked = six() ? at("[2001:db8::22]", 53) : at("10.0.2.2", 53);
    ASSERT_EQ(0, net.at_left().native().connect(client, asked));
    client.say("who?");
    net.carry();
    EXPECT_EQ(std::vector<std::string>{"who?"}, client.received);
}

TEST_P(families, NobodyThereIsToldToTheConnected) {
    two_hosts net;
    mailbox_socket client;
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at(53)));
    client.say("anybody?");
    net.carry();
    EXPECT_EQ(1u, net.right.dropped(drop_reason::udp_port));
    EXPECT_EQ(ECONNREFUSED, client.take_error());
    EXPECT_EQ(0, client.take_error());
}

TEST_P(families, FlowsHaveOneWorkerEach) {
    constexpr unsigned workers = 4;
    two_hosts net(workers);
    test_server server(net.right, 80, true);
    std::vector<std::unique_ptr<mailbox_socket>> sinks;
    for (unsigned w = 0; w < workers; ++w) {
        sockets& here = net.at_right(w).native();
        ASSERT_EQ(0, here.listen(at("[::]", 81), 128, {test_server::make, &server}));
        sinks.push_back(std::make_unique<mailbox_socket>());
        sinks.back()->answers = true;
        ASSERT_EQ(0, here.bind(*sinks.back(), at("[::]", 53)));
    }
    std::vector<std::unique_ptr<test_conn>> clients;
    std::vector<std::unique_ptr<mailbox_socket>> askers;
    const std::string sent = text_of(20'000);
    for (unsigned i = 0; i < 32; ++i) {
        sockets& here = net.at_left(i % workers).native();
        clients.push_back(std::make_unique<test_conn>());
        ASSERT_EQ(0, here.connect(*clients.back(), server_at(81)));
        clients.back()->send(sent);
        askers.push_back(std::make_unique<mailbox_socket>());
        ASSERT_EQ(0, here.connect(*askers.back(), server_at(53)));
        askers.back()->say(text_of(1'000));
        net.carry();
    }
    net.advance(2 * ns_per_s, 10 * ns_per_ms);
    for (unsigned i = 0; i < 32; ++i) {
        EXPECT_TRUE(sent == clients[i]->received) << clients[i]->received.size();
        EXPECT_EQ(std::vector<std::string>{text_of(1'000)}, askers[i]->received);
    }
    for (unsigned w = 0; w < workers; ++w) {
        EXPECT_EQ(0u, net.at_left(w).tcp.stats.noport.read());
        EXPECT_EQ(0u, net.at_right(w).tcp.stats.noport.read());
    }
}

// ---------------------------------------------------------------------------------------------
// RFC 1191, RFC 8201.

TEST_P(families, TcpFindsThePathMtu) {
    two_hosts net;
    test_server server(net.right, 80, true);
    ASSERT_EQ(0, net.at_right().native().listen(at("[::]", 81), 9, {test_server::make, &server}));
    test_conn client;
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at(81)));
    net.carry();
    narrow(net, 1300);
    const std::string sent = text_of(500'000);
    client.send(sent);
    net.advance(ns_per_s);
    EXPECT_TRUE(sent == client.received) << client.received.size() << " bytes came back";
    EXPECT_EQ(1u, net.at_left().tcp.stats.pmtu_updates.read());
    EXPECT_EQ(1u, net.at_right().tcp.stats.pmtu_updates.read());
    EXPECT_EQ(0u, net.at_left().tcp.stats.rexmttimeo.read());
    EXPECT_EQ(0u, net.at_right().tcp.stats.rexmttimeo.read());

    // The next connection knows.
    const unsigned before = lost;
    test_conn next;
    ASSERT_EQ(0, net.at_left().native().connect(next, server_at(81)));
    next.send(sent);
    net.advance(ns_per_s);
    EXPECT_TRUE(sent == next.received);
    EXPECT_EQ(before, lost);
}

TEST_P(families, APathIsNeverBelievedToBeTiny) {
    two_hosts net;
    test_server server(net.right, 80, false);
    ASSERT_EQ(0, net.at_right().native().listen(at("[::]", 81), 9, {test_server::make, &server}));
    test_conn client;
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at(81)));
    net.carry();
    narrow(net, 300);
    client.send(text_of(10'000));
    net.carry();
    const ip_services& ip = net.at_left().ip();
    EXPECT_EQ(GetParam().least_mtu, ip.path_mtu(ip.context, to_internal(server_at(81)).address));
}

TEST_P(families, WhatNobodySentTellsNothing) {
    two_hosts net;
    test_server server(net.right, 80, false);
    ASSERT_EQ(0, net.at_right().native().listen(at("[::]", 81), 9, {test_server::make, &server}));
    test_conn client;
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at(81)));
    client.send("a little");
    net.carry();
    bytes seen;
    net.arrives = [&](const bytes& frame) {
        seen = frame;
        return true;
    };
    client.send("more");
    net.carry(); // acknowledged: nothing is under way any more
    net.arrives = nullptr;
    ASSERT_FALSE(seen.empty());
    const parsed_frame about = parse_frame(seen);
    net.left.receive(0, too_big(about, 1300));
    net.left.run();
    const ip_services& ip = net.at_left().ip();
    EXPECT_EQ(1500u, ip.path_mtu(ip.context, to_internal(server_at(81)).address));
    EXPECT_EQ(0u, net.at_left().tcp.stats.pmtu_updates.read());
}

// Routers cut IPv4's.
class datagrams_of_ip6 : public families {};

TEST_P(datagrams_of_ip6, AreCutToThePathMtu) {
    two_hosts net;
    mailbox_socket server;
    mailbox_socket client;
    ASSERT_EQ(0, net.at_right().native().bind(server, at(GetParam().any, 53)));
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at(53)));
    client.say("to learn the neighbour");
    net.carry();
    narrow(net, 1300);
    EXPECT_EQ(0, client.say(text_of(1'400)));
    net.carry();
    EXPECT_EQ(1u, lost);
    EXPECT_EQ(0, client.say(text_of(1'400)));
    EXPECT_EQ(0, client.say(text_of(4'000)));
    net.carry();
    EXPECT_EQ(1u, lost);
    ASSERT_EQ(3u, server.received.size());
    EXPECT_TRUE(text_of(1'400) == server.received[1]);
    EXPECT_TRUE(text_of(4'000) == server.received[2]);

    // What is known grows old (RFC 8201 4).
    net.left.advance(host_cache_settings{}.path_mtu_s * ns_per_s);
    net.carry();
    EXPECT_EQ(0, client.say(text_of(1'400)));
    net.carry();
    EXPECT_EQ(2u, lost);
}

INSTANTIATE_TEST_SUITE_P(Long, datagrams_of_ip6, testing::Values(ip6_family));
INSTANTIATE_TEST_SUITE_P(
    Both, families, testing::Values(ip4_family, ip6_family),
    [](const testing::TestParamInfo<family>& of) { return of.param.name; });

// ---------------------------------------------------------------------------------------------

// A link-local address has a meaning on one link alone.
TEST(LinkLocal, TcpAndUdp) {
    two_hosts net;
    test_server server(net.right, 79, true);
    ASSERT_EQ(
        0, net.at_right().native().listen(
               *parse_endpoint("[::]:80"), 9, {test_server::make, &server}));
    mailbox_socket sink;
    sink.answers = true;
    ASSERT_EQ(0, net.at_right().native().bind(sink, *parse_endpoint("[::]:53")));
    const ip_address there = ip_address::from(link_local(router::mac_of(1)));
    test_conn client;
    mailbox_socket asker;
    ASSERT_EQ(0, net.at_left().native().connect(client, to_public(there, l4_port::from(80))));
    ASSERT_EQ(0, net.at_left().native().connect(asker, to_public(there, l4_port::from(53))));
    client.send(text_of(100'000));
    asker.say(text_of(2'000));
    net.advance(ns_per_s);
    EXPECT_TRUE(text_of(100'000) == client.received) << client.received.size();
    EXPECT_EQ(std::vector<std::string>{text_of(2'000)}, asker.received);

    // On which of two?
    net.left.add_address6(net.left.add_iface(1, {"10.1.0.1/24"}), "2001:db8:1::1/64");
    test_conn lost;
    EXPECT_EQ(
        ENETUNREACH, net.at_left().native().connect(lost, to_public(there, l4_port::from(80))));
}

} // namespace
} // namespace pantala::test
