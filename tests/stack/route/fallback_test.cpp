// What it costs to keep dead routes out of the way: by steps, not by time.
#include "stack/route/rib.hpp"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace pantala {

namespace {

constexpr std::uint32_t gateway(unsigned link) {
    return 10U << 24 | link << 8 | 9;
}

class fallback : public testing::Test {
  protected:
    fallback() : control(std::move(*rib::make(log))), worker(std::move(*control->join())) {
        for (std::uint16_t i = 0; i < 2; ++i) {
            iface made;
            made.port = port_id{i};
            link[i] = *control->add_interface(made);
            EXPECT_TRUE(control->set_up(link[i], true).ok());
            EXPECT_TRUE(control->add_address(link[i], 10U << 24 | i << 8 | 1, 24).ok());
            route_target to;
            to.gateway = gateway(i);
            to.interface = link[i];
            hop[i] = *control->hop({&to, 1});
        }
        std::vector<feed_route> table;
        for (std::uint32_t i = 0; i < table_size; ++i) {
            table.push_back({make_prefix4(0x14000000 + (i << 8), 24), hop[0]});
        }
        EXPECT_TRUE(control->load(table).ok());
        for (std::uint32_t i = 0; i < unsteady; ++i) {
            announce(make_prefix4(0xc8000000 + (i << 8), 24), 1);
        }
        settle();
    }
    void announce(const prefix4& prefix, unsigned which) {
        ASSERT_TRUE(control->announce({prefix, hop[which]}).ok());
    }
    void settle() {
        while (!control->pump() || !control->settled()) {
            worker->apply();
        }
    }
    void link_down() {
        ASSERT_TRUE(control->set_up(link[1], false).ok());
        settle();
    }
    // Prefixes that were looked at since the last call.
    std::uint64_t steps() {
        const std::uint64_t now = control->counts().revised;
        return now - std::exchange(seen, now);
    }
    std::uint32_t way_of(std::uint32_t address) {
        settle();
        return worker->hop(worker->fib4().lookup(address)).gateway4.host();
    }

