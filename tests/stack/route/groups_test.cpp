// Which flows move when the members of a group change: histories of what operators and links do to
// the next hops of some prefixes, seen as a worker sees them. PANTALA_SEED=n replays one,
// PANTALA_STEPS=n makes it longer.
#include "stack/route/rib.hpp"
#include "tests/harness/instrumented.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>

#include <gtest/gtest.h>

namespace pantala::groups_tests {

namespace {

constexpr unsigned group_links = 3;
constexpr unsigned gateways_a_link = 5;
constexpr unsigned flows = 1024; // as many as the biggest group has buckets

using flow_map = std::vector<std::uint32_t>;             // the gateway of each flow, 0: nowhere
using group_members = std::map<std::uint32_t, unsigned>; // weights by gateway

constexpr std::uint32_t gateway_at(unsigned link, unsigned number) {
    return 0x0a000002 + (link << 8) + number;
}
constexpr unsigned link_of(std::uint32_t gateway) {
    return gateway >> 8 & 0xff;
}

class groups_test : public testing::Test {
  protected:
    groups_test() : control(std::move(*rib::make(log))), worker(std::move(*control->join())) {
        for (std::uint16_t i = 0; i < group_links; ++i) {
            iface made;
            made.up = true;
            made.port = port_id{i};
            link[i] = *control->add_interface(made);
            EXPECT_TRUE(control->add_address(link[i], 0x0a000001 + (i << 8), 24).ok());
        }
    }

    static prefix4 prefix(unsigned number) { return make_prefix4(0xc0000000 + (number << 16), 16); }
    static route_target via(std::uint32_t gateway, unsigned weight = 1) {
        return {nexthop_kind::gateway, gateway, std::nullopt, static_cast<std::uint16_t>(weight)};
    }
    static route to(const prefix4& prefix, const group_members& members) {
        route made{prefix};
        for (const auto& [gateway, weight] : members) {
            made.targets.push_back(via(gateway, weight));
        }
        return made;
    }
    static group_members some(unsigned first, unsigned count) {
        group_members made;
        for (unsigned i = 0; i < count; ++i) {
            made[gateway_at(0, first + i)] = 1;
        }
        return made;
    }
    void settle() {
        while (!control->pump() || !control->settled()) {
            worker->apply();
        }
    }
    flow_map seen(const prefix4& at) {
        settle();
        const nexthop& record = worker->hop(worker->fib4().lookup(at.address));
        flow_map gateways(flows);
        for (unsigned flow = 0; flow < flows; ++flow) {
            const nexthop& way = record.kind == nexthop_kind::group
                                     ? worker->hop(worker->bucket(group_bucket(
                                           record.group_first, record.group_count, flow)))
                                     : record;
            gateways[flow] = way.kind == nexthop_kind::gateway ? way.gateway4.host() : 0;
        }
        return gateways;
    }
    unsigned buckets(const prefix4& at) {
        settle();
        return worker->hop(worker->fib4().lookup(at.address)).group_count;
    }
    // No flow has left a gateway that is still there.
    static void expect_stayed(
        const flow_map& before, const flow_map& now, const group_members& still_there,
        const char* what) {
        for (unsigned flow = 0; flow < flows; ++flow) {
            if (still_there.contains(before[flow])) {
                ASSERT_EQ(now[flow], before[flow]) << what << " moved flow " << flow;
            }
        }
    }

