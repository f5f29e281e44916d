#include "engine/timer_wheel.hpp"

#include <bit>

namespace pantala {

unsigned slot_bitmap::distance(unsigned from) const {
    if (summary_ == 0) {
        return none;
    }
    const unsigned first = from / 64;
    const std::uint64_t rest = words_[first] >> from % 64;
    if (rest != 0) {
        return static_cast<unsigned>(std::countr_zero(rest));
    }
    // The words behind, going round; the first word's own low bits come last.
    const std::uint64_t turned = std::rotr(summary_, static_cast<int>((first + 1) % 64));
    const unsigned word = (first + 1 + static_cast<unsigned>(std::countr_zero(turned))) % 64;
    const unsigned bit = word * 64 + static_cast<unsigned>(std::countr_zero(words_[word]));
    return (bit + bits - from) % bits;
}

timer_wheel::timer_wheel(instant start, std::uint32_t objects)
    : now_(start.ms()), objects_(objects),
      // Each slot of either level may have a chunk begun, one more is being worked on.
      capacity_(static_cast<std::uint32_t>(
          std::uint64_t{objects} * entries_an_object / chunk_ids + 2 * slots + 2)),
      chunks_(new chunk[capacity_]) {}

bool timer_wheel::grow(slot& where) {
    std::uint32_t index = free_;
    if (index != no_chunk) {
        free_ = chunks_[index].next;
    } else if (fresh_ < capacity_) {
        index = fresh_++;
    } else {
        return false;
    }
    ++chunks_used_;
    chunks_[index].next = where.head;
    where = {index, 0};
    return true;
}

void timer_wheel::release(std::uint32_t index) {
    chunks_[index].next = free_;
    free_ = index;
    --chunks_used_;
}

void timer_wheel::clear() {
    near_.fill({});
    far_.fill({});
    near_bits_ = {};
    far_bits_ = {};
    work_ = {};
    working_ = false;
    free_ = no_chunk;
    fresh_ = 0;
    chunks_used_ = 0;
}

// Moves on to the next occupied slot, if there is one up to tick `until`, and takes it off. A far
// slot comes before the near one at its begin, because it may fill that.
bool timer_wheel::take_next(std::uint64_t until) {
    if (until <= now_) {
        return false;
    }
    const unsigned near_steps = near_bits_.distance((now_ + 1) % slots);
    const std::uint64_t near_tick = now_ + 1 + near_steps;
    const std::uint64_t next_second = (now_ >> far_shift) + 1;
    const unsigned far_steps = far_bits_.distance(next_second % slots);
    const std::uint64_t far_tick = (next_second + far_steps) << far_shift;
    const bool has_near = near_steps != slot_bitmap::none && near_tick <= until;
    const bool has_far = far_steps != slot_bitmap::none && far_tick <= until;
    if (!has_near && !has_far) {
        now_ = until;
        return false;
    }
    work_.done = 0;
    working_ = true;
    if (has_far && (!has_near || far_tick <= near_tick)) {
        // The near slot of the same tick is still to be taken: stay a tick before it.
        now_ = std::max(now_, far_tick - 1);
        const unsigned index = (next_second + far_steps) % slots;
        work_.from = level::far;
        work_.mark = far_mark(next_second + far_steps);
        work_.entries = far_[index];
        far_[index] = {};
        far_bits_.reset(index);
    } else {
        now_ = near_tick;
        const unsigned index = near_tick % slots;
        work_.from = level::near;
        work_.mark = near_mark(near_tick);
        work_.entries = near_[index];
        near_[index] = {};
        near_bits_.reset(index);
    }
    return true;
}

instant timer_wheel::next_deadline() const {
    if (working_) {
        return instant{now_ * ns_per_ms};
    }
    const unsigned near_steps = near_bits_.distance((now_ + 1) % slots);
    const std::uint64_t next_second = (now_ >> far_shift) + 1;
    const unsigned far_steps = far_bits_.distance(next_second % slots);
    std::uint64_t tick = ~std::uint64_t{0};
    if (near_steps != slot_bitmap::none) {
        tick = now_ + 1 + near_steps;
    }
    if (far_steps != slot_bitmap::none) {
        tick = std::min(tick, (next_second + far_steps) << far_shift);
    }
    return tick == ~std::uint64_t{0} ? instant::never() : instant{tick * ns_per_ms};
}

} // namespace pantala
