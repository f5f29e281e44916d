#include "app/gen/trial.hpp"

#include <algorithm>

#include <gtest/gtest.h>

using namespace pantala;
using namespace pantala::app;

namespace {

// Two ends that know a device's limits: what it takes, and what it lets through.
struct simulated {
    double sender_limit = 10e6;
    double path_limit = 3e6;
    unsigned trials = 0;
    sender_state sender;
    sink_state sink;

    trial_ends ends() {
        return {
            .begin =
                [this](std::uint8_t) {
                    sink = {};
                    return result<void>();
                },
            .send =
                [this](const send_order& order) {
                    ++trials;
                    const double asked = order.rate == 0 ? sender_limit : double(order.rate);
                    const double rate = std::min(asked, sender_limit);
                    sender.sent = static_cast<std::uint64_t>(rate * order.seconds);
                    sender.seconds = order.seconds;
                    sink.received = std::min(
                        sender.sent, static_cast<std::uint64_t>(path_limit * order.seconds));
                    return result<void>();
                },
            .sender = [this] { return result<sender_state>(sender); },
            .sink = [this] { return result<sink_state>(sink); },
        };
    }
};

TEST(trial, counts_what_was_lost) {
    simulated path;
    trial_runner runner(path.ends());
    const auto report = runner.run({.rate = 4'000'000, .seconds = 1});
    ASSERT_TRUE(report);
    EXPECT_EQ(report->lost(), 1'000'000U);
    EXPECT_FALSE(report->clean());
    EXPECT_DOUBLE_EQ(report->received_rate(), 3e6);
    EXPECT_EQ(to_json(*report)["lost"], 1'000'000);
}

TEST(trial, packets_too_late_to_tell_are_not_lost) {
    trial_report report;
    report.sender.sent = 10;
    report.sink.received = 7;
    report.sink.late = 2;
    EXPECT_EQ(report.lost(), 1U);
}

TEST(search, finds_the_rate_without_loss) {
    for (const double limit : {50e3, 3e6, 9.2e6}) {
        simulated path;
        path.path_limit = limit;
        trial_runner runner(path.ends());
        const auto best =
            search_throughput(runner, {.seconds = 1, .resolution = 0.02, .trials = 30});
        ASSERT_TRUE(best);
        EXPECT_TRUE(best->best.clean());
        EXPECT_FALSE(best->interrupted);
        EXPECT_EQ(best->trials, path.trials);
        EXPECT_LE(best->best.sent_rate(), limit * 1.0001);
        EXPECT_GE(best->best.sent_rate(), limit * 0.97) << limit;
    }
}

TEST(search, ends_at_what_the_sender_can_do) {
    simulated path;
    path.path_limit = 1e9;
    trial_runner runner(path.ends());
    const auto best = search_throughput(runner, {});
    ASSERT_TRUE(best);
    EXPECT_DOUBLE_EQ(best->best.sent_rate(), path.sender_limit);
    EXPECT_EQ(path.trials, 1U);
}

// A sender that goes on until it is told to end, and what arrives of it.
struct endless {
    bool busy = false;
    unsigned cancelled = 0;
    unsigned asked = 0;

    trial_ends ends() {
        return {
            .begin = [](std::uint8_t) { return result<void>(); },
            .send =
                [this](const send_order&) {
                    busy = true;
                    return result<void>();
                },
            .sender =
                [this] {
                    ++asked;
                    return result<sender_state>(
                        {.busy = busy, .sent = 500, .seconds = busy ? 0 : 0.5});
                },
            .sink = [] { return result<sink_state>({.received = 500}); },
            .cancel =
                [this] {
                    ++cancelled;
                    busy = false;
                    return result<void>();
                },
        };
    }
};

TEST(trial, that_is_interrupted_says_so_and_sends_no_more) {
    endless path;
    trial_runner runner(path.ends(), [&] { return path.asked > 3; });
    const auto report = runner.run({.rate = 1000, .seconds = 3600});
    ASSERT_TRUE(report);
    EXPECT_TRUE(report->interrupted);
    EXPECT_EQ(path.cancelled, 1U);
    EXPECT_TRUE(report->clean());
    EXPECT_EQ(report->sender.sent, 500U);
    EXPECT_DOUBLE_EQ(report->sent_rate(), 1000);
    const auto row = to_json(*report);
    EXPECT_EQ(row["interrupted"], true);
    EXPECT_EQ(row["seconds"], 0.5);
    EXPECT_EQ(row["seconds_wanted"], 3600);
}

TEST(trial, a_sender_that_does_not_end_is_an_error) {
    endless path;
    trial_ends ends = path.ends();
    ends.cancel = {};
    trial_runner runner(ends, [] { return true; });
    const auto report = runner.run({.seconds = 3600});
    ASSERT_FALSE(report);
    EXPECT_EQ(report.failure().code, ETIMEDOUT);
}

TEST(search, that_is_interrupted_gives_what_it_found) {
    simulated path;
    unsigned ended = 0;
    trial_ends ends = path.ends();
    ends.sender = [&] {
        sender_state state = path.sender;
        state.busy = path.trials == 5 && ended == 0; // the fifth goes on until it is told to end
        return result<sender_state>(state);
    };
    ends.cancel = [&] {
        ++ended;
        return result<void>();
    };
    trial_runner runner(ends, [&] { return path.trials == 5; });
    unsigned seen = 0;
    const auto found = search_throughput(
        runner, {.seconds = 1, .resolution = 0.001}, [&](const trial_report&) { ++seen; });
    ASSERT_TRUE(found) << found.failure().text;
    EXPECT_TRUE(found->interrupted);
    EXPECT_EQ(found->trials, 4U);
    EXPECT_EQ(seen, 4U);
    EXPECT_TRUE(found->best.clean());
    EXPECT_EQ(to_json(*found)["interrupted"], true);
}

TEST(search, that_is_interrupted_at_once_has_nothing) {
    endless path;
    trial_runner runner(path.ends(), [] { return true; });
    const auto found = search_throughput(runner, {});
    ASSERT_FALSE(found);
    EXPECT_EQ(found.failure().code, EINTR);
}

TEST(search, says_when_nothing_gets_through) {
    simulated path;
    path.path_limit = 0;
    trial_runner runner(path.ends());
    EXPECT_FALSE(search_throughput(runner, {.seconds = 1, .resolution = 0.1, .trials = 3}));
    path.sender_limit = 0;
    EXPECT_FALSE(search_throughput(runner, {}));
}

} // namespace
