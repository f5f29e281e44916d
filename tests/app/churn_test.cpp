// Route churn on request: every kind of change comes soon, however large the table, and afterwards
// all routes are as they were.
#include "app/run/churn.hpp"

#include <memory>

#include <gtest/gtest.h>

namespace pantala::app {
namespace {

constexpr std::uint32_t network = 0x14000000; // 20.0.0.0
constexpr std::uint64_t at_once = 1'000'000'000'000;

class churn_test : public testing::Test {
  protected:
    churn_test() : control_(std::move(*rib::make(log_))), worker_(std::move(*control_->join())) {
        iface made;
        made.port = port_id{0};
        link_ = *control_->add_interface(made);
        EXPECT_TRUE(control_->set_up(link_, true).ok());
        EXPECT_TRUE(control_->add_address(link_, 0x0a000001, 8).ok());
        usual_ = hop_to(0x0a000002);
        other_ = hop_to(0x0a000003);
    }

    nexthop_id hop_to(std::uint32_t gateway) {
        const route_target target{nexthop_kind::gateway, gateway, std::nullopt, 1};
        return *control_->hop({&target, 1});
    }

    // `count` routes to /23s, each of which may be halved.
    std::vector<churn::member> table(std::uint32_t count) {
        std::vector<churn::member> members;
        for (std::uint32_t i = 0; i < count; ++i) {
            const prefix4 prefix = make_prefix4(network + (i << 9), 23);
            EXPECT_TRUE(control_->announce({prefix, usual_}).ok());
            members.push_back({prefix, usual_, other_, true});
            settle();
        }
        return members;
    }

    void settle() {
        while (!control_->pump() || !control_->settled()) {
            worker_->apply();
        }
    }

    // Turns until so many changes were made.
    void turns(churn& load, std::uint64_t changes) {
        while (load.report()["changes"] < changes) {
            ASSERT_TRUE(load.turn().ok());
            settle();
        }
    }

    route_log log_;
    std::unique_ptr<rib> control_;
    std::unique_ptr<route_replica> worker_;
    iface_id link_;
    nexthop_id usual_;
    nexthop_id other_;
};

TEST_F(churn_test, withdraws_before_it_was_once_round_the_table) {
    constexpr std::uint32_t count = 30'000;
    churn load(*control_, table(count), at_once);
    turns(load, 16'000);
    const auto report = load.report();
    const std::uint64_t announced = report["announced"];
    const std::uint64_t withdrawn = report["withdrawn"];
    EXPECT_GT(announced, 1000U);
    EXPECT_GT(withdrawn, 1000U);
    EXPECT_LE(announced - withdrawn, churn::halves_kept + 1);
    EXPECT_EQ(report["replaced"].get<std::uint64_t>() + announced + withdrawn, report["changes"]);
}

TEST_F(churn_test, no_route_of_a_small_table_is_halved_twice) {
    churn load(*control_, table(11), at_once);
    turns(load, 8'000);
    EXPECT_EQ(load.report()["announced"], 11U);
    EXPECT_EQ(load.report()["withdrawn"], 0U);
}

TEST_F(churn_test, restores_every_route) {
    constexpr std::uint32_t count = 5'000;
    churn load(*control_, table(count), at_once);
    turns(load, 20'001);
    for (auto done = load.restore(); !done || !*done; done = load.restore()) {
        ASSERT_TRUE(done.ok());
        settle();
    }
    settle();
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint32_t address = network + (i << 9);
        EXPECT_EQ(worker_->fib4().lookup(address), usual_);
        EXPECT_TRUE(control_->find(make_prefix4(address, 24)).empty());
    }
    EXPECT_EQ(worker_->hash(), control_->hash());
}

} // namespace
} // namespace pantala::app
