// IPv6 routes of the RIB, up to what a worker's replica answers.
#include "stack/route/rib.hpp"
#include "tests/harness/slow_trie.hpp"

#include <map>
#include <random>

#include <gtest/gtest.h>

namespace pantala::rib6_tests {

namespace {

address6 ip(const char* text) {
    return *parse_address6(text);
}

prefix6 net(const char* text) {
    return *parse_prefix6(text);
}

route_target via(const char* gateway, std::optional<iface_id> dev = std::nullopt) {
    route_target made;
    made.gateway6 = ip(gateway);
    made.interface = dev;
    return made;
}

class rib6_test : public testing::Test {
  protected:
    rib6_test() : control(std::move(*rib::make(log))), worker(std::move(*control->join())) {
        for (std::uint16_t i = 0; i < 2; ++i) {
            iface made;
            made.port = port_id{i};
            link[i] = *control->add_interface(made);
            EXPECT_TRUE(control->set_up(link[i], true).ok());
        }
        EXPECT_TRUE(control->add_address(link[0], ip("2001:db8:0:1::1"), 64).ok());
        EXPECT_TRUE(control->add_address(link[1], ip("2001:db8:0:2::1"), 64).ok());
        settle();
    }

    void settle() {
        while (!control->pump() || !control->settled()) {
            worker->apply();
        }
        EXPECT_EQ(worker->hash(), control->hash());
    }
    const nexthop& at(const char* address) {
        settle();
        const address6 key = ip(address);
        nexthop_id bulk;
        worker->fib6().lookup({&key, 1}, &bulk);
        EXPECT_EQ(bulk, worker->fib6().lookup(key)) << address;
        EXPECT_EQ(bulk, worker->lookup6(0, key)) << address;
        return worker->hop(bulk);
    }
    result<void> add(const char* prefix, std::vector<route_target> targets, unsigned metric = 0) {
        return control->add({net(prefix), 0, route_protocol::fixed, metric, 0, std::move(targets)});
    }

