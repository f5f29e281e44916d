// How large the nodes of fib4.hpp are. Private to stack/route/fib. Owner: control.
#pragma once

#include "stack/route/fib/fib4_allocator.hpp"
#include "stack/route/fib4.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>

namespace pantala {

// The bytes behind a node's `run_start`: of a narrow one with `longs` long ids, of a wide one.
constexpr unsigned narrow_bytes(unsigned runs, unsigned longs) {
    return longs == 0 ? runs : (runs + 1) / 2 * 2 + 2 * longs;
}
constexpr unsigned wide_bytes(unsigned runs) {
    return 2 * runs;
}
constexpr unsigned units_for(unsigned bytes) {
    return 1 + (bytes + 7) / 8;
}
static_assert(units_for(narrow_bytes(fib4_slots, fib4_slots)) == fib4_allocator::node_units_max);

inline unsigned units_of(const std::uint64_t* node) {
    const auto runs = static_cast<unsigned>(std::popcount(node[0] | 1));
    if ((node[0] & 1) != 0) {
        return units_for(wide_bytes(runs));
    }
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&node[1]);
    const auto longs = std::count(bytes, bytes + runs, std::uint8_t{fib4_more});
    return units_for(narrow_bytes(runs, static_cast<unsigned>(longs)));
}

} // namespace pantala
