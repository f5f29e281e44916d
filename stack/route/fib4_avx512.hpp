// The SIMD twin of fib4_reader::lookup, 16 addresses at a time by gathers. On the CPUs measured so
// far the scalar loop with prefetch is faster (bench/fib_bench, lookup4/pantala_avx512), so nothing
// takes it unless asked; it passes the same tests.
#pragma once

#include "stack/route/fib4.hpp"

#include <span>

namespace pantala {

// This CPU has what it takes (AVX-512 F, BW, VL, VPOPCNTDQ).
bool fib4_has_avx512();

// As fib4_reader::lookup; only where fib4_has_avx512().
void fib4_lookup_avx512(
    const fib4_reader<>& fib, std::span<const std::uint32_t> addresses, nexthop_id* answers);

} // namespace pantala
