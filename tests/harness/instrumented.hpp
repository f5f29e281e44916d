// Lengths of tests that only repeat: a sanitizer's build takes the shorter one, in which each step
// costs ten times as much; the optimized build has gone the whole way.
#pragma once

namespace pantala::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool instrumented = true;
#elif defined(__has_feature)
inline constexpr bool instrumented =
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
inline constexpr bool instrumented = false;
#endif

template <class Number>
constexpr Number length(Number whole, Number with_sanitizer) {
    return instrumented ? with_sanitizer : whole;
}

} // namespace pantala::test
