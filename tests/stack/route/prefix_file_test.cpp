// Prefixes and tables as text: what is taken, what is refused and how.
#include "stack/route/feed/prefix_file.hpp"

#include <array>
#include <cstdio>
#include <map>
#include <set>

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

namespace pantala {

namespace {

TEST(prefix4, text_there_and_back) {
    for (const char* text : {"0.0.0.0/0", "1.2.3.4/32", "10.0.0.0/8", "255.255.255.254/31"}) {
        EXPECT_EQ(format(*parse_prefix4(text)), text);
    }
    EXPECT_EQ(parse_prefix4("default")->length, 0);
    EXPECT_EQ(parse_prefix4("192.0.2.1")->length, 32);
    for (const char* text :
         {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4/33", "1.2.3.4/", "1.2.3.4/8x",
          "1.2.3.4/-1", " 1.2.3.4", "10.0.0.1/8", "a.b.c.d"}) {
        EXPECT_FALSE(parse_prefix4(text).ok()) << text;
    }
    EXPECT_NE(parse_prefix4("10.0.0.1/8").failure().text.find("10.0.0.0/8"), std::string::npos)
        << "says what was probably meant";
}

TEST(prefix6, text_there_and_back) {
    for (const char* text : {"::/0", "2001:db8::/32", "2001:db8::1/128", "2001:db8:0:8000::/49"}) {
        EXPECT_EQ(format(*parse_prefix6(text)), text);
    }
    EXPECT_EQ(parse_prefix6("::1")->length, 128);
    for (const char* text :
         {"", "2001:db8::/129", "2001:db8::1/32", "::/", "2001::db8::/32", "1.2.3.4"}) {
        EXPECT_FALSE(parse_prefix6(text).ok()) << text;
    }
    const prefix6 prefix = *parse_prefix6("2001:db8::/65");
    EXPECT_TRUE(prefix.covers(*parse_address6("2001:db8::7fff:1:2:3")));
    EXPECT_FALSE(prefix.covers(*parse_address6("2001:db8::8000:1:2:3")));
    EXPECT_EQ(format_address6(prefix.last()), "2001:db8::7fff:ffff:ffff:ffff");
}

TEST(prefix_file, lines) {
    const result<prefix_table> table = parse_prefix_table(
        "# a table\n\n10.0.0.0/8\r\n  192.0.2.0/24   via\t10.0.0.1  # a comment\n2001:db8::/32 via "
        "fe80::1\n"
        "1.1.1.1",
        "text");
    ASSERT_TRUE(table.ok()) << table.failure().text;
    ASSERT_EQ(table->ip4.size(), 3U);
    EXPECT_EQ(table->ip4[0].gateway, 0U);
    EXPECT_EQ(format_address4(table->ip4[1].gateway), "10.0.0.1");
    EXPECT_EQ(table->ip4[2].prefix.length, 32);
    ASSERT_EQ(table->ip6.size(), 1U);
    EXPECT_EQ(format_address6(table->ip6[0].gateway), "fe80::1");
}

TEST(prefix_file, an_error_names_file_and_line) {
    for (const char* line :
         {"10.0.0.0/33", "10.0.0.0/8 via", "10.0.0.0/8 via 1.2.3", "10.0.0.0/8 over 1.2.3.4",
          "10.0.0.0/8 via 1.2.3.4 5", "10.0.0.0/8 via ::1", "what"}) {
        const result<prefix_table> table =
            parse_prefix_table(std::string("1.0.0.0/8\n\n") + line + "\n", "t.txt");
        ASSERT_FALSE(table.ok()) << line;
        EXPECT_EQ(table.failure().text.rfind("t.txt:3: ", 0), 0U) << table.failure().text;
    }
}

class scratch_file {
  public:
    scratch_file() {
        const int file = mkstemp(name_.data());
        EXPECT_GE(file, 0);
        close(file);
    }
    ~scratch_file() { unlink(name_.data()); }
    const char* name() const { return name_.data(); }

  private:
    std::array<char, 32> name_{"/tmp/pantala_route_XXXXXX"};
};

TEST(prefix_file, plain_compressed_and_cut_off) {
    const scratch_file file;
    std::string text;
    for (unsigned i = 0; i < 50000; ++i) {
        text += format(make_prefix4(0x0b000000 + i * 2654435761U % 0x10000000 * 256, 24)) + "\n";
    }
    std::FILE* plain = std::fopen(file.name(), "wb");
    std::fputs(text.c_str(), plain);
    std::fclose(plain);
    EXPECT_EQ(read_prefix_file(file.name())->ip4.size(), 50000U);

    gzFile packed = gzopen(file.name(), "wb");
    gzwrite(packed, text.data(), static_cast<unsigned>(text.size()));
    gzclose(packed);
    EXPECT_EQ(read_prefix_file(file.name())->ip4.size(), 50000U);

    ASSERT_EQ(truncate(file.name(), 20000), 0);
    EXPECT_FALSE(read_prefix_file(file.name()).ok()) << "half a file is not a table";
    EXPECT_EQ(read_prefix_file("/nonexistent").failure().code, ENOENT);
}

TEST(synthetic_table, has_the_lengths_and_repeats_with_its_seed) {
    const prefix_table table = synthetic_table(3, 0.05);
    std::map<unsigned, unsigned> lengths;
    std::set<prefix4> distinct;
    for (const file_route4& route : table.ip4) {
        ++lengths[route.prefix.length];
        distinct.insert(route.prefix);
        ASSERT_EQ(route.prefix, make_prefix4(route.prefix.address, route.prefix.length));
    }
    EXPECT_EQ(distinct.size(), table.ip4.size());
    EXPECT_EQ(lengths[24], (537698 + 19) / 20);
    EXPECT_EQ(lengths[32], (886 + 19) / 20);
    std::set<prefix6> distinct6;
    for (const file_route6& route : table.ip6) {
        distinct6.insert(route.prefix);
        ASSERT_EQ(route.prefix, make_prefix6(route.prefix.address, route.prefix.length));
    }
    EXPECT_EQ(distinct6.size(), table.ip6.size());
    const prefix_table again = synthetic_table(3, 0.05);
    EXPECT_EQ(again.ip4[777].prefix, table.ip4[777].prefix);
    EXPECT_NE(synthetic_table(4, 0.05).ip4[777].prefix, table.ip4[777].prefix);
}

TEST(hop_by_rule, a_few_hops_carry_most) {
    std::array<unsigned, 63> skewed{};
    std::array<unsigned, 63> even{};
    for (std::uint32_t i = 0; i < 63000; ++i) {
        ++skewed[hop_by_rule(make_prefix4(i << 8, 24), 63)];
        ++even[hop_by_rule(make_prefix4(i << 8, 24), 63, hop_rule::even)];
    }
    EXPECT_NEAR(skewed[0], 63000 * 0.251, 600);
    EXPECT_GT(skewed[62], 200U);
    EXPECT_NEAR(even[0], 1000, 150);
}

} // namespace

} // namespace pantala
