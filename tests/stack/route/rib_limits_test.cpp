// The RIB where next hops or room run out, and where several addresses bring one route: nothing is
// lost that was there.
#include "stack/route/rib.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace pantala::rib_limits_tests {

namespace {

constexpr std::uint32_t host(unsigned a, unsigned b, unsigned c, unsigned d) {
    return a << 24 | b << 16 | c << 8 | d;
}

prefix4 net(const char* text) {
    return *parse_prefix4(text);
}

class rib_limits : public testing::Test {
  protected:
    rib_limits() : control(std::move(*rib::make(log))), worker(std::move(*control->join())) {
        for (std::uint16_t i = 0; i < 2; ++i) {
            iface made;
            made.port = port_id{i};
            made.up = true;
            link[i] = *control->add_interface(made);
            EXPECT_TRUE(control->add_address(link[i], host(10, 0, i, 1), 24).ok());
        }
    }

    const nexthop& at(std::uint32_t address) {
        while (!control->pump() || !control->settled()) {
            worker->apply();
        }
        EXPECT_EQ(worker->hash(), control->hash());
        return worker->hop(worker->fib4().lookup(address));
    }
    result<void> refuse(const char* prefix) {
        return control->add(
            {net(prefix), 0, route_protocol::fixed, 0, 0, {{nexthop_kind::blackhole}}});
    }
    // Takes next hops until so many are left.
    void leave_hops(std::size_t left) {
        std::vector<nexthop_id> taken;
        for (std::uint32_t i = 0;; ++i) {
            const route_target way = {nexthop_kind::gateway, host(30, 0, 0, 0) + i, link[0], 1};
            const result<nexthop_id> hop = control->hop({&way, 1});
            if (!hop) {
                EXPECT_EQ(hop.failure().code, ENOSPC);
                break;
            }
            taken.push_back(*hop);
        }
        for (; left > 0; --left) {
            control->release(taken.back());
            taken.pop_back();
        }
    }

