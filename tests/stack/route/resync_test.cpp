// Workers that do not read the route log: the others go on without them, and they come back.
#include "stack/route/rib.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace pantala {

namespace {

struct watcher {
    void nexthop_changed(nexthop_id id) {
        ++hops;
        while_reading(id);
    }
    void iface_changed(iface_id) { ++ifaces; }
    std::function<void(nexthop_id)> while_reading = [](nexthop_id) {};
    unsigned hops = 0;
    unsigned ifaces = 0;
};

class resync : public testing::Test {
  protected:
    resync() : control(std::move(*rib::make(log))) {
        for (auto& each : worker) {
            each = std::move(*control->join());
        }
        iface made;
        made.port = port_id{0};
        link = *control->add_interface(made);
        EXPECT_TRUE(control->set_up(link, true).ok());
        EXPECT_TRUE(control->add_address(link, 10U << 24 | 1, 24).ok());
        hop = hop_to(9);
        settle(*worker[0], *worker[1]);
    }
    nexthop_id hop_to(std::uint32_t host) {
        route_target to;
        to.gateway = 10U << 24 | host;
        to.interface = link;
        return *control->hop({&to, 1});
    }
    template <class... Replicas>
    void settle(Replicas&... replicas) {
        for (unsigned i = 0; i < 100'000 && !control->settled(); ++i) {
            control->pump();
            (static_cast<void>(replicas.apply()), ...);
            control->mind_workers(now);
        }
        EXPECT_TRUE(control->settled());
    }
    // Changes that the log has no room for if somebody does not read; the other worker does.
    void change(unsigned count = 2'000) {
        for (unsigned i = 0; i < count; ++i) {
            const prefix4 prefix = make_prefix4(0x14000000 + (changes % 3'000 << 8), 24);
            const bool out = changes++ / 3'000 % 2 == 1;
            ASSERT_TRUE(
                out ? control->withdraw(prefix).ok() : control->announce({prefix, hop}).ok());
            control->pump();
            worker[0]->apply();
            control->mind_workers(now);
        }
    }
    void stick() {
        change();
        now = now + rib::stuck_ns_default;
        change(); // nobody misses it
        EXPECT_EQ(given_up + 1, control->counts().given_up);
        given_up = control->counts().given_up;
        for (unsigned i = 0; i < 1'000; ++i) {
            control->pump();
            worker[0]->apply();
        }
        EXPECT_EQ(worker[0]->generation(), control->generation());
        EXPECT_EQ(worker[0]->hash(), control->hash());
    }
    void all_alike() {
        settle(*worker[0], *worker[1]);
        for (const auto& each : worker) {
            EXPECT_EQ(each->hash(), control->hash());
        }
    }

    route_log log{4096};
    std::unique_ptr<rib> control;
    std::unique_ptr<route_replica> worker[2];
    iface_id link;
    nexthop_id hop;
    instant now{ns_per_s};
    unsigned changes = 0;
    std::uint64_t given_up = 0;
};

TEST_F(resync, the_others_go_on_without_a_stuck_worker) {
    const std::uint64_t before = worker[1]->hash();
    stick();
    EXPECT_EQ(before, worker[1]->hash()) << "it has what it had";
    EXPECT_TRUE(control->replicas()[1].given_up);
    EXPECT_FALSE(control->replicas()[0].given_up);
    EXPECT_FALSE(control->hash_replicas().ok());
    EXPECT_FALSE(control->settled());
}

TEST_F(resync, it_takes_an_image_when_it_comes_back) {
    stick();
    const iface_id other = [&] {
        iface made;
        made.port = port_id{1};
        return *control->add_interface(made);
    }();
    const nexthop_id fresh = hop_to(77);
    watcher told;
    EXPECT_EQ(0u, worker[1]->apply(64, told));
    EXPECT_TRUE(worker[1]->wants_image());
    EXPECT_EQ(0u, worker[1]->apply(64, told)) << "control has not looked yet";
    EXPECT_EQ(0u, told.hops);
    control->mind_workers(now);
    EXPECT_FALSE(worker[1]->wants_image());
    change(20); // is behind the image, in the log
    worker[1]->apply(64, told);
    EXPECT_GE(told.hops, 1u);
    EXPECT_EQ(1u, told.ifaces);
    EXPECT_TRUE(worker[1]->interface(other).present);
    EXPECT_EQ(10U << 24 | 77, worker[1]->hop(fresh).gateway4.host());
    all_alike();
    EXPECT_FALSE(control->replicas()[1].given_up);
    change();
    now = now + 10 * rib::stuck_ns_default;
    all_alike();
    stick(); // and again
    all_alike();
}

TEST_F(resync, whole_tables_that_were_shipped_meanwhile_are_not_missed) {
    stick();
    std::vector<feed_route> table;
    for (std::uint32_t i = 0; i < 20'000; ++i) {
        table.push_back({make_prefix4(0x1e000000 + (i << 8), 24), hop});
    }
    ASSERT_TRUE(control->load(table).ok());
    EXPECT_TRUE(
        control->add({*parse_prefix4("9.0.0.0/8"), 7, {}, {}, 0, {{nexthop_kind::blackhole}}})
            .ok());
    change();
    all_alike();
    EXPECT_EQ(hop, worker[1]->fib4().lookup(0x1e000001));
    EXPECT_EQ(nexthop_kind::blackhole, worker[1]->hop(worker[1]->lookup4(7, 0x09000001)).kind);
}

TEST_F(resync, tables_that_went_meanwhile_are_gone_when_it_comes_back) {
    const route only{*parse_prefix4("9.0.0.0/8"), 7, route_protocol::fixed, {}, 0,
                     {{nexthop_kind::blackhole}}};
    ASSERT_TRUE(control->add(only).ok());
    change();
    all_alike();
    EXPECT_EQ(nexthop_kind::blackhole, worker[1]->hop(worker[1]->lookup4(7, 0x09000001)).kind);
    stick();
    ASSERT_TRUE(control->del(only).ok());
    route other = only;
    other.table = 8;
    ASSERT_TRUE(control->add(other).ok());
    EXPECT_EQ(nexthop_kind::blackhole, worker[1]->hop(worker[1]->lookup4(7, 0x09000001)).kind)
        << "it has what it had";
    change();
    all_alike();
    EXPECT_EQ(nullptr, worker[1]->image4(7));
    EXPECT_EQ(nullptr, worker[0]->image4(7));
    EXPECT_NE(nullptr, worker[1]->image4(8));
}

TEST_F(resync, one_that_sticks_before_it_took_its_image_is_given_up_again) {
    stick();
    worker[1]->apply();
    control->mind_workers(now);
    EXPECT_FALSE(control->replicas()[1].given_up);
    stick();
    EXPECT_TRUE(control->replicas()[1].given_up);
    all_alike();
}

TEST_F(resync, nobody_is_given_up_in_the_middle_of_reading) {
    watcher told;
    told.while_reading = [&](nexthop_id) {
        change();
        now = now + 10 * rib::stuck_ns_default;
        change(1);
        EXPECT_EQ(0u, control->counts().given_up);
    };
    hop_to(88);
    control->pump();
    worker[1]->apply(64, told);
    EXPECT_EQ(1u, told.hops);
    all_alike();
}

TEST_F(resync, who_has_nothing_to_read_or_is_only_slow_is_not_stuck) {
    for (unsigned i = 0; i < 100; ++i) {
        now = now + 10 * rib::stuck_ns_default;
        control->mind_workers(now);
    }
    for (unsigned i = 0; i < 200; ++i) {
        change(50);
        now = now + rib::stuck_ns_default / 2;
        worker[1]->apply(1);
    }
    EXPECT_EQ(0u, control->counts().given_up);
    worker[1]->apply();
    all_alike();
}

TEST_F(resync, leaving_while_given_up_is_clean) {
    stick();
    control->leave(*worker[1]);
    change();
    settle(*worker[0]);
    worker[1] = std::move(*control->join());
    all_alike();
}

// A worker that pauses as it likes, and a control that has no patience.
TEST(route_log_resync, threads) {
    route_log log(4096);
    auto control = std::move(*rib::make(log));
    auto steady = std::move(*control->join());
    auto moody = std::move(*control->join());
    iface made;
    const iface_id link = *control->add_interface(made);
    ASSERT_TRUE(control->set_up(link, true).ok());
    ASSERT_TRUE(control->add_address(link, 10U << 24 | 1, 24).ok());
    route_target to;
    to.gateway = 10U << 24 | 9;
    const nexthop_id hop = *control->hop({&to, 1});
    std::atomic<bool> stop{false};
    std::thread worker([&] {
        for (unsigned i = 0; !stop.load(); ++i) {
            moody->apply();
            if (i % 64 == 0) {
                std::this_thread::sleep_for(std::chrono::microseconds(300));
            }
        }
    });
    std::uint64_t now = 0;
    unsigned changes = 0;
    for (; control->counts().given_up < 5 && changes < 300'000; ++changes) {
        const prefix4 prefix = make_prefix4(0x14000000 + (changes % 5'000 << 8), 24);
        const auto done =
            changes / 5'000 % 2 == 0 ? control->announce({prefix, hop}) : control->withdraw(prefix);
        changes -= done.ok() ? 0 : 1;
        control->pump();
        steady->apply();
        control->mind_workers(instant{++now}, 200);
    }
    while (!control->settled()) {
        control->pump();
        steady->apply();
        control->mind_workers(instant{++now}, 1'000'000'000);
    }
    stop.store(true);
    worker.join();
    EXPECT_EQ(steady->hash(), control->hash());
    EXPECT_EQ(moody->hash(), control->hash());
}

} // namespace

} // namespace pantala
