// Several routing tables: each by itself, made when they are first used and gone with the last
// route and interface, on every worker alike.
#include "stack/route/rib.hpp"

#include <set>

#include <gtest/gtest.h>

namespace pantala {

namespace {

constexpr std::uint32_t host(unsigned a, unsigned b, unsigned c, unsigned d) {
    return a << 24 | b << 16 | c << 8 | d;
}
prefix4 net4(const char* text) {
    return *parse_prefix4(text);
}
prefix6 net6(const char* text) {
    return *parse_prefix6(text);
}
address6 ip6(const char* text) {
    return *parse_address6(text);
}

class tables : public testing::Test {
  protected:
    tables() : control(std::move(*rib::make(log))) {
        for (auto& each : workers) {
            each = std::move(*control->join());
        }
        for (std::uint16_t i = 0; i < 2; ++i) {
            iface made;
            made.port = port_id{i};
            link[i] = *control->add_interface(made);
            EXPECT_TRUE(control->set_up(link[i], true).ok());
        }
    }

    void settle() {
        while (!control->pump() || !control->settled()) {
            for (auto& each : workers) {
                each->apply();
            }
        }
        for (auto& each : workers) {
            ASSERT_EQ(each->hash(), control->hash());
        }
    }
    const nexthop& at(unsigned table, std::uint32_t address) {
        settle();
        EXPECT_EQ(workers[0]->lookup4(table, address), workers[1]->lookup4(table, address));
        return workers[1]->hop(workers[1]->lookup4(table, address));
    }
    const nexthop& at(unsigned table, const char* address) {
        settle();
        return workers[1]->hop(workers[1]->lookup6(table, ip6(address)));
    }
    bool has4(unsigned table) {
        settle();
        EXPECT_EQ(workers[0]->image4(table) != nullptr, workers[1]->image4(table) != nullptr);
        return workers[0]->image4(table) != nullptr;
    }
    bool has6(unsigned table) {
        settle();
        return workers[0]->image6(table) != nullptr;
    }
    static route refusal(const char* prefix, std::uint8_t table) {
        return {net4(prefix), table, route_protocol::fixed, 0, 0, {{nexthop_kind::blackhole}}};
    }
    static route over(const char* prefix, std::uint8_t table, std::uint32_t gateway) {
        return {
            net4(prefix),
            table,
            route_protocol::fixed,
            0,
            0,
            {{nexthop_kind::gateway, gateway, std::nullopt, 1}}};
    }
    result<void> add_address(unsigned which, std::uint32_t address, unsigned length = 24) {
        return control->add_address(link[which], address, length);
    }

