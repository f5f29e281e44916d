// Routes in an order that restores, whatever becomes alive or dies while they are visited.
#include "stack/route/rib.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace pantala {

namespace {

class restore_test : public testing::Test {
  protected:
    struct network {
        network() : control(std::move(*rib::make(log))) {
            for (std::uint16_t i = 0; i < 2; ++i) {
                iface made;
                made.port = port_id{i};
                made.up = true;
                link[i] = *control->add_interface(made);
                EXPECT_TRUE(control->add_address(link[i], 0x0a000001 + (i << 8), 24).ok());
                EXPECT_TRUE(control->add_address(link[i], six(i, 1), 64).ok());
            }
        }
        void add(const char* prefix, const char* gateway, std::uint32_t metric = 0) {
            const route made{
                *parse_prefix4(prefix),
                0,
                route_protocol::fixed,
                metric,
                0,
                {{nexthop_kind::gateway, *parse_address4(gateway)}}};
            EXPECT_TRUE(control->add(made).ok()) << prefix;
        }
        route_log log;
        std::unique_ptr<rib> control;
        iface_id link[2];
    };

    static address6 six(unsigned net, unsigned host) {
        return {std::uint64_t{0x20010db800000000} + net, host};
    }
    static std::string name(const auto& one) {
        return format(one.prefix) + " " + std::to_string(one.metric.value_or(0));
    }
    // The operators' routes, `count` prefixes at a time, with something else in between.
    template <class Route, class Between>
    static std::vector<Route> saved(network& of, std::size_t count, const Between& between) {
        std::vector<Route> all;
        restore_walk<decltype(Route{}.prefix)> walk;
        const auto keep = [&](const Route& one) {
            if (one.protocol != route_protocol::kernel) {
                all.push_back(one);
            }
        };
        while (!of.control->visit_to_restore(0, walk, count, keep)) {
            between();
        }
        return all;
    }
    static std::vector<std::string> names(const std::vector<route>& all) {
        std::vector<std::string> texts;
        for (const route& one : all) {
            texts.push_back(name(one));
        }
        return texts;
    }
    static void nothing() {}

