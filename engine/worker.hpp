// The loop of a worker: run to completion, nothing shared. The order of work in a round is the
// order of the lines of round().
#pragma once

#include "engine/worker_rig.hpp"

#include <concepts>

namespace pantala {

// Timers handled in one round at most; what is due beyond waits for the next round.
inline constexpr unsigned timer_budget = 1024;

// Bursts taken from one queue in one round at most. Under load a round costs less a packet; no
// queue, timer or message waits longer than for 256 packets of each queue.
inline constexpr unsigned bursts_a_queue = 4;

// What the loop asks of a stack. `input` empties the burst (the packets are the stack's), `expire`
// handles at most `budget` due timers, `end_of_round` emits what the round gathered, and
// `next_deadline` is the earliest instant at which expire has work (instant::never(): none).
template <class S>
concept worker_stack =
    requires(S stack, port_id port, mbuf_burst& burst, instant now, unsigned budget) {
    stack.input(port, burst, now);
    stack.expire(now, budget);
    stack.end_of_round(now);
    { stack.next_deadline() } -> std::same_as<instant>;
};

template <worker_stack Stack>
class worker {
  public:
    worker(worker_rig& rig, Stack& stack) : rig_(rig), stack_(stack) {
        rig.packets.add(protocol_ether, "ether", input, &stack);
    }

    // Until control sets rig.stop.
    void run() {
        instant now = rig_.clock.now();
        while (!rig_.stop.load(std::memory_order_relaxed)) {
            const bool worked = round(now) != 0;
            const instant end = rig_.clock.now();
            if (worked) {
                rig_.rounds.busy(end - now);
                rig_.idle.busy();
                now = end;
            } else {
                rig_.idle.idle(end, stack_.next_deadline());
                now = rig_.clock.now();
            }
        }
    }

    // One turn. Returns how many messages and packets it handled.
    unsigned round(instant now) {
        unsigned work = rig_.messages.poll();
        stack_.expire(now, timer_budget);
        for (rx_queue& queue : rig_.rx) {
            work += drain(queue, now);
        }
        work += rig_.packets.run(now);
        stack_.end_of_round(now);
        for (unsigned port = 0; port < rig_.tx_count; ++port) {
            rig_.tx[port].flush();
        }
        rig_.drops.flush();
        rig_.messages.flush();
        return work;
    }

  private:
    // A full burst says that more may be waiting.
    unsigned drain(rx_queue& queue, instant now) {
        unsigned work = 0;
        bool full = true;
        for (unsigned turn = 0; full && turn < bursts_a_queue; ++turn) {
            mbuf_burst burst;
            queue.receive(burst);
            full = burst.full();
            if (!burst.empty()) {
                work += burst.count;
                rig_.packets.arrive(queue, burst, now);
            }
        }
        return work;
    }

    static void input(void* stack, port_id port, mbuf_burst& burst, instant now) {
        static_cast<Stack*>(stack)->input(port, burst, now);
        PANTALA_DCHECK(burst.empty());
    }

    worker_rig& rig_;
    Stack& stack_;
};

} // namespace pantala