    route_log log;
    std::unique_ptr<rib> control;
    std::unique_ptr<route_replica> worker;
    iface_id link[group_links];
};

// Gateways that are reached over groups themselves.
class nested_groups_test : public groups_test {
  protected:
    nested_groups_test() {
        EXPECT_TRUE(control->add(near(0)).ok());
        EXPECT_TRUE(control->add(near(1)).ok());
    }
    // One of a weight of 1 and one of 2; four alike.
    route near(unsigned which, unsigned scale = 1) const {
        route made =
            to(make_prefix4(0x32000000 + (which << 24), 8),
               which == 0 ? group_members{{gateway_at(0, 0), 1}, {gateway_at(0, 1), 2}}
                          : group_members{
                                {gateway_at(1, 0), 1},
                                {gateway_at(1, 1), 1},
                                {gateway_at(1, 2), 1},
                                {gateway_at(1, 3), 1}});
        return scaled(made, scale);
    }
    route far(unsigned scale = 1) const {
        route made{prefix(0)};
        made.targets = {via(0x32000001, 1), via(0x33000001, 3)};
        return scaled(made, scale);
    }
    static route scaled(route made, unsigned scale) {
        for (route_target& each : made.targets) {
            each.weight = static_cast<std::uint16_t>(each.weight * scale);
        }
        return made;
    }
    group_members seen_shares() {
        group_members shares;
        for (const std::uint32_t gateway : seen(prefix(0))) {
            ++shares[gateway];
        }
        return shares;
    }
    // Of twelfths of all flows.
    void expect_shares(const std::map<std::uint32_t, double>& twelfths, const char* when) {
        const group_members shares = seen_shares();
        EXPECT_EQ(shares.size(), twelfths.size()) << when;
        for (const auto& [gateway, part] : twelfths) {
            const auto found = shares.find(gateway);
            const double has = found != shares.end() ? found->second : 0;
            EXPECT_NEAR(has, flows * part / 12, flows * 1.5 / buckets(prefix(0)))
                << when << ", gateway " << link_of(gateway) << " " << (gateway & 0xff);
        }
    }
    std::map<std::uint32_t, double> whole() const {
        return {{gateway_at(0, 0), 1},    {gateway_at(0, 1), 2},    {gateway_at(1, 0), 2.25},
                {gateway_at(1, 1), 2.25}, {gateway_at(1, 2), 2.25}, {gateway_at(1, 3), 2.25}};
    }
    group_members all_but(std::uint32_t gone) const {
        group_members others;
        for (const auto& each : whole()) {
            others[each.first] = each.first != gone ? 1 : 0;
        }
        others.erase(gone);
        return others;
    }
};

TEST_F(nested_groups_test, weights_multiply) {
    ASSERT_TRUE(control->add(far()).ok());
    expect_shares(whole(), "at first");
}

// Two gateways alike, each over two alike: all four are used.
TEST_F(nested_groups_test, every_member_behind_a_member_is_used) {
    for (const unsigned which : {2U, 3U}) {
        const group_members two{{gateway_at(which - 1, 0), 1}, {gateway_at(which - 1, 4), 1}};
        ASSERT_TRUE(control->add(to(make_prefix4(0x32000000 + (which << 24), 8), two)).ok());
    }
    route made{prefix(0)};
    made.targets = {via(0x34000001), via(0x35000001)};
    ASSERT_TRUE(control->add(made).ok());
    expect_shares(
        {{gateway_at(1, 0), 3},
         {gateway_at(1, 4), 3},
         {gateway_at(2, 0), 3},
         {gateway_at(2, 4), 3}},
        "four");
}

TEST_F(nested_groups_test, a_member_behind_a_member_that_goes_and_comes_moves_its_own_flows) {
    ASSERT_TRUE(control->add(far()).ok());
    const flow_map before = seen(prefix(0));
    const std::uint32_t gone = gateway_at(1, 3);
    route taken = near(1);
    taken.targets = {via(gone)};
    ASSERT_TRUE(control->del(taken).ok());
    const flow_map without = seen(prefix(0));
    expect_stayed(before, without, all_but(gone), "the deletion");
    expect_shares(
        {{gateway_at(0, 0), 1},
         {gateway_at(0, 1), 2},
         {gateway_at(1, 0), 3},
         {gateway_at(1, 1), 3},
         {gateway_at(1, 2), 3}},
        "without one");
    ASSERT_TRUE(control->append(taken).ok());
    const flow_map again = seen(prefix(0));
    for (unsigned flow = 0; flow < flows; ++flow) {
        ASSERT_TRUE(again[flow] == gone || again[flow] == without[flow]) << flow;
    }
    expect_shares(whole(), "again");
}

TEST_F(nested_groups_test, a_group_behind_a_member_that_dies_moves_its_own_flows) {
    ASSERT_TRUE(control->add(far()).ok());
    const flow_map before = seen(prefix(0));
    ASSERT_TRUE(control->set_up(link[0], false).ok());
    expect_stayed(
        before, seen(prefix(0)),
        {{gateway_at(1, 0), 1},
         {gateway_at(1, 1), 1},
         {gateway_at(1, 2), 1},
         {gateway_at(1, 3), 1}},
        "the link");
    ASSERT_TRUE(control->set_up(link[0], true).ok());
    expect_shares(whole(), "up again");
}

// The far route was there first, over one gateway each: its group grows, and no run of buckets is
// lost, of 65,536.
TEST_F(nested_groups_test, a_group_that_comes_later_is_shared_out_as_well) {
    constexpr unsigned scale = 8;
    for (unsigned turn = 0; turn < 270; ++turn) {
        for (const unsigned which : {0U, 1U}) {
            route one = near(which);
            one.targets.resize(1);
            ASSERT_TRUE(control->replace(one).ok());
        }
        ASSERT_TRUE(control->add(far(scale)).ok());
        ASSERT_EQ(buckets(prefix(0)), 256U);
        for (const unsigned which : {0U, 1U}) {
            ASSERT_TRUE(control->replace(near(which, scale)).ok());
        }
        ASSERT_EQ(buckets(prefix(0)), 512U) << turn;
        if (turn == 0) {
            expect_shares(whole(), "grown");
        }
        ASSERT_TRUE(control->del(far()).ok());
    }
}

// What is dead follows the default route, a large group here, and has no buckets to share out.
TEST_F(groups_test, dead_members_make_no_group_larger) {
    group_members many = some(0, 5);
    for (unsigned i = 0; i < 5; ++i) {
        many[gateway_at(2, i)] = 6;
    }
    ASSERT_TRUE(control->add(to(make_prefix4(0, 0), many)).ok());
    group_members pair = some(0, 1);
    pair[gateway_at(1, 0)] = 1;
    ASSERT_TRUE(control->add(to(prefix(0), pair)).ok());
    EXPECT_EQ(buckets(prefix(0)), 16U);
    ASSERT_TRUE(control->set_up(link[1], false).ok());
    EXPECT_EQ(buckets(prefix(0)), 16U);
    ASSERT_TRUE(control->set_up(link[1], true).ok());
    EXPECT_EQ(buckets(prefix(0)), 16U);
}

// Groups that would only be more even leave room to those that could not be there else.
TEST_F(nested_groups_test, groups_that_grow_leave_room_for_others) {
    for (const unsigned which : {0U, 1U}) {
        ASSERT_TRUE(control->replace(near(which, 64)).ok());
    }
    for (unsigned i = 0; i < 300; ++i) {
        route one = far(1);
        one.prefix = make_prefix4(0xd0000000 + (i << 8), 24);
        one.mtu = static_cast<std::uint16_t>(1'000 + i); // a group of its own
        ASSERT_TRUE(control->add(one).ok()) << i;
    }
    settle();
    for (unsigned i = 0; i < 400; ++i) {
        route plain = to(make_prefix4(0xe0000000 - 0x1000000 + (i << 8), 24), some(0, 2));
        plain.mtu = static_cast<std::uint16_t>(1'000 + i);
        ASSERT_TRUE(control->add(plain).ok()) << i;
    }
}

TEST_F(groups_test, a_deletion_moves_no_flow_of_those_that_stay) {
    ASSERT_TRUE(control->add(to(prefix(0), some(0, 3))).ok());
    const flow_map before = seen(prefix(0));
    const unsigned count = buckets(prefix(0));
    EXPECT_EQ(count, 32U);
    ASSERT_TRUE(control->del(to(prefix(0), some(2, 1))).ok());
    expect_stayed(before, seen(prefix(0)), some(0, 2), "the deletion");
    EXPECT_EQ(buckets(prefix(0)), count);
}

TEST_F(groups_test, a_replacement_moves_no_flow_of_those_that_stay) {
    ASSERT_TRUE(control->add(to(prefix(0), some(0, 4))).ok());
    const flow_map before = seen(prefix(0));
    ASSERT_TRUE(control->replace(to(prefix(0), some(1, 3))).ok());
    expect_stayed(before, seen(prefix(0)), some(1, 3), "the replacement");
    route other = to(prefix(0), some(1, 3));
    other.mtu = 1400;
    const flow_map between = seen(prefix(0));
    ASSERT_TRUE(control->replace(other).ok());
    EXPECT_EQ(seen(prefix(0)), between) << "another MTU";
}

TEST_F(groups_test, the_death_of_any_of_fourteen_moves_no_flow_of_the_others) {
    for (unsigned dies = 0; dies < 14; ++dies) {
        group_members members = some(0, 14);
        members.erase(gateway_at(0, dies));
        members[gateway_at(1, 0)] = 1;
        ASSERT_TRUE(control->add(to(prefix(0), members)).ok());
        const flow_map before = seen(prefix(0));
        ASSERT_TRUE(control->set_up(link[1], false).ok());
        expect_stayed(before, seen(prefix(0)), some(0, 14), "the death");
        ASSERT_TRUE(control->set_up(link[1], true).ok());
        ASSERT_TRUE(control->del({prefix(0), 0, {}, 0U, 0, {}}).ok());
    }
}

// Two prefixes come to have the same members by different ways: their flows stay all the same.
TEST_F(groups_test, groups_of_the_same_members_keep_the_flows_of_each) {
    group_members first = some(0, 3);
    group_members second = some(0, 2);
    second[gateway_at(0, 7)] = 3;
    ASSERT_TRUE(control->add(to(prefix(0), first)).ok());
    ASSERT_TRUE(control->add(to(prefix(1), second)).ok());
    const flow_map before[] = {seen(prefix(0)), seen(prefix(1))};
    ASSERT_TRUE(control->del(to(prefix(0), some(2, 1))).ok());
    ASSERT_TRUE(control->del(to(prefix(1), some(7, 1))).ok());
    expect_stayed(before[0], seen(prefix(0)), some(0, 2), "the first");
    expect_stayed(before[1], seen(prefix(1)), some(0, 2), "the second");
    // Prefixes of one history share their hop.
    const std::size_t hops = control->counts().hops;
    for (unsigned i = 2; i < 40; ++i) {
        ASSERT_TRUE(control->add(to(prefix(i), first)).ok());
        ASSERT_TRUE(control->del(to(prefix(i), some(2, 1))).ok());
    }
    EXPECT_LE(control->counts().hops, hops + 1);
}

// --- histories ---

std::uint64_t told(const char* name, std::uint64_t otherwise) {
    const char* given = std::getenv(name);
    return given != nullptr ? std::strtoull(given, nullptr, 10) : otherwise;
}

class group_history : public groups_test {
  protected:
    static constexpr unsigned prefixes = 6;

    unsigned below(unsigned limit) { return static_cast<unsigned>(random() % limit); }
    std::uint32_t any_gateway() { return gateway_at(below(group_links), below(gateways_a_link)); }
    static unsigned any_weight(unsigned dice) { return dice < 6 ? 1 : dice < 9 ? dice - 4 : 60; }

    // Those that are alive.
    group_members live(const group_members& of) const {
        group_members some = of;
        std::erase_if(some, [this](const auto& each) { return down[link_of(each.first)]; });
        return some;
    }

    void change_one(unsigned at) {
        group_members& now = members[at];
        const std::uint32_t gateway = any_gateway();
        const unsigned dice = below(8);
        if (now.empty()) {
            now[gateway] = any_weight(below(10));
            if (down[link_of(gateway)] || !control->add(to(prefix(at), now)).ok()) {
                now.clear();
            }
        } else if (dice < 3 && now.contains(gateway)) {
            ASSERT_TRUE(control->del(to(prefix(at), {{gateway, 1}})).ok());
            now.erase(gateway);
        } else if (dice < 5 && !now.contains(gateway)) {
            const group_members added = {{gateway, any_weight(below(10))}};
            if (control->append(to(prefix(at), added)).ok()) {
                now.merge(group_members(added));
            }
        } else if (dice >= 5) {
            replace_one(at);
        }
    }

    void replace_one(unsigned at) {
        group_members wanted = members[at];
        if (below(3) == 0 && wanted.size() > 1) {
            wanted.erase(wanted.begin());
        }
        if (below(4) == 0 && wanted.size() > 1) {
            wanted.erase(std::prev(wanted.end()));
        }
        if (below(3) == 0) {
            wanted[any_gateway()] = any_weight(below(10));
        }
        if (control->replace(to(prefix(at), wanted)).ok()) {
            members[at] = wanted;
        }
    }

    // What a change of a prefix's live members has done to its flows.
    static void compare(
        const group_members& was, const group_members& is, const flow_map& before,
        const flow_map& now) {
        bool reweighed = false;
        for (const auto& [gateway, weight] : was) {
            reweighed = reweighed || (is.contains(gateway) && is.at(gateway) != weight);
        }
        const bool grown = std::any_of(
            is.begin(), is.end(), [&](const auto& each) { return !was.contains(each.first); });
        if (!reweighed && !grown) {
            expect_stayed(before, now, is, "a removal");
        }
        if (!reweighed) { // else from one that stays to one that has come, only
            for (unsigned flow = 0; flow < flows; ++flow) {
                const bool came = !was.contains(now[flow]);
                ASSERT_TRUE(now[flow] == before[flow] || came || !is.contains(before[flow]))
                    << "flow " << flow << " moved between two that were there";
            }
        }
        unsigned weights = 0;
        std::map<std::uint32_t, unsigned> count;
        for (const auto& [gateway, weight] : is) {
            weights += weight;
        }
        for (const std::uint32_t gateway : now) {
            ASSERT_TRUE(is.empty() ? gateway == 0 : is.contains(gateway));
            ++count[gateway];
        }
        for (const auto& [gateway, weight] : is) {
            const double share = 1.0 * flows * weight / weights;
            if (reweighed || !was.contains(gateway)) {
                EXPECT_GT(count[gateway], share - flow_slack(weights)) << "its even share";
            }
        }
    }
    // A bucket of the smallest group that may be.
    static double flow_slack(unsigned weights) {
        return std::max(1.0, 1.0 * flows / std::min<unsigned>(std::bit_ceil(weights * 8), flows));
    }

    std::mt19937_64 random;
    group_members members[prefixes];
    bool down[group_links] = {};
};

TEST_F(group_history, no_flow_moves_that_need_not) {
    const std::uint64_t seed = told("PANTALA_SEED", 20260301);
    const std::uint64_t steps = told("PANTALA_STEPS", test::length(1500, 400));
    SCOPED_TRACE("PANTALA_SEED=" + std::to_string(seed));
    random.seed(seed);
    std::vector<flow_map> before(prefixes, flow_map(flows));
    unsigned groups = 0;
    for (std::uint64_t step = 0; step < steps && !HasFailure(); ++step) {
        SCOPED_TRACE("step " + std::to_string(step));
        group_members was[prefixes];
        for (unsigned i = 0; i < prefixes; ++i) {
            was[i] = live(members[i]);
        }
        if (below(12) == 0) {
            const unsigned turned = below(group_links);
            down[turned] = !down[turned];
            ASSERT_TRUE(control->set_up(link[turned], !down[turned]).ok());
        } else {
            change_one(below(prefixes));
        }
        for (unsigned i = 0; i < prefixes; ++i) {
            const flow_map now = seen(prefix(i));
            compare(was[i], live(members[i]), before[i], now);
            before[i] = now;
            groups += live(members[i]).size() > 1;
        }
    }
    EXPECT_GT(groups, steps) << "the history is of groups";
}

} // namespace

} // namespace pantala::groups_tests
