// The host cache in virtual time: marks, sweeps, drains, its bounds, and routes that change.
#include "stack/route/host_cache/host_cache.hpp"
#include "stack/route/rib.hpp"

#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace pantala {

namespace {

constexpr instant start{1'000 * ns_per_s};
constexpr path_metrics found{
    .srtt_us = 20'000, .rttvar_us = 4'000, .ssthresh = 60'000, .cwnd = 80'000};

ip_address v4(std::uint32_t address) {
    return ip_address::from(wire::ipv4_address::from(address));
}
ip_address at(const char* text) {
    const auto prefix = parse_prefix4(std::string(text) + "/32");
    if (prefix) {
        return v4(prefix->address);
    }
    return ip_address::from(
        wire::ipv6_address{parse_prefix6(std::string(text) + "/128")->address.bytes()});
}

class host_cache_test : public testing::Test {
  protected:
    host_cache_test() : control(std::move(*rib::make(log))), routes(std::move(*control->join())) {
        for (std::uint16_t i = 0; i < 2; ++i) {
            iface made;
            made.port = port_id{i};
            link[i] = *control->add_interface(made);
            EXPECT_TRUE(control->set_up(link[i], true).ok());
            EXPECT_TRUE(control->add_address(link[i], 10U << 24 | i << 8 | 1, 24).ok());
        }
        EXPECT_TRUE(
            control->add_address(link[0], parse_prefix6("2001:db8::1/128")->address, 64).ok());
        settle();
        make({});
    }
    void make(const host_cache_settings& settings) {
        cache = std::make_unique<host_cache>(siphash_key{1, 2}, *routes, settings);
    }
    void settle() {
        while (!control->pump() || !control->settled()) {
            routes->apply();
        }
    }
    void add(const char* prefix, std::uint32_t gateway) {
        EXPECT_TRUE(control
                        ->replace(route{
                            *parse_prefix4(prefix),
                            0,
                            route_protocol::fixed,
                            std::nullopt,
                            0,
                            {{nexthop_kind::gateway, gateway, std::nullopt, 1}}})
                        .ok());
        settle();
    }
    // Rounds until there is nothing to do at this time; how many.
    unsigned pass(std::uint64_t seconds, unsigned budget = 64) {
        now = now + seconds * ns_per_s;
        unsigned rounds = 0;
        for (; cache->next_deadline() <= now && rounds < 100'000; ++rounds) {
            EXPECT_LE(cache->expire(now, budget), budget);
        }
        return rounds;
    }
    // A connection that begins, finds and ends.
    void speak_with(const ip_address& remote, const path_metrics& what = found) {
        cache->release(cache->attach(remote, now), what, now);
    }
    path_metrics known_of(const ip_address& remote) {
        const host_place place = cache->attach(remote, now);
        const path_metrics known = cache->remembered(place, now);
        cache->release(place, {}, now);
        return known;
    }
    std::uint64_t count(counter host_cache_counters::*which) const {
        return (cache->counts().*which).read();
    }

    route_log log;
    std::unique_ptr<rib> control;
    std::unique_ptr<route_replica> routes;
    iface_id link[2];
    std::unique_ptr<host_cache> cache;
    instant now = start;
};

TEST_F(host_cache_test, what_one_connection_found_the_next_begins_with) {
    for (const char* remote : {"10.0.0.9", "2001:db8::9"}) {
        EXPECT_FALSE(known_of(at(remote)).any());
        speak_with(at(remote));
        const path_metrics known = known_of(at(remote));
        EXPECT_EQ(20'000u, known.srtt_us);
        EXPECT_EQ(4'000u, known.rttvar_us);
        EXPECT_EQ(60'000u, known.ssthresh);
        EXPECT_EQ(80'000u, known.cwnd);
        EXPECT_FALSE(known_of(at("10.0.0.10")).any());
    }
    EXPECT_EQ(2u, count(&host_cache_counters::updated));
}

TEST_F(host_cache_test, what_is_found_weighs_as_much_as_what_is_known) {
    speak_with(at("10.0.0.9"));
    speak_with(at("10.0.0.9"), {.srtt_us = 40'001, .rttvar_us = 0, .ssthresh = 20'000, .cwnd = 1});
    const path_metrics known = known_of(at("10.0.0.9"));
    EXPECT_EQ(30'000u, known.srtt_us);
    EXPECT_EQ(4'000u, known.rttvar_us) << "nothing was found of it";
    EXPECT_EQ(40'000u, known.ssthresh);
    EXPECT_EQ(40'000u, known.cwnd);
}

TEST_F(host_cache_test, it_can_be_told_to_seed_nothing) {
    make({.seed_connections = false});
    speak_with(at("10.0.0.9"));
    EXPECT_FALSE(known_of(at("10.0.0.9")).any());
    EXPECT_EQ(0u, count(&host_cache_counters::used));
}

// ---------------------------------------------------------------------------------------------
// Marks and sweeps.

TEST_F(host_cache_test, an_entry_goes_an_hour_after_its_last_user) {
    const host_place one = cache->attach(at("10.0.0.9"), now);
    const host_place two = cache->attach(at("10.0.0.9"), now);
    cache->release(one, found, now);
    pass(100'000);
    EXPECT_EQ(1u, cache->size());
    EXPECT_EQ(0u, cache->expiring());
    EXPECT_EQ(instant::never(), cache->next_deadline());
    cache->release(two, {}, now);
    EXPECT_EQ(1u, cache->expiring());
    pass(3'599);
    EXPECT_EQ(1u, cache->size());
    pass(1);
    EXPECT_EQ(0u, cache->size());
    EXPECT_EQ(1u, count(&host_cache_counters::expired));
    EXPECT_EQ(instant::never(), cache->next_deadline());
}

TEST_F(host_cache_test, a_new_user_takes_the_mark_away) {
    speak_with(at("10.0.0.9"));
    pass(3'000);
    const host_place place = cache->attach(at("10.0.0.9"), now);
    EXPECT_EQ(0u, cache->expiring());
    pass(3'000);
    EXPECT_EQ(20'000u, cache->remembered(place, now).srtt_us);
    cache->release(place, {}, now);
    pass(3'000);
    EXPECT_EQ(1u, cache->size());
}

TEST_F(host_cache_test, what_is_due_is_not_believed_before_the_sweep_either) {
    speak_with(at("10.0.0.9"));
    now = now + 3'600 * ns_per_s; // and no round in between
    EXPECT_FALSE(known_of(at("10.0.0.9")).any());
}

TEST_F(host_cache_test, with_expire_0_an_entry_goes_at_once) {
    make({.expire_s = 0});
    speak_with(at("10.0.0.9"));
    cache->learn_mtu(at("10.0.0.9"), 1'300, now);
    EXPECT_EQ(0u, cache->size());
    EXPECT_EQ(host_cache::no_mtu, cache->find_mtu(at("10.0.0.9"), now));
}

TEST_F(host_cache_test, sweeps_are_between_a_second_and_ten_minutes_apart) {
    speak_with(at("10.0.0.1"));
    EXPECT_EQ(now + 600 * ns_per_s, cache->next_deadline());
    now = now + ns_per_s / 2;
    speak_with(at("10.0.0.2"));
    now = now + ns_per_s / 2;
    pass(3'299);
    EXPECT_EQ(now + 300 * ns_per_s, cache->next_deadline()) << "sooner where one is due sooner";
    pass(300);
    EXPECT_EQ(1u, cache->size());
    EXPECT_EQ(now + ns_per_s, cache->next_deadline()) << "though the other is due in half of it";
    pass(1);
    EXPECT_EQ(0u, cache->size());
}

TEST_F(host_cache_test, too_many_marked_ones_bring_expire_down_to_two_thirds) {
    make({.max_cache = 128});
    for (unsigned i = 0; i < 200; ++i) {
        speak_with(v4(0x14000000 + i));
    }
    EXPECT_EQ(3'600u, cache->expire_s());
    pass(600, 16);
    EXPECT_EQ(2'400u, cache->expire_s());
    host_cache_row row;
    ASSERT_TRUE(cache->look_at(v4(0x14000000), row));
    EXPECT_EQ(2'400u, row.expires_s) << "what is marked follows";
    pass(599);
    EXPECT_EQ(2'400u, cache->expire_s()) << "once in a sweep interval";
    pass(1);
    EXPECT_EQ(1'600u, cache->expire_s());
    ASSERT_TRUE(cache->look_at(v4(0x14000000 + 199), row));
    EXPECT_EQ(1'600u, row.expires_s);
    pass(600);
    EXPECT_EQ(200u, cache->size());
    EXPECT_EQ(1'066u, cache->expire_s());
    pass(1'067);
    EXPECT_EQ(0u, cache->size());
    EXPECT_EQ(3u, count(&host_cache_counters::shortened));
}

TEST_F(host_cache_test, expire_comes_down_to_its_floor_and_stays_there) {
    make({.expire_s = 40, .min_expire_s = 25, .sweep_s = 1, .max_cache = 4});
    for (unsigned second = 0; second < 100; ++second) {
        for (unsigned i = 0; i < 5; ++i) {
            speak_with(v4(0x14000000 + i));
        }
        pass(1);
        EXPECT_GE(cache->expire_s(), 25u);
    }
    EXPECT_EQ(25u, cache->expire_s());
    EXPECT_EQ(2u, count(&host_cache_counters::shortened));
    std::uint32_t cursor = 0;
    EXPECT_TRUE(cache->flush(cursor, 100));
    cache->restart();
    EXPECT_EQ(40u, cache->expire_s());
    EXPECT_EQ(0u, cache->size());
}

TEST_F(host_cache_test, a_round_does_no_more_than_its_budget) {
    for (unsigned i = 0; i < 1'000; ++i) {
        speak_with(v4(0x14000000 + i));
    }
    EXPECT_GE(pass(3'600, 10), 100u);
    EXPECT_EQ(0u, cache->size());
}

// ---------------------------------------------------------------------------------------------
// Bounds and alarms.

TEST_F(host_cache_test, the_one_marked_longest_ago_makes_room) {
    make({.entries = 4});
    for (unsigned i = 0; i < 5; ++i) {
        speak_with(v4(0x14000000 + i));
    }
    EXPECT_EQ(4u, cache->size());
    EXPECT_EQ(1u, count(&host_cache_counters::evicted));
    host_cache_row row;
    EXPECT_FALSE(cache->look_at(v4(0x14000000), row));
    EXPECT_TRUE(cache->look_at(v4(0x14000001), row));
}

TEST_F(host_cache_test, where_all_are_used_a_destination_is_not_remembered) {
    make({.entries = 2});
    const host_place one = cache->attach(v4(1), now);
    const host_place two = cache->attach(v4(2), now);
    const host_place three = cache->attach(v4(3), now);
    EXPECT_FALSE(three.is_somewhere());
    cache->learn_mtu(v4(3), 1'300, now);
    cache->release(three, found, now);
    EXPECT_FALSE(cache->remembered(three, now).any());
    EXPECT_EQ(2u, count(&host_cache_counters::full));
    cache->release(two, found, now);
    EXPECT_TRUE(cache->attach(v4(3), now).is_somewhere());
    cache->release(one, found, now);
}

TEST_F(host_cache_test, a_drain_takes_all_that_is_marked_and_leaves_what_is_used) {
    const host_place used = cache->attach(v4(7), now);
    for (unsigned i = 100; i < 200; ++i) {
        speak_with(v4(i));
    }
    cache->drain();
    EXPECT_TRUE(cache->draining());
    EXPECT_EQ(16u, cache->expire(now, 16));
    EXPECT_EQ(85u, cache->size());
    speak_with(v4(500)); // marked after the alarm: it stays
    pass(0, 16);
    EXPECT_FALSE(cache->draining());
    EXPECT_EQ(2u, cache->size());
    EXPECT_EQ(100u, count(&host_cache_counters::drained));
    cache->release(used, found, now);
    EXPECT_TRUE(known_of(v4(7)).any());
}

TEST_F(host_cache_test, a_drain_of_nothing_is_over_at_once) {
    cache->drain();
    EXPECT_FALSE(cache->draining());
}

TEST_F(host_cache_test, flushing_forgets_what_is_used_as_well) {
    speak_with(at("10.0.0.9"));
    speak_with(at("10.0.0.10"));
    const host_place used = cache->attach(at("10.0.0.9"), now);
    EXPECT_TRUE(cache->flush_one(at("10.0.0.10")));
    EXPECT_FALSE(cache->flush_one(at("10.0.0.10")));
    std::uint32_t cursor = 0;
    EXPECT_TRUE(cache->flush(cursor, 1'000));
    EXPECT_EQ(1u, cache->size());
    EXPECT_FALSE(cache->remembered(used, now).any());
    cache->release(used, found, now);
    EXPECT_FALSE(known_of(at("10.0.0.9")).any()) << "what was found before is of before";
}

// ---------------------------------------------------------------------------------------------
// Path MTUs (RFC 1191, RFC 8201).

TEST_F(host_cache_test, the_smallest_path_mtu_holds_for_ten_minutes) {
    EXPECT_EQ(host_cache::no_mtu, cache->find_mtu(at("10.0.0.9"), now));
    cache->learn_mtu(at("10.0.0.9"), 1'300, now);
    cache->learn_mtu(at("10.0.0.9"), 1'400, now);
    EXPECT_EQ(1'300, cache->find_mtu(at("10.0.0.9"), now));
    EXPECT_EQ(host_cache::no_mtu, cache->find_mtu(at("10.0.0.10"), now));
    pass(599);
    EXPECT_EQ(1'300, cache->find_mtu(at("10.0.0.9"), now));
    pass(1);
    EXPECT_EQ(host_cache::no_mtu, cache->find_mtu(at("10.0.0.9"), now));
    cache->learn_mtu(at("10.0.0.9"), 1'400, now);
    EXPECT_EQ(1'400, cache->find_mtu(at("10.0.0.9"), now)) << "the old one counts no more";
}

TEST_F(host_cache_test, nobody_has_to_believe_less_than_the_least) {
    cache->learn_mtu(at("10.0.0.9"), 100, now);
    cache->learn_mtu(at("2001:db8::9"), 100, now);
    EXPECT_EQ(552, cache->find_mtu(at("10.0.0.9"), now));
    EXPECT_EQ(1'280, cache->find_mtu(at("2001:db8::9"), now));
}

// ---------------------------------------------------------------------------------------------
// Routes that change.

TEST_F(host_cache_test, a_route_that_changes_is_forgotten_and_no_other) {
    add("20.0.0.0/8", 10U << 24 | 9);
    add("30.0.0.0/8", 10U << 24 | 9);
    for (const char* remote : {"20.1.1.1", "20.2.2.2", "30.1.1.1"}) {
        speak_with(at(remote));
        cache->learn_mtu(at(remote), 1'300, now);
    }
    add("20.1.0.0/16", 10U << 24 | 1U << 8 | 9); // out of the other link
    EXPECT_FALSE(known_of(at("20.1.1.1")).any());
    EXPECT_EQ(host_cache::no_mtu, cache->find_mtu(at("20.1.1.1"), now));
    EXPECT_TRUE(known_of(at("20.2.2.2")).any());
    EXPECT_EQ(1'300, cache->find_mtu(at("20.2.2.2"), now));
    EXPECT_TRUE(known_of(at("30.1.1.1")).any());
    EXPECT_EQ(1u, count(&host_cache_counters::rerouted));
}

TEST_F(host_cache_test, another_way_of_the_same_next_hop_is_another_way) {
    add("0.0.0.0/0", 10U << 24 | 9); // the default's record is always the same one
    speak_with(at("20.1.1.1"));
    add("40.0.0.0/8", 10U << 24 | 9); // a change that has nothing to do with it
    EXPECT_TRUE(known_of(at("20.1.1.1")).any());
    add("0.0.0.0/0", 10U << 24 | 10);
    EXPECT_FALSE(known_of(at("20.1.1.1")).any());
    speak_with(at("20.1.1.1"));
    ASSERT_TRUE(control->set_up(link[0], false).ok());
    settle();
    EXPECT_FALSE(known_of(at("20.1.1.1")).any());
}

TEST_F(host_cache_test, a_member_that_dies_is_another_way) {
    const auto way = [](std::uint32_t gateway) {
        return route_target{nexthop_kind::gateway, gateway, std::nullopt, 1};
    };
    ASSERT_TRUE(control
                    ->add(route{
                        *parse_prefix4("20.0.0.0/8"),
                        0,
                        route_protocol::fixed,
                        std::nullopt,
                        0,
                        {way(10U << 24 | 9), way(10U << 24 | 1U << 8 | 9)}})
                    .ok());
    settle();
    speak_with(at("20.1.1.1"));
    EXPECT_TRUE(known_of(at("20.1.1.1")).any());
    ASSERT_TRUE(control->set_up(link[1], false).ok());
    settle();
    EXPECT_FALSE(known_of(at("20.1.1.1")).any());
}

TEST_F(host_cache_test, what_was_found_of_the_old_way_does_not_count) {
    add("20.0.0.0/8", 10U << 24 | 9);
    const host_place place = cache->attach(at("20.1.1.1"), now);
    add("20.0.0.0/8", 10U << 24 | 10);
    cache->release(place, found, now);
    EXPECT_FALSE(known_of(at("20.1.1.1")).any());
    EXPECT_EQ(1u, cache->size());
}

TEST_F(host_cache_test, link_local_destinations_follow_no_route) {
    speak_with(at("fe80::9"));
    add("20.0.0.0/8", 10U << 24 | 9);
    EXPECT_TRUE(known_of(at("fe80::9")).any());
}

// ---------------------------------------------------------------------------------------------

// Any history of uses, against a model that knows nothing of lists and sweeps.
TEST_F(host_cache_test, any_history) {
    struct model_entry {
        std::vector<host_place> users;
        instant gone{};
        std::uint32_t srtt_us = 0;
    };
    const std::uint64_t expire_ns = 50 * ns_per_s;
    make({.expire_s = 50, .sweep_s = 20});
    std::map<std::uint32_t, model_entry> model;
    std::mt19937_64 random(7);
    const auto forget_due = [&] {
        std::erase_if(model, [&](const auto& one) {
            return one.second.users.empty() && one.second.gone <= now;
        });
    };
    for (unsigned step = 0; step < 50'000; ++step) {
        const auto remote = static_cast<std::uint32_t>(0x0a000009 + random() % 40);
        const unsigned what = random() % 16;
        forget_due();
        if (what < 6) {
            model_entry& mine = model[remote];
            mine.users.push_back(cache->attach(v4(remote), now));
            ASSERT_EQ(mine.srtt_us, cache->remembered(mine.users.back(), now).srtt_us) << step;
        } else if (what < 12 && model.contains(remote) && !model[remote].users.empty()) {
            model_entry& mine = model[remote];
            const auto seen = static_cast<std::uint32_t>(random() % 3 * 1'000);
            cache->release(mine.users.back(), {.srtt_us = seen}, now);
            mine.users.pop_back();
            mine.srtt_us = seen == 0           ? mine.srtt_us
                           : mine.srtt_us == 0 ? seen
                                               : (mine.srtt_us + seen) / 2;
            mine.gone = now + expire_ns;
        } else if (what == 12) {
            cache->drain();
            pass(0, 8);
            std::erase_if(model, [](const auto& one) { return one.second.users.empty(); });
        } else if (what > 13) {
            pass(random() % 8);
        }
    }
    for (auto& [remote, mine] : model) {
        for (const host_place place : mine.users) {
            cache->release(place, {}, now);
        }
    }
    pass(71);
    EXPECT_EQ(0u, cache->size());
    EXPECT_EQ(count(&host_cache_counters::added), count(&host_cache_counters::removed));
}

} // namespace

} // namespace pantala
