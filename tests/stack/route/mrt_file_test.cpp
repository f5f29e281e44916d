// MRT dumps made here byte by byte, whole and damaged.
#include "stack/route/feed/mrt_file.hpp"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <span>

#include <gtest/gtest.h>
#include <zlib.h>

namespace pantala {

namespace {

using bytes = std::vector<std::uint8_t>;

void put(bytes& to, std::uint64_t value, unsigned count) {
    while (count-- > 0) {
        to.push_back(static_cast<std::uint8_t>(value >> (8 * count)));
    }
}

std::string_view text_of(std::span<const std::uint8_t> from) {
    return {reinterpret_cast<const char*>(from.data()), from.size()};
}

void append(bytes& to, const bytes& from) {
    to.insert(to.end(), from.begin(), from.end());
}

bytes record(unsigned subtype, const bytes& body) {
    bytes made;
    put(made, 1700000000, 4);
    put(made, 13, 2);
    put(made, subtype, 2);
    put(made, body.size(), 4);
    append(made, body);
    return made;
}

bytes attribute(unsigned type, const bytes& value, bool extended = false) {
    bytes made;
    put(made, extended ? 0x50 : 0x40, 1);
    put(made, type, 1);
    put(made, value.size(), extended ? 2 : 1);
    append(made, value);
    return made;
}

// A RIB record with one entry a list of attributes.
bytes rib_record(
    unsigned subtype, unsigned length, const bytes& prefix, const std::vector<bytes>& entries) {
    bytes body;
    put(body, 7, 4);
    put(body, length, 1);
    append(body, prefix);
    put(body, entries.size(), 2);
    for (const bytes& attributes : entries) {
        put(body, 0, 2);
        put(body, 1600000000, 4);
        if (subtype == 8 || subtype == 10) {
            put(body, 99, 4);
        }
        put(body, attributes.size(), 2);
        append(body, attributes);
    }
    return record(subtype, body);
}

bytes small_dump() {
    bytes dump = record(1, bytes(20, 0)); // peers
    bytes path = attribute(2, {2, 1, 0, 0, 253, 232});
    append(path, attribute(3, {10, 0, 0, 9}));
    append(dump, rib_record(2, 24, {192, 0, 2}, {path, attribute(3, {10, 0, 0, 1})}));
    append(dump, rib_record(8, 19, {198, 51, 96}, {attribute(3, {10, 0, 0, 2}, true)}));
    append(dump, rib_record(2, 0, {}, {attribute(3, {10, 0, 0, 3})}));
    bytes hop{16, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5};
    append(dump, rib_record(4, 32, {0x20, 0x01, 0x0d, 0xb8}, {attribute(14, hop)}));
    bytes whole{0, 2, 1};
    append(whole, hop);
    append(dump, rib_record(10, 36, {0x20, 0x01, 0x0d, 0xb9, 0x10}, {attribute(14, whole)}));
    append(dump, rib_record(4, 48, {0x20, 0x01, 0x0d, 0xb8, 0, 9}, {bytes{}}));
    append(dump, rib_record(3, 8, {224}, {})); // multicast: passed over
    return dump;
}

TEST(mrt_file, prefixes_and_next_hops_of_both_families) {
    const bytes dump = small_dump();
    ASSERT_TRUE(is_mrt(text_of(dump)));
    const auto table = parse_mrt(text_of(dump), "dump");
    ASSERT_TRUE(table.ok()) << table.failure().text;
    ASSERT_EQ(table->ip4.size(), 3U);
    EXPECT_EQ(format(table->ip4[0].prefix), "0.0.0.0/0");
    EXPECT_EQ(format(table->ip4[1].prefix), "192.0.2.0/24");
    EXPECT_EQ(format_address4(table->ip4[1].gateway), "10.0.0.9");
    EXPECT_EQ(format(table->ip4[2].prefix), "198.51.96.0/19");
    EXPECT_EQ(format_address4(table->ip4[2].gateway), "10.0.0.2");
    ASSERT_EQ(table->ip6.size(), 3U);
    EXPECT_EQ(format(table->ip6[0].prefix), "2001:db8::/32");
    EXPECT_EQ(format_address6(table->ip6[0].gateway), "2001:db8::5");
    EXPECT_EQ(format(table->ip6[1].prefix), "2001:db8:9::/48");
    EXPECT_EQ(table->ip6[1].gateway, address6{});
    EXPECT_EQ(format(table->ip6[2].prefix), "2001:db9:1000::/36");
    EXPECT_EQ(format_address6(table->ip6[2].gateway), "2001:db8::5");
}

TEST(mrt_file, a_prefix_told_twice_counts_once) {
    bytes dump = rib_record(2, 8, {10}, {attribute(3, {10, 0, 0, 1})});
    append(dump, rib_record(2, 8, {9}, {attribute(3, {10, 0, 0, 2})}));
    append(dump, rib_record(2, 8, {10}, {attribute(3, {10, 0, 0, 3})}));
    const auto table = parse_mrt(text_of(dump), "dump");
    ASSERT_TRUE(table.ok());
    ASSERT_EQ(table->ip4.size(), 2U);
    EXPECT_EQ(format_address4(table->ip4[1].gateway), "10.0.0.1");
}

TEST(mrt_file, what_is_wrong_is_named_with_its_place) {
    const bytes good = rib_record(2, 24, {192, 0, 2}, {attribute(3, {10, 0, 0, 1})});
    bytes dump = good;
    append(dump, rib_record(2, 33, {1, 2, 3, 4, 5}, {}));
    auto parsed = parse_mrt(text_of(dump), "dump");
    ASSERT_FALSE(parsed.ok());
    EXPECT_NE(
        parsed.failure().text.find("record at byte " + std::to_string(good.size())),
        std::string::npos);
    bytes lies = good;
    lies[good.size() - 8] = 200; // the attributes' length
    EXPECT_FALSE(parse_mrt(text_of(lies), "dump").ok());
    EXPECT_FALSE(parse_mrt(text_of(std::span(good).first(good.size() - 1)), "dump").ok());
    const std::string text = "192.0.2.0/24 via 10.0.0.1\n";
    EXPECT_FALSE(is_mrt(text));
}

TEST(mrt_file, a_dump_may_come_in_pieces) {
    const bytes dump = small_dump();
    const prefix_table whole = *parse_mrt(text_of(dump), "dump");
    for (std::size_t step = 1; step < dump.size(); ++step) {
        const std::string name = "dump";
        mrt_parser records(name, 0);
        std::string held;
        for (std::size_t at = 0; at < dump.size(); at += step) {
            held += text_of(dump).substr(at, step);
            const auto taken = records.take(held, at + step >= dump.size());
            ASSERT_TRUE(taken.ok()) << taken.failure().text;
            held.erase(0, *taken);
        }
        ASSERT_TRUE(held.empty());
        const prefix_table table = records.finish();
        ASSERT_EQ(table.ip4.size(), whole.ip4.size());
        ASSERT_EQ(table.ip6.size(), whole.ip6.size());
        ASSERT_EQ(table.ip6[2].gateway, whole.ip6[2].gateway);
    }
}

TEST(mrt_file, a_record_without_end_takes_no_memory) {
    bytes dump = small_dump();
    const std::size_t before = dump.size();
    append(dump, record(2, {}));
    dump[before + 8] = 0xff; // of the length
    auto parsed = parse_mrt(text_of(dump), "dump");
    ASSERT_FALSE(parsed.ok());
    EXPECT_NE(parsed.failure().text.find("no record is so long"), std::string::npos);
    const std::string name = "dump";
    mrt_parser limited(name, 2);
    ASSERT_TRUE(limited.take(text_of(dump), true).ok());
    EXPECT_TRUE(limited.full());
    EXPECT_EQ(limited.finish().ip4.size(), 2U);
}

TEST(mrt_file, damaged_dumps_never_do_harm) {
    const bytes good = small_dump();
    std::mt19937_64 random(4);
    for (unsigned i = 0; i < 20000; ++i) {
        bytes bad = good;
        for (unsigned changes = 1 + random() % 4; changes > 0; --changes) {
            bad[random() % bad.size()] = static_cast<std::uint8_t>(random());
        }
        bad.resize(bad.size() - random() % (bad.size() / 2));
        const auto parsed = parse_mrt(text_of(bad), "dump");
        if (parsed.ok()) {
            for (const file_route6& each : parsed->ip6) {
                ASSERT_LE(each.prefix.length, 128);
            }
        }
    }
}

TEST(mrt_file, a_compressed_dump_of_many_blocks_is_read_as_any_table) {
    const std::string path =
        (std::filesystem::temp_directory_path() / ("mrt_test_" + std::to_string(getpid())))
            .string();
    bytes dump = small_dump();
    for (std::uint32_t i = 0; i < 60'000; ++i) {
        bytes prefix;
        put(prefix, 20U << 16 | i, 3);
        append(dump, rib_record(2, 24, prefix, {attribute(3, {10, 0, 0, 1})}));
    }
    gzFile file = gzopen(path.c_str(), "wb");
    ASSERT_EQ(
        gzwrite(file, dump.data(), static_cast<unsigned>(dump.size())),
        static_cast<int>(dump.size()));
    gzclose(file);
    const auto table = read_prefix_file(path);
    const auto some = read_prefix_file(path, {.ip4_limit = 1000});
    std::remove(path.c_str());
    ASSERT_TRUE(table.ok()) << table.failure().text;
    EXPECT_TRUE(table->from_mrt);
    EXPECT_EQ(table->ip4.size(), 60'003U);
    EXPECT_EQ(table->ip6.size(), 3U);
    ASSERT_TRUE(some.ok());
    EXPECT_EQ(some->ip4.size(), 1000U);
}

} // namespace

} // namespace pantala
