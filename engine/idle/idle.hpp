// What a worker does with rounds that found nothing.
//
//   busy       looks again at once; where its CPU has other lcores it yields
//   adaptive   looks on for a while (spin_ns), then sleeps until a receive interrupt, a doorbell or
//              the next timer
//
// No wake-up is lost, because a whole round is the last look: an idle round past spin_ns arms the
// bell and the receive interrupts and lets the loop go round once more; only if that round, too,
// finds nothing does the worker sleep. What came before the arming is seen by the round, what
// comes after wakes. A queue whose device has no receive interrupt bounds the sleep to `nap_ns`.
//
// Interrupts can stop coming (Linux switches a shared line off for good: "nobody cared"). So no
// sleep is longer than `sleep_max_ns`, and a queue that had packets `silent_max` times after the
// clock woke the worker, without a wake-up of its own between, is polled from then on.
#pragma once

#include "engine/base/check.hpp"
#include "engine/base/clock.hpp"
#include "engine/ids.hpp"

#include <atomic>
#include <cstdint>
#include <vector>

namespace pantala {

class netisr;
class netmsg_endpoint;
class round_stats;
class rx_queue;

enum class idle_policy : std::uint8_t { busy, adaptive };

struct idle_settings {
    idle_policy policy = idle_policy::adaptive;
    std::uint64_t spin_ns = 50'000;     // as long as two context switches: the usual break-even
    std::uint64_t nap_min_ns = 125'000; // sleeps beside a queue without interrupt
    std::uint64_t nap_max_ns = 4'000'000;
    std::uint64_t sleep_max_ns = 100'000'000;
    bool shared_cpu = false; // other lcores run on this one's CPU
};

// A device queue that may wake the worker.
struct idle_queue {
    port_id port;
    std::uint16_t queue = 0;
    const rx_queue* packets = nullptr; // whose count tells whether something came
};

// Owner: its worker, on whose thread all is called.
class idle_waiter {
  public:
    idle_waiter(netmsg_endpoint& messages, const netisr& packets, round_stats& stats)
        : messages_(messages), packets_(packets), stats_(stats) {}
    ~idle_waiter() { PANTALA_DCHECK(timer_fd_ < 0); } // closed
    idle_waiter(const idle_waiter&) = delete;
    idle_waiter& operator=(const idle_waiter&) = delete;

    // `polled`: there are further queues that have no interrupt. Aborts when the process has no
    // descriptor left.
    void open(const idle_settings& settings, const std::vector<idle_queue>& queues, bool polled);

    // On the same thread, when the loop has ended.
    void close();

    // After a round that had work.
    void busy() {
        if (state_ != state::awake) [[unlikely]] {
            settle();
        }
        since_ = 0;
        nap_ns_ = settings_.nap_min_ns;
    }
    // After a round that had none; may sleep, at most until `deadline`.
    void idle(instant now, instant deadline);

    // A bit for each port that was found not to wake its worker. Any thread.
    std::uint32_t silent_ports() const { return silent_ports_.load(std::memory_order_relaxed); }

  private:
    static constexpr unsigned silent_max = 4;

    // clocked: the clock woke the worker, and the round that follows has not ended.
    enum class state : std::uint8_t { awake, armed, clocked };

    // A device queue, and how it has kept its word.
    struct waker {
        idle_queue at;
        std::uint64_t received = 0; // before the sleep
        unsigned silent = 0;        // times that packets were found and nothing had told
    };

    void arm();
    void disarm();
    void settle();
    void judge();
    void sleep(std::uint64_t longest_ns);

    netmsg_endpoint& messages_;
    const netisr& packets_;
    round_stats& stats_;
    idle_settings settings_;
    std::vector<waker> queues_; // those with an interrupt
    std::atomic<std::uint32_t> silent_ports_{0};
    bool polled_ = true;
    state state_ = state::awake;
    std::uint64_t since_ = 0; // ns: when the idle rounds began; 0: not idle
    std::uint64_t nap_ns_ = 0;
    int timer_fd_ = -1;
};

} // namespace pantala
