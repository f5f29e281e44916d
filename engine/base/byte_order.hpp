// Byte order as a type: a value that came off the wire cannot be mistaken for one the host computes
// with. Alignment is 1, so wire structs may hold these at any offset.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <concepts>
#include <cstdint>

namespace pantala {

static_assert(std::endian::native == std::endian::little, "Pantala runs on little-endian hosts");

template <std::unsigned_integral T>
class big_endian {
  public:
    constexpr big_endian() = default;

    // The wire form of a host value. Explicit: there is no silent conversion either way.
    static constexpr big_endian from(T host_value) {
        big_endian result;
        result.bytes_ = std::bit_cast<std::array<unsigned char, sizeof(T)>>(swap(host_value));
        return result;
    }

    // The wire form of a value that already is in wire order (as DPDK's rte_be types are).
    static constexpr big_endian from_raw(T wire_value) {
        big_endian result;
        result.bytes_ = std::bit_cast<std::array<unsigned char, sizeof(T)>>(wire_value);
        return result;
    }

    constexpr T host() const { return swap(raw()); }
    constexpr T raw() const { return std::bit_cast<T>(bytes_); }

    constexpr bool operator==(const big_endian&) const = default;

  private:
    static constexpr T swap(T value) {
        if constexpr (sizeof(T) == 2) {
            return __builtin_bswap16(value);
        } else if constexpr (sizeof(T) == 4) {
            return __builtin_bswap32(value);
        } else {
            return __builtin_bswap64(value);
        }
    }

    std::array<unsigned char, sizeof(T)> bytes_{};
};

using be16 = big_endian<std::uint16_t>;
using be32 = big_endian<std::uint32_t>;
using be64 = big_endian<std::uint64_t>;

static_assert(sizeof(be32) == 4 && alignof(be32) == 1);

} // namespace pantala
