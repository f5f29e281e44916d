// Compiling a whole table at once, in parallel.
#include "stack/route/fib/fib4_compiler.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include <tbb/parallel_for.h>

namespace pantala {

// Shortest first, so that longer prefixes paint over shorter ones. Prefixes of 8 bits and more
// stay within one of 256 ranges and are painted in parallel; those beyond a slot, which open long
// blocks, afterwards.
void fib4_compiler::load_authority(std::span<const fib4_entry> entries) {
    const std::size_t slots = std::size_t{1} << shape_.slot_length();
    values_.assign(slots, default_);
    lengths_.assign(slots, 0);
    longs_.clear();
    free_longs_.clear();
    longs_used_ = 0;

    std::vector<std::uint32_t> order(entries.size());
    std::iota(order.begin(), order.end(), 0);
    std::array<std::vector<std::uint32_t>, 256> ranges;
    std::vector<std::uint32_t> wide;
    std::vector<std::uint32_t> deep;
    for (const std::uint32_t i : order) {
        const prefix4& prefix = entries[i].prefix;
        if (prefix.length < 8) {
            wide.push_back(i);
        } else if (prefix.length > shape_.slot_length()) {
            deep.push_back(i);
        } else {
            ranges[prefix.address >> 24].push_back(i);
        }
    }
    const auto paint = [this, entries](std::vector<std::uint32_t>& which) {
        std::sort(which.begin(), which.end(), [entries](std::uint32_t a, std::uint32_t b) {
            const prefix4& left = entries[a].prefix;
            const prefix4& right = entries[b].prefix;
            return left.length != right.length ? left.length < right.length
                                               : left.address < right.address;
        });
        for (const std::uint32_t i : which) {
            set(entries[i].prefix, entries[i].value, true);
        }
    };
    paint(wide);
    tbb::parallel_for(std::size_t{0}, ranges.size(), [&](std::size_t i) { paint(ranges[i]); });
    paint(deep);
}

void fib4_compiler::load(std::span<const fib4_entry> entries, std::unique_ptr<fib4_image> image) {
    paused_ = false;
    image_ = std::move(image);
    allocator_ = fib4_allocator(units_max_);
    shared_.clear();
    ready_units_ = 0;
    ready_words_ = shape_.roots();
    PANTALA_ASSERT(allocator_.take(2) == 0); // the default's node
    loading_ = true;
    load_authority(entries);
    loading_ = false;
    load_image();
}

} // namespace pantala
