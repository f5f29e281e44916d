// Timers of one fixed interval need no wheel: who was armed first is due first. A ring in order of
// deadline, for delayed ACKs, SYN-RECEIVED and TIME-WAIT. Cancelling is the owner's business: an
// entry carries what its owner needs to see that it no longer matters. Owner: one thread.
#pragma once

#include "engine/base/check.hpp"
#include "engine/base/clock.hpp"

#include <bit>
#include <cstdint>
#include <memory>

namespace pantala {

// Entry: trivially copyable, whatever is to be found again when it is due.
template <class Entry>
class timer_fifo {
  public:
    // `capacity`: a power of two. Control: allocates.
    timer_fifo(std::uint64_t interval_ns, std::uint32_t capacity)
        : interval_ns_(interval_ns), capacity_(capacity), ring_(new item[capacity]) {
        PANTALA_ASSERT(std::has_single_bit(capacity));
    }

    std::uint32_t size() const { return tail_ - head_; }
    bool empty() const { return size() == 0; }
    bool full() const { return size() == capacity_; }
    std::uint64_t interval_ns() const { return interval_ns_; }

    // Due an interval from `now`, which never goes back. False when full: the caller decides (a
    // TIME-WAIT takes the oldest's place, see pop).
    bool push(instant now, const Entry& entry) {
        if (full()) {
            return false;
        }
        ring_[tail_++ & (capacity_ - 1)] = {now + interval_ns_, entry};
        return true;
    }

    // Takes the oldest if it is due.
    bool pop_due(instant now, Entry& entry) {
        if (empty() || ring_[head_ & (capacity_ - 1)].due > now) {
            return false;
        }
        entry = pop();
        return true;
    }

    // Takes the oldest, due or not. Not when empty.
    Entry pop() {
        PANTALA_DCHECK(!empty());
        return ring_[head_++ & (capacity_ - 1)].entry;
    }

    instant next_deadline() const {
        return empty() ? instant::never() : ring_[head_ & (capacity_ - 1)].due;
    }

  private:
    struct item {
        instant due;
        Entry entry;
    };

    std::uint64_t interval_ns_;
    std::uint32_t capacity_;
    std::uint32_t head_ = 0; // positions; they run on and wrap
    std::uint32_t tail_ = 0;
    std::unique_ptr<item[]> ring_;
};

} // namespace pantala
