// The wheel against an ordered map, in virtual time.
#include "engine/random.hpp"
#include "engine/timer_fifo.hpp"
#include "engine/timer_wheel.hpp"
#include "tests/harness/instrumented.hpp"

#include <array>
#include <deque>
#include <map>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace pantala {
namespace {

constexpr unsigned timers = 5; // in an object, as a TCP connection has
constexpr instant at_ms(std::uint64_t ms) {
    return instant{ms * ns_per_ms};
}

// Objects with five deadlines each, and a set of all of them: the truth.
struct crowd {
    struct object {
        timer_schedule schedule;
        std::array<instant, timers> deadline;
        object() { deadline.fill(instant::never()); }
    };
    using key = std::pair<std::uint32_t, unsigned>; // object, timer

    explicit crowd(std::uint32_t count, instant start = {})
        : objects(count), wheel(start, count), now(start) {}

    timer_schedule& schedule(std::uint32_t id) { return objects[id].schedule; }

    instant due(std::uint32_t id, instant at) {
        ++looks;
        instant earliest = instant::never();
        for (unsigned k = 0; k < timers; ++k) {
            if (objects[id].deadline[k] <= at) {
                fire(id, k);
            }
            earliest = std::min(earliest, objects[id].deadline[k]);
        }
        return earliest;
    }

    void fire(std::uint32_t id, unsigned k) {
        EXPECT_EQ(pending.erase({objects[id].deadline[k], {id, k}}), 1u);
        objects[id].deadline[k] = instant::never();
        ++fired;
        if (again_ns != 0) {
            set(id, k, now + again_ns, false);
        }
    }

    // Moves a deadline; the wheel is told only if `tell` (always right, needed when earlier).
    void set(std::uint32_t id, unsigned k, instant deadline, bool tell = true) {
        instant& field = objects[id].deadline[k];
        if (field != instant::never()) {
            pending.erase({field, {id, k}});
        }
        const bool earlier = deadline < field;
        field = deadline;
        if (deadline != instant::never()) {
            pending.insert({deadline, {id, k}});
            if (tell && earlier) {
                wheel.arm(*this, id, deadline);
            }
        }
    }

    void kill(std::uint32_t id) {
        for (unsigned k = 0; k < timers; ++k) {
            set(id, k, instant::never());
        }
        objects[id].schedule = {};
    }

    // Goes to `to` and handles everything.
    void pass(instant to, unsigned budget = ~0u) {
        now = to;
        while (wheel.advance(*this, to, budget) == budget) {
        }
    }

    // Nothing that is due by the millisecond is left, and the wheel wakes in time for the rest.
    void check() {
        const instant whole_ms{now.ns / ns_per_ms * ns_per_ms};
        if (pending.empty()) {
            return;
        }
        ASSERT_GT(pending.begin()->first, whole_ms);
        const instant next = wheel.next_deadline();
        ASSERT_GT(next, whole_ms) << "all was handled";
        ASSERT_LT(next.ns, pending.begin()->first.ns + ns_per_ms) << "sleeps too long";
    }

