#include "engine/base/intrusive_list.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace pantala {
namespace {

struct other_tag;
struct element : list_hook<>, list_hook<other_tag> {
    explicit element(int v) : value(v) {}
    int value;
};

std::vector<int> values(intrusive_list<element>& list) {
    std::vector<int> result;
    for (element& e : list) {
        result.push_back(e.value);
    }
    return result;
}

TEST(intrusive_list, keeps_order_and_removes_from_the_middle) {
    element a(1);
    element b(2);
    element c(3);
    intrusive_list<element> list;
    list.push_back(b);
    list.push_back(c);
    list.push_front(a);
    EXPECT_EQ(values(list), (std::vector<int>{1, 2, 3}));
    intrusive_list<element>::remove(b);
    EXPECT_FALSE(static_cast<list_hook<>&>(b).on_list());
    EXPECT_EQ(values(list), (std::vector<int>{1, 3}));
    EXPECT_EQ(list.pop_front().value, 1);
    EXPECT_EQ(list.back().value, 3);
    EXPECT_EQ(list.pop_front().value, 3);
    EXPECT_TRUE(list.empty());
}

TEST(intrusive_list, an_element_may_be_on_a_list_of_each_tag) {
    element a(1);
    intrusive_list<element> one;
    intrusive_list<element, other_tag> two;
    one.push_back(a);
    two.push_back(a);
    EXPECT_EQ(&one.front(), &two.front());
    one.pop_front();
    EXPECT_TRUE(one.empty());
    EXPECT_FALSE(two.empty());
    two.pop_front();
}

TEST(intrusive_list, splices) {
    element a(1);
    element b(2);
    element c(3);
    intrusive_list<element> one;
    intrusive_list<element> two;
    one.splice_back(two);
    EXPECT_TRUE(one.empty());
    one.push_back(a);
    two.push_back(b);
    two.push_back(c);
    one.splice_back(two);
    EXPECT_TRUE(two.empty());
    EXPECT_EQ(values(one), (std::vector<int>{1, 2, 3}));
    while (!one.empty()) {
        one.pop_front();
    }
}

} // namespace
} // namespace pantala
