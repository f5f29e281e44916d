// UDP over the whole stack, in virtual time, and datagrams made by hand.
#include "stack/wire/checksum.hpp"
#include "tests/stack/socket/two_hosts.hpp"

#include <pantala/udp.hpp>

#include <cerrno>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

const endpoint server_at = *parse_endpoint("10.0.0.2:53");

struct mailbox_socket : udp_socket {
    mailbox_socket() : udp_socket(on_receive) {}
    static void on_receive(udp_socket& socket, std::span<const datagram> came) {
        auto& self = static_cast<mailbox_socket&>(socket);
        ++self.calls;
        for (const datagram& one : came) {
            std::string text(one.size, '\0');
            EXPECT_EQ(one.size, one.copy(std::as_writable_bytes(std::span(text))));
            EXPECT_LE(one.first.size(), one.size);
            EXPECT_EQ(0, std::memcmp(one.first.data(), text.data(), one.first.size()));
            self.received.push_back(text);
            self.from.push_back(one.remote);
            if (self.answers) {
                EXPECT_EQ(0, self.send_to(one.remote, std::as_bytes(std::span(text))));
            }
        }
    }
    int say(const std::string& text) { return send(std::as_bytes(std::span(text))); }

    bool answers = false;
    unsigned calls = 0;
    std::vector<std::string> received;
    std::vector<endpoint> from;
};

TEST(Udp, AnswersComeBack) {
    two_hosts net;
    mailbox_socket server;
    mailbox_socket client;
    server.answers = true;
    ASSERT_EQ(0, net.at_right().native().bind(server, *parse_endpoint("*:53")));
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at));
    EXPECT_EQ(0, client.say("hello"));
    EXPECT_EQ(0, client.say(""));
    net.carry();
    EXPECT_EQ((std::vector<std::string>{"hello", ""}), server.received);
    EXPECT_EQ((std::vector<std::string>{"hello", ""}), client.received);
    EXPECT_EQ(client.local(), server.from.at(0));
    EXPECT_EQ(server_at, client.from.at(0));
}

TEST(Udp, ABurstIsDeliveredTogether) {
    two_hosts net;
    mailbox_socket server;
    mailbox_socket client;
    ASSERT_EQ(0, net.at_right().native().bind(server, server_at));
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at));
    client.say("to learn the neighbour");
    net.carry();
    server.calls = 0;
    for (int i = 0; i < 50; ++i) {
        client.say(std::to_string(i));
    }
    net.carry();
    EXPECT_EQ(51u, server.received.size());
    EXPECT_EQ("49", server.received.back());
    EXPECT_EQ(1u, server.calls);
}

TEST(Udp, LongDatagramsAreCutAndMadeWhole) {
    two_hosts net;
    mailbox_socket server;
    mailbox_socket client;
    ASSERT_EQ(0, net.at_right().native().bind(server, server_at));
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at));
    for (const std::size_t size : {1472U, 1473U, 10'001U, 65'507U}) {
        EXPECT_EQ(0, client.say(text_of(size)));
        net.carry();
        ASSERT_FALSE(server.received.empty()) << size;
        EXPECT_TRUE(text_of(size) == server.received.back()) << size;
    }
    EXPECT_EQ(EMSGSIZE, client.say(text_of(65'508)));
}

TEST(Udp, NobodyThereIsToldToTheConnected) {
    two_hosts net;
    mailbox_socket client;
    mailbox_socket unconnected;
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at));
    ASSERT_EQ(0, net.at_left().native().bind(unconnected, *parse_endpoint("*:9")));
    client.say("anybody?");
    unconnected.send_to(server_at, {});
    net.carry();
    EXPECT_EQ(2u, net.right.dropped(drop_reason::udp_port));
    EXPECT_EQ(ECONNREFUSED, client.take_error());
    EXPECT_EQ(0, client.take_error());
    EXPECT_EQ(0, unconnected.take_error());
}

TEST(Udp, TheMoreParticularEndpointWins) {
    two_hosts net;
    sockets& here = net.at_right().native();
    mailbox_socket any;
    mailbox_socket exact;
    mailbox_socket connected;
    mailbox_socket client;
    ASSERT_EQ(0, here.bind(any, *parse_endpoint("*:53")));
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at));
    client.say("1");
    net.carry();
    ASSERT_EQ(0, here.bind(exact, server_at));
    client.say("2");
    net.carry();
    exact.close();
    client.say("3");
    net.carry();
    EXPECT_EQ((std::vector<std::string>{"1", "3"}), any.received);
    EXPECT_EQ((std::vector<std::string>{"2"}), exact.received);
    EXPECT_EQ(EADDRINUSE, here.bind(connected, *parse_endpoint("*:53")));
}

TEST(Udp, ErrorsOfUseAreTold) {
    two_hosts net;
    sockets& here = net.at_left().native();
    mailbox_socket socket;
    EXPECT_EQ(EBADF, socket.send_to(server_at, {}));
    EXPECT_EQ(EDESTADDRREQ, socket.say("x"));
    ASSERT_EQ(0, here.bind(socket, *parse_endpoint("*:0")));
    EXPECT_NE(0, socket.local().port);
    EXPECT_EQ(EDESTADDRREQ, socket.say("x"));
    EXPECT_EQ(ENETUNREACH, socket.send_to(*parse_endpoint("192.0.2.1:1"), {}));
    EXPECT_EQ(EINVAL, socket.send_to(*parse_endpoint("10.0.0.2:0"), {}));
    EXPECT_EQ(EISCONN, here.connect(socket, server_at));
}

