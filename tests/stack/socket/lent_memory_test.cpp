#include "tests/stack/socket/two_hosts.hpp"

#include <memory>
#include <optional>
#include <string_view>

#include <gtest/gtest.h>

namespace pantala::lent_memory_tests {
namespace {

using namespace pantala::test;

const endpoint server_at = *parse_endpoint("10.0.0.2:80");

// Sends a text that is lent, as there is room, between bytes that are copied.
struct lending_conn : tcp_socket {
    lending_conn() : tcp_socket(on_event) {}

    static void on_event(tcp_socket& socket, std::uint8_t events) {
        auto& self = static_cast<lending_conn&>(socket);
        self.seen |= events;
        self.write_on();
    }
    void write_on() {
        while (owner && done < text.size()) {
            const auto left = std::as_bytes(std::span(text.substr(done)));
            // Every other piece is short and copied.
            const std::size_t sent =
                copies ? write(left.first(std::min<std::size_t>(left.size(), 7)))
                       : write_lent(*owner, left.first(std::min<std::size_t>(left.size(), piece)));
            done += sent;
            copies = !copies;
            if (sent == 0) {
                return;
            }
        }
    }

    std::optional<lent_memory> owner;
    std::string_view text;
    std::size_t piece = 100'000;
    std::size_t done = 0;
    bool copies = true;
    std::uint8_t seen = 0;
};

struct lent_memory_host : ::testing::Test {
    lent_memory_host() : server(net.right, 80, false) {
        client.owner.emplace(kept);
        EXPECT_EQ(0, net.at_left().native().connect(client, server_at));
        net.carry();
    }
    void send_all() {
        client.text = *kept;
        client.done = 0;
        client.write_on();
    }
    const std::string& received() const { return server.conns.at(0)->received; }

    two_hosts net;
    test_server server;
    std::shared_ptr<const std::string> kept =
        std::make_shared<const std::string>(text_of(1'000'000));
    std::weak_ptr<const std::string> watch = kept;
    lending_conn client;
};

TEST_F(lent_memory_host, IsSentWholeBetweenWhatIsCopied) {
    for (const std::size_t piece : {100'000U, 1'447U, 32'768U, 512U}) {
        client.piece = piece;
        server.conns.at(0)->received.clear();
        send_all();
        net.advance(3 * ns_per_s);
        EXPECT_TRUE(*kept == received()) << piece << ": " << received().size();
    }
}

TEST_F(lent_memory_host, IsRepeatedFromWhereItLies) {
    unsigned frames = 0;
    net.arrives = [&](const bytes&) { return ++frames % 23 != 0; };
    send_all();
    net.advance(60 * ns_per_s);
    EXPECT_TRUE(*kept == received()) << received().size();
    EXPECT_GT(net.at_left().tcp.stats.sndrexmitpack.read(), 10U);
}

// Its object may go before the peer has taken anything.
TEST_F(lent_memory_host, StaysUntilThePeerHasIt) {
    net.arrives = [](const bytes&) { return false; };
    send_all();
    const std::size_t given = client.done;
    ASSERT_GT(given, 100'000U);
    client.owner.reset();
    kept.reset();
    net.advance(10 * ns_per_ms);
    EXPECT_FALSE(watch.expired());
    net.arrives = nullptr;
    net.advance(5 * ns_per_s);
    EXPECT_EQ(given, received().size());
    EXPECT_TRUE(watch.expired());
}

TEST_F(lent_memory_host, IsLetGoByTheEndOfItsConnection) {
    net.arrives = [](const bytes&) { return false; };
    send_all();
    client.owner.reset();
    kept.reset();
    EXPECT_FALSE(watch.expired());
    client.abort();
    net.carry();
    EXPECT_TRUE(watch.expired());
}

TEST_F(lent_memory_host, NobodyWhoIsClosedTakesAny) {
    client.close();
    EXPECT_EQ(0U, client.write_lent(*client.owner, std::as_bytes(std::span(*kept))));
    EXPECT_EQ(2, watch.use_count()); // ours and the owner's
}

// One byte at a time costs a buffer each: when they are short nothing is taken, and nothing is
// lost.
TEST_F(lent_memory_host, EndsWithTheBuffers) {
    net.arrives = [](const bytes&) { return false; };
    std::size_t given = 0;
    for (unsigned i = 0; i < 70'000; ++i) {
        given += client.write_lent(
            *client.owner, std::as_bytes(std::span(std::string_view(*kept).substr(given, 1))));
    }
    EXPECT_GT(given, 100U);
    EXPECT_LT(given, 16'383U);
    net.arrives = nullptr;
    net.advance(20 * ns_per_s);
    EXPECT_TRUE(kept->substr(0, given) == received()) << given << " given, " << received().size();
}

} // namespace
} // namespace pantala::lent_memory_tests