    network net;
};

using texts = std::vector<std::string>;

TEST_F(restore_test, each_comes_behind_what_it_is_reached_by) {
    net.add("90.0.0.0/8", "10.0.1.9");
    net.add("40.0.0.0/8", "90.0.0.1");
    net.add("40.0.0.0/8", "10.0.0.9", 5);
    net.add("35.0.0.0/8", "40.0.0.1");
    net.add("90.0.0.0/8", "40.0.0.1", 7); // by the other one's better route
    net.add("20.0.0.0/8", "10.0.0.9");
    EXPECT_EQ(
        names(saved<route>(net, 100, nothing)),
        (texts{
            "20.0.0.0/8 0", "90.0.0.0/8 0", "40.0.0.0/8 0", "40.0.0.0/8 5", "35.0.0.0/8 0",
            "90.0.0.0/8 7"}));
}

TEST_F(restore_test, what_leads_nowhere_comes_last_and_in_order_too) {
    net.add("90.0.0.0/8", "10.0.1.9");
    net.add("90.1.0.0/16", "10.0.1.9", 3);
    net.add("40.0.0.0/8", "90.1.0.1");
    net.add("35.0.0.0/8", "40.0.0.1");
    net.add("99.0.0.0/8", "10.0.0.9");
    ASSERT_TRUE(net.control->set_up(net.link[1], false).ok());
    for (const std::size_t count : {1, 2, 100}) {
        EXPECT_EQ(
            names(saved<route>(net, count, nothing)),
            (texts{
                "99.0.0.0/8 0", "90.1.0.0/16 3", "90.0.0.0/8 0", "40.0.0.0/8 0", "35.0.0.0/8 0"}));
    }
}

TEST_F(restore_test, what_is_reached_by_its_own_prefix_comes_behind_that) {
    net.add("84.0.0.0/8", "10.0.1.9", 2);
    net.add("84.0.0.0/8", "84.0.0.1");
    net.add("53.0.0.0/8", "84.0.0.1");
    const texts wanted{"84.0.0.0/8 2", "84.0.0.0/8 0", "53.0.0.0/8 0"};
    for (const bool up : {false, true}) {
        ASSERT_TRUE(net.control->set_up(net.link[1], up).ok());
        auto all = names(saved<route>(net, 1, nothing));
        EXPECT_EQ(all[0], wanted[0]) << up;
        std::ranges::sort(all, std::greater{});
        EXPECT_EQ(all, wanted) << up;
    }
}

TEST_F(restore_test, what_dies_or_lives_meanwhile_is_neither_left_out_nor_said_twice) {
    net.add("90.0.0.0/8", "10.0.1.9");
    net.add("40.0.0.0/8", "90.0.0.1");
    net.add("35.0.0.0/8", "40.0.0.1");
    net.add("99.0.0.0/8", "10.0.0.9");
    for (unsigned seed = 0; seed < 64; ++seed) { // a bit a turn: whether the link is up then
        unsigned turn = 0;
        const auto all = saved<route>(net, 1, [&] {
            const bool up = (seed >> (turn++ % 6) & 1) != 0;
            ASSERT_TRUE(net.control->set_up(net.link[1], up).ok());
        });
        std::map<std::string, std::size_t> places;
        for (std::size_t i = 0; i < all.size(); ++i) {
            places[name(all[i])] = i;
        }
        ASSERT_EQ(all.size(), 4U) << "seed " << seed;
        ASSERT_EQ(places.size(), 4U) << "seed " << seed;
        EXPECT_LT(places["90.0.0.0/8 0"], places["40.0.0.0/8 0"]) << "seed " << seed;
        EXPECT_LT(places["40.0.0.0/8 0"], places["35.0.0.0/8 0"]) << "seed " << seed;
        ASSERT_TRUE(net.control->set_up(net.link[1], true).ok());
    }
}

// One that is asked for gateways after the walk has passed its place.
TEST_F(restore_test, a_way_that_came_behind_the_walk_is_said_as_well) {
    net.add("40.0.0.0/8", "10.0.1.9");
    net.add("50.0.0.0/8", "10.0.1.9");
    bool changed = false;
    const auto all = saved<route>(net, 1, [&] {
        if (!changed) {
            net.add("30.0.0.0/8", "10.0.0.9");
            const route moved{
                *parse_prefix4("50.0.0.0/8"),
                0,
                route_protocol::fixed,
                0,
                0,
                {{nexthop_kind::gateway, *parse_address4("30.0.0.1")}}};
            ASSERT_TRUE(net.control->replace(moved).ok());
            changed = true;
        }
    });
    const texts wanted{"40.0.0.0/8 0", "30.0.0.0/8 0", "50.0.0.0/8 0"};
    const texts early{"30.0.0.0/8 0", "40.0.0.0/8 0", "50.0.0.0/8 0"};
    EXPECT_TRUE(names(all) == wanted || names(all) == early) << testing::PrintToString(names(all));
}

TEST_F(restore_test, what_stands_aside_is_said_once) {
    ASSERT_TRUE(net.control->set_up(net.link[0], false).ok());
    net.add("10.0.0.0/24", "10.0.1.9");
    net.add("10.0.0.0/24", "10.0.1.9", 4);
    for (const bool up : {false, true, false}) {
        ASSERT_TRUE(net.control->set_up(net.link[0], up).ok());
        const auto all = saved<route>(net, 100, nothing);
        EXPECT_EQ(names(all), (texts{"10.0.0.0/24 0", "10.0.0.0/24 4"}));
        EXPECT_EQ(all[0].aside, up);
    }
}

// Random routes of three ranks, each by a gateway on a link or in a route of the rank before, of
// both families; links that flap while they are saved. Another network takes them all, in the order
// in which they come.
TEST_F(restore_test, another_takes_them_in_this_order) {
    std::mt19937 random(5);
    for (unsigned round = 0; round < 8; ++round) {
        network from;
        network to;
        std::size_t made = 0;
        std::size_t made6 = 0;
        // Higher ranks are lower prefixes, or the other way round.
        const auto network_of = [&](unsigned rank) {
            return (round % 2 == 0 ? 2 - rank : rank) * 40 + 20 + random() % 8;
        };
        for (unsigned i = 0; i < 60; ++i) {
            const unsigned rank = i / 20;
            const unsigned link = random() % 2;
            const unsigned lead = rank == 0 || random() % 4 == 0 ? 0 : network_of(rank - 1);
            const unsigned own = network_of(rank);
            route one{
                make_prefix4(own << 24 | random() % 2 << 16, 8 + random() % 2 * 8), 0,
                route_protocol::fixed, random() % 3};
            one.targets = {
                {nexthop_kind::gateway, lead == 0 ? 0x0a000009 + (link << 8) : (lead << 24) + 1}};
            made += from.control->add(one).ok() ? 1 : 0;
            const auto high = [](unsigned of) {
                return 0x20010db800000000 + (std::uint64_t{of} << 16);
            };
            route6 six_one{
                make_prefix6({high(own), 0}, 48), 0, route_protocol::fixed, random() % 3};
            six_one.targets = {{}};
            six_one.targets[0].gateway6 = lead == 0 ? six(link, 9) : address6{high(lead), 9};
            made6 += from.control->add(six_one).ok() ? 1 : 0;
        }
        const auto flap = [&] {
            ASSERT_TRUE(from.control->set_up(from.link[random() % 2], random() % 2 == 0).ok());
        };
        const auto all = saved<route>(from, 1 + random() % 9, flap);
        const auto all6 = saved<route6>(from, 1 + random() % 9, flap);
        EXPECT_EQ(all.size(), made);
        EXPECT_EQ(all6.size(), made6);
        const auto take_all = [&](const auto& every) {
            for (const auto& one : every) {
                const auto done = to.control->replace(one);
                EXPECT_TRUE(done.ok()) << round << ": " << done.failure().text;
            }
        };
        take_all(all);
        take_all(all6);
    }
}

} // namespace

} // namespace pantala