    route_log log{4096};
    std::unique_ptr<rib> control;
    std::unique_ptr<route_replica> workers[2];
    iface_id link[2];
};

TEST_F(tables, one_comes_with_its_first_route_and_goes_with_the_last) {
    const std::size_t hops = control->counts().hops;
    for (unsigned again = 0; again < 3; ++again) { // whatever was left behind would be met
        EXPECT_FALSE(control->has_table(5));
        ASSERT_TRUE(control->add(refusal("192.0.2.0/24", 5)).ok());
        EXPECT_TRUE(has4(5));
        EXPECT_FALSE(has6(5)) << "a family by itself";
        ASSERT_TRUE(control->add(refusal("0.0.0.0/0", 5)).ok());
        EXPECT_EQ(at(5, host(8, 8, 8, 8)).kind, nexthop_kind::blackhole);
        ASSERT_TRUE(control->del(refusal("192.0.2.0/24", 5)).ok());
        EXPECT_TRUE(has4(5));
        ASSERT_TRUE(control->del(refusal("0.0.0.0/0", 5)).ok());
        EXPECT_FALSE(has4(5));
        EXPECT_EQ(control->counts().hops, hops);
    }
    EXPECT_EQ(control->del(refusal("0.0.0.0/0", 5)).failure().code, ESRCH);
}

TEST_F(tables, one_that_is_not_there_leads_nowhere) {
    ASSERT_TRUE(control->add(refusal("0.0.0.0/0", 0)).ok());
    EXPECT_EQ(at(0, host(8, 8, 8, 8)).kind, nexthop_kind::blackhole);
    EXPECT_EQ(at(9, host(8, 8, 8, 8)).kind, nexthop_kind::none);
    EXPECT_EQ(at(9, "2001:db8::1").kind, nexthop_kind::none);
    const std::uint32_t addresses[] = {1, 2, 3};
    nexthop_id answers[3];
    workers[0]->lookup4(9, addresses, answers);
    EXPECT_EQ(answers[2], nexthop_none);
    EXPECT_EQ(control->get(host(8, 8, 8, 8), 9).failure().code, ENETUNREACH);
}

TEST_F(tables, a_route_that_is_refused_leaves_none_behind) {
    const result<void> done = control->add(over("192.0.2.0/24", 5, host(10, 0, 0, 9)));
    EXPECT_EQ(done.failure().code, ENETUNREACH);
    EXPECT_FALSE(control->has_table(5));
    route too_far = refusal("192.0.2.0/24", tables_max);
    EXPECT_EQ(control->add(too_far).failure().code, EINVAL);
    const route_target way{nexthop_kind::gateway, host(10, 0, 0, 9), link[0], 1};
    ASSERT_TRUE(control->hop({&way, 1}, 0, 5).ok());
    EXPECT_FALSE(control->has_table(5)) << "a hop alone makes no table";
    const nexthop_id nobodys{1000};
    EXPECT_EQ(
        control->announce({net4("192.0.2.0/24"), nobodys}, route_protocol::bgp, 5).failure().code,
        EINVAL);
    EXPECT_FALSE(control->has_table(5));
}

TEST_F(tables, the_same_prefixes_lead_elsewhere) {
    ASSERT_TRUE(control->set_table(link[1], 5).ok());
    ASSERT_TRUE(add_address(0, host(10, 0, 0, 1)).ok());
    ASSERT_TRUE(add_address(1, host(10, 0, 0, 1)).ok()) << "addresses may overlap";
    ASSERT_TRUE(control->add(over("192.0.2.0/24", 0, host(10, 0, 0, 2))).ok());
    ASSERT_TRUE(control->add(over("192.0.2.0/24", 5, host(10, 0, 0, 3))).ok());
    EXPECT_EQ(at(0, host(192, 0, 2, 1)).gateway4.host(), host(10, 0, 0, 2));
    EXPECT_EQ(at(0, host(192, 0, 2, 1)).iface, link[0]);
    EXPECT_EQ(at(5, host(192, 0, 2, 1)).gateway4.host(), host(10, 0, 0, 3));
    EXPECT_EQ(at(5, host(192, 0, 2, 1)).iface, link[1]) << "found in its own table";
    EXPECT_EQ(at(5, host(10, 0, 0, 1)).kind, nexthop_kind::local);
    // One link down concerns its own table alone.
    ASSERT_TRUE(control->set_up(link[0], false).ok());
    EXPECT_EQ(at(0, host(192, 0, 2, 1)).kind, nexthop_kind::none);
    EXPECT_EQ(at(5, host(192, 0, 2, 1)).kind, nexthop_kind::gateway);
    EXPECT_EQ(control->find(net4("192.0.2.0/24"), 5).size(), 1U);
    EXPECT_EQ(control->get(host(192, 0, 2, 1), 5)->targets[0].gateway, host(10, 0, 0, 3));
}

TEST_F(tables, a_dead_next_hop_falls_back_to_the_default_of_its_own_table) {
    ASSERT_TRUE(control->set_table(link[1], 5).ok());
    ASSERT_TRUE(add_address(1, host(10, 0, 1, 1)).ok());
    ASSERT_TRUE(control->add(refusal("0.0.0.0/0", 0)).ok());
    ASSERT_TRUE(control->add(over("192.0.2.0/24", 5, host(10, 0, 1, 2))).ok());
    ASSERT_TRUE(control->set_up(link[1], false).ok());
    EXPECT_EQ(at(5, host(192, 0, 2, 1)).kind, nexthop_kind::none) << "not the main table's";
    route unreachable = refusal("0.0.0.0/0", 5);
    unreachable.targets[0].kind = nexthop_kind::unreachable;
    ASSERT_TRUE(control->add(unreachable).ok());
    EXPECT_EQ(at(5, host(192, 0, 2, 1)).kind, nexthop_kind::unreachable);
    ASSERT_TRUE(control->set_up(link[1], true).ok());
    EXPECT_EQ(at(5, host(192, 0, 2, 1)).kind, nexthop_kind::gateway);
}

TEST_F(tables, an_interface_moves_with_the_routes_of_its_addresses) {
    ASSERT_TRUE(add_address(1, host(10, 0, 1, 1)).ok());
    ASSERT_TRUE(control->add_address(link[1], ip6("2001:db8:1::1"), 64).ok());
    ASSERT_TRUE(control->add(over("192.0.2.0/24", 0, host(10, 0, 1, 2))).ok());
    ASSERT_TRUE(control->set_table(link[1], 5).ok());
    EXPECT_EQ(at(0, host(10, 0, 1, 1)).kind, nexthop_kind::none);
    EXPECT_EQ(at(0, host(10, 0, 1, 2)).kind, nexthop_kind::none);
    EXPECT_EQ(at(0, host(192, 0, 2, 1)).kind, nexthop_kind::none) << "its gateway is away";
    EXPECT_EQ(at(5, host(10, 0, 1, 1)).kind, nexthop_kind::local);
    EXPECT_EQ(at(5, host(10, 0, 1, 2)).kind, nexthop_kind::connected);
    EXPECT_EQ(at(5, host(10, 0, 1, 255)).kind, nexthop_kind::broadcast);
    EXPECT_EQ(at(5, "2001:db8:1::1").kind, nexthop_kind::local);
    EXPECT_EQ(at(5, "2001:db8:1::7").kind, nexthop_kind::connected);
    EXPECT_EQ(at(0, "2001:db8:1::7").kind, nexthop_kind::none);
    EXPECT_EQ(workers[0]->interface(link[1]).table, 5);
    EXPECT_EQ(control->counts_of(5).interfaces, 1U);
    ASSERT_TRUE(control->set_table(link[1], 0).ok());
    EXPECT_FALSE(has4(5));
    EXPECT_FALSE(has6(5));
    EXPECT_EQ(at(0, host(10, 0, 1, 1)).kind, nexthop_kind::local);
    EXPECT_EQ(at(0, host(192, 0, 2, 1)).kind, nexthop_kind::gateway) << "and back";
}

TEST_F(tables, an_interface_that_is_down_moves_too) {
    ASSERT_TRUE(add_address(1, host(10, 0, 1, 1)).ok());
    ASSERT_TRUE(control->set_up(link[1], false).ok());
    ASSERT_TRUE(control->set_table(link[1], 5).ok());
    EXPECT_EQ(at(5, host(10, 0, 1, 1)).kind, nexthop_kind::local);
    EXPECT_EQ(at(5, host(10, 0, 1, 2)).kind, nexthop_kind::none);
    ASSERT_TRUE(control->set_up(link[1], true).ok());
    EXPECT_EQ(at(5, host(10, 0, 1, 2)).kind, nexthop_kind::connected);
    EXPECT_EQ(at(0, host(10, 0, 1, 2)).kind, nexthop_kind::none);
}

TEST_F(tables, an_interface_moves_and_comes_up_at_once) {
    ASSERT_TRUE(add_address(1, host(10, 0, 1, 1)).ok());
    ASSERT_TRUE(control->set_up(link[1], false).ok());
    ASSERT_TRUE(control->set_table_and_up(link[1], 5, true).ok());
    EXPECT_EQ(at(5, host(10, 0, 1, 2)).kind, nexthop_kind::connected);
    EXPECT_EQ(at(5, host(10, 0, 1, 1)).kind, nexthop_kind::local);
    EXPECT_EQ(at(0, host(10, 0, 1, 1)).kind, nexthop_kind::none);
    ASSERT_TRUE(control->set_table_and_up(link[1], 6, false).ok());
    EXPECT_FALSE(has4(5));
    EXPECT_EQ(at(6, host(10, 0, 1, 2)).kind, nexthop_kind::none);
    EXPECT_EQ(at(6, host(10, 0, 1, 1)).kind, nexthop_kind::local);
    EXPECT_FALSE(workers[0]->interface(link[1]).up);
}

TEST_F(tables, an_interface_that_does_not_fit_stays_where_it_is) {
    ASSERT_TRUE(control->set_table(link[1], 5).ok());
    ASSERT_TRUE(add_address(0, host(10, 0, 0, 1)).ok());
    ASSERT_TRUE(add_address(1, host(10, 0, 0, 9)).ok());
    ASSERT_TRUE(control->add_address(link[0], ip6("2001:db8::1"), 64).ok());
    const result<void> on_the_link = control->set_table(link[1], 0);
    EXPECT_EQ(on_the_link.failure().code, EEXIST);
    EXPECT_EQ(at(5, host(10, 0, 0, 9)).kind, nexthop_kind::local);
    EXPECT_EQ(at(0, host(10, 0, 0, 9)).kind, nexthop_kind::connected);
    ASSERT_TRUE(control->del_address(link[1], host(10, 0, 0, 9), 24).ok());
    ASSERT_TRUE(control->add_address(link[1], ip6("2001:db8::1"), 64).ok());
    EXPECT_EQ(control->set_table(link[1], 0).failure().code, EEXIST);
    EXPECT_EQ(at(5, "2001:db8::1").iface, link[1]);
    EXPECT_EQ(control->set_table(link[1], tables_max).failure().code, EINVAL);
    EXPECT_EQ(control->set_table(iface_id{99}, 5).failure().code, ENODEV);
    EXPECT_EQ(at(0, host(10, 0, 0, 1)).kind, nexthop_kind::local);
}

TEST_F(tables, an_interface_that_finds_no_next_hop_leaves_routes_as_they_are) {
    ASSERT_TRUE(add_address(1, host(10, 0, 1, 1)).ok());
    for (const char* own : {"10.0.1.1/32", "10.0.1.0/24", "10.0.1.255/32"}) {
        ASSERT_TRUE(control->add(refusal(own, 5)).ok());
    }
    std::vector<nexthop_id> taken;
    for (std::uint32_t i = 0;; ++i) {
        const route_target way{nexthop_kind::gateway, host(30, 0, 0, 0) + i, link[0], 1};
        const result<nexthop_id> hop = control->hop({&way, 1});
        if (!hop) {
            break;
        }
        taken.push_back(*hop);
    }
    for (unsigned left : {0, 1, 3}) { // of one for table 5's IPv6 default, and three
        for (unsigned i = 0; i < left; ++i) {
            control->release(taken[i]);
        }
        EXPECT_EQ(control->set_table(link[1], 5).failure().code, ENOSPC);
        EXPECT_EQ(control->interface(link[1]).table, 0);
        EXPECT_FALSE(has6(5));
        EXPECT_EQ(at(0, host(10, 0, 1, 1)).kind, nexthop_kind::local);
        for (const unsigned last : {1, 2, 255}) {
            EXPECT_EQ(at(5, host(10, 0, 1, last)).kind, nexthop_kind::blackhole) << last;
        }
        taken.erase(taken.begin(), taken.begin() + left);
        for (unsigned i = 0; i < left; ++i) {
            const route_target way{nexthop_kind::gateway, host(31, 0, 0, left * 8 + i), link[0], 1};
            taken.push_back(*control->hop({&way, 1}));
        }
    }
    for (unsigned i = 0; i < 4; ++i) {
        control->release(taken[i]);
    }
    ASSERT_TRUE(control->set_table(link[1], 5).ok());
    EXPECT_EQ(at(5, host(10, 0, 1, 1)).kind, nexthop_kind::local);
}

TEST_F(tables, a_route_that_names_an_interface_of_another_table_leads_out_by_it) {
    ASSERT_TRUE(add_address(0, host(10, 0, 0, 1)).ok());
    route leak = over("192.0.2.0/24", 5, host(10, 0, 0, 2));
    leak.targets[0].interface = link[0];
    ASSERT_TRUE(control->add(leak).ok());
    EXPECT_EQ(at(5, host(192, 0, 2, 1)).iface, link[0]);
    ASSERT_TRUE(control->set_table(link[0], 6).ok());
    EXPECT_EQ(at(5, host(192, 0, 2, 1)).iface, link[0]) << "wherever that is";
}

TEST_F(tables, deleting_the_last_interface_of_one_ends_it) {
    iface made;
    made.port = port_id{1};
    made.vlan = 7;
    made.up = true;
    made.table = 5;
    const iface_id vlan = *control->add_interface(made);
    EXPECT_TRUE(has4(5));
    EXPECT_TRUE(has6(5));
    ASSERT_TRUE(control->add_address(vlan, host(10, 9, 0, 1), 24).ok());
    ASSERT_TRUE(control->add(over("192.0.2.0/24", 5, host(10, 9, 0, 2))).ok());
    ASSERT_TRUE(control->del_interface(vlan).ok());
    EXPECT_TRUE(has4(5)) << "a route is left, which leads nowhere";
    EXPECT_FALSE(has6(5));
    EXPECT_EQ(at(5, host(192, 0, 2, 1)).kind, nexthop_kind::none);
    ASSERT_TRUE(control->del({net4("192.0.2.0/24"), 5}).ok());
    EXPECT_FALSE(has4(5));
}

TEST_F(tables, small_ones_cost_kilobytes) {
    for (unsigned i = 0; i < 100; ++i) {
        const std::string text = "192.0." + std::to_string(i) + ".0/24";
        ASSERT_TRUE(control->add(refusal(text.c_str(), 5)).ok());
        route6 six{net6("::/0"), 5, route_protocol::fixed, 0, 0, {{nexthop_kind::blackhole}}};
        six.prefix = make_prefix6({0x20010db800000000ULL + (std::uint64_t{i} << 16), 0}, 48);
        ASSERT_TRUE(control->add(six).ok());
    }
    settle();
    const table_counts counts = control->counts_of(5);
    EXPECT_EQ(counts.routes4, 100U);
    EXPECT_EQ(counts.routes6, 100U);
    RecordProperty("replica_bytes4", static_cast<int>(counts.replica_bytes4));
    RecordProperty("replica_bytes6", static_cast<int>(counts.replica_bytes6));
    RecordProperty("authority_bytes", static_cast<int>(counts.authority_bytes));
    EXPECT_LE(counts.replica_bytes4, 16U << 10);
    EXPECT_LE(counts.replica_bytes6, 36U << 10);
    EXPECT_EQ(counts.replica_bytes4, workers[0]->image4(5)->resident_bytes());
    EXPECT_EQ(counts.replica_bytes6, workers[1]->image6(5)->resident_bytes());
}

TEST_F(tables, feeds_load_announce_and_flush_one) {
    ASSERT_TRUE(control->set_table(link[1], 5).ok());
    ASSERT_TRUE(add_address(1, host(10, 0, 1, 1)).ok());
    const route_target way{nexthop_kind::gateway, host(10, 0, 1, 2), std::nullopt, 1};
    const nexthop_id hop = *control->hop({&way, 1}, 0, 5);
    for (const std::uint32_t count : {100U, 20'000U}) { // by patches, and compiled anew
        std::vector<feed_route> feed;
        for (std::uint32_t i = 0; i < count; ++i) {
            feed.push_back({make_prefix4(host(20, 0, 0, 0) + (i << 8), 24), hop});
        }
        ASSERT_TRUE(control->load(feed, route_protocol::bgp, 5).ok());
        EXPECT_EQ(at(5, host(20, 0, 99, 1)).gateway4.host(), host(10, 0, 1, 2));
        EXPECT_EQ(at(0, host(20, 0, 99, 1)).kind, nexthop_kind::none);
        std::size_t addresses = 0;
        std::optional<prefix4> next = prefix4{};
        while (next) {
            const auto done = control->verify(
                5, *next, 1000, [](const wrong_answer& wrong) { ADD_FAILURE() << wrong.prefix; });
            ASSERT_TRUE(done.ok());
            addresses += done->addresses;
            next = done->next;
        }
        EXPECT_GE(addresses, 2 * count);
        std::size_t deleted = 0;
        ASSERT_TRUE(control->flush(route_protocol::bgp, deleted, 5).ok());
        EXPECT_EQ(deleted, count);
        EXPECT_EQ(at(5, host(20, 0, 99, 1)).kind, nexthop_kind::none);
        EXPECT_EQ(at(5, host(10, 0, 1, 1)).kind, nexthop_kind::local);
    }
    EXPECT_EQ(control->withdraw(net4("20.0.0.0/24"), route_protocol::bgp, 9).failure().code, ESRCH);
}

TEST_F(tables, there_are_sixty_four) {
    for (std::uint8_t table = 1; table < tables_max; ++table) {
        ASSERT_TRUE(control->add(refusal("192.0.2.0/24", table)).ok());
    }
    settle();
    std::set<const fib4_image*> images;
    for (unsigned table = 0; table < tables_max; ++table) {
        images.insert(workers[0]->image4(table));
    }
    EXPECT_EQ(images.size(), tables_max);
    EXPECT_FALSE(images.contains(nullptr));
}

} // namespace

} // namespace pantala
