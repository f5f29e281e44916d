// What a change of a route or an interface leaves as it was.
#include "stack/route/rib.hpp"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace pantala::rib_changes_tests {

namespace {

class rib_changes_test : public testing::Test {
  protected:
    rib_changes_test() : control(std::move(*rib::make(log))), worker(std::move(*control->join())) {
        trunk = add_vlan(vlan_none);
        EXPECT_TRUE(control->add_address(trunk, 0x0a000001, 24).ok());
    }
    iface_id add_vlan(std::uint16_t vlan) {
        iface made;
        made.up = true;
        made.vlan = vlan;
        return *control->add_interface(made);
    }
    static route to(const char* prefix, route_target target, std::uint16_t mtu = 0) {
        return {*parse_prefix4(prefix), 0, route_protocol::fixed, 0U, mtu, {std::move(target)}};
    }
    const nexthop& at(std::uint32_t address) {
        while (!control->pump() || !control->settled()) {
            worker->apply();
        }
        return worker->hop(worker->fib4().lookup(address));
    }

    route_log log;
    std::unique_ptr<rib> control;
    std::unique_ptr<route_replica> worker;
    iface_id trunk;
};

TEST_F(rib_changes_test, what_is_appended_without_an_mtu_has_the_routes) {
    const route_target one = {nexthop_kind::gateway, 0x0a000002};
    const route_target two = {nexthop_kind::gateway, 0x0a000003};
    const route_target three = {nexthop_kind::gateway, 0x0a000004};
    ASSERT_TRUE(control->add(to("30.0.0.0/8", one, 1400)).ok());
    ASSERT_TRUE(control->append(to("30.0.0.0/8", two)).ok());
    EXPECT_EQ(1400, control->get(0x1e000001)->mtu);
    EXPECT_EQ(1400, at(0x1e000001).mtu);
    ASSERT_TRUE(control->append(to("30.0.0.0/8", three, 1300)).ok());
    EXPECT_EQ(1300, control->get(0x1e000001)->mtu);
    ASSERT_TRUE(control->replace(to("30.0.0.0/8", one)).ok());
    EXPECT_EQ(0, control->get(0x1e000001)->mtu) << "what takes its place says all of it";
}

// A route by an interface that is deleted stays, and leads nowhere; never by another.
TEST_F(rib_changes_test, an_interface_that_routes_name_is_no_other_later) {
    const iface_id gone = add_vlan(10);
    ASSERT_TRUE(control->add_address(gone, 0x0a090001, 24).ok());
    const route way = to("198.51.100.0/24", {nexthop_kind::gateway, 0x0a090002, gone});
    ASSERT_TRUE(control->add(way).ok());
    EXPECT_EQ(gone, at(0xc6336401).iface);
    ASSERT_TRUE(control->del_interface(gone).ok());
    const iface_id next = add_vlan(20);
    EXPECT_NE(gone, next);
    EXPECT_EQ(nexthop_kind::none, at(0xc6336401).kind);
    ASSERT_TRUE(control->del(way).ok());
    EXPECT_EQ(gone, add_vlan(30)) << "nobody means the one that was";
}

} // namespace

} // namespace pantala::rib_changes_tests
