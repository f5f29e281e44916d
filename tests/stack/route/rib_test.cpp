// The RIB as an operator sees it: routes, addresses, links that go up and down, gateways behind
// gateways, ECMP.
#include "stack/route/rib.hpp"

#include <algorithm>
#include <map>

#include <gtest/gtest.h>

namespace pantala {

namespace {

constexpr std::uint32_t host(unsigned a, unsigned b, unsigned c, unsigned d) {
    return a << 24 | b << 16 | c << 8 | d;
}

prefix4 net(const char* text) {
    return *parse_prefix4(text);
}

route_target via(std::uint32_t gateway, std::uint16_t weight = 1) {
    return {nexthop_kind::gateway, gateway, std::nullopt, weight};
}

struct changes {
    std::vector<nexthop_id> hops;
    std::vector<iface_id> ifaces;
    void nexthop_changed(nexthop_id id) { hops.push_back(id); }
    void iface_changed(iface_id id) { ifaces.push_back(id); }
};

class rib_test : public testing::Test {
  protected:
    rib_test() : control(std::move(*rib::make(log))), worker(std::move(*control->join())) {
        for (std::uint16_t i = 0; i < 2; ++i) {
            iface made;
            made.port = port_id{i};
            link[i] = *control->add_interface(made);
            EXPECT_TRUE(control->set_up(link[i], true).ok());
            EXPECT_TRUE(control->add_address(link[i], host(10, 0, i, 1), 24).ok());
        }
        settle();
    }

    // What the worker was told on the way.
    changes settle() {
        changes told;
        while (!control->pump() || !control->settled()) {
            worker->apply(route_patches_round, told);
        }
        EXPECT_EQ(worker->hash(), control->hash());
        return told;
    }
    const nexthop& at(std::uint32_t address) {
        settle();
        return worker->hop(worker->fib4().lookup(address));
    }
    result<void> add(const char* prefix, std::vector<route_target> targets, unsigned metric = 0) {
        return control->add({net(prefix), 0, route_protocol::fixed, metric, 0, std::move(targets)});
    }

