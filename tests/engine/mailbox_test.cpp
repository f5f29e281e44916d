#include "engine/mailbox.hpp"
#include "engine/random.hpp"

#include <array>
#include <deque>
#include <thread>

#include <gtest/gtest.h>

namespace pantala {
namespace {

TEST(mailbox_lane, agrees_with_a_queue_over_many_laps) {
    mailbox_lane lane(64);
    std::deque<mailbox_word> model;
    random_source random(1);
    std::array<mailbox_word, 80> words;
    mailbox_word next = 2;
    std::uint64_t pushed = 0;
    for (int turn = 0; turn < 200'000; ++turn) {
        const unsigned wanted = random.below(80);
        if (random.one_in(2)) {
            for (unsigned i = 0; i < wanted; ++i) {
                words[i] = next + 2 * i;
            }
            const unsigned took = lane.push({words.data(), wanted});
            ASSERT_LE(took, wanted);
            ASSERT_LE(model.size() + took, lane.capacity());
            // Credit comes an eighth at a time: what is refused must be nearly full.
            if (took < wanted) {
                ASSERT_GE(model.size() + took + lane.capacity() / 8, lane.capacity());
            }
            for (unsigned i = 0; i < took; ++i) {
                model.push_back(next);
                next += 2;
            }
            pushed += took;
        } else {
            ASSERT_EQ(lane.empty(), model.empty());
            const unsigned got = lane.pop({words.data(), wanted});
            ASSERT_EQ(got, std::min<std::size_t>(wanted, model.size()));
            for (unsigned i = 0; i < got; ++i) {
                ASSERT_EQ(words[i], model.front());
                model.pop_front();
            }
        }
    }
    EXPECT_GT(pushed, 64u * 1000);
}

TEST(mailbox_lane, a_full_lane_takes_nothing_and_keeps_what_it_has) {
    mailbox_lane lane(16);
    std::array<mailbox_word, 20> words;
    for (unsigned i = 0; i < 20; ++i) {
        words[i] = 2 * (i + 1);
    }
    EXPECT_EQ(lane.push(words), 16u);
    EXPECT_EQ(lane.push({words.data() + 16, 1}), 0u);
    std::array<mailbox_word, 20> out;
    EXPECT_EQ(lane.pop(out), 16u);
    EXPECT_EQ(out[15], 32u);
    EXPECT_EQ(lane.push({words.data() + 16, 4}), 4u);
    EXPECT_EQ(lane.pop(out), 4u);
    EXPECT_EQ(out[0], 34u);
}

// What a word points to is seen whole by whoever sees the word, over two threads and bursts of all
// lengths.
TEST(mailbox_lane, two_threads_lose_nothing_and_see_what_words_point_to) {
    struct payload {
        std::uint64_t number;
        std::uint64_t square;
    };
    constexpr std::uint64_t total = 300'000;
    mailbox_lane lane(256);
    std::vector<payload> payloads(total);
    std::thread writer([&] {
        random_source random(2);
        std::array<mailbox_word, 32> words;
        std::uint64_t sent = 0;
        while (sent < total) {
            const auto wanted =
                static_cast<unsigned>(std::min<std::uint64_t>(1 + random.below(32), total - sent));
            for (unsigned i = 0; i < wanted; ++i) {
                payloads[sent + i] = {sent + i, (sent + i) * (sent + i)};
                words[i] = reinterpret_cast<mailbox_word>(&payloads[sent + i]);
            }
            const unsigned took = lane.push({words.data(), wanted});
            sent += took;
            if (took == 0) {
                std::this_thread::yield();
            }
        }
    });
    std::array<mailbox_word, 32> out;
    std::uint64_t received = 0;
    bool good = true;
    while (received < total) {
        const unsigned got = lane.pop(out);
        for (unsigned i = 0; i < got; ++i) {
            const auto& seen = *reinterpret_cast<const payload*>(out[i]);
            good &= seen.number == received && seen.square == received * received;
            ++received;
        }
        if (got == 0) {
            std::this_thread::yield();
        }
    }
    writer.join();
    EXPECT_TRUE(good);
    EXPECT_TRUE(lane.empty());
}

} // namespace
} // namespace pantala
