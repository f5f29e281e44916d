#include "stack/route/fib/fib4_allocator.hpp"

#include "engine/base/check.hpp"

#include <algorithm>
#include <bit>

namespace pantala {

namespace {

constexpr unsigned line_units = 8;
constexpr unsigned chunk_lines = 4;

struct run {
    unsigned first = 0;
    unsigned units = 0;
};

// The smallest run of free units within one line that holds `units`; 0 units: none.
constexpr run best_run(std::uint8_t line, unsigned units) {
    run best;
    for (unsigned at = 0; at < line_units;) {
        const auto left = static_cast<std::uint8_t>(line >> at);
        const auto free = static_cast<unsigned>(std::countr_one(left));
        if (free >= units && free != 0 && (best.units == 0 || free < best.units)) {
            best = {at, free};
        }
        at += free + 1;
    }
    return best;
}

constexpr unsigned longest_run(std::uint8_t line) {
    unsigned longest = 0;
    for (unsigned at = 0; at < line_units;) {
        const auto free =
            static_cast<unsigned>(std::countr_one(static_cast<std::uint8_t>(line >> at)));
        longest = std::max(longest, free);
        at += free + 1;
    }
    return longest;
}

constexpr auto longest_runs = [] {
    std::array<std::uint8_t, 256> table{};
    for (unsigned line = 0; line < 256; ++line) {
        table[line] = static_cast<std::uint8_t>(longest_run(static_cast<std::uint8_t>(line)));
    }
    return table;
}();

std::uint8_t line_of(std::uint32_t free, unsigned line) {
    return static_cast<std::uint8_t>(free >> (line * line_units));
}

// The largest node that fits: above 8 units it must start on a line.
unsigned room_of(std::uint32_t free) {
    unsigned room = 0;
    for (unsigned line = 0; line < chunk_lines; ++line) {
        const auto from_line = static_cast<unsigned>(std::countr_one(free >> (line * line_units)));
        const unsigned here =
            from_line > line_units ? from_line : longest_runs[line_of(free, line)];
        room = std::max(room, here);
    }
    return room;
}

// Where `units` go in a chunk that has room: the tightest place, the lowest of equals.
unsigned place_in(std::uint32_t free, unsigned units) {
    run best;
    for (unsigned line = 0; line < chunk_lines; ++line) {
        const unsigned base = line * line_units;
        run here;
        if (units <= line_units) {
            here = best_run(line_of(free, line), units);
            here.first += base;
        } else {
            const auto from_line = static_cast<unsigned>(std::countr_one(free >> base));
            here = {base, from_line >= units ? from_line : 0};
        }
        if (here.units != 0 && (best.units == 0 || here.units < best.units)) {
            best = here;
        }
    }
    PANTALA_DCHECK(best.units >= units);
    return best.first;
}

std::uint32_t bits(unsigned first, unsigned units) {
    return ((std::uint32_t{1} << units) - 1) << first; // units <= 25
}

} // namespace

fib4_allocator::fib4_allocator(std::uint32_t units_max) : chunks_max_(units_max / chunk_units) {
    heads_.fill(none);
}

void fib4_allocator::list(std::uint32_t index) {
    chunk& entry = chunks_[index];
    entry.room = static_cast<std::uint8_t>(room_of(entry.free));
    entry.previous = none;
    entry.next = heads_[entry.room];
    if (entry.next != none) {
        chunks_[entry.next].previous = index;
    }
    heads_[entry.room] = index;
    occupied_lists_ |= std::uint64_t{1} << entry.room;
}

void fib4_allocator::unlist(std::uint32_t index) {
    chunk& entry = chunks_[index];
    if (entry.next != none) {
        chunks_[entry.next].previous = entry.previous;
    }
    if (entry.previous != none) {
        chunks_[entry.previous].next = entry.next;
        return;
    }
    heads_[entry.room] = entry.next;
    if (entry.next == none) {
        occupied_lists_ &= ~(std::uint64_t{1} << entry.room);
    }
}

std::uint32_t fib4_allocator::take(unsigned units) {
    PANTALA_DCHECK(units >= 1 && units <= node_units_max);
    const std::uint64_t fitting = occupied_lists_ >> units << units;
    std::uint32_t index = 0;
    if (fitting != 0) {
        index = heads_[static_cast<unsigned>(std::countr_zero(fitting))];
        unlist(index);
    } else {
        if (chunks_.size() == chunks_max_) {
            return none;
        }
        index = static_cast<std::uint32_t>(chunks_.size());
        chunks_.emplace_back();
    }
    chunk& entry = chunks_[index];
    const unsigned first = place_in(entry.free, units);
    entry.free &= ~bits(first, units);
    list(index);
    used_ += units;
    return index * chunk_units + first;
}

void fib4_allocator::give(std::uint32_t unit, unsigned units) {
    const std::uint32_t index = unit / chunk_units;
    const std::uint32_t taken = bits(unit % chunk_units, units);
    PANTALA_DCHECK((chunks_[index].free & taken) == 0);
    unlist(index);
    chunks_[index].free |= taken;
    list(index);
    used_ -= units;
}

} // namespace pantala
