// The course of a connection on a wire that does no harm, and on one that does.
#include "tests/stack/tcp/tcp_pair.hpp"

#include <gtest/gtest.h>

namespace pantala::sim {
namespace {

pair_settings transfer(std::uint64_t forth_bytes, std::uint64_t back_bytes) {
    pair_settings how;
    how.client_stream = {
        .send_bytes = forth_bytes, .expect_bytes = back_bytes, .send_seed = 11, .expect_seed = 12};
    how.server_stream = {
        .send_bytes = back_bytes, .expect_bytes = forth_bytes, .send_seed = 12, .expect_seed = 11};
    return how;
}

void expect_clean(tcp_pair& pair) {
    ASSERT_TRUE(pair.client_end);
    EXPECT_EQ(pair.client_end->fault(), "");
    ASSERT_TRUE(pair.server_end);
    EXPECT_EQ(pair.server_end->fault(), "");
    EXPECT_TRUE(pair.client_end->complete());
    EXPECT_TRUE(pair.server_end->complete());
    EXPECT_EQ(pair.client_end->error(), tcp::conn_error::none);
    EXPECT_EQ(pair.server_end->error(), tcp::conn_error::none);
    EXPECT_EQ(pair.leftovers(), "");
}

TEST(tcp_basic, opens_and_closes_without_data) {
    tcp_pair pair(transfer(0, 0));
    pair.connect();
    EXPECT_TRUE(pair.run_to_end(10));
    EXPECT_EQ(pair.client.host.stats.connects.read(), 1U);
    EXPECT_EQ(pair.server.host.stats.accepts.read(), 1U);
    EXPECT_EQ(pair.client.host.stats.sndrexmitpack.read(), 0U);
    expect_clean(pair);
}

TEST(tcp_basic, carries_data_both_ways) {
    tcp_pair pair(transfer(300'000, 200'000));
    pair.connect();
    EXPECT_TRUE(pair.run_to_end(10));
    EXPECT_EQ(pair.client.host.stats.sndrexmitpack.read(), 0U);
    EXPECT_EQ(pair.server.host.stats.sndrexmitpack.read(), 0U);
    expect_clean(pair);
}

TEST(tcp_basic, carries_data_over_ipv6) {
    pair_settings how = transfer(100'000, 100'000);
    how.v6 = true;
    tcp_pair pair(how);
    pair.connect();
    EXPECT_TRUE(pair.run_to_end(10));
    expect_clean(pair);
}

TEST(tcp_basic, repairs_loss_both_ways) {
    for (const std::uint32_t loss : {10'000U, 50'000U, 200'000U}) {
        pair_settings how = transfer(500'000, 300'000);
        how.seed = loss;
        how.forth.loss_ppm = loss;
        how.back.loss_ppm = loss;
        tcp_pair pair(how);
        pair.connect();
        EXPECT_TRUE(pair.run_to_end(3'000)) << loss; // timeouts at 20 % grow long
        EXPECT_GT(pair.client.host.stats.sndrexmitpack.read(), 0U);
        expect_clean(pair);
    }
}

TEST(tcp_basic, works_without_any_option) {
    pair_settings how = transfer(500'000, 100'000);
    how.client.timestamps = how.client.sack = how.client.window_scale = false;
    how.forth.loss_ppm = how.back.loss_ppm = 30'000;
    tcp_pair pair(how);
    pair.connect();
    EXPECT_TRUE(pair.run_to_end(600));
    EXPECT_EQ(pair.client.host.stats.sack_rcv_blocks.read(), 0U);
    expect_clean(pair);
}

TEST(tcp_basic, refuses_where_nobody_listens) {
    tcp_pair pair(transfer(10, 10));
    tcp::close_listener(pair.server.host, pair.listener);
    pair.connect();
    EXPECT_TRUE(pair.net.run_until(
        [&] { return pair.client_end->let_go(); }, pair.net.now() + 10 * ns_per_s));
    EXPECT_EQ(pair.client_end->error(), tcp::conn_error::refused);
    EXPECT_EQ(pair.leftovers(), "");
}

} // namespace
} // namespace pantala::sim
