// Questions to workers that do not answer: an end of waiting, and no message that is lost or freed
// while a worker has it.
#include "app/run/worker_questions.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <thread>

#include <gtest/gtest.h>

namespace pantala::app {
namespace {

unsigned alive = 0; // questions that have not been freed

struct doubling : netmsg {
    doubling() {
        ++alive;
        handler = [](netmsg& message, netmsg_endpoint& here) {
            static_cast<doubling&>(message).value *= 2;
            here.reply(message);
        };
    }
    ~doubling() { --alive; }
    doubling(const doubling&) = delete;
    doubling& operator=(const doubling&) = delete;
    unsigned value = 0;
};

using doubled = worker_questions::question<doubling>;

TEST(worker_questions, one_that_answers_may_be_asked_again_and_again) {
    netmsg_fabric fabric(2);
    worker_questions with(std::chrono::minutes(10));
    std::atomic<bool> stop = false;
    std::thread worker([&] {
        while (!stop) {
            fabric.endpoint(1).poll();
            fabric.endpoint(1).flush();
            std::this_thread::yield();
        }
    });
    {
        doubled question(with);
        question->value = 3;
        for (unsigned i = 0; i < 3; ++i) {
            EXPECT_TRUE(question.ask(fabric.control(), 1).ok());
        }
        EXPECT_EQ(question->value, 24U);
    }
    stop = true;
    worker.join();
    EXPECT_EQ(alive, 0U);
}

// Whatever else comes meanwhile.
TEST(worker_questions, one_that_is_stuck_is_not_waited_for_however_much_others_say) {
    struct chatter : netmsg {
        chatter() {
            handler = [](netmsg& message, netmsg_endpoint& here) { here.reply(message); };
            on_reply = [](netmsg& message, netmsg_endpoint& here) {
                auto& self = static_cast<chatter&>(message);
                ++self.rounds;
                self.stop ? void(self.over = true) : here.send(2, message); // to control
            };
        }
        unsigned rounds = 0;
        std::atomic<bool> stop = false;
        std::atomic<bool> over = false;
    };
    netmsg_fabric fabric(2);
    std::array<chatter, 16> said;
    std::thread talker([&] {
        netmsg_endpoint& here = fabric.endpoint(0);
        for (chatter& each : said) {
            here.send(2, each);
        }
        while (!std::ranges::all_of(said, [](const chatter& each) { return each.over.load(); })) {
            here.poll();
            here.flush();
        }
    });
    worker_questions with(std::chrono::milliseconds(30));
    EXPECT_EQ(doubled(with).ask(fabric.control(), 1).failure().code, ETIMEDOUT);
    for (chatter& each : said) {
        each.stop = true;
    }
    while (!std::ranges::all_of(said, [](const chatter& each) { return each.over.load(); })) {
        fabric.control().poll();
        fabric.control().flush();
    }
    talker.join();
    fabric.endpoint(1).poll(); // what was left with it goes back
    fabric.endpoint(1).flush();
    fabric.control().poll();
    EXPECT_GT(said[0].rounds, 1U);
}

TEST(worker_questions, one_that_is_stuck_is_not_waited_for_and_finds_its_message_later) {
    netmsg_fabric fabric(2);
    {
        worker_questions with(std::chrono::milliseconds(30));
        const auto ask = [&](std::uint16_t worker) {
            return doubled(with).ask(fabric.control(), worker);
        };
        const auto refused = ask(1);
        ASSERT_FALSE(refused.ok());
        EXPECT_EQ(refused.failure().code, ETIMEDOUT);
        EXPECT_NE(refused.failure().text.find("worker 1 "), std::string::npos);
        EXPECT_EQ(alive, 1U) << "the worker has it";
        for (unsigned i = 0; i < 5; ++i) {
            EXPECT_EQ(ask(1).failure().code, ETIMEDOUT);
        }
        EXPECT_EQ(alive, 1U) << "it is given no more";
        EXPECT_EQ(ask(0).failure().code, ETIMEDOUT);
        EXPECT_EQ(alive, 2U);
        EXPECT_EQ(fabric.endpoint(1).poll(), 1U);
        fabric.endpoint(1).flush();
        EXPECT_EQ(ask(1).failure().code, ETIMEDOUT) << "asked anew";
        EXPECT_EQ(alive, 2U) << "the first one is back and gone";
        EXPECT_EQ(fabric.endpoint(1).poll(), 1U) << "there is another";
    }
    EXPECT_EQ(alive, 0U);
}

} // namespace
} // namespace pantala::app
