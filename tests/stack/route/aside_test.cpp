// Routes to prefixes that the addresses of an interface bring their own routes to: they stand aside
// while those are there, and come back.
#include "stack/route/rib.hpp"

#include <gtest/gtest.h>

namespace pantala {

namespace {

constexpr std::uint32_t here = 0x0a000001;   // of the first link; the second's is 256 on
constexpr std::uint32_t beyond = 0x0a000109; // a gateway on the second

class aside_test : public testing::Test {
  protected:
    aside_test() : control(std::move(*rib::make(log))), worker(std::move(*control->join())) {
        for (std::uint16_t i = 0; i < 2; ++i) {
            iface made;
            made.port = port_id{i};
            made.up = true;
            link[i] = *control->add_interface(made);
        }
        EXPECT_TRUE(control->add_address(link[0], here, 24).ok());
        EXPECT_TRUE(control->add_address(link[1], here + 256, 24).ok());
        EXPECT_TRUE(control->add_address(link[1], own6(2), 64).ok());
    }
    static address6 own6(unsigned net) { return {std::uint64_t{0x20010db800000000} + net, 1}; }
    static prefix6 net6() { return make_prefix6(own6(1), 64); }

    nexthop at(std::uint32_t address) {
        settle();
        return worker->hop(worker->fib4().lookup(address));
    }
    nexthop at(const address6& address) {
        settle();
        return worker->hop(worker->fib6().lookup(address));
    }
    void settle() {
        while (!control->pump() || !control->settled()) {
            worker->apply();
        }
        EXPECT_EQ(worker->hash(), control->hash());
    }
    result<void> add(std::optional<std::uint32_t> metric = std::nullopt) {
        return control->add(
            {net,
             0,
             route_protocol::fixed,
             metric,
             1400,
             {{nexthop_kind::gateway, beyond, std::nullopt, 1}}});
    }

