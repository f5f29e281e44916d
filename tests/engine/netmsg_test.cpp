#include "engine/netmsg.hpp"
#include "engine/random.hpp"

#include <atomic>
#include <deque>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <poll.h>

namespace pantala {
namespace {

// One thread runs all: workers are polled by hand, or by control's pump while it waits.
class one_thread : public testing::Test {
  protected:
    one_thread() {
        for (unsigned i = 0; i <= 3; ++i) {
            fabric.set_context(i, &seen[i]);
        }
        fabric.set_pump([](void* self) { static_cast<one_thread*>(self)->turn(); }, this);
    }
    void turn() {
        for (unsigned i = 0; i < 3; ++i) {
            fabric.endpoint(i).poll();
            fabric.endpoint(i).flush();
        }
    }
    void settle() {
        for (int i = 0; i < 20; ++i) {
            turn();
            fabric.control().poll();
        }
    }

    netmsg_fabric fabric{3, 16};
    std::vector<int> seen[4];
};

struct numbered : netmsg {
    int number = 0;
    int replies = 0;
};

void note(netmsg& message, netmsg_endpoint& here) {
    here.context<std::vector<int>>().push_back(static_cast<numbered&>(message).number);
    here.reply(message);
}

void count_reply(netmsg& message, netmsg_endpoint&) {
    ++static_cast<numbered&>(message).replies;
}

TEST_F(one_thread, send_runs_there_and_the_reply_comes_home) {
    numbered message;
    message.handler = note;
    message.on_reply = count_reply;
    message.number = 7;
    fabric.endpoint(0).send(2, message);
    fabric.endpoint(2).poll();
    EXPECT_EQ(seen[2], std::vector<int>{7});
    EXPECT_EQ(message.replies, 0);
    fabric.endpoint(1).poll();
    EXPECT_EQ(message.replies, 0);
    fabric.endpoint(0).poll();
    EXPECT_EQ(message.replies, 1);
}

TEST_F(one_thread, a_message_to_oneself_does_not_run_inside_send) {
    numbered message;
    message.handler = note;
    message.on_reply = count_reply;
    fabric.endpoint(1).send(1, message);
    EXPECT_TRUE(seen[1].empty());
    settle();
    EXPECT_EQ(seen[1].size(), 1u);
    EXPECT_EQ(message.replies, 1);
}

TEST_F(one_thread, forward_keeps_the_origin) {
    numbered message;
    message.handler = [](netmsg& m, netmsg_endpoint& here) {
        here.context<std::vector<int>>().push_back(here.number());
        if (here.number() < 2) {
            here.forward(static_cast<std::uint16_t>(here.number() + 1), m);
        } else {
            here.reply(m);
        }
    };
    message.on_reply = count_reply;
    fabric.endpoint(0).send(1, message);
    settle();
    EXPECT_TRUE(seen[0].empty());
    EXPECT_EQ(seen[1], std::vector<int>{1});
    EXPECT_EQ(seen[2], std::vector<int>{2});
    EXPECT_EQ(message.replies, 1);
    EXPECT_EQ(message.origin, 0);
}

TEST_F(one_thread, call_waits_and_a_call_to_control_runs_in_place) {
    numbered message;
    message.handler = note;
    message.on_reply = count_reply;
    message.number = 5;
    fabric.control().call(1, message);
    EXPECT_EQ(seen[1], std::vector<int>{5});
    fabric.control().call(3, message);
    EXPECT_EQ(seen[3], std::vector<int>{5});
    EXPECT_EQ(message.replies, 0); // the caller is the reply
}

TEST_F(one_thread, a_chain_visits_every_worker_in_order) {
    struct walk : netmsg_chain {
        std::vector<int> visited;
    } chain;
    chain.visit = [](netmsg_chain& m, netmsg_endpoint& here) {
        static_cast<walk&>(m).visited.push_back(here.number());
    };
    fabric.control().call_chain(chain);
    EXPECT_EQ(chain.visited, (std::vector<int>{0, 1, 2}));
    fabric.endpoint(1).send_chain(chain); // a worker may, too
    settle();
    EXPECT_EQ(chain.visited, (std::vector<int>{0, 1, 2, 0, 1, 2}));
    fabric.control().sync();
}

TEST_F(one_thread, a_full_lane_keeps_messages_at_the_sender_in_order) {
    std::deque<numbered> messages(100);
    for (int i = 0; i < 100; ++i) {
        messages[static_cast<std::size_t>(i)].handler = note;
        messages[static_cast<std::size_t>(i)].on_reply = count_reply;
        messages[static_cast<std::size_t>(i)].number = i;
        fabric.endpoint(0).send(1, messages[static_cast<std::size_t>(i)]);
    }
    EXPECT_TRUE(fabric.endpoint(0).has_waiting());
    settle();
    EXPECT_FALSE(fabric.endpoint(0).has_waiting());
    ASSERT_EQ(seen[1].size(), 100u);
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(seen[1][static_cast<std::size_t>(i)], i);
        EXPECT_EQ(messages[static_cast<std::size_t>(i)].replies, 1);
    }
}

TEST(netmsg, a_round_is_bounded_and_no_peer_starves) {
    netmsg_fabric fabric(3, 1024);
    std::vector<int> seen[4];
    for (unsigned i = 0; i <= 3; ++i) {
        fabric.set_context(i, &seen[i]);
    }
    std::deque<numbered> messages(1800);
    for (std::size_t i = 0; i < messages.size(); ++i) {
        messages[i].handler = note;
        messages[i].number = static_cast<int>(i % 3);
        fabric.endpoint(static_cast<unsigned>(i % 3)).send(2, messages[i]);
    }
    EXPECT_EQ(fabric.endpoint(2).poll(), netmsg_round_max);
    EXPECT_EQ(fabric.endpoint(2).poll(), netmsg_round_max);
    EXPECT_EQ(fabric.endpoint(2).poll(), netmsg_round_max);
    for (int peer = 0; peer < 3; ++peer) {
        EXPECT_GT(std::count(seen[2].begin(), seen[2].end(), peer), 300) << peer;
    }
}

TEST(netmsg, rollups_run_once_a_round_that_had_messages) {
    netmsg_fabric fabric(1);
    std::vector<int> seen;
    fabric.set_context(0, &seen);
    fabric.endpoint(0).add_rollup(
        [](netmsg_endpoint& here) { here.context<std::vector<int>>().push_back(-1); });
    numbered messages[3];
    for (numbered& message : messages) {
        message.handler = note;
        fabric.control().send(0, message);
    }
    fabric.endpoint(0).poll();
    EXPECT_EQ(seen, (std::vector<int>{0, 0, 0, -1}));
    fabric.endpoint(0).poll();
    EXPECT_EQ(seen.size(), 4u);
}

// Threads --------------------------------------------------------------------------------------

struct worker_thread {
    netmsg_endpoint* endpoint;
    std::atomic<bool>* stop;
    bool sleeps;
    std::uint64_t handled = 0;

