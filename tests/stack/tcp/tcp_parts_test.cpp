// The parts by themselves: options, sequence numbers, the table, the hash, cookies, TIME-WAIT.
#include "engine/random.hpp"
#include "stack/tcp/open/tcp_isn.hpp"
#include "stack/tcp/tcp_time_wait.hpp"
#include "stack/wire/tcp_options.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace pantala::tcp {
namespace {

TEST(siphash, is_the_published_function) {
    // The test vector of the paper: key 00..0f, message 00..0e.
    const siphash_key key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
    std::uint8_t message[15];
    for (std::uint8_t i = 0; i < 15; ++i) {
        message[i] = i;
    }
    EXPECT_EQ(siphash24::of(key, message, 15), 0xa129ca6149be45e5U);
}

TEST(tcp_seq_numbers, compare_around_the_circle) {
    EXPECT_TRUE(tcp_seq{0xfffffff0} < tcp_seq{5});
    EXPECT_FALSE(tcp_seq{5} < tcp_seq{0xfffffff0});
    EXPECT_EQ(tcp_seq{5} - tcp_seq{0xfffffff0}, 21U);
    EXPECT_EQ(seq_max(tcp_seq{0xfffffff0}, tcp_seq{5}), tcp_seq{5});
}

TEST(tcp_options, what_is_written_is_read) {
    random_source random(1);
    for (int i = 0; i < 2'000; ++i) {
        wire::tcp_options in{
            .has_mss = random.one_in(2),
            .has_window_scale = random.one_in(2),
            .sack_permitted = random.one_in(2),
            .has_timestamp = random.one_in(2),
            .window_scale = static_cast<std::uint8_t>(random.below(15)),
            .mss = static_cast<std::uint16_t>(random.next()),
            .ts_value = static_cast<std::uint32_t>(random.next()),
            .ts_echo = static_cast<std::uint32_t>(random.next())};
        std::array<std::uint8_t, wire::tcp_options_bytes_max> raw{};
        const auto order = static_cast<wire::tcp_option_order>(random.below(2));
        const unsigned length = wire::write_tcp_syn_options(raw, in, order);
        ASSERT_EQ(length % 4, 0U);
        const auto out = wire::parse_tcp_options({raw.data(), length});
        EXPECT_FALSE(out.malformed);
        EXPECT_EQ(out.has_mss, in.has_mss);
        EXPECT_EQ(out.mss, in.has_mss ? in.mss : 0);
        EXPECT_EQ(out.has_window_scale, in.has_window_scale);
        EXPECT_EQ(out.window_scale, in.has_window_scale ? in.window_scale : 0);
        EXPECT_EQ(out.sack_permitted, in.sack_permitted);
        EXPECT_EQ(out.has_timestamp, in.has_timestamp);
        EXPECT_EQ(out.ts_value, in.has_timestamp ? in.ts_value : 0);
    }
}

TEST(tcp_options, sack_blocks_fit_beside_a_timestamp) {
    wire::tcp_options in{.has_timestamp = true, .sack_count = 4};
    for (std::uint32_t i = 0; i < 4; ++i) {
        in.sack[i] = {tcp_seq{i * 100}, tcp_seq{i * 100 + 50}};
    }
    std::array<std::uint8_t, wire::tcp_options_bytes_max> raw{};
    unsigned length = wire::write_tcp_options(raw, in);
    auto out = wire::parse_tcp_options({raw.data(), length});
    EXPECT_EQ(out.sack_count, 3);
    EXPECT_EQ(out.sack[2], in.sack[2]);
    in.has_timestamp = false;
    length = wire::write_tcp_options(raw, in);
    out = wire::parse_tcp_options({raw.data(), length});
    EXPECT_EQ(out.sack_count, 4);
}

TEST(tcp_options, nonsense_ends_the_parse) {
    const std::vector<std::vector<std::uint8_t>> bad = {
        {2}, {2, 0}, {2, 1}, {3, 9, 1}, {1, 1, 8, 10, 0}, {5, 255}, {254, 0, 0, 0}};
    for (const auto& raw : bad) {
        EXPECT_TRUE(wire::parse_tcp_options(raw).malformed);
    }
    // A known kind of a wrong length is skipped, what follows counts.
    const std::vector<std::uint8_t> odd = {2, 3, 9, 4, 2};
    const auto out = wire::parse_tcp_options(odd);
    EXPECT_FALSE(out.has_mss || out.malformed);
    EXPECT_TRUE(out.sack_permitted);
    random_source random(2);
    for (int i = 0; i < 100'000; ++i) { // never outside the bytes (the sanitizers watch)
        std::vector<std::uint8_t> raw(random.below(41));
        for (auto& byte : raw) {
            byte = static_cast<std::uint8_t>(random.below(12));
        }
        EXPECT_LE(wire::parse_tcp_options(raw).sack_count, wire::tcp_sack_blocks_max);
    }
}

TEST(flow_table, agrees_with_a_map) {
    constexpr std::uint32_t capacity = 500;
    flow_table table(capacity);
    std::map<std::uint32_t, std::uint64_t> truth;
    random_source random(3);
    for (int i = 0; i < 200'000; ++i) {
        const std::uint32_t id = random.below(capacity);
        const auto known = truth.find(id);
        if (known == truth.end()) {
            // Few home buckets and few tags: collisions of every kind.
            const std::uint64_t hash = random.below(40) | std::uint64_t{random.below(5)} << 32;
            ASSERT_TRUE(table.insert(hash, id));
            truth[id] = hash;
        } else if (random.one_in(2)) {
            table.erase(known->second, id);
            truth.erase(known);
        } else {
            ASSERT_EQ(table.find(known->second, [&](std::uint32_t one) { return one == id; }), id);
        }
        ASSERT_EQ(table.size(), truth.size());
    }
    for (std::uint32_t id = 0; id < capacity; ++id) {
        const auto known = truth.find(id);
        const std::uint64_t hash = known == truth.end() ? 7 : known->second;
        EXPECT_EQ(
            table.find(hash, [&](std::uint32_t one) { return one == id; }),
            known == truth.end() ? no_id : id);
    }
}

TEST(time_wait, ends_in_order_of_time_and_recycles_the_oldest) {
    time_wait_table table(4);
    bool recycled = false;
    constexpr time_wait_intervals last{.longer_ms = 100, .brief_ms = 90};
    for (std::uint64_t i = 0; i < 4; ++i) {
        table.add(i, i % 2 != 0, static_cast<std::uint32_t>(i) * 10, recycled);
        EXPECT_FALSE(recycled);
    }
    table.restart(table.find(0), 100);
    EXPECT_EQ(table.next_deadline(instant{60 * ns_per_ms}, last), instant{100 * ns_per_ms});
    EXPECT_EQ(table.expire(119, last, 10), 1U); // 1 at 100; 0 was restarted, 2 and 3 have time
    EXPECT_EQ(table.expire(120, last, 10), 2U);
    EXPECT_NE(table.find(0), no_id);
    EXPECT_EQ(table.find(1), no_id);
    table.add(5, false, 150, recycled);
    table.add(6, false, 160, recycled);
    table.add(8, false, 165, recycled);
    EXPECT_FALSE(recycled);
    table.add(7, false, 170, recycled);
    EXPECT_TRUE(recycled);
    EXPECT_EQ(table.size(), 4U);
    EXPECT_EQ(table.expire(1'000, last, 100), 4U);
    EXPECT_EQ(table.next_deadline(instant{}, last), instant::never());
}

TEST(tcp_isn, cookies_verify_for_their_flow_and_time_only) {
    const siphash_key secret{1, 2};
    flow_key key{
        ip_address::from(wire::ipv4_address::of(10, 0, 0, 1)),
        ip_address::from(wire::ipv4_address::of(10, 0, 0, 2)), l4_port::from(80),
        l4_port::from(4'000)};
    const instant now{1'000 * ns_per_s};
    const tcp_seq cookie = make_cookie(secret, key, tcp_seq{77}, 1'460, now);
    EXPECT_EQ(check_cookie(secret, key, tcp_seq{77}, cookie, now), 1'460);
    EXPECT_EQ(check_cookie(secret, key, tcp_seq{77}, cookie, now + 60 * ns_per_s), 1'460);
    EXPECT_FALSE(check_cookie(secret, key, tcp_seq{77}, cookie, now + 200 * ns_per_s));
    EXPECT_FALSE(check_cookie(secret, key, tcp_seq{78}, cookie, now));
    EXPECT_FALSE(check_cookie({1, 3}, key, tcp_seq{77}, cookie, now));
    key.remote_port = l4_port::from(4'001);
    EXPECT_FALSE(check_cookie(secret, key, tcp_seq{77}, cookie, now));
}

TEST(tcp_isn, a_cookie_timestamp_never_runs_ahead_and_keeps_its_options) {
    random_source random(4);
    for (int i = 0; i < 10'000; ++i) {
        const auto clock = static_cast<std::uint32_t>(random.next());
        const syn_cookie in{
            .snd_wscale = static_cast<std::uint8_t>(random.below(15)),
            .window_scale = random.one_in(2),
            .sack = random.one_in(2),
            .ecn = random.one_in(2)};
        const std::uint32_t value = cookie_timestamp(in, clock);
        EXPECT_LE(static_cast<std::int32_t>(value - clock), 0);
        EXPECT_LE(clock - value, 64U);
        syn_cookie out;
        read_cookie_timestamp(value, out);
        EXPECT_EQ(out.window_scale, in.window_scale);
        EXPECT_EQ(out.snd_wscale, in.window_scale ? in.snd_wscale : 0);
        EXPECT_EQ(out.sack, in.sack);
        EXPECT_EQ(out.ecn, in.ecn);
    }
}

TEST(tcp_isn, differs_by_flow_and_grows_with_time) {
    const siphash_key secret{5, 6};
    flow_key key{};
    std::set<std::uint32_t> seen;
    for (std::uint16_t port = 1; port <= 1'000; ++port) {
        key.remote_port = l4_port::from(port);
        seen.insert(initial_sequence(secret, key, instant{}).value);
    }
    EXPECT_EQ(seen.size(), 1'000U);
    const tcp_seq early = initial_sequence(secret, key, instant{});
    const tcp_seq later = initial_sequence(secret, key, instant{ns_per_s});
    EXPECT_NEAR(static_cast<double>(later - early), 1e9 / 4'096, 1.0);
}

} // namespace
} // namespace pantala::tcp