    route_log log;
    std::unique_ptr<rib> control;
    std::unique_ptr<route_replica> worker;
    iface_id link[2];
};

TEST_F(rib_test, an_address_brings_its_routes) {
    EXPECT_EQ(at(host(10, 0, 0, 1)).kind, nexthop_kind::local);
    EXPECT_EQ(at(host(10, 0, 0, 2)).kind, nexthop_kind::connected);
    EXPECT_EQ(at(host(10, 0, 1, 2)).iface, link[1]);
    EXPECT_EQ(at(host(10, 0, 0, 255)).kind, nexthop_kind::broadcast);
    EXPECT_EQ(at(host(10, 0, 2, 1)).kind, nexthop_kind::none);
    EXPECT_EQ(worker->interface(link[1]).ip4()[0].address.host(), host(10, 0, 1, 1));
}

TEST_F(rib_test, the_routes_of_an_address_are_its_own) {
    const route_target way = {nexthop_kind::gateway, host(10, 0, 1, 9), std::nullopt, 1};
    const nexthop_id hop = *control->hop({&way, 1});
    for (const char* own : {"10.0.0.1/32", "10.0.0.0/24", "10.0.0.255/32"}) {
        const route wanted{net(own), 0, route_protocol::fixed, std::nullopt, 0, {way}};
        for (const result<void>& done :
             {control->add(wanted), control->replace(wanted), control->append(wanted),
              control->del({net(own), 0, route_protocol::fixed, std::nullopt, 0, {}}),
              control->announce({net(own), hop}, route_protocol::fixed)}) {
            ASSERT_FALSE(done.ok()) << own;
            EXPECT_NE(done.failure().text.find("addr del"), std::string::npos);
        }
    }
    std::vector<feed_route> table = {{net("10.0.0.1/32"), hop}, {net("30.0.0.0/8"), hop}};
    ASSERT_TRUE(control->load(table, route_protocol::fixed).ok());
    for (std::uint32_t i = 0; i < 20'000; ++i) {
        table.push_back({make_prefix4(host(40, 0, 0, 0) + (i << 8), 24), hop});
    }
    ASSERT_TRUE(control->load(table, route_protocol::fixed).ok());
    EXPECT_EQ(at(host(10, 0, 0, 1)).kind, nexthop_kind::local);
    EXPECT_EQ(at(host(10, 0, 0, 2)).kind, nexthop_kind::connected);
    EXPECT_EQ(at(host(30, 0, 0, 1)).kind, nexthop_kind::gateway);
    EXPECT_EQ(at(host(40, 1, 0, 1)).kind, nexthop_kind::gateway);
    // One of a higher metric stands behind it.
    ASSERT_TRUE(control->add({net("10.0.0.1/32"), 0, route_protocol::fixed, 5, 0, {way}}).ok());
    EXPECT_EQ(at(host(10, 0, 0, 1)).kind, nexthop_kind::local);
}

TEST_F(rib_test, an_address_comes_whole_or_not_at_all) {
    const route_target way = {nexthop_kind::gateway, host(10, 0, 1, 9), std::nullopt, 1};
    const nexthop_id hop = *control->hop({&way, 1});
    result<void> done;
    for (std::uint32_t i = 0; done && i < 1U << 22; ++i) { // until the worker is too far behind
        done = control->announce({make_prefix4(host(40, 0, 0, 0) + (i << 8), 24), hop});
        control->pump();
    }
    ASSERT_EQ(done.failure().code, EAGAIN);
    const result<void> refused = control->add_address(link[0], host(10, 9, 0, 1), 24);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(control->interface(link[0]).ip4().size(), 1U);
    EXPECT_TRUE(control->find(net("10.9.0.1/32")).empty());
    std::size_t deleted = 0;
    EXPECT_EQ(control->flush(route_protocol::bgp, deleted).failure().code, EAGAIN);
    EXPECT_EQ(deleted, 0U);
    settle();
    ASSERT_TRUE(control->add_address(link[0], host(10, 9, 0, 1), 24).ok());
    EXPECT_EQ(at(host(10, 9, 0, 1)).kind, nexthop_kind::local);
}

TEST_F(rib_test, the_first_and_last_of_a_link_are_no_station) {
    for (const auto& [address, length] :
         {std::pair{host(10, 7, 0, 0), 24U},
          {host(10, 7, 0, 255), 24U},
          std::pair{host(127, 0, 0, 1), 8U},
          {host(0, 1, 2, 3), 8U},
          std::pair{host(10, 7, 0, 4), 30U},
          {host(10, 7, 0, 7), 30U},
          std::pair{host(240, 0, 0, 1), 24U},
          {host(255, 255, 255, 255), 32U}}) {
        EXPECT_FALSE(control->add_address(link[0], address, length).ok())
            << format_address4(address) << "/" << length;
    }
    EXPECT_TRUE(control->add_address(link[0], host(10, 7, 0, 0), 31).ok()) << "RFC 3021";
    EXPECT_TRUE(control->add_address(link[1], host(10, 8, 0, 3), 31).ok());
    EXPECT_TRUE(control->add_address(link[1], host(10, 6, 0, 0), 32).ok());
}

TEST_F(rib_test, a_second_address_of_a_link_keeps_the_link_when_it_goes) {
    ASSERT_TRUE(control->add_address(link[0], host(10, 0, 0, 7), 24).ok());
    ASSERT_TRUE(control->del_address(link[0], host(10, 0, 0, 1), 24).ok());
    EXPECT_EQ(at(host(10, 0, 0, 1)).kind, nexthop_kind::connected);
    EXPECT_EQ(at(host(10, 0, 0, 7)).kind, nexthop_kind::local);
    EXPECT_EQ(at(host(10, 0, 0, 255)).kind, nexthop_kind::broadcast);
    ASSERT_TRUE(control->del_address(link[0], host(10, 0, 0, 7), 24).ok());
    EXPECT_EQ(at(host(10, 0, 0, 7)).kind, nexthop_kind::none);
}

TEST_F(rib_test, addresses_that_cannot_be) {
    EXPECT_FALSE(control->add_address(link[0], host(10, 0, 0, 1), 24).ok()) << "ours already";
    EXPECT_FALSE(control->add_address(link[0], host(10, 0, 1, 9), 24).ok()) << "another's link";
    EXPECT_FALSE(control->add_address(link[0], host(224, 0, 0, 1), 24).ok()) << "multicast";
    EXPECT_FALSE(control->add_address(link[0], 0, 24).ok());
    EXPECT_FALSE(control->add_address(link[0], host(1, 1, 1, 1), 33).ok());
    EXPECT_FALSE(control->del_address(link[0], host(9, 9, 9, 9), 24).ok());
    EXPECT_FALSE(control->add_address(iface_id{77}, host(9, 9, 9, 9), 24).ok());
}

TEST_F(rib_test, add_replace_append_delete) {
    ASSERT_TRUE(add("192.0.2.0/24", {via(host(10, 0, 0, 9))}).ok());
    EXPECT_EQ(add("192.0.2.0/24", {via(host(10, 0, 0, 8))}).failure().code, EEXIST);
    EXPECT_EQ(at(host(192, 0, 2, 1)).gateway4.host(), host(10, 0, 0, 9));
    const route other{net("192.0.2.0/24"),     0, route_protocol::fixed, 0, 1400,
                      {via(host(10, 0, 1, 8))}};
    ASSERT_TRUE(control->replace(other).ok());
    EXPECT_EQ(at(host(192, 0, 2, 1)).iface, link[1]);
    EXPECT_EQ(at(host(192, 0, 2, 1)).mtu, 1400);
    route gone{net("192.0.2.0/24")};
    ASSERT_TRUE(control->del(gone).ok());
    EXPECT_EQ(control->del(gone).failure().code, ESRCH);
    EXPECT_EQ(at(host(192, 0, 2, 1)).kind, nexthop_kind::none);
}

TEST_F(rib_test, the_default_is_one_record) {
    ASSERT_TRUE(add("default", {via(host(10, 0, 0, 9))}).ok());
    settle();
    const std::uint64_t before = control->generation();
    EXPECT_EQ(at(host(8, 8, 8, 8)).gateway4.host(), host(10, 0, 0, 9));
    const route other{prefix4{}, 0, route_protocol::fixed, 0, 0, {via(host(10, 0, 1, 9))}};
    ASSERT_TRUE(control->replace(other).ok());
    EXPECT_EQ(at(host(8, 8, 8, 8)).gateway4.host(), host(10, 0, 1, 9));
    EXPECT_LE(control->generation() - before, 3U) << "no table entry is rewritten";
    EXPECT_EQ(control->get(host(8, 8, 8, 8))->targets.front().gateway, host(10, 0, 1, 9));
}

TEST_F(rib_test, verdicts) {
    for (const auto& [prefix, kind] : std::map<const char*, nexthop_kind>{
             {"198.51.100.0/26", nexthop_kind::blackhole},
             {"198.51.100.64/26", nexthop_kind::unreachable},
             {"198.51.100.128/26", nexthop_kind::prohibit}}) {
        ASSERT_TRUE(add(prefix, {{kind, 0, std::nullopt, 1}}).ok());
        EXPECT_EQ(at(net(prefix).address + 1).kind, kind);
    }
}

TEST_F(rib_test, a_gateway_out_of_reach_is_refused) {
    const result<void> refused = add("192.0.2.0/24", {via(host(172, 16, 0, 1))});
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.failure().code, ENETUNREACH);
    EXPECT_NE(refused.failure().text.find("172.16.0.1"), std::string::npos);
    EXPECT_TRUE(control->find(net("192.0.2.0/24")).empty());
}

TEST_F(rib_test, the_lower_metric_is_used_while_it_is_live) {
    ASSERT_TRUE(add("192.0.2.0/24", {via(host(10, 0, 0, 9))}, 10).ok());
    ASSERT_TRUE(add("192.0.2.0/24", {via(host(10, 0, 1, 9))}, 20).ok());
    EXPECT_EQ(at(host(192, 0, 2, 1)).iface, link[0]);
    ASSERT_TRUE(control->set_up(link[0], false).ok());
    EXPECT_EQ(at(host(192, 0, 2, 1)).iface, link[1]);
    ASSERT_TRUE(control->set_up(link[0], true).ok());
    EXPECT_EQ(at(host(192, 0, 2, 1)).iface, link[0]) << "static routes come back";
    EXPECT_EQ(control->find(net("192.0.2.0/24")).size(), 2U);
}

TEST_F(rib_test, the_less_specific_takes_over_where_all_next_hops_are_dead) {
    route_target steady = via(host(10, 0, 0, 9));
    route_target unsteady = via(host(10, 0, 1, 9));
    steady.interface = link[0];
    unsteady.interface = link[1];
    ASSERT_TRUE(add("0.0.0.0/0", {via(host(10, 0, 0, 8))}).ok());
    ASSERT_TRUE(add("20.0.0.0/8", {steady}).ok());
    ASSERT_TRUE(add("20.1.0.0/16", {unsteady}).ok());
    ASSERT_TRUE(add("20.1.1.0/24", {unsteady}).ok());
    ASSERT_TRUE(add("20.1.1.7/32", {unsteady}).ok());
    ASSERT_TRUE(add("30.0.0.0/8", {unsteady}).ok());
    const auto verified = [&] {
        settle();
        const auto done = control->verify(
            0, prefix4{}, 1000, [](const wrong_answer& wrong) { ADD_FAILURE() << wrong.prefix; });
        return done.ok() && done->addresses > 10;
    };
    for (unsigned turn = 0; turn < 3; ++turn) {
        for (const std::uint32_t to : {host(20, 1, 1, 7), host(20, 1, 1, 8), host(20, 1, 2, 1)}) {
            EXPECT_EQ(at(to).gateway4.host(), host(10, 0, 1, 9));
        }
        EXPECT_TRUE(verified());
        ASSERT_TRUE(control->set_up(link[1], false).ok());
        for (const std::uint32_t to : {host(20, 1, 1, 7), host(20, 1, 1, 8), host(20, 1, 2, 1)}) {
            EXPECT_EQ(at(to).gateway4.host(), host(10, 0, 0, 9));
            EXPECT_EQ(format(control->get(to)->prefix), "20.0.0.0/8");
        }
        EXPECT_EQ(at(host(30, 0, 0, 1)).gateway4.host(), host(10, 0, 0, 8));
        EXPECT_EQ(control->get(host(30, 0, 0, 1))->prefix.length, 0);
        EXPECT_TRUE(verified());
        // What the table is told meanwhile counts, too.
        ASSERT_TRUE(add("20.1.0.0/20", {steady}).ok());
        ASSERT_TRUE(add("20.1.2.0/24", {unsteady}).ok());
        EXPECT_EQ(format(control->get(host(20, 1, 2, 1))->prefix), "20.1.0.0/20");
        EXPECT_EQ(at(host(20, 1, 2, 1)).gateway4.host(), host(10, 0, 0, 9));
        EXPECT_TRUE(verified());
        ASSERT_TRUE(control->del({net("20.1.2.0/24"), 0, {}, 0U, 0, {}}).ok());
        ASSERT_TRUE(control->del({net("20.1.0.0/20"), 0, {}, 0U, 0, {}}).ok());
        ASSERT_TRUE(control->set_up(link[1], true).ok());
    }
    ASSERT_TRUE(control->del({net("0.0.0.0/0"), 0, {}, 0U, 0, {}}).ok());
    ASSERT_TRUE(control->set_up(link[1], false).ok());
    EXPECT_EQ(at(host(30, 0, 0, 1)).kind, nexthop_kind::none);
    EXPECT_FALSE(control->get(host(30, 0, 0, 1)).ok());
}

TEST_F(rib_test, a_gateway_is_reached_by_the_longest_route_that_lives) {
    route_target unsteady = via(host(10, 0, 1, 9));
    unsteady.interface = link[1];
    ASSERT_TRUE(add("20.0.0.0/8", {via(host(10, 0, 0, 9))}).ok());
    ASSERT_TRUE(add("20.1.0.0/16", {unsteady}).ok());
    ASSERT_TRUE(add("40.0.0.0/8", {via(host(20, 1, 0, 1))}).ok());
    EXPECT_EQ(at(host(40, 0, 0, 1)).gateway4.host(), host(10, 0, 1, 9));
    ASSERT_TRUE(control->set_up(link[1], false).ok());
    EXPECT_EQ(at(host(40, 0, 0, 1)).gateway4.host(), host(10, 0, 0, 9));
    ASSERT_TRUE(control->set_up(link[1], true).ok());
    EXPECT_EQ(at(host(40, 0, 0, 1)).gateway4.host(), host(10, 0, 1, 9));
}

TEST_F(rib_test, the_next_metric_takes_over_by_records_alone_and_loses_no_packet) {
    constexpr std::uint32_t prefixes = 500;
    ASSERT_TRUE(add("172.16.0.0/16", {via(host(10, 0, 1, 9))}, 10).ok()); // the way to gateways
    ASSERT_TRUE(add("172.16.0.0/16", {via(host(10, 0, 0, 9))}, 20).ok());
    for (std::uint32_t i = 0; i < prefixes; ++i) {
        const prefix4 to = make_prefix4(host(30, 0, 0, 0) + (i << 8), 24);
        ASSERT_TRUE(control->add({to, 0, {}, 10U, 0, {via(host(10, 0, 1, 9))}}).ok());
        ASSERT_TRUE(control->add({to, 0, {}, 20U, 0, {via(host(10, 0, 0, 9))}}).ok());
    }
    ASSERT_TRUE(add("40.0.0.0/8", {via(host(172, 16, 0, 1))}).ok());
    settle();
    for (unsigned turn = 0; turn < 4; ++turn) {
        const bool up = turn % 2 == 1;
        const std::uint64_t before = control->generation();
        ASSERT_TRUE(control->set_up(link[1], up).ok());
        EXPECT_LT(control->generation(), before + 20);
        while (!control->pump() || !control->settled()) {
            worker->apply(1);
            for (const std::uint32_t to : {host(30, 0, 0, 1), host(40, 0, 0, 1)}) {
                const nexthop& now = worker->hop(worker->fib4().lookup(to));
                ASSERT_EQ(now.kind, nexthop_kind::gateway);
                ASSERT_TRUE(worker->interface(now.iface).up);
            }
        }
        for (const std::uint32_t to : {host(30, 0, 0, 1), host(40, 0, 0, 1)}) {
            EXPECT_EQ(at(to).iface, link[up ? 1 : 0]);
        }
    }
    EXPECT_EQ(control->get(host(30, 0, 0, 1))->metric, 10U);
}

TEST_F(rib_test, down_takes_the_link_away_and_keeps_the_address) {
    ASSERT_TRUE(add("192.0.2.0/24", {via(host(10, 0, 0, 9))}).ok());
    ASSERT_TRUE(control->set_up(link[0], false).ok());
    EXPECT_EQ(at(host(192, 0, 2, 1)).kind, nexthop_kind::none);
    EXPECT_EQ(at(host(10, 0, 0, 9)).kind, nexthop_kind::none);
    EXPECT_EQ(at(host(10, 0, 0, 255)).kind, nexthop_kind::none);
    EXPECT_EQ(at(host(10, 0, 0, 1)).kind, nexthop_kind::local);
    ASSERT_TRUE(control->set_up(link[0], true).ok());
    EXPECT_EQ(at(host(192, 0, 2, 1)).kind, nexthop_kind::gateway);
    EXPECT_EQ(at(host(10, 0, 0, 255)).kind, nexthop_kind::broadcast);
}

TEST_F(rib_test, a_change_of_the_way_to_a_gateway_edits_records_only) {
    ASSERT_TRUE(add("172.16.0.0/16", {via(host(10, 0, 0, 9))}).ok());
    const route_target peer = via(host(172, 16, 0, 1));
    const nexthop_id hop = *control->hop({&peer, 1});
    for (std::uint32_t i = 0; i < 1000; ++i) {
        ASSERT_TRUE(control->announce({make_prefix4(0x14000000 + (i << 8), 24), hop}).ok());
    }
    EXPECT_EQ(at(0x14000001).gateway4.host(), host(10, 0, 0, 9));
    const std::uint64_t before = control->generation();
    const route moved{net("172.16.0.0/16"),    0, route_protocol::fixed, 0, 0,
                      {via(host(10, 0, 1, 9))}};
    ASSERT_TRUE(control->replace(moved).ok());
    const changes told = settle();
    EXPECT_EQ(worker->hop(worker->fib4().lookup(0x14000001)).iface, link[1]);
    EXPECT_LE(control->generation() - before, 8U) << "1,000 prefixes follow by one record";
    EXPECT_NE(std::find(told.hops.begin(), told.hops.end(), hop), told.hops.end());
}

TEST_F(rib_test, gateways_that_lead_to_each_other_lead_nowhere) {
    ASSERT_TRUE(add("172.16.0.0/16", {via(host(10, 0, 0, 9))}).ok());
    ASSERT_TRUE(add("172.17.0.0/16", {via(host(172, 16, 0, 1))}).ok());
    const route loop{net("172.16.0.0/16"),      0, route_protocol::fixed, 0, 0,
                     {via(host(172, 17, 0, 1))}};
    ASSERT_TRUE(control->replace(loop).ok()); // until now there was a way
    EXPECT_EQ(at(host(172, 16, 0, 5)).kind, nexthop_kind::none);
    EXPECT_EQ(at(host(172, 17, 0, 5)).kind, nexthop_kind::none);
    const route mended{net("172.16.0.0/16"),    0, route_protocol::fixed, 0, 0,
                       {via(host(10, 0, 0, 9))}};
    ASSERT_TRUE(control->replace(mended).ok());
    EXPECT_EQ(at(host(172, 17, 0, 5)).gateway4.host(), host(10, 0, 0, 9));
}

std::map<std::uint16_t, unsigned> shares(const route_replica& worker, const nexthop& group) {
    std::map<std::uint16_t, unsigned> count;
    for (unsigned i = 0; i < group.group_count; ++i) {
        ++count[worker.bucket(group.group_first + i).value];
    }
    return count;
}

TEST_F(rib_test, ecmp_shares_by_weight) {
    ASSERT_TRUE(add("192.0.2.0/24", {via(host(10, 0, 0, 9), 3), via(host(10, 0, 1, 9), 1)}).ok());
    const nexthop group = at(host(192, 0, 2, 1));
    ASSERT_EQ(group.kind, nexthop_kind::group);
    const auto count = shares(*worker, group);
    ASSERT_EQ(count.size(), 2U);
    for (const auto& [member, buckets] : count) {
        const bool heavy = worker->hop(nexthop_id{member}).iface == link[0];
        EXPECT_EQ(buckets, group.group_count / 4U * (heavy ? 3 : 1));
    }
}

TEST_F(rib_test, a_member_that_goes_moves_only_its_own_flows) {
    ASSERT_TRUE(add("192.0.2.0/24", {via(host(10, 0, 0, 7)), via(host(10, 0, 0, 8)),
                                     via(host(10, 0, 0, 9)), via(host(10, 0, 1, 9))})
                    .ok());
    const nexthop group = at(host(192, 0, 2, 1));
    std::vector<nexthop_id> before;
    for (unsigned i = 0; i < group.group_count; ++i) {
        before.push_back(worker->bucket(group.group_first + i));
    }
    ASSERT_TRUE(control->set_up(link[1], false).ok());
    ASSERT_EQ(at(host(192, 0, 2, 1)), group);
    for (unsigned i = 0; i < group.group_count; ++i) {
        const nexthop_id now = worker->bucket(group.group_first + i);
        EXPECT_EQ(worker->hop(now).iface, link[0]);
        if (worker->hop(before[i]).kind != nexthop_kind::none) {
            EXPECT_EQ(now, before[i]) << "bucket " << i << " had no need to move";
        }
    }
    // The same by deleting a target: flows are told apart by their hash, whatever the groups'
    // sizes.
    ASSERT_TRUE(control->set_up(link[1], true).ok());
    const auto gateways = [&] {
        const nexthop now = at(host(192, 0, 2, 1));
        std::vector<std::uint32_t> of;
        for (unsigned flow = 0; flow < 256; ++flow) {
            const unsigned bucket = group_bucket(now.group_first, now.group_count, flow);
            of.push_back(worker->hop(worker->bucket(bucket)).gateway4.host());
        }
        return of;
    };
    const std::vector<std::uint32_t> were = gateways();
    const std::uint32_t leaver = host(10, 0, 0, 8);
    route gone{net("192.0.2.0/24")};
    gone.targets = {via(leaver)};
    ASSERT_TRUE(control->del(gone).ok());
    EXPECT_EQ(at(host(192, 0, 2, 1)).group_count, group.group_count);
    const std::vector<std::uint32_t> are = gateways();
    for (unsigned flow = 0; flow < were.size(); ++flow) {
        EXPECT_NE(are[flow], leaver);
        if (were[flow] != leaver) {
            EXPECT_EQ(are[flow], were[flow]) << "flow " << flow << " had no need to move";
        }
    }
}

TEST_F(rib_test, tables_are_separate) {
    ASSERT_TRUE(control
                    ->add(
                        {net("192.0.2.0/24"),
                         5,
                         route_protocol::fixed,
                         0,
                         0,
                         {{nexthop_kind::gateway, host(10, 0, 0, 9), link[0], 1}}})
                    .ok());
    ASSERT_TRUE(
        control->add({prefix4{}, 5, route_protocol::fixed, 0, 0, {{nexthop_kind::blackhole}}})
            .ok());
    settle();
    EXPECT_EQ(worker->hop(worker->lookup4(5, host(192, 0, 2, 1))).kind, nexthop_kind::gateway);
    EXPECT_EQ(worker->hop(worker->lookup4(5, host(8, 8, 8, 8))).kind, nexthop_kind::blackhole);
    EXPECT_EQ(at(host(192, 0, 2, 1)).kind, nexthop_kind::none);
    EXPECT_LT(worker->image4(5)->bytes(), 8192U) << "a small table costs kilobytes";
}

TEST_F(rib_test, visit_shows_all_in_order_in_pages) {
    std::vector<prefix4> expected = {net("10.0.0.0/24"), net("10.0.0.1/32"), net("10.0.0.255/32"),
                                     net("10.0.1.0/24"), net("10.0.1.1/32"), net("10.0.1.255/32")};
    for (const char* text :
         {"0.0.0.0/0", "192.0.0.0/8", "192.0.0.0/16", "192.0.2.0/24", "192.0.2.128/25",
          "192.0.2.128/32", "223.255.255.0/24"}) {
        ASSERT_TRUE(add(text, {via(host(10, 0, 0, 9))}).ok());
        expected.push_back(net(text));
    }
    std::sort(expected.begin(), expected.end());
    for (const std::size_t page : {1U, 3U, 1000U}) {
        std::vector<prefix4> seen;
        std::optional<prefix4> next = prefix4{};
        while (next) {
            next = control->visit(
                0, *next, page, [&](const route& each) { seen.push_back(each.prefix); });
        }
        EXPECT_EQ(seen, expected) << "pages of " << page;
    }
}

TEST_F(rib_test, deleting_an_interface_takes_its_routes) {
    ASSERT_TRUE(control->del_interface(link[1]).ok());
    EXPECT_EQ(at(host(10, 0, 1, 1)).kind, nexthop_kind::none);
    EXPECT_FALSE(worker->interface(link[1]).present);
    EXPECT_FALSE(control->set_up(link[1], true).ok());
}

TEST_F(rib_test, load_and_flush_of_a_big_table) {
    const route_target peer = via(host(10, 0, 0, 9));
    const nexthop_id hop = *control->hop({&peer, 1});
    std::vector<feed_route> feed;
    for (std::uint32_t i = 0; i < 40000; ++i) {
        feed.push_back({make_prefix4(0x14000000 + (i << 8), 24), hop});
    }
    ASSERT_TRUE(control->load(feed).ok());
    EXPECT_EQ(at(0x14000001).gateway4.host(), host(10, 0, 0, 9));
    EXPECT_EQ(at(host(10, 0, 0, 1)).kind, nexthop_kind::local) << "what was there stays";
    ASSERT_TRUE(control->withdraw(make_prefix4(0x14000000, 24)).ok()) << "patches go on after it";
    EXPECT_EQ(at(0x14000001).kind, nexthop_kind::none);
    std::size_t deleted = 0;
    EXPECT_TRUE(control->flush(route_protocol::bgp, deleted).ok());
    EXPECT_EQ(deleted, feed.size() - 1);
    EXPECT_EQ(at(0x14000101).kind, nexthop_kind::none);
    EXPECT_EQ(at(host(10, 0, 0, 1)).kind, nexthop_kind::local);
}

} // namespace

} // namespace pantala