    void operator()() {
        while (!stop->load(std::memory_order_relaxed)) {
            const unsigned work = endpoint->poll();
            endpoint->flush();
            handled += work;
            if (work != 0 || endpoint->has_waiting()) {
                continue;
            }
            if (!sleeps) {
                std::this_thread::yield();
                continue;
            }
            endpoint->bell().arm();
            if (!endpoint->has_messages() && !stop->load(std::memory_order_relaxed)) {
                pollfd bell{endpoint->bell().fd(), POLLIN, 0};
                // Ten seconds stand for "for ever": a lost wake-up fails the test, not hangs it.
                if (::poll(&bell, 1, 10'000) == 0) {
                    ADD_FAILURE() << "lost wake-up at worker " << endpoint->number();
                }
            }
            endpoint->bell().disarm();
        }
    }
};

class many_threads {
  public:
    many_threads(unsigned workers, bool sleeps, unsigned capacity = 64)
        : fabric(workers, capacity) {
        for (unsigned i = 0; i < workers; ++i) {
            runners.push_back({&fabric.endpoint(i), &stop, sleeps});
        }
        for (worker_thread& runner : runners) {
            threads.emplace_back(std::ref(runner));
        }
    }
    ~many_threads() {
        stop = true;
        for (worker_thread& runner : runners) {
            runner.endpoint->bell().ring();
        }
        for (std::thread& thread : threads) {
            thread.join();
        }
    }

