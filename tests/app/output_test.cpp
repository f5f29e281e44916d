#include "app/cli/output.hpp"

#include <gtest/gtest.h>

using namespace pantala::app;

namespace {

TEST(output, tables_are_as_wide_as_they_need) {
    static constexpr column columns[] = {{"name", "n"}, {"count", "c", true}, {"list", "l"}};
    const json rows = {
        {{"n", "a"}, {"c", 5}, {"l", {"x", "y"}}}, {{"n", "longer"}, {"c", 12345678}}};
    EXPECT_EQ(
        format_table(columns, rows), "name       count  list\n"
                                     "a              5  x y\n"
                                     "longer  12345678  -\n");
}

TEST(output, counts_have_three_figures) {
    EXPECT_EQ(format_count(0), "0");
    EXPECT_EQ(format_count(999), "999");
    EXPECT_EQ(format_count(1234), "1.23 k");
    EXPECT_EQ(format_count(12'345'678), "12.3 M");
    EXPECT_EQ(format_count(999'950), "1.00 M");
}

} // namespace
