#include "app/changes.hpp"

#include <array>

#include <gtest/gtest.h>

using namespace pantala;
using namespace pantala::app;

namespace {

std::vector<std::string_view> cut(std::string_view line) {
    std::array<std::string_view, change_words_max> room;
    unsigned count = 0;
    EXPECT_TRUE(split_words(line, room, count));
    return {room.begin(), room.begin() + count};
}

result<route_change> route(std::string_view line) {
    route_change change;
    auto good = parse_route(cut(line), change);
    if (!good) {
        return good.failure();
    }
    return change;
}

TEST(address, reads_what_it_prints) {
    for (const char* text : {"0.0.0.0", "1.2.3.4", "255.255.255.255", "10.0.200.9"}) {
        EXPECT_EQ(format_ip4(*parse_ip4(text)), text);
    }
    EXPECT_EQ(*parse_ip4("192.0.2.1"), 0xc0000201U);
    EXPECT_EQ(format_prefix(*parse_destination("default")), "0.0.0.0/0");
    EXPECT_EQ(format_mac(*parse_mac("02:AB:00:0f:10:ff")), "02:ab:00:0f:10:ff");
}

TEST(address, refuses_what_is_none) {
    for (const char* text :
         {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.-4", "01.2.3.4", "a.b.c.d", "1.2.3.4 ",
          " 1.2.3.4", "1.2.3.4/24", "+1.2.3.4", "99999999999.1.1.1"}) {
        EXPECT_FALSE(parse_ip4(text)) << text;
    }
    for (const char* text : {"1.2.3.0/33", "1.2.3.0/", "1.2.3.0/-1", "1.2.3.0/24x", "/24"}) {
        EXPECT_FALSE(parse_destination(text)) << text;
    }
    for (const char* text : {"02:00:00:00:00", "02:00:00:00:00:0g", "0200.0000.0001", ""}) {
        EXPECT_FALSE(parse_mac(text)) << text;
    }
}

TEST(address, names_the_prefix_that_was_meant) {
    const auto outcome = parse_destination("10.1.2.3/8");
    ASSERT_FALSE(outcome);
    EXPECT_NE(outcome.failure().text.find("10.0.0.0/8"), std::string::npos);
}

TEST(route_grammar, one_gateway) {
    const auto change = route("add 10.0.0.0/8 via 192.0.2.1 dev p0 mtu 1400");
    ASSERT_TRUE(change);
    EXPECT_EQ(change->verb, change_verb::add);
    EXPECT_EQ(change->kind, nexthop_kind::gateway);
    EXPECT_EQ(change->to, (ip4_prefix{0x0a000000, 8}));
    EXPECT_EQ(change->hops, (std::vector<route_hop>{{0xc0000201, "p0"}}));
    EXPECT_EQ(change->mtu, 1400);
}

TEST(route_grammar, several_gateways_are_ecmp) {
    const auto change = route("replace default nexthop via 10.0.0.1 dev a nexthop via 10.0.0.2");
    ASSERT_TRUE(change);
    EXPECT_EQ(change->verb, change_verb::replace);
    EXPECT_EQ(change->hops, (std::vector<route_hop>{{0x0a000001, "a"}, {0x0a000002, ""}}));
}

TEST(route_grammar, a_link_and_refusals) {
    EXPECT_EQ(route("add 10.0.0.0/24 dev p1")->kind, nexthop_kind::connected);
    EXPECT_EQ(route("add blackhole 10.0.0.0/24")->kind, nexthop_kind::blackhole);
    EXPECT_EQ(route("add unreachable 10.0.0.0/24")->kind, nexthop_kind::unreachable);
    EXPECT_EQ(route("add prohibit default")->kind, nexthop_kind::prohibit);
    EXPECT_TRUE(route("del 10.0.0.0/24"));
}

TEST(route_grammar, metric_weight_and_protocol) {
    const auto one = route("append 10.0.0.0/8 metric 7 proto bgp via 192.0.2.1 scope global");
    ASSERT_TRUE(one) << one.failure().text;
    EXPECT_EQ(one->verb, change_verb::append);
    EXPECT_EQ(one->metric, 7U);
    EXPECT_EQ(one->protocol, route_protocol::bgp);
    const auto two = route("add to 10.0.0.0/8 nexthop via 1.1.1.1 weight 3 nexthop via 1.1.1.2");
    ASSERT_TRUE(two);
    EXPECT_EQ(two->hops[0].weight, 3);
    EXPECT_EQ(two->hops[1].weight, 1);
    EXPECT_FALSE(two->metric);
    EXPECT_FALSE(two->protocol);
    EXPECT_TRUE(route("add unicast 10.0.0.0/8 dev a scope link table main"));
}

TEST(route_grammar, a_table_has_a_number_or_a_name) {
    EXPECT_EQ(route("add 10.0.0.0/8 via 1.1.1.1")->table, table_word{});
    EXPECT_EQ(route("add 10.0.0.0/8 via 1.1.1.1 table 254")->table, table_word{});
    EXPECT_EQ(route("add 10.0.0.0/8 via 1.1.1.1 table 9")->table.number, 9U);
    EXPECT_EQ(route("del 10.0.0.0/8 table 4294967295")->table.number, 4294967295U);
    EXPECT_EQ(route("add 10.0.0.0/8 vrf blue via 1.1.1.1")->table.name, "blue");
    EXPECT_EQ(route("add default dev a table blue")->table.name, "blue");
    route_change change;
    ASSERT_TRUE(parse_route(cut("add blackhole default vrf blue"), change));
    ASSERT_TRUE(parse_route(cut("add blackhole default table 7"), change));
    EXPECT_EQ(change.table, (table_word{7, ""}));
    ASSERT_TRUE(parse_route(cut("add blackhole default"), change));
    EXPECT_EQ(change.table, table_word{}) << "not that of the line before";
    load_change load;
    ASSERT_TRUE(parse_load(cut("/a vrf blue via 1.1.1.1"), load));
    EXPECT_EQ(load.table.name, "blue");
    EXPECT_FALSE(parse_load(cut("/a table"), load));
}

TEST(route_grammar, what_is_wrong_is_named_and_what_was_meant_guessed) {
    const std::pair<const char*, const char*> slips[] = {
        {"ad 10.0.0.0/8 via 1.1.1.1", "did you mean 'add'?"},
        {"dle 10.0.0.0/8", "did you mean 'del'?"},
        {"add 10.0.0.0/8 vai 1.1.1.1", "did you mean 'via'?"},
        {"add 10.0.0.0/8 via 1.1.1.1 onlink", "'onlink' is a word of iproute2"},
        {"add 10.0.0.0/8 via 1.1.1.1 weight 2", "nexthop via GATEWAY weight"},
        {"add 10.0.0.0/8 nexthop via 1.1.1.1 weight 0", "1 to 256"},
        {"add 10.0.0.0/8 nexthop via 1.1.1.1 dev a via 1.1.1.2", "'via' twice"},
        {"add 10.0.0.0/8 dev a metric x", "metric x"},
        {"add 10.0.0.0/8 via 1.1.1.1 nexthop via 1.1.1.2", "each 'nexthop'"},
        {"add 10.0.0.0/8 nexthop via 1.1.1.2 dev a mtu 900 dev b", "each"},
        {"add 10.0.0.0/8 via 1.1.1.1 scope link", "scope global"},
        {"add 10.0.0.0/8 via 1.1.1.1 table 255", "iproute2's own"},
        {"add 10.0.0.0/8 via 1.1.1.1 table 0", "1 to 4294967295"},
        {"add 10.0.0.0/8 via 1.1.1.1 table 4294967296", "1 to 4294967295"},
        {"add 10.0.0.0/8 via 1.1.1.1 table local", "name of a VRF"},
        {"add 10.0.0.0/8 via 1.1.1.1 table a/b", "name of a VRF"},
        {"add 10.0.0.0/8 via 1.1.1.1 table 9 vrf blue", "'vrf' twice"},
        {"add 10.0.0.0/8 via 1.1.1.1 vrf", "wants a value"},
        {"add 10.0.0.0/8 via 1.1.1.1 proto kernel", "proto"},
        {"add local 10.0.0.1 dev a", "'local' is no kind"},
        {"add 10.0.0.0/8 via 1.1.1.1 metric 1 metric 2", "'metric' twice"},
        {"add blackhole 10.0.0.0/8 dev a", "no next hop"},
        {"del blackhole 10.0.0.0/8 dev a", "no next hop"},
        {"del 10.0.0.0/8 mtu 900", "'mtu' does not tell"},
        {"add 10.0.0.0/8 via", "wants a value"},
        {"", "add"}};
    for (const auto& [line, because] : slips) {
        const auto change = route(line);
        ASSERT_FALSE(change) << line;
        EXPECT_NE(change.failure().text.find(because), std::string::npos)
            << line << ": " << change.failure().text;
    }
}

TEST(route_grammar, a_reused_record_forgets_the_line_before) {
    route_change change;
    ASSERT_TRUE(parse_route(cut("add 1.0.0.0/8 nexthop via 2.2.2.2 nexthop via 3.3.3.3"), change));
    ASSERT_TRUE(parse_route(cut("add 4.0.0.0/8 via 5.5.5.5 mtu 900"), change));
    ASSERT_TRUE(parse_route(cut("add blackhole 6.0.0.0/8"), change));
    EXPECT_TRUE(change.hops.empty());
    EXPECT_EQ(change.mtu, 0);
    ASSERT_TRUE(parse_route(cut("add 4.0.0.0/8 dev x"), change));
    EXPECT_EQ(change.hops, (std::vector<route_hop>{{0, "x"}}));
}

TEST(route_grammar, errors_say_which_word) {
    const std::pair<const char*, const char*> cases[] = {
        {"", "what? (add"},
        {"put 10.0.0.0/8", "'put'"},
        {"add", "which prefix"},
        {"add 10.0.0.0/8", "via GATEWAY"},
        {"add 10.0.0.1/8 via 1.1.1.1", "10.0.0.0/8"},
        {"add 10.0.0.0/8 via", "'via' wants"},
        {"add 10.0.0.0/8 via x", "via x"},
        {"add 10.0.0.0/8 via 0.0.0.0", "via 0.0.0.0"},
        {"add 10.0.0.0/8 via 1.1.1.1 advmss 5", "'advmss'"},
        {"add 10.0.0.0/8 via 1.1.1.1 mtu 20", "68"},
        {"add blackhole 10.0.0.0/8 via 1.1.1.1", "no next hop"},
        {"add 2001:db8::/32 via fe80::1 dev p0 mtu 600", "1280"},
        {"add 10.0.0.0/8 nexthop weight 2", "via GATEWAY"},
    };
    for (const auto& [line, wanted] : cases) {
        const auto outcome = route(line);
        ASSERT_FALSE(outcome) << line;
        EXPECT_NE(outcome.failure().text.find(wanted), std::string::npos)
            << line << ": " << outcome.failure().text;
    }
}

TEST(route_grammar, bounds_next_hops) {
    std::string line = "add default";
    for (unsigned i = 0; i < route_hops_max; ++i) {
        line += " nexthop via 10.0.0.1 dev p0 weight 2";
    }
    EXPECT_TRUE(route(line + " metric 5 proto bgp mtu 1400 table 7 scope global"));
    EXPECT_FALSE(route(line + " nexthop via 10.0.0.1"));
}

// What `append` makes of links and gateways is said again as iproute2 says it.
TEST(route_grammar, next_hops_that_are_links) {
    const auto mixed = route("replace 10.0.0.0/8 nexthop via 10.0.0.1 nexthop dev p0 weight 2");
    ASSERT_TRUE(mixed) << mixed.failure().text;
    ASSERT_EQ(mixed->hops.size(), 2U);
    EXPECT_EQ(mixed->hops[1], (route_hop{0, "p0", {}, 2}));
    EXPECT_TRUE(route("replace 2001:db8::/32 nexthop dev p0 nexthop dev p1 scope link"));
    EXPECT_TRUE(route("replace 10.0.0.0/8 nexthop dev p0 weight 3 scope link"));
    EXPECT_FALSE(route("replace 10.0.0.0/8 nexthop via 10.0.0.1 nexthop dev p0 scope link"));
}

TEST(words, comments_blanks_and_bounds) {
    EXPECT_EQ(cut("  add\t x  # via y").size(), 2U);
    EXPECT_TRUE(cut("# all comment").empty());
    std::array<std::string_view, 2> room;
    unsigned count = 0;
    EXPECT_FALSE(split_words("a b c", room, count));
}

TEST(addr_grammar, needs_address_and_interface) {
    addr_change change;
    ASSERT_TRUE(parse_addr(cut("add 192.0.2.9/24 dev p0"), change));
    EXPECT_EQ(change.address, (ip4_prefix{0xc0000209, 24}));
    EXPECT_EQ(change.dev, "p0");
    for (const char* line :
         {"add", "add 192.0.2.9/24", "add x dev p0", "add 192.0.2.9/24 dev",
          "add 192.0.2.9/24 to p0", "add default dev p0"}) {
        EXPECT_FALSE(parse_addr(cut(line), change)) << line;
    }
}

TEST(neigh_grammar, needs_a_station_unless_it_goes) {
    neigh_change change;
    ASSERT_TRUE(parse_neigh(cut("replace 192.0.2.9 lladdr 02:00:00:00:00:07 dev p0"), change));
    EXPECT_EQ(change.lladdr, (mac_address{2, 0, 0, 0, 0, 7}));
    EXPECT_TRUE(parse_neigh(cut("del 192.0.2.9 dev p0"), change));
    for (const char* line :
         {"add 192.0.2.9 dev p0", "add 192.0.2.9 lladdr zz dev p0",
          "add lladdr 02:00:00:00:00:07 dev p0", "del 192.0.2.9"}) {
        EXPECT_FALSE(parse_neigh(cut(line), change)) << line;
    }
}

TEST(link_grammar, set_add_del) {
    link_change change;
    ASSERT_TRUE(parse_link(cut("set dev p0 up mtu 9000"), change));
    EXPECT_EQ(change.up, true);
    EXPECT_EQ(change.mtu, 9000);
    ASSERT_TRUE(parse_link(cut("set p0 down address 02:00:00:00:00:07"), change));
    EXPECT_EQ(change.up, false);
    EXPECT_FALSE(change.mtu.has_value());
    ASSERT_TRUE(parse_link(cut("add link p0 name p0.7 type vlan id 7"), change));
    EXPECT_EQ(change.vlan, 7);
    EXPECT_EQ(change.port, "p0");
    ASSERT_TRUE(parse_link(cut("del p0.7"), change));
    ASSERT_TRUE(parse_link(cut("set p0 vrf blue up"), change));
    EXPECT_EQ(change.table->name, "blue");
    ASSERT_TRUE(parse_link(cut("set p0 master blue"), change));
    EXPECT_EQ(change.table->name, "blue");
    ASSERT_TRUE(parse_link(cut("set p0 table 12"), change));
    EXPECT_EQ(change.table->number, 12U);
    ASSERT_TRUE(parse_link(cut("set p0 nomaster"), change));
    EXPECT_EQ(change.table, table_word{});
    ASSERT_TRUE(parse_link(cut("add blue type vrf table 10"), change));
    EXPECT_EQ(change.name, "blue");
    EXPECT_EQ(change.table->number, 10U);
    ASSERT_TRUE(parse_link(cut("add name blue type vrf table 10"), change));
    EXPECT_EQ(change.name, "blue");
    for (const char* line :
         {"set p0", "set", "add link p0 name x type bond id 7", "add blue type vrf",
          "add type vrf table 10", "add blue type vrf table red", "add blue type vrf table 10 id 7",
          "add link p0 name x type vlan id 7 table 10", "set p0 vrf", "set p0 vrf blue nomaster",
          "set p0 table 255", "add link p0 name x type vlan id 4095", "set p0 mtu 67", "del",
          "del a b", "raise p0"}) {
        EXPECT_FALSE(parse_link(cut(line), change)) << line;
    }
}

} // namespace