    netmsg_fabric fabric;
    std::atomic<bool> stop{false};
    std::deque<worker_thread> runners;
    std::vector<std::thread> threads;
};

// Every step of a hop count is a sleep and a wake-up: a single lost one shows.
struct hopper : netmsg {
    unsigned left = 0;
    std::uint64_t place = 0; // plain data: handed over with the message
};

void hop(netmsg& message, netmsg_endpoint& here) {
    auto& self = static_cast<hopper&>(message);
    ++self.place;
    if (self.left-- == 0) {
        here.reply(message);
    } else {
        here.forward(static_cast<std::uint16_t>((here.number() + 1) % here.workers()), message);
    }
}

TEST(netmsg_threads, no_wake_up_is_lost_among_sleepers) {
    many_threads set(3, true);
    for (int i = 0; i < 200; ++i) {
        hopper message;
        message.handler = hop;
        message.left = 100;
        set.fabric.control().call(0, message);
        ASSERT_EQ(message.place, 101u);
    }
}

TEST(netmsg_threads, crowds_over_small_lanes_lose_nothing) {
    for (const bool sleeps : {false, true}) {
        many_threads set(4, sleeps, 16);
        constexpr unsigned crowd = 200;
        std::vector<hopper> messages(crowd);
        unsigned home = 0;
        set.fabric.set_context(4, &home);
        for (hopper& message : messages) {
            message.handler = hop;
            message.left = 50;
            message.on_reply = [](netmsg&, netmsg_endpoint& here) { ++here.context<unsigned>(); };
        }
        for (unsigned i = 0; i < crowd; ++i) {
            set.fabric.control().send(static_cast<std::uint16_t>(i % 4), messages[i]);
        }
        while (home < crowd) {
            set.fabric.control().sync();
        }
        for (const hopper& message : messages) {
            ASSERT_EQ(message.place, 51u);
        }
    }
}

TEST(netmsg_threads, after_sync_what_was_unlinked_may_be_freed) {
    many_threads set(3, true);
    struct table {
        std::atomic<int*> current{nullptr};
        std::atomic<std::uint64_t> sum{0};
    } shared;
    for (unsigned i = 0; i < 3; ++i) {
        set.fabric.set_context(i, &shared);
    }
    struct reader : netmsg {};
    std::vector<reader> readers(3);
    for (int i = 1; i <= 300; ++i) {
        int* object = new int(1);
        shared.current = object;
        for (unsigned w = 0; w < 3; ++w) {
            readers[w].handler = [](netmsg& m, netmsg_endpoint& here) {
                auto& t = here.context<table>();
                const int* seen = t.current.load();
                t.sum += static_cast<std::uint64_t>(seen != nullptr ? *seen : 0);
                here.reply(m);
            };
            set.fabric.control().send(static_cast<std::uint16_t>(w), readers[w]);
        }
        set.fabric.control().sync();
        EXPECT_EQ(shared.sum.load(), static_cast<std::uint64_t>(3 * i));
        shared.current = nullptr;
        delete object; // ASan and TSan watch
        while (set.fabric.control().poll() != 0) {
        }
        set.fabric.control().sync();
    }
}

} // namespace
} // namespace pantala
