// Time as a parameter. Hot code is handed an instant (read once a round); it never reads a clock.
#pragma once

#include <compare>
#include <cstdint>

namespace pantala {

// Nanoseconds since the engine (or the simulation) began. 64 bits last for 584 years.
struct instant {
    std::uint64_t ns = 0;

    constexpr auto operator<=>(const instant&) const = default;
    constexpr std::uint64_t ms() const { return ns / 1'000'000; }
    constexpr std::uint64_t us() const { return ns / 1'000; }
    // Later than everything: no deadline.
    static constexpr instant never() { return instant{~std::uint64_t{0}}; }
};

constexpr instant operator+(instant at, std::uint64_t ns) {
    return instant{at.ns + ns};
}
// Elapsed nanoseconds; `later` must not precede `earlier`.
constexpr std::uint64_t operator-(instant later, instant earlier) {
    return later.ns - earlier.ns;
}

inline constexpr std::uint64_t ns_per_us = 1'000;
inline constexpr std::uint64_t ns_per_ms = 1'000'000;
inline constexpr std::uint64_t ns_per_s = 1'000'000'000;

__extension__ using uint128 = unsigned __int128;

// TSC cycles to nanoseconds by one multiplication: ns = cycles * factor >> 32. Exact to 2^-32
// relative per cycle; made once by control from the measured TSC rate.
class tsc_scale {
  public:
    constexpr tsc_scale() = default;
    constexpr explicit tsc_scale(std::uint64_t tsc_hz)
        : factor_(static_cast<std::uint64_t>((static_cast<uint128>(ns_per_s) << 32) / tsc_hz)) {}

    constexpr std::uint64_t to_ns(std::uint64_t cycles) const {
        return static_cast<std::uint64_t>((static_cast<uint128>(cycles) * factor_) >> 32);
    }

  private:
    std::uint64_t factor_ = std::uint64_t{1} << 32;
};

} // namespace pantala
