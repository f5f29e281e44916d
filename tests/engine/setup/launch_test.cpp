#include "engine/setup/launch.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace pantala {
namespace {

bool has(const std::vector<std::string>& arguments, const std::string& beginning) {
    return std::any_of(arguments.begin(), arguments.end(), [&](const std::string& argument) {
        return argument.starts_with(beginning);
    });
}

TEST(eal_arguments, fills_in_what_is_left_open) {
    const auto arguments = eal_arguments({.program = "p", .workers = 3});
    EXPECT_EQ(arguments[0], "p");
    EXPECT_TRUE(has(arguments, "--lcores=0@("));
    EXPECT_TRUE(has(arguments, "--no-pci"));
    EXPECT_TRUE(has(arguments, "--in-memory") != has(arguments, "--no-shconf"));
    EXPECT_EQ(has(arguments, "--no-huge"), has(arguments, "--no-shconf"));
    EXPECT_TRUE(has(arguments, "--no-telemetry"));
    const auto lcores = *std::find_if(arguments.begin(), arguments.end(), [](const auto& argument) {
        return argument.starts_with("--lcores");
    });
    EXPECT_EQ(std::count(lcores.begin(), lcores.end(), '@'), 4) << lcores;
}

TEST(eal_arguments, what_is_given_wins) {
    const auto arguments = eal_arguments(
        {.eal = {
             "-l", "0,1", "-a", "0000:00:04.0", "-m", "64", "--no-huge", "--file-prefix=x",
             "--log-level=*:debug", "--vdev=net_null0"}});
    EXPECT_FALSE(has(arguments, "--lcores"));
    EXPECT_FALSE(has(arguments, "--no-pci"));
    EXPECT_FALSE(has(arguments, "--in-memory"));
    EXPECT_FALSE(has(arguments, "--log-level=*:warning"));
    EXPECT_FALSE(has(arguments, "-m512"));
    EXPECT_EQ(arguments.back(), "--vdev=net_null0");
}

TEST(eal_arguments, small_pages_get_a_size) {
    const auto arguments = eal_arguments({.memory_mb = 99, .eal = {"--no-huge"}});
    EXPECT_TRUE(has(arguments, "-m99"));
    EXPECT_TRUE(has(arguments, "--iova-mode=va"));
}

} // namespace
} // namespace pantala
