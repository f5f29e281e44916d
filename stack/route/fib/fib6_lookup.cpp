// Bulk lookups of fib6: the scalar loop and its AVX-512 twin, which compares a whole line by one
// instruction. Both go level by level over a burst, so that a line is on its way while others are
// searched.
#include "stack/route/fib6.hpp"

#include <algorithm>
#include <bit>

#include <immintrin.h>

namespace pantala {

namespace {

constexpr unsigned highest = 7; // inner lines above a leaf

// A burst on its way down. Bit i of `left[h]`: key i has h or more inner lines before it.
struct walk {
    const std::uint32_t* lines[fib6_burst];
    std::uint32_t keys[fib6_burst];
    std::uint32_t left[highest + 1];
};
static_assert(fib6_burst == 32, "a bit a key");

// Every key's first line is on its way.
[[gnu::always_inline]] inline void
begin(const fib6_reader& fib, std::span<const address6> addresses, walk& to) {
    std::uint32_t exactly[highest + 1] = {};
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        const std::uint32_t tree = fib.tree(addresses[i]);
        to.keys[i] = fib6_key(addresses[i], 0);
        to.lines[i] = fib.line(tree >> 3);
        exactly[tree & highest] |= std::uint32_t{1} << i;
        __builtin_prefetch(to.lines[i]);
    }
    to.left[highest] = exactly[highest];
    for (unsigned height = highest; height-- != 0;) {
        to.left[height] = to.left[height + 1] | exactly[height];
    }
}

std::span<const address6> some_of(std::span<const address6> addresses) {
    return addresses.first(std::min(addresses.size(), std::size_t{fib6_burst}));
}

[[gnu::noinline, gnu::cold]] void
finish_long(const fib6_reader& fib, std::span<const address6> addresses, nexthop_id* answers) {
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        if ((answers[i].value & fib6_long_flag) != 0) {
            answers[i] = nexthop_id{fib.longer(answers[i].value, addresses[i])};
        }
    }
}

} // namespace

bool fib6_has_avx512() {
    return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
           __builtin_cpu_supports("avx512vl") != 0;
}

void fib6_reader::lookup_scalar(std::span<const address6> addresses, nexthop_id* answers) const {
    for (; !addresses.empty(); addresses = addresses.subspan(some_of(addresses).size())) {
        const auto some = some_of(addresses);
        walk on;
        begin(*this, some, on);
        for (unsigned height = highest; height != 0; --height) {
            for (std::uint32_t left = on.left[height]; left != 0; left &= left - 1) {
                const auto i = static_cast<unsigned>(std::countr_zero(left));
                const std::uint32_t* at = on.lines[i];
                on.lines[i] =
                    line(at[fib6_inner_lasts] + interval(at, fib6_inner_lasts, on.keys[i]));
                __builtin_prefetch(on.lines[i]);
            }
        }
        std::uint16_t any = 0;
        for (std::size_t i = 0; i < some.size(); ++i) {
            const unsigned run = interval(on.lines[i], fib6_leaf_lasts, on.keys[i]);
            answers[i] = nexthop_id{hop_of(on.lines[i], run)};
            any |= answers[i].value;
        }
        if ((any & fib6_long_flag) != 0) [[unlikely]] {
            finish_long(*this, some, answers);
        }
        answers += some.size();
    }
}

#define PANTALA_AVX512 "avx512f,avx512bw,avx512vl,popcnt"

namespace {

// As fib6_reader::interval().
[[gnu::target(PANTALA_AVX512), gnu::always_inline]] inline unsigned
interval_avx512(const std::uint32_t* line, unsigned lasts, std::uint32_t key) {
    const __mmask16 less = _mm512_mask_cmplt_epu32_mask(
        static_cast<__mmask16>((1U << lasts) - 1), _mm512_load_si512(line),
        _mm512_set1_epi32(static_cast<int>(key)));
    return static_cast<unsigned>(__builtin_popcount(less));
}

} // namespace

// The same written out, since a function of another target is never inlined.
[[gnu::target(PANTALA_AVX512)]] void
fib6_reader::lookup_avx512(std::span<const address6> addresses, nexthop_id* answers) const {
    for (; !addresses.empty(); addresses = addresses.subspan(some_of(addresses).size())) {
        const auto some = some_of(addresses);
        walk on;
        begin(*this, some, on);
        for (unsigned height = highest; height != 0; --height) {
            for (std::uint32_t left = on.left[height]; left != 0; left &= left - 1) {
                const auto i = static_cast<unsigned>(std::countr_zero(left));
                const std::uint32_t* at = on.lines[i];
                on.lines[i] =
                    line(at[fib6_inner_lasts] + interval_avx512(at, fib6_inner_lasts, on.keys[i]));
                __builtin_prefetch(on.lines[i]);
            }
        }
        std::uint16_t any = 0;
        for (std::size_t i = 0; i < some.size(); ++i) {
            const unsigned run = interval_avx512(on.lines[i], fib6_leaf_lasts, on.keys[i]);
            answers[i] = nexthop_id{hop_of(on.lines[i], run)};
            any |= answers[i].value;
        }
        if ((any & fib6_long_flag) != 0) [[unlikely]] {
            finish_long(*this, some, answers);
        }
        answers += some.size();
    }
}

void fib6_reader::lookup(std::span<const address6> addresses, nexthop_id* answers) const {
    if (fib6_has_avx512()) [[likely]] {
        lookup_avx512(addresses, answers);
    } else {
        lookup_scalar(addresses, answers);
    }
}

} // namespace pantala
