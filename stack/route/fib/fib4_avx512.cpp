#include "stack/route/fib4_avx512.hpp"

// GCC 12's own intrinsics start from undefined registers on purpose.
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

namespace pantala {

bool fib4_has_avx512() {
    return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
           __builtin_cpu_supports("avx512vl") != 0 &&
           __builtin_cpu_supports("avx512vpopcntdq") != 0;
}

#define PANTALA_AVX512 [[gnu::target("avx512f,avx512bw,avx512vl,avx512vpopcntdq")]]

namespace {

// Eight lookups: units of 8 bytes, addresses zero-extended to 64 bits; the answers in 16 bits each
// of the low ends.
PANTALA_AVX512 inline __m512i
nodes_answer(const std::uint64_t* arena, __m512i units, __m512i wide) {
    const __m512i starts = _mm512_i64gather_epi64(units, arena, 8);
    const __m512i slot = _mm512_srli_epi64(wide, 8);
    const __m512i left = _mm512_andnot_si512(slot, _mm512_set1_epi64(63));
    const __m512i runs = _mm512_popcnt_epi64(_mm512_sllv_epi64(starts, left));
    // Two bytes a next hop, the first 8 bytes into the node; read 8 bytes that end with it, so that
    // nothing beyond the arena is touched.
    const __m512i at = _mm512_add_epi64(_mm512_slli_epi64(units, 3), _mm512_slli_epi64(runs, 1));
    return _mm512_srli_epi64(_mm512_i64gather_epi64(at, arena, 1), 48);
}

} // namespace

PANTALA_AVX512 void fib4_lookup_avx512(
    const fib4_reader<>& fib, std::span<const std::uint32_t> addresses, nexthop_id* answers) {
    const std::uint32_t* directory = fib.directory();
    const std::uint64_t* arena = fib.arena();
    const std::size_t count = addresses.size();
    __m512i any = _mm512_setzero_si512();
    for (std::size_t i = 0; i < count; i += 8) {
        const std::size_t left = count - i;
        const __mmask8 lanes = left >= 8 ? 0xff : static_cast<__mmask8>((1U << left) - 1);
        const __m256i keys = _mm256_maskz_loadu_epi32(lanes, &addresses[i]);
        const __m256i words = _mm256_i32gather_epi32(
            reinterpret_cast<const int*>(directory), _mm256_srli_epi32(keys, 14), 4);
        const __m512i found =
            nodes_answer(arena, _mm512_cvtepu32_epi64(words), _mm512_cvtepu32_epi64(keys));
        any = _mm512_or_si512(any, found);
        _mm_mask_storeu_epi16(answers + i, lanes, _mm512_cvtepi64_epi16(found));
    }
    if (_mm512_test_epi64_mask(any, _mm512_set1_epi64(fib4_long_flag)) != 0) [[unlikely]] {
        for (std::size_t i = 0; i < count; ++i) {
            answers[i] = nexthop_id{fib.longer(answers[i].value, addresses[i])};
        }
    }
}

} // namespace pantala