    route_log log;
    std::unique_ptr<rib> control;
    std::unique_ptr<route_replica> worker;
    iface_id link[2];
};

TEST_F(rib_limits, an_address_that_finds_no_next_hop_leaves_routes_as_they_are) {
    iface third;
    third.port = port_id{2};
    third.up = true;
    const iface_id fresh = *control->add_interface(third);
    for (const char* own : {"10.9.0.1/32", "10.9.0.0/24", "10.9.0.255/32"}) {
        ASSERT_TRUE(refuse(own).ok());
    }
    leave_hops(2); // of three
    EXPECT_EQ(control->add_address(fresh, host(10, 9, 0, 1), 24).failure().code, ENOSPC);
    EXPECT_TRUE(control->interface(fresh).ip4().empty());
    for (const unsigned last : {1, 2, 255}) {
        EXPECT_EQ(at(host(10, 9, 0, last)).kind, nexthop_kind::blackhole) << last;
    }
    ASSERT_TRUE(control->add_address(link[0], host(10, 9, 0, 1), 24).ok()) << "which has all three";
    EXPECT_EQ(at(host(10, 9, 0, 2)).kind, nexthop_kind::connected);
}

TEST_F(rib_limits, an_interface_that_finds_no_next_hop_stays_down) {
    ASSERT_TRUE(control->set_up(link[1], false).ok());
    for (const char* prefix : {"10.0.1.0/24", "10.0.1.255/32", "10.9.0.0/16"}) {
        ASSERT_TRUE(refuse(prefix).ok());
    }
    leave_hops(1); // of two: the local one is there
    EXPECT_EQ(control->set_up(link[1], true).failure().code, ENOSPC);
    EXPECT_FALSE(control->interface(link[1]).up);
    EXPECT_EQ(at(host(10, 0, 1, 2)).kind, nexthop_kind::blackhole);
    EXPECT_EQ(at(host(10, 0, 1, 255)).kind, nexthop_kind::blackhole);
}

TEST_F(rib_limits, an_address_that_finds_no_next_hop_stays_tentative) {
    iface third;
    third.port = port_id{2};
    third.up = true;
    const iface_id fresh = *control->add_interface(third);
    ASSERT_TRUE(control->add_address(fresh, host(10, 9, 0, 1), 24, address_tentative).ok());
    leave_hops(0);
    EXPECT_EQ(control->set_address_flags(fresh, host(10, 9, 0, 1), 0).failure().code, ENOSPC);
    EXPECT_EQ(control->interface(fresh).ip4()[0].flags, address_tentative);
    EXPECT_EQ(at(host(10, 9, 0, 1)).kind, nexthop_kind::connected);
}

TEST_F(rib_limits, what_two_addresses_bring_goes_with_the_last) {
    ASSERT_TRUE(control->add_address(link[0], host(10, 9, 0, 1), 24).ok());
    ASSERT_TRUE(control->add_address(link[1], host(10, 9, 0, 129), 25).ok());
    EXPECT_EQ(at(host(10, 9, 0, 255)).iface, link[0]) << "the broadcast address of both";
    ASSERT_TRUE(control->del_address(link[0], host(10, 9, 0, 1), 24).ok());
    EXPECT_EQ(at(host(10, 9, 0, 255)).kind, nexthop_kind::broadcast);
    EXPECT_EQ(at(host(10, 9, 0, 255)).iface, link[1]);
    ASSERT_TRUE(control->del_address(link[1], host(10, 9, 0, 129), 25).ok());
    EXPECT_EQ(at(host(10, 9, 0, 255)).kind, nexthop_kind::none);
}

TEST_F(rib_limits, an_address_is_ours_though_it_ends_another_link) {
    ASSERT_TRUE(control->add_address(link[0], host(10, 9, 0, 127), 24).ok());
    ASSERT_TRUE(control->add_address(link[1], host(10, 9, 0, 1), 25).ok());
    EXPECT_EQ(at(host(10, 9, 0, 127)).kind, nexthop_kind::local);
    ASSERT_TRUE(control->del_address(link[0], host(10, 9, 0, 127), 24).ok());
    EXPECT_EQ(at(host(10, 9, 0, 127)).kind, nexthop_kind::broadcast);
    ASSERT_TRUE(control->add_address(link[0], host(10, 9, 0, 127), 24).ok());
    EXPECT_EQ(at(host(10, 9, 0, 127)).kind, nexthop_kind::local) << "whichever comes first";
    ASSERT_TRUE(control->set_up(link[1], false).ok());
    EXPECT_EQ(at(host(10, 9, 0, 127)).kind, nexthop_kind::local);
}

TEST_F(rib_limits, ranges_with_long_prefixes_that_are_all_taken_can_be_given_back) {
    const route_target way{nexthop_kind::gateway, host(10, 0, 1, 9), std::nullopt, 1};
    const nexthop_id hop = *control->hop({&way, 1});
    std::vector<feed_route> feed;
    for (std::uint32_t i = 0; i + 2 < fib4_longs_max; ++i) { // two are the addresses'
        feed.push_back({make_prefix4(host(40, 0, 0, 7) + (i << 8), 32), hop});
    }
    ASSERT_TRUE(control->load(feed).ok());
    EXPECT_TRUE(control->load(feed).ok()) << "the same again takes none";
    const feed_route more{net("192.0.2.1/32"), hop};
    EXPECT_EQ(control->announce(more).failure().code, ENOMEM);
    EXPECT_EQ(at(host(192, 0, 2, 1)).kind, nexthop_kind::none);
    EXPECT_TRUE(control->announce({net("40.0.0.8/32"), hop}).ok()) << "in a range that is there";
    EXPECT_TRUE(control->withdraw(net("40.0.0.8/32")).ok());
    ASSERT_TRUE(control->withdraw(feed[0].prefix).ok());
    EXPECT_TRUE(control->announce(more).ok());
    EXPECT_EQ(at(host(192, 0, 2, 1)).gateway4.host(), host(10, 0, 1, 9));
    std::size_t deleted = 0;
    EXPECT_TRUE(control->flush(route_protocol::bgp, deleted).ok());
    EXPECT_EQ(deleted, feed.size());
    EXPECT_EQ(at(host(10, 0, 1, 1)).kind, nexthop_kind::local);
}

TEST_F(rib_limits, a_load_that_is_too_big_changes_nothing) {
    const route_target way{nexthop_kind::gateway, host(10, 0, 1, 9), std::nullopt, 1};
    std::vector<feed_route> feed(6'000'000, {net("40.0.0.0/24"), *control->hop({&way, 1})});
    const result<void> refused = control->load(feed);
    EXPECT_EQ(refused.failure().code, ENOMEM);
    EXPECT_NE(refused.failure().text.find("6,000,000"), std::string::npos);
    EXPECT_TRUE(control->find(net("40.0.0.0/24")).empty());
    EXPECT_EQ(at(host(10, 0, 0, 2)).kind, nexthop_kind::connected);
}

} // namespace

} // namespace pantala::rib_limits_tests
