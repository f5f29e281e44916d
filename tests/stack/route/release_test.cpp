// A next hop goes only when nothing leads through it any more: workers, entry by entry of the log,
// find a way for every packet.
#include "stack/route/rib.hpp"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace pantala::release_tests {

namespace {

constexpr std::uint32_t host(unsigned a, unsigned b, unsigned c, unsigned d) {
    return a << 24 | b << 16 | c << 8 | d;
}

route_target via(std::uint32_t gateway) {
    return {nexthop_kind::gateway, gateway, std::nullopt, 1};
}

class release_test : public testing::Test {
  protected:
    release_test() : control(std::move(*rib::make(log))), worker(std::move(*control->join())) {
        for (std::uint16_t i = 0; i < 3; ++i) {
            iface made;
            made.up = true;
            made.port = port_id{i};
            link[i] = *control->add_interface(made);
            EXPECT_TRUE(control->add_address(link[i], host(10, 0, i, 1), 24).ok());
        }
    }
    static route to(const char* prefix, std::vector<route_target> targets, unsigned metric = 0) {
        return {*parse_prefix4(prefix), 0, route_protocol::fixed, metric, 0, std::move(targets)};
    }
    void put(const char* prefix, std::vector<route_target> targets, unsigned metric = 0) {
        ASSERT_TRUE(control->replace(to(prefix, std::move(targets), metric)).ok());
    }
    void del(const char* prefix, unsigned metric = 0) {
        ASSERT_TRUE(control->del(to(prefix, {}, metric)).ok());
    }
    void settle() {
        while (!control->pump() || !control->settled()) {
            worker->apply();
        }
    }
    // Whether every flow to an address is sent to a gateway by a link that is up.
    bool leads(std::uint32_t address) const {
        const auto good = [this](const nexthop& way) {
            return way.kind == nexthop_kind::gateway && worker->interface(way.iface).up;
        };
        const nexthop& record = worker->hop(worker->fib4().lookup(address));
        if (record.kind != nexthop_kind::group) {
            return good(record);
        }
        bool all = true;
        for (unsigned flow = 0; flow < record.group_count; ++flow) {
            all = all && good(worker->hop(worker->bucket(
                             group_bucket(record.group_first, record.group_count, flow))));
        }
        return all;
    }
    // The same after each entry of what is in the log, and at the end.
    void expect_led(std::vector<std::uint32_t> addresses) {
        unsigned entries = 0;
        while (!control->pump() || !control->settled()) {
            worker->apply(1);
            ++entries;
            for (const std::uint32_t address : addresses) {
                ASSERT_TRUE(leads(address)) << format_address4(address) << " entry " << entries;
            }
        }
        EXPECT_GT(entries, 0u);
        EXPECT_EQ(worker->hash(), control->hash());
    }

    static constexpr std::uint32_t behind = host(40, 0, 0, 1);
    route_log log;
    std::unique_ptr<rib> control;
    std::unique_ptr<route_replica> worker;
    iface_id link[3];
};

TEST_F(release_test, a_gateway_behind_a_group_that_is_replaced) {
    put("172.16.0.0/16", {via(host(10, 0, 0, 8)), via(host(10, 0, 1, 8))});
    put("40.0.0.0/8", {via(host(172, 16, 0, 1))});
    settle();
    put("172.16.0.0/16", {via(host(10, 0, 0, 9)), via(host(10, 0, 1, 9))});
    expect_led({behind, host(172, 16, 0, 1)});
}

TEST_F(release_test, a_gateway_behind_a_group_that_is_deleted) {
    put("172.16.0.0/12", {via(host(10, 0, 2, 9))});
    put("172.16.0.0/16", {via(host(10, 0, 0, 8)), via(host(10, 0, 1, 8))});
    put("172.16.0.0/16", {via(host(10, 0, 0, 9)), via(host(10, 0, 1, 9))}, 7);
    put("40.0.0.0/8", {via(host(172, 16, 0, 1))});
    settle();
    del("172.16.0.0/16");
    expect_led({behind, host(172, 16, 0, 1)});
    del("172.16.0.0/16", 7);
    expect_led({behind, host(172, 16, 0, 1)});
}

// The same by a feed, whose next hops are given to it and go with their last route.
TEST_F(release_test, a_gateway_behind_a_feed) {
    const route_target first[] = {via(host(10, 0, 0, 8)), via(host(10, 0, 1, 8))};
    const route_target second[] = {via(host(10, 0, 0, 9)), via(host(10, 0, 1, 9))};
    const prefix4 between = *parse_prefix4("172.16.0.0/16");
    const nexthop_id one = *control->hop(first);
    const nexthop_id other = *control->hop(second);
    put("172.16.0.0/12", {via(host(10, 0, 2, 9))});
    ASSERT_TRUE(control->announce({between, one}).ok());
    put("40.0.0.0/8", {via(host(172, 16, 0, 1))});
    control->release(one);
    settle();
    ASSERT_TRUE(control->announce({between, other}).ok());
    control->release(other);
    expect_led({behind});
    ASSERT_TRUE(control->withdraw(between).ok());
    expect_led({behind});
}

// What is dead has the default's record.
TEST_F(release_test, dead_next_hops_behind_a_default_that_is_replaced) {
    put("0.0.0.0/0", {via(host(10, 0, 0, 8)), via(host(10, 0, 1, 8))});
    put("40.0.0.0/8", {via(host(10, 0, 2, 8))});
    ASSERT_TRUE(control->set_up(link[2], false).ok());
    settle();
    put("0.0.0.0/0", {via(host(10, 0, 0, 9)), via(host(10, 0, 1, 9))});
    expect_led({behind, host(50, 0, 0, 1)});
}

class release_of_a_table : public release_test {
  protected:
    static constexpr std::uint32_t size = 20'000; // compiled anew, not patched
    std::vector<feed_route> table(nexthop_id hop) const {
        std::vector<feed_route> made;
        for (std::uint32_t i = 0; i < size; ++i) {
            made.push_back({make_prefix4(host(20, 0, 0, 0) + (i << 8), 24), hop});
        }
        return made;
    }
    nexthop_id hop(std::uint32_t gateway) {
        const route_target target = via(gateway);
        return *control->hop({&target, 1});
    }
};

TEST_F(release_of_a_table, one_that_is_loaded_over_another) {
    const nexthop_id before = hop(host(10, 0, 0, 8));
    const nexthop_id after = hop(host(10, 0, 1, 8));
    ASSERT_TRUE(control->load(table(before)).ok());
    control->release(before);
    settle();
    ASSERT_TRUE(control->load(table(after)).ok());
    EXPECT_EQ(nexthop_kind::none, control->record(before).kind) << "gone, once it may";
    expect_led({host(20, 0, 0, 1), host(20, 50, 0, 1)});
}

TEST_F(release_of_a_table, one_that_is_flushed) {
    const nexthop_id feed = hop(host(10, 0, 0, 8));
    ASSERT_TRUE(control->load(table(feed)).ok());
    control->release(feed);
    put("20.0.0.0/8", {via(host(10, 0, 1, 8))});
    settle();
    std::size_t deleted = 0;
    ASSERT_TRUE(control->flush(route_protocol::bgp, deleted).ok());
    EXPECT_EQ(size, deleted);
    expect_led({host(20, 0, 0, 1), host(20, 50, 0, 1)});
    EXPECT_EQ(feed, hop(host(10, 0, 2, 8))) << "its number may be had again";
}

} // namespace

} // namespace pantala::release_tests
