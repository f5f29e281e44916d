// A timer wheel for objects that move their timers far more often than these fire (TCP: more than
// nine timers in ten are moved or cancelled).
//
// The deadlines stand in the object. The wheel holds, for each object, an entry no later than its
// earliest deadline; to move a deadline further away, or to cancel it, is a store into the object
// and the wheel hears nothing. When an entry's time has come the wheel asks the object (`due`),
// which runs what is due and answers with the earliest deadline left, and that gets an entry again.
// So an entry is only a promise to look; a look too many is harmless, one too late never happens.
//
//   near   4096 slots of 1 ms       entries within the next 4.096 s, exact
//   far    4096 slots of 1.024 s    entries up to 70 minutes ahead, at their second's begin; what
//                                   lies further is looked at after 70 minutes
//
// A slot is a list of chunks of 62 ids: no links in the object, no removal. An entry is live if the
// object's schedule names it, else it is stale and passed over. An object has at most one live
// entry of each kind; a far one survives nearer ones, so that a connection whose retransmission
// timer runs five times a second does not leave a two-hour entry behind each time.
//
// Ticks count milliseconds from the wheel's start; deadlines are rounded up, so nothing fires
// early. `advance` handles at most a budget of entries and goes on from its cursor next time, so
// that 100,000 timers in one slot make no latency cliff. Bitmaps of occupied slots skip what is
// empty and tell the next deadline for idle sleep.
//
// Chunks come from a pool of fixed size, reserved at the start and touched when first used. Stale
// entries may exhaust it (many more than `entries_an_object` pushed for each object within
// seconds); then all entries are thrown away and made anew from the objects' schedules: correct,
// O(objects), counted in rebuilds().
//
// Measured (bench/wheel_bench.cpp): see engine/README.md.
#pragma once

