#include "app/gen/arp_station.hpp"
#include "app/gen/gen_options.hpp"
#include "app/gen/histogram.hpp"
#include "app/gen/table/flows.hpp"
#include "app/gen/table/synthetic_table.hpp"
#include "app/next_hop_rule.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>
#include <unistd.h>

using namespace pantala;
using namespace pantala::app;

namespace {

TEST(histogram, buckets_hold_what_they_say) {
    unsigned last = 0;
    for (std::uint64_t value = 0; value < 100'000; ++value) {
        const unsigned bucket = histogram::bucket_of(value);
        ASSERT_GE(bucket, last);
        last = bucket;
        ASSERT_GE(histogram::bucket_last(bucket), value);
        ASSERT_LE(
            static_cast<double>(histogram::bucket_last(bucket)),
            static_cast<double>(value) * (1 + 1.0 / 32) + 1);
    }
    EXPECT_LT(histogram::bucket_of(~std::uint64_t{0}), histogram::bucket_count);
}

TEST(histogram, percentiles) {
    auto h = std::make_unique<histogram>();
    EXPECT_EQ(h->percentile(0.5), 0U);
    for (unsigned value = 1; value <= 1000; ++value) {
        h->record(value);
    }
    EXPECT_EQ(h->total(), 1000U);
    EXPECT_NEAR(static_cast<double>(h->percentile(0.5)), 500, 500.0 / 32 + 1);
    EXPECT_NEAR(static_cast<double>(h->percentile(0.99)), 990, 990.0 / 32 + 1);
    EXPECT_GE(h->percentile(1.0), 1000U);
    h->reset();
    EXPECT_EQ(h->total(), 0U);
}

TEST(gen_options, rates) {
    EXPECT_EQ(*parse_rate("max"), 0U);
    EXPECT_EQ(*parse_rate("1500"), 1500U);
    EXPECT_EQ(*parse_rate("1.5M"), 1'500'000U);
    EXPECT_EQ(*parse_rate("250k"), 250'000U);
    for (const char* text : {"0.5", "", "x", "-1", "1T", "1e99", "nan", "5 k"}) {
        EXPECT_FALSE(parse_rate(text)) << text;
    }
}

TEST(gen_options, sizes_keep_their_shares) {
    EXPECT_EQ(*parse_sizes("64"), std::vector<std::uint16_t>{64});
    const auto mix = parse_sizes("imix");
    ASSERT_TRUE(mix);
    EXPECT_EQ(std::count(mix->begin(), mix->end(), 64), 7);
    EXPECT_EQ(std::count(mix->begin(), mix->end(), 590), 4);
    EXPECT_EQ(std::count(mix->begin(), mix->end(), 1514), 1);
    EXPECT_NE((*mix)[0], (*mix)[1]) << "interleaved";
    for (const char* text : {"", "63", "65001", "64:0", "64:65", "a", "64:1:1", "64x"}) {
        EXPECT_FALSE(parse_sizes(text)) << text;
    }
}

TEST(gen_options, a_search_takes_sizes_apart_but_not_a_mix) {
    const auto apart = parse_searches("64,512,9014");
    ASSERT_TRUE(apart);
    ASSERT_EQ(apart->size(), 3U);
    EXPECT_EQ((*apart)[2].name, "9014");
    EXPECT_EQ((*apart)[2].sizes, std::vector<std::uint16_t>{9014});
    for (const char* mix : {"64:1,1514:1", "imix"}) {
        const auto together = parse_searches(mix);
        ASSERT_TRUE(together) << mix;
        ASSERT_EQ(together->size(), 1U) << mix;
        EXPECT_GT((*together)[0].sizes.size(), 1U) << mix;
    }
    EXPECT_FALSE(parse_searches("64,x"));
}

TEST(gen_options, the_next_hop_is_an_ethernet_or_an_ipv4_address) {
    gen_words words;
    words.tx = "bus:/tmp/x";
    words.next = "10.1.0.1";
    auto settings = generator_settings(words, {});
    ASSERT_TRUE(settings) << settings.failure().text;
    EXPECT_EQ(settings->next_ip, 0x0a010001U);
    words.next = "02:00:00:00:00:01";
    settings = generator_settings(words, {});
    ASSERT_TRUE(settings) << settings.failure().text;
    EXPECT_EQ(settings->next_ip, 0U);
    EXPECT_EQ(settings->next[5], 1);
    for (const char* text : {"", "2001:db8::1", "10.1.0", "02:00"}) {
        words.next = text;
        EXPECT_FALSE(generator_settings(words, {})) << text;
    }
}

TEST(arp_inbox, keeps_order_and_drops_what_finds_no_room) {
    arp_inbox inbox;
    arp_frame frame{};
    EXPECT_FALSE(inbox.take(frame));
    std::uint16_t taken = 0;
    for (std::uint16_t i = 0; i < 100; ++i) {
        frame.arp.operation = be16::from(i);
        inbox.put(frame);
        if (i >= 50 && inbox.take(frame)) {
            EXPECT_TRUE(taken == 0 || frame.arp.operation.host() > taken);
            taken = frame.arp.operation.host();
        }
    }
    unsigned left = 0;
    while (inbox.take(frame)) {
        ++left;
    }
    EXPECT_EQ(left, 15U);
}

TEST(flows, can_be_given_up) {
    flow_request request;
    request.to = {{0x14000000, 8}};
    request.flows = 1'000'000;
    unsigned told = 0;
    const auto given_up = make_flows(
        request, [&](std::string_view, std::uint64_t, std::uint64_t) { return ++told < 3; });
    ASSERT_FALSE(given_up);
    EXPECT_EQ(given_up.failure().code, EINTR);
    EXPECT_EQ(told, 3U);
}

TEST(slow_table, longest_prefix_wins) {
    slow_table table;
    EXPECT_EQ(table.lookup(0x0a000001), slow_table::no_route);
    table.add({0x0a000000, 8}, 1);
    table.add({0x0a010000, 16}, 2);
    table.add({0x0a010101, 32}, 3);
    table.add({0, 0}, 9);
    EXPECT_EQ(table.lookup(0x0a000001), 1);
    EXPECT_EQ(table.lookup(0x0a010001), 2);
    EXPECT_EQ(table.lookup(0x0a010101), 3);
    EXPECT_EQ(table.lookup(0x0b000000), 9);
    EXPECT_EQ(table.size(), 4U);
}

TEST(slow_table, agrees_with_a_map_by_length) {
    std::mt19937 random(7);
    slow_table table;
    std::map<std::pair<unsigned, std::uint32_t>, std::uint16_t> all;
    for (unsigned i = 0; i < 3000; ++i) {
        const unsigned length = random() % 33;
        const ip4_prefix prefix{
            static_cast<std::uint32_t>(random()) & 0x0fff0fff & prefix_mask(length),
            static_cast<std::uint8_t>(length)};
        table.add(prefix, static_cast<std::uint16_t>(i));
        all[{length, prefix.address}] = static_cast<std::uint16_t>(i);
    }
    EXPECT_EQ(table.size(), all.size());
    for (unsigned i = 0; i < 20'000; ++i) {
        const std::uint32_t address = static_cast<std::uint32_t>(random()) & 0x0fff0fff;
        std::uint16_t expected = slow_table::no_route;
        for (unsigned length = 0; length <= 32; ++length) {
            const auto found = all.find({length, address & prefix_mask(length)});
            expected = found == all.end() ? expected : found->second;
        }
        ASSERT_EQ(table.lookup(address), expected) << format_ip4(address);
    }
}

TEST(synthetic_table, is_distinct_public_and_repeatable) {
    const auto table = make_synthetic_table(1);
    EXPECT_EQ(table.size(), 901'899U);
    EXPECT_EQ(table, make_synthetic_table(1));
    std::map<unsigned, unsigned> lengths;
    for (std::size_t i = 0; i < table.size(); ++i) {
        ++lengths[table[i].length];
        ASSERT_EQ(table[i].address & ~prefix_mask(table[i].length), 0U);
        ASSERT_TRUE(i == 0 || table[i] != table[i - 1]);
        const std::uint32_t top = table[i].address >> 24;
        ASSERT_TRUE(top != 0 && top != 10 && top != 127 && top < 224);
    }
    EXPECT_EQ(lengths[24], 537'698U);
    EXPECT_EQ(lengths[8], 16U);
}

TEST(flows, are_the_same_at_both_ends_and_inside_the_table) {
    std::string path = "/tmp/pantala_flows_XXXXXX";
    const int fd = mkstemp(path.data());
    ASSERT_GE(fd, 0);
    close(fd);
    const std::vector<ip4_prefix> prefixes = {{0x14000000, 8}, {0x14010000, 16}, {0x15000000, 24}};
    ASSERT_TRUE(write_prefix_list(path, prefixes));
    flow_request request;
    request.table = path;
    request.flows = 5000;
    request.gateways = 7;
    const auto first = make_flows(request);
    const auto second = make_flows(request);
    ASSERT_TRUE(first && second);
    std::set<std::uint32_t> different;
    for (std::size_t i = 0; i < first->flows.size(); ++i) {
        const std::uint32_t to = first->flows[i].destination;
        different.insert(to);
        EXPECT_EQ(to, second->flows[i].destination);
        const ip4_prefix& prefix = to >> 24 == 0x15     ? prefixes[2]
                                   : to >> 16 == 0x1401 ? prefixes[1]
                                                        : prefixes[0];
        EXPECT_EQ(first->flows[i].gateway, skewed_choice(prefix, 7));
        EXPECT_EQ(first->flows[i].other, first->flows[i].gateway);
    }
    EXPECT_GT(different.size(), 3000U);
    request.table = "/nonexistent";
    EXPECT_FALSE(make_flows(request));
    unlink(path.c_str());
}

TEST(next_hop_rule, is_skewed_and_in_range) {
    std::vector<unsigned> count(63, 0);
    for (std::uint32_t i = 0; i < 100'000; ++i) {
        const unsigned choice = skewed_choice({i << 8, 24}, 63);
        ASSERT_LT(choice, 63U);
        ++count[choice];
    }
    EXPECT_GT(count[0], 20'000U);
    EXPECT_LT(count[0], 30'000U);
    EXPECT_GT(count[62], 100U);
}

} // namespace
