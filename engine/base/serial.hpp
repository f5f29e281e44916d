// Serial number arithmetic (RFC 1982; the comparison of RFC 9293 section 3.4): numbers on a circle
// of 2^bits, where a precedes b if b is reached from a by less than half the circle.
#pragma once

#include <concepts>
#include <type_traits>

namespace pantala {

template <std::unsigned_integral T>
constexpr bool serial_less(T a, T b) {
    return static_cast<std::make_signed_t<T>>(static_cast<T>(a - b)) < 0;
}

template <std::unsigned_integral T>
constexpr bool serial_less_equal(T a, T b) {
    return !serial_less(b, a);
}

} // namespace pantala
