// Bulk lookups of fib6: the scalar loop and its AVX-512 twin, which compares a whole line by one
// instruction. Both go level by level over a burst, so that a line is on its way while others are
// searched.
#include "stack/route/fib6.hpp"

#include <algorithm>
#include <bit>

#include <immintrin.h>

namespace pantala {

namespace {

struct walk {
    const std::uint32_t* lines[fib6_burst];
    std::uint32_t keys[fib6_burst];
    std::uint32_t heights[fib6_burst];
    std::uint32_t highest = 0;
};

[[gnu::always_inline]] inline void
begin(const fib6_reader& fib, std::span<const address6> addresses, walk& to) {
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        const std::uint32_t tree = fib.tree(addresses[i]);
        to.keys[i] = fib6_key(addresses[i], 0);
        to.heights[i] = tree & 7;
        to.highest = std::max(to.highest, tree & 7);
        to.lines[i] = fib.line(tree >> 3);
        __builtin_prefetch(to.lines[i]);
    }
}

// `yes` or `no` without a branch, which compilers make of it otherwise: heights are hard to
// predict. What a leaf gives as its child is never used.
[[gnu::always_inline]] inline const std::uint32_t*
select(bool which, const std::uint32_t* yes, const std::uint32_t* no) {
    const auto mask = ~std::uintptr_t{0} + !which;
    const auto is = reinterpret_cast<std::uintptr_t>(yes);
    const auto was = reinterpret_cast<std::uintptr_t>(no);
    return reinterpret_cast<const std::uint32_t*>(was ^ ((was ^ is) & mask));
}

// True: some answers are long ids.
template <class Interval>
[[gnu::always_inline]] inline bool
walk_down(const fib6_reader& fib, walk& on, std::size_t count, Interval interval, nexthop_id* out) {
    for (std::uint32_t height = on.highest; height != 0; --height) {
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint32_t* at = on.lines[i];
            const std::uint32_t* child =
                fib.line(at[fib6_children - 1] + interval(at, fib6_children - 1, on.keys[i]));
            on.lines[i] = select(on.heights[i] >= height, child, at);
            __builtin_prefetch(on.lines[i]);
        }
    }
    std::uint16_t any = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const unsigned run = interval(on.lines[i], fib6_leaf_runs - 1, on.keys[i]);
        const std::uint16_t hop = fib6_reader::hop_of(on.lines[i], run);
        any |= hop;
        out[i] = nexthop_id{hop};
    }
    return (any & fib6_long_flag) != 0;
}

[[gnu::noinline, gnu::cold]] void
finish_long(const fib6_reader& fib, std::span<const address6> addresses, nexthop_id* answers) {
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        if ((answers[i].value & fib6_long_flag) != 0) {
            answers[i] = nexthop_id{fib.longer(answers[i].value, addresses[i])};
        }
    }
}

template <class Interval>
[[gnu::always_inline]] inline void lookup_by(
    const fib6_reader& fib, std::span<const address6> addresses, nexthop_id* answers,
    Interval interval) {
    while (!addresses.empty()) {
        const std::size_t count = std::min(addresses.size(), std::size_t{fib6_burst});
        const auto some = addresses.first(count);
        walk on;
        begin(fib, some, on);
        if (walk_down(fib, on, count, interval, answers)) [[unlikely]] {
            finish_long(fib, some, answers);
        }
        addresses = addresses.subspan(count);
        answers += count;
    }
}

#define PANTALA_AVX512 "avx512f,avx512bw,avx512vl,popcnt"

struct interval_scalar {
    [[gnu::always_inline]] unsigned
    operator()(const std::uint32_t* line, unsigned lasts, std::uint32_t key) const {
        return fib6_reader::interval(line, lasts, key);
    }
};

} // namespace

bool fib6_has_avx512() {
    return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
           __builtin_cpu_supports("avx512vl") != 0;
}

void fib6_reader::lookup_scalar(std::span<const address6> addresses, nexthop_id* answers) const {
    lookup_by(*this, addresses, answers, interval_scalar{});
}

// The same passes written out, since a function of another target is never inlined.
[[gnu::target(PANTALA_AVX512)]] void
fib6_reader::lookup_avx512(std::span<const address6> addresses, nexthop_id* answers) const {
    const auto interval = [](const std::uint32_t* line, std::uint32_t key, unsigned lasts)
                              __attribute__((target(PANTALA_AVX512)))
                                  ->unsigned {
        const __mmask16 less = _mm512_cmplt_epu32_mask(
            _mm512_load_si512(line), _mm512_set1_epi32(static_cast<int>(key)));
        return static_cast<unsigned>(__builtin_popcount(less & ((1U << lasts) - 1)));
    };
    while (!addresses.empty()) {
        const std::size_t count = std::min(addresses.size(), std::size_t{fib6_burst});
        const auto some = addresses.first(count);
        walk on;
        begin(*this, some, on);
        for (std::uint32_t height = on.highest; height != 0; --height) {
            for (std::size_t i = 0; i < count; ++i) {
                const std::uint32_t* at = on.lines[i];
                const std::uint32_t* child =
                    line(at[fib6_children - 1] + interval(at, on.keys[i], fib6_children - 1));
                on.lines[i] = select(on.heights[i] >= height, child, at);
                __builtin_prefetch(on.lines[i]);
            }
        }
        std::uint16_t any = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint16_t hop =
                hop_of(on.lines[i], interval(on.lines[i], on.keys[i], fib6_leaf_runs - 1));
            any |= hop;
            answers[i] = nexthop_id{hop};
        }
        if ((any & fib6_long_flag) != 0) [[unlikely]] {
            finish_long(*this, some, answers);
        }
        addresses = addresses.subspan(count);
        answers += count;
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