    static constexpr std::uint32_t table_size = 100'000;
    static constexpr std::uint32_t unsteady = 300;
    route_log log;
    std::unique_ptr<rib> control;
    std::unique_ptr<route_replica> worker;
    iface_id link[2];
    nexthop_id hop[2];
    std::uint64_t seen = 0;
};

TEST_F(fallback, without_dead_next_hops_nothing_is_looked_at) {
    steps();
    for (std::uint32_t i = 0; i < 100; ++i) {
        announce(make_prefix4(0x32000000 + (i << 8), 24), 0);
        control->pump();
    }
    EXPECT_EQ(0u, steps());
}

TEST_F(fallback, a_next_hop_that_dies_is_one_walk) {
    steps();
    link_down();
    const std::uint64_t walked = steps();
    EXPECT_GE(walked, table_size + unsteady);
    EXPECT_LE(walked, table_size + unsteady + 100);
    for (unsigned i = 0; i < 10; ++i) {
        control->pump();
    }
    EXPECT_EQ(0u, steps());
}

// What the first change has to look at takes several turns; the second one concerns what was looked
// at already.
TEST_F(fallback, a_prefix_that_changes_again_is_looked_at_again) {
    const prefix4 within = make_prefix4(0x15000000, 8);
    announce(make_prefix4(0x14000000, 7), 0);
    announce(within, 0);
    settle();
    link_down();
    ASSERT_TRUE(control->withdraw(within).ok());
    control->pump();
    ASSERT_FALSE(control->settled());
    announce(within, 1); // dead
    EXPECT_EQ(gateway(0), way_of(0x15c80001));
}

TEST_F(fallback, churn_beside_dead_next_hops_costs_what_it_changes) {
    link_down();
    steps();
    constexpr std::uint32_t changes = 2'000;
    for (std::uint32_t i = 0; i < changes; ++i) {
        const prefix4 prefix = make_prefix4(0x32000000 + (i % 500 << 8), 24);
        if (i / 500 % 2 == 0) {
            announce(prefix, 0);
        } else {
            ASSERT_TRUE(control->withdraw(prefix).ok());
        }
        control->pump();
        worker->apply();
    }
    settle();
    EXPECT_LE(steps(), changes);
    for (std::uint32_t i = 0; i < changes; ++i) { // and from one live next hop to another: nothing
        announce(make_prefix4(0x14000000 + (i << 8), 24), 0);
        control->pump();
    }
    EXPECT_EQ(0u, steps());
}

TEST_F(fallback, a_cover_that_comes_and_goes_costs_what_it_covers) {
    link_down();
    const prefix4 wide = make_prefix4(0xc8000000, 16); // the 256 first of the dead ones, and more
    const prefix4 wider = make_prefix4(0xc8000000, 8);
    for (const prefix4& cover : {wide, wider}) {
        steps();
        announce(cover, 0);
        EXPECT_EQ(gateway(0), way_of(0xc8000001));
        EXPECT_GE(steps(), 256u);
        ASSERT_TRUE(control->withdraw(cover).ok());
        EXPECT_EQ(0u, way_of(0xc8000001)) << "no route at all";
        EXPECT_LE(steps(), 2 * (unsteady + 300));
    }
    announce(wide, 1); // dead itself: nobody is better off
    EXPECT_EQ(0u, way_of(0xc8000001));
    announce(wider, 0);
    EXPECT_EQ(gateway(0), way_of(0xc8000001));
    ASSERT_TRUE(control->set_up(link[1], true).ok());
    EXPECT_EQ(gateway(1), way_of(0xc8000001));
    ASSERT_TRUE(control->withdraw(make_prefix4(0xc8000000, 24)).ok());
    EXPECT_EQ(gateway(1), way_of(0xc8000001)) << "by the /16";
}

TEST_F(fallback, very_many_changes_at_once_are_one_walk) {
    announce(make_prefix4(0xc8000000, 8), 0);
    link_down();
    steps();
    for (std::uint32_t i = 0; i < 10'000; ++i) { // dead from the start, below a live one
        announce(make_prefix4(0xc8100000 + (i << 8), 24), 1);
        worker->apply();
    }
    for (std::uint32_t i = 0; i < 10'000; i += 7) {
        EXPECT_EQ(gateway(0), way_of(0xc8100001 + (i << 8)));
    }
    EXPECT_LE(steps(), table_size + unsteady + 20'000);
    const auto verified = control->verify(
        0, prefix4{}, 1'000'000, [](const wrong_answer& wrong) { ADD_FAILURE() << wrong.prefix; });
    EXPECT_TRUE(verified.ok());
}

TEST_F(fallback, the_same_of_ipv6) {
    const address6 base{0x2001'0db8'0000'0000, 0};
    for (unsigned i = 0; i < 2; ++i) {
        ASSERT_TRUE(control->add_address(link[i], address6{0xfd00'0000'0000'0000 + i, 1}, 64).ok());
    }
    const auto six = [&](unsigned which) {
        route_target to;
        to.gateway6 = address6{0xfd00'0000'0000'0000 + which, 9};
        to.interface = link[which];
        return *control->hop({&to, 1});
    };
    const nexthop_id steady = six(0);
    const nexthop_id gone = six(1);
    for (std::uint64_t i = 0; i < 200; ++i) {
        const prefix6 prefix{{base.high + (i << 16), 0}, 48};
        ASSERT_TRUE(control->announce(feed_route6{prefix, gone}).ok());
    }
    link_down();
    steps();
    const auto way = [&](std::uint64_t i) {
        settle();
        const nexthop_id id = worker->lookup6(0, {base.high + (i << 16), 1});
        return id;
    };
    ASSERT_TRUE(control->announce(feed_route6{{base, 32}, steady}).ok());
    EXPECT_EQ(steady, way(7));
    EXPECT_LE(steps(), 210u);
    ASSERT_TRUE(control->announce(feed_route6{{{base.high + (500ULL << 16), 0}, 48}, gone}).ok());
    EXPECT_EQ(steady, way(500));
    EXPECT_LE(steps(), 3u);
    ASSERT_TRUE(control->withdraw(prefix6{base, 32}).ok());
    settle();
    EXPECT_LE(steps(), 210u);
    EXPECT_EQ(nexthop_kind::none, worker->hop(way(7)).kind);
}

} // namespace

} // namespace pantala