    route_log log;
    std::unique_ptr<rib> control;
    std::unique_ptr<route_replica> worker;
    iface_id link[2];
};

// What is smaller no host believes: packets would vanish.
TEST_F(rib6_test, nothing_of_ipv6_is_under_1280_bytes) {
    const auto refused = [](const result<void>& done) {
        return !done && done.failure().code == EINVAL &&
               done.failure().text.find("1280") != std::string::npos;
    };
    EXPECT_TRUE(refused(control->set_mtu(link[0], 1279)));
    EXPECT_EQ(control->interface(link[0]).mtu, 1500);
    EXPECT_TRUE(control->set_mtu(link[0], 1280).ok());
    route6 narrow{net("2001:db8:7::/48"), 0, route_protocol::fixed, 0, 1279, {}};
    narrow.targets = {via("2001:db8:0:1::2")};
    EXPECT_TRUE(refused(control->add(narrow)));
    EXPECT_TRUE(refused(control->replace(narrow)));
    const route_target gateway = via("2001:db8:0:1::2");
    EXPECT_FALSE(control->hop({&gateway, 1}, 1279).ok());
    narrow.mtu = 1280;
    EXPECT_TRUE(control->add(narrow).ok());
    // A link without addresses, but with a route.
    iface spare;
    spare.port = port_id{7};
    spare.up = true;
    const iface_id third = *control->add_interface(spare);
    const std::vector<route_target> over = {{nexthop_kind::connected, 0, third, 1}};
    ASSERT_TRUE(add("2001:db8:8::/48", {over}).ok());
    EXPECT_TRUE(refused(control->set_mtu(third, 1000)));
    ASSERT_TRUE(control->del(route6{net("2001:db8:8::/48")}).ok());
    EXPECT_TRUE(control->set_mtu(third, 1000).ok());
    EXPECT_TRUE(refused(add("2001:db8:8::/48", {over})));
    EXPECT_TRUE(refused(control->add_address(third, ip("2001:db8:0:7::1"), 64)));
    EXPECT_TRUE(refused(control->add_address(third, ip("fe80::1"), 64)));
    EXPECT_TRUE(control->add_address(third, 0x0a070001, 24).ok()) << "IPv4 goes over it";
}

TEST_F(rib6_test, an_address_brings_its_routes) {
    EXPECT_EQ(at("2001:db8:0:1::1").kind, nexthop_kind::local);
    EXPECT_EQ(at("2001:db8:0:1::").kind, nexthop_kind::local) << "the subnet's router anycast";
    EXPECT_EQ(at("2001:db8:0:1::2").kind, nexthop_kind::connected);
    EXPECT_EQ(at("2001:db8:0:1:ffff:ffff:ffff:ffff").kind, nexthop_kind::connected);
    EXPECT_EQ(at("2001:db8:0:2::2").iface, link[1]);
    EXPECT_EQ(at("2001:db8:0:3::2").kind, nexthop_kind::none);
    EXPECT_EQ(at("::").kind, nexthop_kind::none);
    EXPECT_EQ(at("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").kind, nexthop_kind::none);
}

TEST_F(rib6_test, a_link_local_address_is_the_links_own) {
    ASSERT_TRUE(control->add_address(link[0], ip("fe80::1"), 64).ok());
    ASSERT_TRUE(control->add_address(link[1], ip("fe80::1"), 64).ok());
    EXPECT_EQ(at("fe80::1").kind, nexthop_kind::none);
    EXPECT_TRUE(worker->interface(link[1]).ip6()[1].is_link_local());
    ASSERT_TRUE(control->del_address(link[0], ip("fe80::1"), 64).ok());
    settle();
    EXPECT_EQ(worker->interface(link[0]).address6_count, 1);
}

TEST_F(rib6_test, a_link_of_two_interfaces_is_there_as_long_as_one_of_them) {
    const address6 second = ip("2001:db8:0:1::2");
    const auto link_leads_to = [&](iface_id expected) {
        EXPECT_EQ(at("2001:db8:0:1::99").kind, nexthop_kind::connected);
        EXPECT_EQ(at("2001:db8:0:1::99").iface, expected);
        EXPECT_EQ(at("2001:db8:0:1::").kind, nexthop_kind::local);
        EXPECT_EQ(at("2001:db8:0:1::").iface, expected);
    };
    const std::size_t hops = control->counts().hops;
    ASSERT_TRUE(control->add_address(link[1], second, 64).ok());
    link_leads_to(link[0]); // which had it before
    ASSERT_TRUE(control->del_address(link[0], ip("2001:db8:0:1::1"), 64).ok());
    link_leads_to(link[1]);
    ASSERT_TRUE(control->add_address(link[0], ip("2001:db8:0:1::1"), 64).ok());
    link_leads_to(link[1]);
    ASSERT_TRUE(control->set_up(link[1], false).ok());
    link_leads_to(link[0]);
    ASSERT_TRUE(control->set_up(link[1], true).ok());
    ASSERT_TRUE(control->set_table(link[0], 5).ok());
    link_leads_to(link[1]);
    ASSERT_TRUE(control->set_table(link[0], 0).ok());
    ASSERT_TRUE(control->set_address_flags(link[1], second, address_duplicate).ok());
    EXPECT_EQ(at("2001:db8:0:1::99").iface, link[1]) << "still a station of the link";
    EXPECT_EQ(at("2001:db8:0:1::").iface, link[0]) << "whose address is its own";
    ASSERT_TRUE(control->set_address_flags(link[1], second, 0).ok());
    ASSERT_TRUE(control->del_interface(link[1]).ok());
    link_leads_to(link[0]);
    ASSERT_TRUE(control->del_address(link[0], ip("2001:db8:0:1::1"), 64).ok());
    EXPECT_EQ(at("2001:db8:0:1::99").kind, nexthop_kind::none);
    EXPECT_EQ(at("2001:db8:0:1::").kind, nexthop_kind::none);
    EXPECT_LT(control->counts().hops, hops);
}

TEST_F(rib6_test, a_tentative_address_is_not_ours_yet) {
    ASSERT_TRUE(control->add_address(link[0], ip("2001:db8:5::1"), 64, address_tentative).ok());
    EXPECT_EQ(at("2001:db8:5::1").kind, nexthop_kind::connected);
    ASSERT_TRUE(control->set_address_flags(link[0], ip("2001:db8:5::1"), 0).ok());
    EXPECT_EQ(at("2001:db8:5::1").kind, nexthop_kind::local);
    ASSERT_TRUE(control->set_address_flags(link[0], ip("2001:db8:5::1"), address_duplicate).ok());
    EXPECT_EQ(at("2001:db8:5::1").kind, nexthop_kind::connected);
    EXPECT_EQ(at("2001:db8:5::").kind, nexthop_kind::connected);
}

TEST_F(rib6_test, bad_addresses_are_refused) {
    for (const char* bad : {"::", "::1", "ff02::1"}) {
        EXPECT_FALSE(control->add_address(link[0], ip(bad), 64).ok()) << bad;
    }
    EXPECT_FALSE(control->add_address(link[1], ip("2001:db8:0:1::1"), 64).ok()) << "taken";
    EXPECT_FALSE(control->add_address(link[1], ip("2001:db8:9::1"), 129).ok());
    EXPECT_FALSE(control->del_address(link[1], ip("2001:db8:9::1"), 64).ok());
}

TEST_F(rib6_test, longest_prefix_wins_at_every_length) {
    for (unsigned length = 1; length <= 128; ++length) {
        const prefix6 prefix = make_prefix6(ip("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"), length);
        const std::string gateway = "2001:db8:0:1::" + std::to_string(1000 + length);
        ASSERT_TRUE(
            control->add({prefix, 0, route_protocol::fixed, 0, 0, {via(gateway.c_str())}}).ok());
    }
    for (unsigned length = 1; length <= 128; ++length) {
        address6 differs = ip("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff");
        if (length < 64) {
            differs.high ^= std::uint64_t{1} << (63 - length);
        } else if (length < 128) {
            differs.low ^= std::uint64_t{1} << (127 - length);
        }
        const std::string gateway = "2001:db8:0:1::" + std::to_string(1000 + length);
        const nexthop& hop = at(format_address6(differs).c_str());
        EXPECT_TRUE(hop.via6);
        EXPECT_EQ(address6::from_bytes(hop.gateway6), ip(gateway.c_str())) << length;
    }
}

TEST_F(rib6_test, the_default_route_is_one_record) {
    ASSERT_TRUE(add("::/0", {via("2001:db8:0:1::9")}).ok());
    settle();
    EXPECT_EQ(worker->fib6().lookup(ip("3fff::1")), nexthop_default6);
    EXPECT_EQ(at("3fff::1").iface, link[0]);
    ASSERT_TRUE(control->del({net("::/0"), 0, route_protocol::fixed, {}, 0, {}}).ok());
    EXPECT_EQ(at("3fff::1").kind, nexthop_kind::none);
}

TEST_F(rib6_test, gateways_are_found_through_the_table) {
    EXPECT_FALSE(add("2001:db8:8000::/33", {via("2001:db8:aaaa::1")}).ok()) << "no way to it";
    EXPECT_FALSE(add("2001:db8:8000::/33", {via("fe80::1")}).ok()) << "needs an interface";
    route_target ip4_gateway;
    ip4_gateway.gateway = 0x0a000001;
    EXPECT_FALSE(add("2001:db8:8000::/33", {ip4_gateway}).ok());
    ASSERT_TRUE(add("2001:db8:aaaa::/48", {via("2001:db8:0:2::5")}).ok());
    ASSERT_TRUE(add("2001:db8:8000::/33", {via("2001:db8:aaaa::1")}).ok());
    EXPECT_EQ(at("2001:db8:8000::1").iface, link[1]);
    EXPECT_EQ(address6::from_bytes(at("2001:db8:8000::1").gateway6), ip("2001:db8:0:2::5"));
    // The way to the gateway moves: a record, no table.
    const std::uint64_t before = control->generation();
    ASSERT_TRUE(control
                    ->replace(
                        {net("2001:db8:aaaa::/48"),
                         0,
                         route_protocol::fixed,
                         0,
                         0,
                         {via("fe80::7", link[0])}})
                    .ok());
    EXPECT_EQ(at("2001:db8:8000::1").iface, link[0]);
    EXPECT_LE(control->generation() - before, 4U);
    ASSERT_TRUE(control->set_up(link[0], false).ok());
    EXPECT_EQ(at("2001:db8:8000::1").kind, nexthop_kind::none);
}

TEST_F(rib6_test, routes_are_listed_in_order_and_found) {
    ASSERT_TRUE(add("2001:db8:8000::/33", {via("2001:db8:0:1::9")}).ok());
    ASSERT_TRUE(add("::/0", {via("2001:db8:0:1::9")}).ok());
    EXPECT_EQ(control->get(ip("2001:db8:8001::"))->prefix, net("2001:db8:8000::/33"));
    EXPECT_EQ(control->get(ip("2001:db8:0:1::5"))->prefix, net("2001:db8:0:1::/64"));
    std::vector<prefix6> seen;
    std::optional<prefix6> next = prefix6{};
    while (next) {
        next = control->visit(0, *next, 2, [&](const route6& one) { seen.push_back(one.prefix); });
    }
    EXPECT_EQ(seen.size(), control->counts().routes6);
    EXPECT_EQ(seen.size(), 8U);
    EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
    EXPECT_EQ(control->find(net("::/0")).size(), 1U);
}

TEST_F(rib6_test, verify_finds_the_replica_that_differs) {
    ASSERT_TRUE(add("2001:db8:8000::/33", {via("2001:db8:0:1::9")}).ok());
    EXPECT_FALSE(control->hash_replicas().ok()) << "the worker has not applied it";
    settle();
    auto other = std::move(*control->join());
    std::size_t wrong = 0;
    const auto count = [&](const wrong_answer& what) {
        ++wrong;
        EXPECT_EQ(what.reader, other->reader());
    };
    auto states = *control->hash_replicas();
    ASSERT_EQ(states.size(), 2U);
    EXPECT_TRUE(states[0].alike && states[1].alike);
    EXPECT_EQ(control->verify(0, prefix6{}, 1000, count)->addresses, 2 * control->counts().routes6);
    EXPECT_EQ(control->verify(0, prefix4{}, 1000, count)->next, std::nullopt);
    EXPECT_EQ(wrong, 0U);
    // Somebody scribbles over the second replica's table.
    auto* words = const_cast<std::uint32_t*>(other->fib6().words());
    const std::uint32_t root = 0x2001 >> 4;
    words[root] = fib6_image::first_block;
    states = *control->hash_replicas();
    EXPECT_TRUE(states[0].alike && !states[1].alike);
    ASSERT_TRUE(control->verify(0, prefix6{}, 1000, count).ok());
    EXPECT_GT(wrong, 0U);
    control->leave(*other);
}

TEST_F(rib6_test, tables_are_apart) {
    iface made;
    made.port = port_id{5};
    made.table = 7;
    const iface_id other = *control->add_interface(made);
    ASSERT_TRUE(control->set_up(other, true).ok());
    ASSERT_TRUE(control->add_address(other, ip("2001:db8:0:1::1"), 64).ok());
    settle();
    EXPECT_EQ(worker->hop(worker->lookup6(7, ip("2001:db8:0:1::5"))).iface, other);
    EXPECT_EQ(worker->hop(worker->lookup6(7, ip("2001:db8:0:2::5"))).kind, nexthop_kind::none);
    EXPECT_EQ(at("2001:db8:0:1::5").iface, link[0]);
}

} // namespace

} // namespace pantala::rib6_tests