    std::vector<object> objects;
    timer_wheel wheel;
    std::set<std::pair<instant, key>> pending;
    instant now;
    std::uint64_t again_ns = 0;
    std::uint64_t fired = 0;
    std::uint64_t looks = 0;
};

// Distances as TCP has them, and all the edges of the levels.
std::uint64_t any_distance_ns(random_source& random) {
    switch (random.below(8)) {
    case 0:
        return random.below(3 * ns_per_ms);
    case 1:
        return 40 * ns_per_ms + random.below(ns_per_ms);
    case 2:
        return (200 + random.below(800)) * ns_per_ms;
    case 3:
        return (4090 + random.below(12)) * ns_per_ms;
    case 4:
        return (1 + random.below(120)) * ns_per_s;
    case 5:
        return (4090 + random.below(12)) * 1024 * ns_per_ms;
    case 6:
        return (3600 + random.below(7200)) * ns_per_s;
    default:
        return random.below(4'000'000'000u);
    }
}

class timer_wheel_against_map : public testing::TestWithParam<std::uint64_t> {};

TEST_P(timer_wheel_against_map, nothing_fires_early_nothing_is_missed) {
    const instant start = at_ms(GetParam());
    crowd set(500, start);
    random_source random(GetParam() + 1);
    for (int step = 0; step < test::length(700'000, 200'000); ++step) {
        const std::uint32_t id = random.below(500);
        const unsigned k = random.below(timers);
        switch (random.below(16)) {
        case 0:
            set.set(id, k, instant::never());
            break;
        case 1:
            set.kill(id);
            break;
        case 2:
        case 3: {
            std::uint64_t step_ns = random.below(20 * ns_per_ms);
            if (random.one_in(50)) {
                step_ns = random.below(4'000'000'000u);
            }
            if (random.one_in(2000)) {
                step_ns = 5000 * ns_per_s + random.below(4'000'000'000u);
            }
            set.pass(set.now + step_ns, random.one_in(2) ? ~0u : 1 + random.below(40));
            set.check();
            break;
        }
        default:
            set.set(id, k, set.now + any_distance_ns(random));
        }
        if (HasFatalFailure()) {
            return;
        }
    }
    EXPECT_GT(set.fired, 50'000u);
    EXPECT_EQ(set.wheel.rebuilds(), 0u);
    set.pass(set.now + 20'000 * ns_per_s);
    EXPECT_TRUE(set.pending.empty());
    EXPECT_EQ(set.wheel.next_deadline(), instant::never());
    EXPECT_EQ(set.wheel.chunks_used(), 0u);
}

// From zero; across the wrap of 32-bit ticks; across that of the far level.
INSTANTIATE_TEST_SUITE_P(
    starts, timer_wheel_against_map,
    testing::Values(0, (std::uint64_t{1} << 32) - 100'000, 4096 * 1024 - 5000));

TEST(timer_wheel, later_and_cancelled_are_only_stores) {
    crowd set(1);
    set.set(0, 0, at_ms(100));
    for (int i = 0; i < 1000; ++i) { // moved on without a word to the wheel
        set.set(0, 0, at_ms(200 + static_cast<std::uint64_t>(i)));
    }
    EXPECT_EQ(set.wheel.chunks_used(), 1u);
    set.pass(at_ms(150));
    EXPECT_EQ(set.looks, 1u) << "one look, which finds it moved";
    EXPECT_EQ(set.fired, 0u);
    set.pass(at_ms(1199));
    EXPECT_EQ(set.fired, 1u);
    set.set(0, 1, at_ms(1300));
    set.set(0, 1, instant::never());
    set.pass(at_ms(1400));
    EXPECT_EQ(set.fired, 1u);
    EXPECT_EQ(set.wheel.next_deadline(), instant::never());
}

TEST(timer_wheel, rounds_up_to_the_millisecond) {
    crowd set(1);
    set.set(0, 0, instant{10 * ns_per_ms + 1});
    set.pass(instant{10 * ns_per_ms + 999'999});
    EXPECT_EQ(set.fired, 0u);
    set.pass(at_ms(11));
    EXPECT_EQ(set.fired, 1u);
}

TEST(timer_wheel, a_crowd_in_one_slot_is_served_by_the_budget) {
    crowd set(100'000);
    for (std::uint32_t id = 0; id < 100'000; ++id) {
        set.set(id, 0, at_ms(50));
    }
    set.now = at_ms(60);
    EXPECT_EQ(set.wheel.advance(set, set.now, 1000), 1000u);
    EXPECT_EQ(set.fired, 1000u);
    EXPECT_LE(set.wheel.next_deadline(), set.now) << "there is more";
    set.set(7, 1, at_ms(61)); // armed while the wheel is behind
    unsigned rounds = 1;
    while (set.wheel.advance(set, set.now, 1000) == 1000) {
        ++rounds;
    }
    EXPECT_EQ(rounds, 100u);
    EXPECT_EQ(set.fired, 100'000u);
    set.pass(at_ms(61));
    EXPECT_EQ(set.fired, 100'001u);
    EXPECT_EQ(set.wheel.chunks_used(), 0u);
}

TEST(timer_wheel, a_periodic_near_timer_leaves_no_far_entries_behind) {
    crowd set(1);
    set.set(0, 4, at_ms(7'200'000)); // keep-alive in two hours
    for (std::uint64_t ms = 0; ms < 3'600'000; ms += 200) {
        set.set(0, 0, at_ms(ms + 150));
        set.pass(at_ms(ms + 200));
    }
    EXPECT_EQ(set.fired, 18'000u);
    EXPECT_LE(set.wheel.chunks_used(), 3u);
    EXPECT_EQ(set.wheel.rebuilds(), 0u);
    set.pass(at_ms(7'200'000));
    EXPECT_EQ(set.fired, 18'001u);
}

TEST(timer_wheel, an_exhausted_pool_is_rebuilt_and_nothing_is_lost) {
    crowd set(62);
    // Each death and rebirth leaves a stale entry, and no time passes that would clear it away.
    const unsigned enough = test::length(3U, 1U);
    for (unsigned round = 0; round < 100'000 && set.wheel.rebuilds() < enough; ++round) {
        for (std::uint32_t id = 0; id < 62; ++id) {
            set.kill(id);
            set.set(id, 0, set.now + (1001 + round % 20) * ns_per_ms);
            set.set(id, 1, set.now + 3'000 * ns_per_s);
        }
    }
    EXPECT_GE(set.wheel.rebuilds(), enough);
    set.pass(at_ms(990));
    EXPECT_EQ(set.fired, 0u);
    set.check();
    set.pass(at_ms(1025));
    EXPECT_EQ(set.fired, 62u);
    set.pass(at_ms(3'000'000));
    EXPECT_EQ(set.fired, 124u);
}

TEST(timer_wheel, handlers_may_arm_again) {
    crowd set(100);
    set.again_ns = 3 * ns_per_ms;
    for (std::uint32_t id = 0; id < 100; ++id) {
        set.set(id, 0, at_ms(1));
    }
    for (std::uint64_t ms = 1; ms <= 300; ++ms) {
        set.pass(at_ms(ms));
    }
    EXPECT_EQ(set.fired, 10'000u);
    EXPECT_EQ(set.pending.size(), 100u);
}

TEST(slot_bitmap, distance_goes_round) {
    slot_bitmap bitmap;
    std::set<unsigned> model;
    random_source random(6);
    EXPECT_EQ(bitmap.distance(17), slot_bitmap::none);
    for (int step = 0; step < 200'000; ++step) {
        const unsigned bit = random.below(slot_bitmap::bits);
        if (random.below(100) < 50u - static_cast<unsigned>(step) / 1000 % 20) {
            bitmap.set(bit);
            model.insert(bit);
        } else if (!model.empty()) {
            const unsigned gone = random.one_in(2) ? *model.begin() : bit;
            bitmap.reset(gone);
            model.erase(gone);
        }
        const unsigned from = random.below(slot_bitmap::bits);
        unsigned expected = slot_bitmap::none;
        if (!model.empty()) {
            auto next = model.lower_bound(from);
            const unsigned at = next != model.end() ? *next : *model.begin();
            expected = (at + slot_bitmap::bits - from) % slot_bitmap::bits;
        }
        ASSERT_EQ(bitmap.distance(from), expected);
    }
}

TEST(timer_fifo, first_in_first_due) {
    timer_fifo<std::uint32_t> fifo(100, 4);
    EXPECT_EQ(fifo.next_deadline(), instant::never());
    for (std::uint32_t i = 0; i < 4; ++i) {
        EXPECT_TRUE(fifo.push(instant{i * 10}, i));
    }
    EXPECT_FALSE(fifo.push(instant{40}, 4));
    EXPECT_EQ(fifo.next_deadline(), instant{100});
    std::uint32_t got = 9;
    EXPECT_FALSE(fifo.pop_due(instant{99}, got));
    EXPECT_TRUE(fifo.pop_due(instant{115}, got));
    EXPECT_EQ(got, 0u);
    EXPECT_TRUE(fifo.pop_due(instant{115}, got));
    EXPECT_FALSE(fifo.pop_due(instant{115}, got));
    EXPECT_EQ(fifo.pop(), 2u) << "the oldest, before its time";
    EXPECT_TRUE(fifo.push(instant{200}, 5));
    EXPECT_EQ(fifo.size(), 2u);
}

} // namespace
} // namespace pantala
