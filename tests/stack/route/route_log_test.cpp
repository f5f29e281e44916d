// The route log by itself: order, wrap, credit, and readers on other threads.
#include "stack/route/rib/route_writer.hpp"

#include <thread>

#include <gtest/gtest.h>

namespace pantala {

namespace {

// Reads as a replica does, but only what `mark` entries carry.
class counting_reader {
  public:
    explicit counting_reader(route_log& log)
        : log_(log), slot_(static_cast<unsigned>(log.attach())),
          position_(log.cursor(slot_).words.load()) {}

    // Every entry is `index` n, with n words of n: whether the next ones are so.
    bool read(unsigned budget) {
        const std::uint64_t head = log_.head();
        for (; budget > 0 && position_ != head; --budget) {
            const std::uint64_t* entry = log_.at(position_);
            const route_entry_header header = header_of(entry);
            position_ += header.words;
            if (header.op == route_op::pad) {
                continue;
            }
            if (header.index != next_) {
                return false;
            }
            for (unsigned word = 1; word < header.words; ++word) {
                if (entry[word] != next_) {
                    return false;
                }
            }
            ++next_;
        }
        log_.cursor(slot_).words.store(position_, std::memory_order_release);
        return true;
    }
    std::uint32_t next() const { return next_; }
    unsigned slot() const { return slot_; }

  private:
    route_log& log_;
    unsigned slot_;
    std::uint64_t position_;
    std::uint32_t next_ = 0;
};

void write_number(route_writer& writer, std::uint32_t number) {
    std::uint64_t body[route_entry_words_max];
    std::fill_n(body, route_entry_words_max, number);
    const auto words = static_cast<std::uint16_t>(1 + number % (route_entry_words_max - 1));
    writer.write({words, route_op::mark, 0, number}, body);
}

TEST(route_log, a_slow_reader_gets_all_of_it_in_order) {
    route_log log(4096);
    route_writer writer(log);
    counting_reader slow(log);
    counting_reader fast(log);
    for (std::uint32_t number = 0; number < 5000; ++number) {
        write_number(writer, number);
        if (number % 64 == 0) {
            writer.flush();
        }
        ASSERT_TRUE(fast.read(100));
        ASSERT_TRUE(slow.read(number % 7 == 0 ? 1 : 0));
    }
    EXPECT_TRUE(writer.waiting()) << "a full log holds the writer back, it does not overrun";
    EXPECT_LT(slow.next(), fast.next());
    while (!writer.flush() || slow.next() < 5000 || fast.next() < 5000) {
        ASSERT_TRUE(slow.read(3));
        ASSERT_TRUE(fast.read(50));
    }
    EXPECT_EQ(writer.generation(), 5000U);
    EXPECT_EQ(log.entries(), 5000U);
}

TEST(route_log, a_detached_reader_holds_nobody_up) {
    route_log log(4096);
    route_writer writer(log);
    counting_reader stuck(log);
    counting_reader going(log);
    log.detach(stuck.slot());
    for (std::uint32_t number = 0; number < 2000; ++number) {
        write_number(writer, number);
        writer.flush();
        ASSERT_TRUE(going.read(10));
    }
    while (!writer.flush() || going.next() < 2000) {
        ASSERT_TRUE(going.read(10));
    }
    EXPECT_EQ(going.next(), 2000U);
    log.reattach(stuck.slot());
    EXPECT_EQ(log.slowest(), log.words_written());
}

TEST(route_log, slots_run_out_and_come_back) {
    route_log log(4096);
    for (unsigned i = 0; i < workers_max; ++i) {
        EXPECT_EQ(log.attach(), static_cast<int>(i));
    }
    EXPECT_EQ(log.attach(), -1);
    log.release(5);
    EXPECT_EQ(log.attach(), 5);
}

TEST(route_log, readers_on_other_threads) {
    route_log log(4096);
    route_writer writer(log);
    constexpr std::uint32_t numbers = 20000;
    std::vector<counting_reader> readers;
    for (unsigned i = 0; i < 3; ++i) {
        readers.emplace_back(log);
    }
    std::vector<std::thread> threads;
    std::atomic<bool> wrong{false};
    for (counting_reader& reader : readers) {
        threads.emplace_back([&] {
            while (reader.next() < numbers && !wrong) {
                if (!reader.read(64)) {
                    wrong = true;
                }
                std::this_thread::yield();
            }
        });
    }
    for (std::uint32_t number = 0; number < numbers && !wrong; ++number) {
        write_number(writer, number);
    }
    while (!writer.flush() && !wrong) {
        std::this_thread::yield();
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_FALSE(wrong);
}

} // namespace

} // namespace pantala