TEST(Udp, AFlowsAnswersComeHome) {
    two_hosts net(4);
    std::vector<std::unique_ptr<mailbox_socket>> servers;
    std::vector<std::unique_ptr<mailbox_socket>> clients;
    for (unsigned w = 0; w < 4; ++w) {
        servers.push_back(std::make_unique<mailbox_socket>());
        servers.back()->answers = true;
        ASSERT_EQ(0, net.at_right(w).native().bind(*servers.back(), *parse_endpoint("*:53")));
    }
    for (unsigned i = 0; i < 40; ++i) {
        clients.push_back(std::make_unique<mailbox_socket>());
        ASSERT_EQ(0, net.at_left(i % 4).native().connect(*clients.back(), server_at));
        clients.back()->say(text_of(1'000));
        net.carry();
    }
    net.carry();
    for (const auto& client : clients) {
        ASSERT_EQ(1u, client->received.size());
        EXPECT_EQ(text_of(1'000), client->received[0]);
    }
    for (const auto& server : servers) {
        EXPECT_FALSE(server->received.empty());
    }
}

TEST(Udp, AReceiverMayCloseItself) {
    two_hosts net;
    struct once : udp_socket {
        once()
            : udp_socket([](udp_socket& socket, std::span<const datagram>) { socket.close(); }) {}
    } server;
    mailbox_socket client;
    ASSERT_EQ(0, net.at_right().native().bind(server, server_at));
    ASSERT_EQ(0, net.at_left().native().connect(client, server_at));
    client.say("1");
    net.carry();
    client.say("2");
    net.carry();
    EXPECT_EQ(1u, net.at_right().udp.stats.received.read());
    EXPECT_EQ(ECONNREFUSED, client.take_error());
}

// Datagrams made by hand, to a socket that takes all.
struct by_hand : testing::Test {
    by_hand() {
        EXPECT_EQ(0, net.at_right().native().bind(server, *parse_endpoint("*:2000")));
        net.right.receive(1, frame(datagram_of(payload(8)))); // so that the peer is known
        net.right.run();
        server.received.clear();
    }
    static bytes datagram_of(const bytes& content) {
        return test::udp(fields(), 1000, 2000, content);
    }
    static ip4_fields fields() { return {ip(10, 0, 0, 1), ip(10, 0, 0, 2)}; }
    static bytes frame(const bytes& content) {
        return ethernet(
            {router::mac_of(1), router::mac_of(0)}, wire::ether_type::ipv4, ip4(fields(), content));
    }
    void arrives(const bytes& content) {
        net.right.receive(1, frame(content));
        net.carry();
    }
    two_hosts net;
    mailbox_socket server;
};

TEST_F(by_hand, ABadChecksumIsDropped) {
    bytes content = datagram_of(payload(8));
    content[9] ^= 1;
    arrives(content);
    EXPECT_TRUE(server.received.empty());
    EXPECT_EQ(1u, net.right.dropped(drop_reason::udp_checksum));
}

TEST_F(by_hand, NoChecksumIsAccepted) {
    bytes content = datagram_of(payload(8));
    content[6] = content[7] = 0;
    content[9] ^= 1;
    arrives(content);
    EXPECT_EQ(1u, server.received.size());
}

TEST_F(by_hand, LengthsAreChecked) {
    for (const unsigned wrong : {0U, 7U, 17U, 65'535U}) {
        bytes content = datagram_of(payload(8));
        content[4] = static_cast<std::uint8_t>(wrong >> 8);
        content[5] = static_cast<std::uint8_t>(wrong);
        content[6] = content[7] = 0;
        arrives(content);
    }
    for (std::size_t shorter = 0; shorter < 8; ++shorter) {
        bytes content = datagram_of({});
        content.resize(shorter);
        arrives(content);
    }
    EXPECT_TRUE(server.received.empty());
    EXPECT_EQ(12u, net.right.dropped(drop_reason::udp_length));
}

TEST_F(by_hand, WhatUdpsLengthDoesNotCountIsNotSeen) {
    bytes content = datagram_of(payload(8));
    content.resize(content.size() + 5, 0xee);
    arrives(content);
    ASSERT_EQ(1u, server.received.size());
    EXPECT_EQ(8u, server.received[0].size());
}

TEST_F(by_hand, NothingIsToldAboutABroadcast) {
    const std::uint64_t before = net.right.worker_stack().ip4_counts().errors_sent.read();
    ip4_fields to_all = fields();
    to_all.destination = ip(10, 0, 0, 255);
    const link_fields link{wire::mac_broadcast, router::mac_of(0)};
    net.right.receive(
        1, ethernet(link, wire::ether_type::ipv4, ip4(to_all, test::udp(to_all, 1, 999, {}))));
    net.carry();
    EXPECT_EQ(1u, net.right.dropped(drop_reason::udp_port));
    EXPECT_EQ(before, net.right.worker_stack().ip4_counts().errors_sent.read());
}

} // namespace
} // namespace pantala::test
