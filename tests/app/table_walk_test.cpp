// Jobs that go through tables in turns: a table that goes between two turns is not taken for the
// one that gets its place.
#include "app/tables/table_walk.hpp"

#include <gtest/gtest.h>

namespace pantala::app {

namespace {

struct table_walk_test : testing::Test {
    route refusal(std::uint32_t number) {
        route made;
        made.prefix = {192U << 24 | 2 << 8, 24};
        made.table = static_cast<std::uint8_t>(*names.take_slot(number, *routes));
        made.targets = {{nexthop_kind::blackhole}};
        return made;
    }
    void make(std::uint32_t number) { ASSERT_TRUE(routes->add(refusal(number)).ok()); }
    void drop(std::uint32_t number) { ASSERT_TRUE(routes->del(refusal(number)).ok()); }

    route_log log;
    std::unique_ptr<rib> routes = std::move(*rib::make(log));
    table_names names;
};

TEST_F(table_walk_test, a_table_that_goes_is_not_taken_for_the_next_in_its_place) {
    make(10);
    make(20);
    table_walk walk(names.numbers(*routes));
    EXPECT_EQ(walk.slot(names, *routes), 0U) << "the main one";
    walk.next();
    const auto ten = walk.slot(names, *routes);
    EXPECT_EQ(ten, names.slot_of(10));
    drop(10);
    make(30);
    ASSERT_EQ(names.slot_of(30), ten) << "it has the place now";
    EXPECT_EQ(walk.slot(names, *routes), names.slot_of(20));
    EXPECT_EQ(walk.at(), 2U);
    drop(20);
    EXPECT_FALSE(walk.slot(names, *routes).has_value());
}

TEST_F(table_walk_test, one_that_moves_is_found_where_it_is) {
    make(10);
    make(20);
    table_walk walk(names.numbers(*routes));
    walk.next();
    const auto before = walk.slot(names, *routes);
    drop(10);
    make(30);
    make(10);
    EXPECT_NE(names.slot_of(10), before);
    EXPECT_EQ(walk.slot(names, *routes), names.slot_of(10));
}

TEST_F(table_walk_test, one_with_a_name_and_nothing_in_it_is_there) {
    ASSERT_TRUE(names.add("red", 100).ok());
    ASSERT_TRUE(names.take_slot(100, *routes).ok());
    table_walk walk({100});
    EXPECT_EQ(walk.slot(names, *routes), names.slot_of(100));
    names.remove("red");
    EXPECT_FALSE(walk.slot(names, *routes).has_value());
}

} // namespace

} // namespace pantala::app