    const prefix4 net = make_prefix4(here, 24);
    route_log log;
    std::unique_ptr<rib> control;
    std::unique_ptr<route_replica> worker;
    iface_id link[2];
};

TEST_F(aside_test, a_route_comes_back_when_the_link_goes) {
    ASSERT_TRUE(control->set_up(link[0], false).ok());
    ASSERT_TRUE(add().ok());
    ASSERT_TRUE(add(7).ok());
    const std::size_t hops = control->counts().hops;
    for (unsigned turn = 0; turn < 3; ++turn) {
        EXPECT_EQ(at(here + 8).gateway4.host(), beyond);
        EXPECT_TRUE(control->aside4().empty());
        ASSERT_TRUE(control->set_up(link[0], true).ok());
        EXPECT_EQ(at(here + 8).kind, nexthop_kind::connected);
        const auto all = control->find(net);
        ASSERT_EQ(all.size(), 3U);
        EXPECT_TRUE(all[0].protocol == route_protocol::kernel && !all[0].aside && !all[2].aside);
        EXPECT_TRUE(all[1].aside && all[1].protocol == route_protocol::fixed);
        EXPECT_EQ(control->aside4().size(), 1U);
        unsigned seen = 0;
        control->visit(0, net, 1, [&](const route& each) { seen += each.aside ? 10 : 1; });
        EXPECT_EQ(seen, 12U);
        if (turn == 1) { // as well when the address goes
            ASSERT_TRUE(control->del_address(link[0], here, 24).ok());
            EXPECT_EQ(at(here + 8).gateway4.host(), beyond);
            ASSERT_TRUE(control->add_address(link[0], here, 24).ok());
            EXPECT_EQ(at(here + 8).kind, nexthop_kind::connected);
        }
        ASSERT_TRUE(control->set_up(link[0], false).ok());
    }
    EXPECT_EQ(control->find(net).size(), 2U);
    EXPECT_EQ(control->find(net)[0].mtu, 1400);
    EXPECT_EQ(control->counts().hops, hops);
}

TEST_F(aside_test, what_is_deleted_meanwhile_does_not_come_back) {
    const std::size_t hops = control->counts().hops;
    const route gone{net};
    for (unsigned way = 0; way < 3; ++way) {
        ASSERT_TRUE(control->set_up(link[0], false).ok());
        ASSERT_TRUE(add().ok());
        ASSERT_TRUE(control->set_up(link[0], true).ok());
        std::size_t deleted = 0;
        ASSERT_TRUE(
            way == 0   ? control->del(gone).ok()
            : way == 1 ? control->withdraw(net, route_protocol::fixed).ok()
                       : control->flush(route_protocol::fixed, deleted).ok() && deleted == 1);
        EXPECT_FALSE(control->del(gone).ok()) << "the address's own stays";
        EXPECT_EQ(at(here + 8).kind, nexthop_kind::connected);
        ASSERT_TRUE(control->set_up(link[0], false).ok());
        EXPECT_EQ(at(here + 8).kind, nexthop_kind::none);
        ASSERT_TRUE(control->set_up(link[0], true).ok());
        EXPECT_EQ(control->counts().hops, hops);
    }
}

TEST_F(aside_test, what_stands_aside_is_changed_and_put_by_who_says_so) {
    constexpr std::uint32_t further = beyond + 1;
    const auto one = [&](std::uint32_t gateway, bool aside) {
        route made{net, 0, route_protocol::fixed, 0, 0, {{nexthop_kind::gateway, gateway}}};
        made.aside = aside;
        return made;
    };
    const std::size_t hops = control->counts().hops;
    EXPECT_EQ(control->add(one(beyond, false)).failure().code, EBUSY);
    EXPECT_EQ(control->replace(one(beyond, false)).failure().code, EBUSY);
    EXPECT_EQ(control->append(one(beyond, false)).failure().code, EBUSY);
    const auto fed = *control->hop(one(further, false).targets);
    EXPECT_EQ(control->announce({net, fed}, route_protocol::fixed).failure().code, EBUSY);
    ASSERT_TRUE(control->add(one(beyond, true)).ok());
    EXPECT_EQ(control->add(one(beyond, true)).failure().code, EEXIST);
    EXPECT_EQ(control->add(one(beyond, false)).failure().code, EBUSY);
    ASSERT_TRUE(control->append(one(further, false)).ok());
    EXPECT_EQ(control->find(net)[1].targets.size(), 2U);
    ASSERT_TRUE(control->del(one(beyond, false)).ok());
    EXPECT_EQ(control->find(net)[1].targets, one(further, true).targets);
    EXPECT_EQ(control->del(one(beyond, false)).failure().code, ESRCH) << "it has another gateway";
    ASSERT_TRUE(control->replace(one(beyond, false)).ok());
    EXPECT_EQ(at(here + 8).kind, nexthop_kind::connected);
    ASSERT_TRUE(control->announce({net, fed}, route_protocol::fixed).ok());
    ASSERT_TRUE(control->set_up(link[0], false).ok());
    EXPECT_EQ(at(here + 8).gateway4.host(), further);
    ASSERT_TRUE(control->del(one(further, false)).ok());
    control->release(fed);
    ASSERT_TRUE(control->set_up(link[0], true).ok());
    EXPECT_EQ(control->counts().hops, hops);
}

TEST_F(aside_test, ipv6_that_stands_aside_wants_its_link_as_large) {
    route6 made{net6()};
    made.protocol = route_protocol::fixed;
    made.targets = {{.interface = link[0], .gateway6 = address6{0xfe80000000000000, 9}}};
    ASSERT_TRUE(control->add(made).ok());
    ASSERT_TRUE(control->add_address(link[1], own6(1), 64).ok());
    ASSERT_EQ(control->aside6().size(), 1U);
    EXPECT_FALSE(control->set_mtu(link[0], 1000).ok());
    ASSERT_TRUE(control->del(made).ok());
    EXPECT_TRUE(control->set_mtu(link[0], 1000).ok());
}

// As a router's advertisement has it.
TEST_F(aside_test, an_address_that_comes_by_itself_displaces_nothing_for_good) {
    route6 made{net6()};
    made.protocol = route_protocol::fixed;
    made.targets = {{}};
    made.targets[0].gateway6 = address6{own6(2).high, 9};
    ASSERT_TRUE(control->add(made).ok());
    const address6 there{own6(1).high, 7};
    EXPECT_EQ(at(there).kind, nexthop_kind::gateway);
    ASSERT_TRUE(control->add_address(link[0], own6(1), 64, address_automatic).ok());
    EXPECT_EQ(at(there).kind, nexthop_kind::connected);
    EXPECT_EQ(control->aside6().size(), 1U);
    ASSERT_TRUE(control->del_address(link[0], own6(1), 64).ok());
    EXPECT_EQ(at(there).kind, nexthop_kind::gateway);
    EXPECT_TRUE(control->aside6().empty());
}

} // namespace

} // namespace pantala