#include "engine/base/check.hpp"
#include "engine/base/clock.hpp"

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace pantala {

// In the object, zero at its birth; set to {} when it dies. The wheel's alone in between. Ticks
// modulo 2^32 (24 days each way), 0: no entry.
struct timer_schedule {
    std::uint32_t near = 0;
    std::uint32_t far = 0;
};

// What the wheel asks of the table of objects. `schedule` finds the field and is pure arithmetic
// (it is also the address that is prefetched: deadlines belong on the same line). `due` runs what
// is due at `now`, may arm any object's timers and may end its own object (schedule = {}), and
// returns the earliest deadline left, instant::never() for none.
template <class T>
concept timed_objects = requires(T& objects, std::uint32_t id, instant now) {
    { objects.schedule(id) } -> std::same_as<timer_schedule&>;
    { objects.due(id, now) } -> std::same_as<instant>;
};

// Occupied slots of a level; finds the next one in circular order in a few steps.
class slot_bitmap {
  public:
    static constexpr unsigned bits = 4096;
    static constexpr unsigned none = bits;

    void set(unsigned i) {
        words_[i / 64] |= std::uint64_t{1} << i % 64;
        summary_ |= std::uint64_t{1} << i / 64;
    }
    void reset(unsigned i) {
        words_[i / 64] &= ~(std::uint64_t{1} << i % 64);
        if (words_[i / 64] == 0) {
            summary_ &= ~(std::uint64_t{1} << i / 64);
        }
    }
    // Steps from `from` to the first set bit at or after it, going round; `none` if there is none.
    unsigned distance(unsigned from) const;

  private:
    std::uint64_t summary_ = 0;
    std::array<std::uint64_t, bits / 64> words_{};
};

class timer_wheel {
  public:
    static constexpr unsigned slots = slot_bitmap::bits;
    static constexpr std::uint64_t far_shift = 10; // a far slot is 1024 ticks
    static constexpr unsigned entries_an_object = 4;

    // For ids 0..objects-1. Control: reserves about 16 bytes an object and 4 MB.
    timer_wheel(instant start, std::uint32_t objects);
    timer_wheel(const timer_wheel&) = delete;
    timer_wheel& operator=(const timer_wheel&) = delete;

    // A deadline of `id` is now `deadline`, which may be earlier than before. (Later or cancelled
    // needs no call.) Cost: a compare; when it is the earliest, about 5 ns more.
    template <timed_objects T>
    void arm(T& objects, std::uint32_t id, instant deadline) {
        timer_schedule& schedule = objects.schedule(id);
        const std::uint64_t tick = tick_of(deadline);
        if (covered(schedule, tick)) {
            return;
        }
        if (!push(schedule, id, tick)) [[unlikely]] {
            rebuild(objects);
        }
    }

    // Looks at every entry whose time has come, `budget` of them at most; returns how many. Behind
    // `now` after a spent budget, the next call goes on.
    template <timed_objects T>
    unsigned advance(T& objects, instant now, unsigned budget);

    // When advance has something to do: not later than the earliest deadline, and sometimes before
    // (stale entries); instant::never() when the wheel is empty.
    instant next_deadline() const;

    std::uint64_t rebuilds() const { return rebuilds_; }
    std::uint32_t chunks_used() const { return chunks_used_; }

  private:
    static constexpr unsigned chunk_ids = 62;
    static constexpr std::uint32_t no_chunk = ~std::uint32_t{0};
    static constexpr unsigned prefetch_ahead = 16; // entries; 8 and 32 were slower at 10 M

    struct alignas(64) chunk {
        std::uint32_t next;
        std::uint32_t unused;
        std::uint32_t ids[chunk_ids];
    };
    static_assert(sizeof(chunk) == 256);

    struct slot {
        std::uint32_t head = no_chunk;   // all behind the head are full
        std::uint32_t count = chunk_ids; // in the head; no head counts as a full one
    };
    enum class level : std::uint8_t { near, far };

    // What advance is busy with: a slot taken off its level.
    struct work {
        slot entries;
        level from = level::near;
        std::uint32_t done = 0; // in the head
        std::uint32_t mark = 0; // a live entry's schedule says this
    };

    // Rounded up, not before the next slot, not beyond the last far one.
    std::uint64_t tick_of(instant deadline) const {
        const std::uint64_t last = ((now_ >> far_shift) + slots - 1) << far_shift;
        const std::uint64_t tick = deadline.ns / ns_per_ms + (deadline.ns % ns_per_ms != 0);
        return std::clamp(tick, now_ + 1, last);
    }
    // A tick as schedules hold it.
    static std::uint32_t near_mark(std::uint64_t tick) {
        const auto mark = static_cast<std::uint32_t>(tick);
        return mark == 0 ? 1 : mark; // once in 49 days, a millisecond late
    }
    static std::uint32_t far_mark(std::uint64_t second) {
        return static_cast<std::uint32_t>(second << far_shift) | 1;
    }
    static bool not_after(std::uint32_t mark, std::uint32_t tick) {
        return static_cast<std::int32_t>(tick - mark) >= 0;
    }
    // Will an entry be looked at in time?
    static bool covered(const timer_schedule& schedule, std::uint64_t tick) {
        const std::uint32_t mark = near_mark(tick);
        return (schedule.near != 0 && not_after(schedule.near, mark)) ||
               (schedule.far != 0 && not_after(schedule.far, mark));
    }

    bool push(timer_schedule& schedule, std::uint32_t id, std::uint64_t tick) {
        if (tick - now_ < slots) {
            schedule.near = near_mark(tick);
            near_bits_.set(schedule.near % slots);
            return add(near_[schedule.near % slots], id);
        }
        const std::uint64_t second = tick >> far_shift;
        schedule.far = far_mark(second);
        far_bits_.set(second % slots);
        return add(far_[second % slots], id);
    }

    bool add(slot& where, std::uint32_t id) {
        if (where.count == chunk_ids) [[unlikely]] {
            if (!grow(where)) {
                return false;
            }
        }
        chunks_[where.head].ids[where.count++] = id;
        return true;
    }

    template <timed_objects T>
    unsigned run(T& objects, instant now, unsigned budget);
    template <timed_objects T>
    void rebuild(T& objects);

    bool grow(slot& where);
    void release(std::uint32_t index);
    bool take_next(std::uint64_t until);
    void clear();
    template <timed_objects T>
    void prefetch(T& objects, const chunk& from, unsigned begin, unsigned end) const {
        for (unsigned i = begin; i < end; ++i) {
            __builtin_prefetch(&objects.schedule(from.ids[i]), 1);
        }
    }

    std::uint64_t now_; // ticks; all slots up to here were taken
    bool working_ = false;
    work work_;
    slot_bitmap near_bits_;
    slot_bitmap far_bits_;
    std::array<slot, slots> near_;
    std::array<slot, slots> far_;
    // The pool: chunks never used begin at fresh_, freed ones are a list.
    std::uint32_t objects_;
    std::uint32_t capacity_;
    std::uint32_t fresh_ = 0;
    std::uint32_t free_ = no_chunk;
    std::uint32_t chunks_used_ = 0;
    std::uint64_t rebuilds_ = 0;
    std::unique_ptr<chunk[]> chunks_;
};

template <timed_objects T>
unsigned timer_wheel::advance(T& objects, instant now, unsigned budget) {
    const std::uint64_t until = now.ms();
    unsigned done = 0;
    while (done < budget && (working_ || take_next(until))) {
        done += run(objects, now, budget - done);
    }
    return done;
}

// Goes on with the slot that was taken.
template <timed_objects T>
unsigned timer_wheel::run(T& objects, instant now, unsigned budget) {
    unsigned done = 0;
    while (work_.entries.head != no_chunk && done < budget) {
        const std::uint32_t index = work_.entries.head;
        const chunk& from = chunks_[index];
        const unsigned count = work_.entries.count;
        const chunk& behind = from.next == no_chunk ? from : chunks_[from.next];
        prefetch(objects, from, work_.done, std::min(work_.done + prefetch_ahead, count));
        for (unsigned line = 0; line < sizeof(chunk); line += 64) {
            __builtin_prefetch(reinterpret_cast<const char*>(&behind) + line);
        }
        for (; work_.done < count && done < budget; ++done) {
            const unsigned ahead = work_.done + prefetch_ahead;
            const std::uint32_t soon = ahead < count      ? from.ids[ahead]
                                       : &behind == &from ? from.ids[count - 1]
                                                          : behind.ids[ahead - count];
            __builtin_prefetch(&objects.schedule(soon), 1);
            const std::uint32_t id = from.ids[work_.done++];
            timer_schedule& schedule = objects.schedule(id);
            std::uint32_t& mark = work_.from == level::near ? schedule.near : schedule.far;
            if (mark != work_.mark) {
                continue; // stale
            }
            mark = 0;
            const instant next = objects.due(id, now);
            if (next != instant::never()) {
                arm(objects, id, next);
            }
            if (!working_) [[unlikely]] {
                return done; // rebuilt meanwhile: this slot is gone
            }
        }
        if (work_.done == count) {
            work_.entries = {from.next, chunk_ids};
            work_.done = 0;
            release(index);
        }
    }
    working_ = work_.entries.head != no_chunk;
    return done;
}

// Throws all entries away, stale ones with them, and makes those anew that schedules speak of.
template <timed_objects T>
void timer_wheel::rebuild(T& objects) {
    ++rebuilds_;
    clear();
    for (std::uint32_t id = 0; id < objects_; ++id) {
        timer_schedule& schedule = objects.schedule(id);
        if (schedule.near != 0 || schedule.far != 0) {
            schedule = {};
            // The wheel does not know the deadline; it looks in a millisecond and is told.
            push(schedule, id, now_ + 1);
        }
    }
}

} // namespace pantala
