// A lane: a ring of words with one writer and one reader. A mailbox is a lane from every peer.
//
// A word is a pointer whose bit 0 is free (bits above it may carry a tag where alignment allows).
// In the ring bit 0 is the lap: slot s holds the word of position p if its bit 0 is the parity of
// p's lap, so the reader learns from the slot itself that it is filled: no index is shared in the
// direction of travel, and an empty lane costs one read of a line that the reader already has.
// The reader's position travels back as credit, an eighth of the ring at a time.
//
// Orders: push writes a burst's first slot last, with release; pop reads a slot with acquire, so
// whoever sees a burst's first word sees all of it and what its pointers point to. Credit: pop
// publishes with release, push reads it with acquire.
#pragma once

#include "engine/base/cache_line.hpp"
#include "engine/base/check.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <new>
#include <span>

namespace pantala {

using mailbox_word = std::uintptr_t;

inline constexpr unsigned lane_capacity_default = 1024;

class mailbox_lane {
  public:
    // `capacity`: a power of two, 16 or more. Control: allocates.
    explicit mailbox_lane(unsigned capacity = lane_capacity_default)
        : capacity_(capacity), shift_(static_cast<unsigned>(std::countr_zero(capacity))),
          slots_(new (std::align_val_t{sharing_range_bytes}) slot[capacity]()) {
        PANTALA_ASSERT(capacity >= 16 && std::has_single_bit(capacity));
        limit_ = capacity;
    }
    mailbox_lane(const mailbox_lane&) = delete;
    mailbox_lane& operator=(const mailbox_lane&) = delete;

    // Writer. Publishes a prefix of `words` at once and returns its length: shorter than asked when
    // the lane is full. Bit 0 of every word is clear.
    unsigned push(std::span<const mailbox_word> words) {
        std::uint64_t count = words.size();
        if (limit_ - tail_ < count) {
            limit_ = credit_.load(std::memory_order_acquire) + capacity_; // with grant
            count = std::min(count, limit_ - tail_);
        }
        if (count == 0) {
            return 0;
        }
        const std::uint64_t before_end = capacity_ - (tail_ & (capacity_ - 1));
        std::uint64_t i = count;
        if (count > before_end) {
            const mailbox_word next_lap = lap(tail_) ^ 1;
            while (i > before_end) {
                --i;
                slots_[i - before_end].store(words[i] | next_lap, std::memory_order_relaxed);
            }
        }
        // From the last to the first: the reader watches the first one's line, which so changes
        // hands once a burst.
        slot* const first = at(tail_);
        while (i > 1) {
            --i;
            first[i].store(words[i] | lap(tail_), std::memory_order_relaxed);
        }
        first->store(words[0] | lap(tail_), std::memory_order_release); // with pop
        tail_ += count;
        return static_cast<unsigned>(count);
    }

    // Reader. Takes up to out.size() words, oldest first; returns how many.
    unsigned pop(std::span<mailbox_word> out) {
        unsigned count = 0;
        while (count < out.size()) {
            const std::uint64_t position = head_ + count;
            const slot* const first = at(position);
            const mailbox_word filled = lap(position);
            const auto run = static_cast<unsigned>(std::min<std::uint64_t>(
                out.size() - count, capacity_ - (position & (capacity_ - 1))));
            unsigned i = 0;
            for (; i < run; ++i) {
                const mailbox_word word = first[i].load(std::memory_order_acquire); // with push
                if ((word & 1) != filled) {
                    break;
                }
                out[count + i] = word ^ filled;
            }
            count += i;
            if (i < run) {
                break;
            }
        }
        if (count != 0) {
            head_ += count;
            grant(count < out.size());
        }
        return count;
    }

    // Reader. Cost: one read.
    bool empty() const { return (at(head_)->load(std::memory_order_relaxed) & 1) != lap(head_); }

    unsigned capacity() const { return capacity_; }

  private:
    using slot = std::atomic<mailbox_word>;
    struct free_slots {
        void operator()(slot* slots) const {
            ::operator delete[](slots, std::align_val_t{sharing_range_bytes});
        }
    };

    slot* at(std::uint64_t position) const { return &slots_[position & (capacity_ - 1)]; }
    // 1 on the first lap: a zeroed ring is empty.
    mailbox_word lap(std::uint64_t position) const { return ~(position >> shift_) & 1; }

    // The writer may reuse what was read: told when an eighth is free, or when all is.
    void grant(bool drained) {
        if (drained || head_ - granted_ >= capacity_ / 8) {
            granted_ = head_;
            credit_.store(head_, std::memory_order_release); // with push
        }
    }

    // Constant.
    unsigned capacity_;
    unsigned shift_;
    std::unique_ptr<slot[], free_slots> slots_;
    // The writer's.
    alignas(sharing_range_bytes) std::uint64_t tail_ = 0;
    std::uint64_t limit_ = 0; // it may write positions below this one
    // The reader's.
    alignas(sharing_range_bytes) std::uint64_t head_ = 0;
    std::uint64_t granted_ = 0;
    // Written by the reader, read by the writer when its credit is used up.
    alignas(sharing_range_bytes) std::atomic<std::uint64_t> credit_{0};
};

} // namespace pantala
