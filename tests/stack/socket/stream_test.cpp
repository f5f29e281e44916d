#include "tests/stack/socket/two_hosts.hpp"

#include <pantala/stream.hpp>

#include <cerrno>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

const endpoint echo_at = *parse_endpoint("10.0.0.2:7");

task echo(stream peer) {
    for (auto piece = co_await peer.read(); !piece.empty(); piece = co_await peer.read()) {
        co_await peer.write(piece);
    }
}

struct outcome {
    std::string received;
    int code = -1;
    int error = -1;
    bool wrote = false;
    bool done = false;
};

// Says `text`, reads what comes back until the end.
task ask(sockets& here, std::string text, outcome& out) {
    stream peer;
    out.code = co_await peer.connect(here, echo_at);
    if (out.code == 0) {
        out.wrote = co_await peer.write(std::as_bytes(std::span(text)));
        peer.shutdown_write();
        for (auto piece = co_await peer.read(); !piece.empty(); piece = co_await peer.read()) {
            out.received.append(reinterpret_cast<const char*>(piece.data()), piece.size());
        }
        out.error = peer.error();
    }
    out.done = true;
}

TEST(Stream, EchoesALongText) {
    two_hosts net;
    ASSERT_EQ(0, stream::listen(net.at_right().native(), echo_at, echo));
    const std::string text = text_of(2'000'000);
    // Reads while it writes: the server reads no more than it can write back.
    stream writer;
    std::string back;
    struct both {
        static task write(stream& of, const std::string& text) {
            co_await of.write(std::as_bytes(std::span(text)));
            of.shutdown_write();
        }
        static task run(sockets& here, stream& of, const std::string& text, std::string& back) {
            EXPECT_EQ(0, co_await of.connect(here, echo_at));
            write(of, text);
            for (auto piece = co_await of.read(); !piece.empty(); piece = co_await of.read()) {
                back.append(reinterpret_cast<const char*>(piece.data()), piece.size());
            }
        }
    };
    both::run(net.at_left().native(), writer, text, back);
    net.advance(3 * ns_per_s);
    EXPECT_TRUE(text == back) << back.size() << " bytes came back";
}

TEST(Stream, ManyAtOnce) {
    two_hosts net;
    ASSERT_EQ(0, stream::listen(net.at_right().native(), echo_at, echo));
    std::vector<outcome> outs(40);
    for (std::size_t i = 0; i < outs.size(); ++i) {
        ask(net.at_left().native(), text_of(i * 1'000), outs[i]);
    }
    net.advance(2 * ns_per_s);
    for (std::size_t i = 0; i < outs.size(); ++i) {
        EXPECT_TRUE(outs[i].done && outs[i].wrote);
        EXPECT_EQ(0, outs[i].error);
        EXPECT_TRUE(text_of(i * 1'000) == outs[i].received) << i;
    }
    EXPECT_EQ(0u, net.at_right().tcp.conns.used());
}

TEST(Stream, ARefusedConnectionSaysSo) {
    two_hosts net;
    outcome out;
    ask(net.at_left().native(), "x", out);
    net.carry();
    EXPECT_TRUE(out.done);
    EXPECT_EQ(ECONNREFUSED, out.code);
}

TEST(Stream, NoWayIsToldAtOnce) {
    two_hosts net;
    int code = 0;
    const auto run = [](sockets& here, int& out) -> task {
        stream peer;
        out = co_await peer.connect(here, *parse_endpoint("192.0.2.1:7"));
    };
    run(net.at_left().native(), code);
    EXPECT_EQ(ENETUNREACH, code);
}

TEST(Stream, AResetEndsReadAndWrite) {
    two_hosts net;
    const auto deny = [](stream peer) -> task {
        co_await peer.read();
        peer.plain().abort();
    };
    ASSERT_EQ(0, stream::listen(net.at_right().native(), echo_at, deny));
    outcome out;
    ask(net.at_left().native(), text_of(5'000'000), out);
    net.advance(ns_per_s);
    EXPECT_TRUE(out.done);
    EXPECT_FALSE(out.wrote);
    EXPECT_EQ(ECONNRESET, out.error);
}

// Coroutines that wait when the host goes away end as well (the leak checker would tell).
TEST(Stream, TheEndOfTheHostEndsThem) {
    bool ended = false;
    {
        two_hosts net;
        ASSERT_EQ(0, stream::listen(net.at_right().native(), echo_at, echo));
        const auto wait = [](sockets& here, bool& out) -> task {
            stream peer;
            co_await peer.connect(here, echo_at);
            const auto piece = co_await peer.read();
            out = piece.empty();
        };
        wait(net.at_left().native(), ended);
        net.advance(ns_per_s);
        EXPECT_FALSE(ended);
    }
    EXPECT_TRUE(ended);
}

} // namespace
} // namespace pantala::test
