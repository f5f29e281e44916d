// Next hops of a feed's gateways: kept while routes have them, given back after that, and never
// kept for a gateway out of reach.
#include "stack/route/feed/feed_hops.hpp"

#include <gtest/gtest.h>

namespace pantala::feed_hops_tests {

namespace {

constexpr std::uint32_t host(unsigned a, unsigned b, unsigned c, unsigned d) {
    return a << 24 | b << 16 | c << 8 | d;
}

class feed_hops_test : public testing::Test {
  protected:
    feed_hops_test() : control(std::move(*rib::make(log))) {
        iface made;
        made.up = true;
        link = *control->add_interface(made);
        EXPECT_TRUE(control->add_address(link, host(10, 0, 0, 1), 16).ok());
        EXPECT_TRUE(control->add_address(link, *parse_address6("2001:db8::1"), 64).ok());
        before = in_use();
    }
    std::size_t in_use() const { return control->counts().hops; }

    route_log log;
    std::unique_ptr<rib> control;
    feed_hops hops;
    iface_id link;
    std::size_t before = 0;
};

TEST_F(feed_hops_test, a_gateway_out_of_reach_takes_nothing) {
    for (std::uint32_t i = 0; i < 40'000; ++i) {
        ASSERT_EQ(hops.hop(*control, host(30, 0, 0, 0) + i, 0).failure().code, ENETUNREACH);
        const address6 far{0x20010db9'00000000ULL, i};
        ASSERT_EQ(hops.hop(*control, far, 0).failure().code, ENETUNREACH);
    }
    EXPECT_EQ(in_use(), before);
    EXPECT_EQ(hops.size(), 0U);
    EXPECT_TRUE(hops.hop(*control, host(10, 0, 0, 9), 0).ok());
}

TEST_F(feed_hops_test, one_that_died_is_its_routes_alone) {
    const nexthop_id hop = *hops.hop(*control, host(10, 0, 0, 9), 0);
    ASSERT_TRUE(control->announce({make_prefix4(host(20, 0, 0, 0), 24), hop}).ok());
    ASSERT_TRUE(control->set_up(link, false).ok());
    EXPECT_EQ(hops.hop(*control, host(10, 0, 0, 9), 0).failure().code, ENETUNREACH);
    EXPECT_EQ(hops.size(), 0U);
    ASSERT_TRUE(control->set_up(link, true).ok());
    EXPECT_EQ(*hops.hop(*control, host(10, 0, 0, 9), 0), hop) << "the route still has it";
    ASSERT_TRUE(control->withdraw(make_prefix4(host(20, 0, 0, 0), 24)).ok());
    hops.tidy(*control, true);
    EXPECT_EQ(in_use(), before);
}

TEST_F(feed_hops_test, what_no_route_has_is_given_back) {
    const nexthop_id kept = *hops.hop(*control, host(10, 0, 0, 9), 0);
    ASSERT_TRUE(control->announce({make_prefix4(host(20, 0, 0, 0), 24), kept}).ok());
    const prefix4 moving = make_prefix4(host(21, 0, 0, 0), 24);
    for (std::uint32_t i = 0; i < 40'000; ++i) { // a route that never rests
        hops.tidy(*control);
        const auto hop = hops.hop(*control, host(10, 0, 1, 0) + i, 0);
        ASSERT_TRUE(hop.ok()) << hop.failure().text;
        ASSERT_TRUE(control->announce({moving, *hop}).ok());
        ASSERT_LE(in_use(), before + feed_hops::idle_max + 2);
        control->pump();
    }
    hops.tidy(*control, true);
    EXPECT_EQ(hops.size(), 2U);
    EXPECT_EQ(*hops.hop(*control, host(10, 0, 0, 9), 0), kept);
    EXPECT_EQ(control->find(moving).front().targets[0].gateway, host(10, 0, 1, 0) + 39'999);
}

TEST_F(feed_hops_test, tables_and_families_have_their_own) {
    EXPECT_EQ(hops.hop(*control, host(10, 0, 0, 9), 5).failure().code, ENETUNREACH);
    ASSERT_TRUE(control->set_table(link, 5).ok());
    EXPECT_TRUE(hops.hop(*control, host(10, 0, 0, 9), 5).ok());
    EXPECT_TRUE(hops.hop(*control, *parse_address6("2001:db8::9"), 5).ok());
    EXPECT_EQ(hops.size(), 2U);
    EXPECT_EQ(hops.hop(*control, host(10, 0, 0, 9), 0).failure().code, ENETUNREACH);
}

} // namespace

} // namespace pantala::feed_hops_tests
