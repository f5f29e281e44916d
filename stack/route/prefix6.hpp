// An IPv6 address and prefix as control computes with them: two host-order halves.
#pragma once

#include "engine/base/result.hpp"

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace pantala {

struct address6 {
    std::uint64_t high = 0; // the first eight bytes
    std::uint64_t low = 0;

    constexpr auto operator<=>(const address6&) const = default;

    static constexpr address6 from_bytes(const std::array<std::uint8_t, 16>& bytes) {
        address6 made;
        for (unsigned i = 0; i < 8; ++i) {
            made.high = made.high << 8 | bytes[i];
            made.low = made.low << 8 | bytes[i + 8];
        }
        return made;
    }
    constexpr std::array<std::uint8_t, 16> bytes() const {
        std::array<std::uint8_t, 16> made{};
        for (unsigned i = 0; i < 8; ++i) {
            made[i] = static_cast<std::uint8_t>(high >> (56 - 8 * i));
            made[i + 8] = static_cast<std::uint8_t>(low >> (56 - 8 * i));
        }
        return made;
    }
};

// The network mask of `length` bits, 0..128.
constexpr address6 mask6(unsigned length) {
    constexpr std::uint64_t ones = ~std::uint64_t{0};
    if (length == 0) {
        return {};
    }
    return length <= 64 ? address6{ones << (64 - length), 0}
                        : address6{ones, ones << (128 - length)};
}

struct prefix6 {
    address6 address;
    std::uint8_t length = 0; // 0..128

    constexpr auto operator<=>(const prefix6&) const = default; // nested ones follow their parent

    constexpr bool covers(const address6& host) const {
        const address6 mask = mask6(length);
        return (host.high & mask.high) == address.high && (host.low & mask.low) == address.low;
    }
    constexpr address6 last() const {
        const address6 mask = mask6(length);
        return {address.high | ~mask.high, address.low | ~mask.low};
    }
};

constexpr prefix6 make_prefix6(const address6& host, unsigned length) {
    const address6 mask = mask6(length);
    return {{host.high & mask.high, host.low & mask.low}, static_cast<std::uint8_t>(length)};
}

// RFC 4291 2.2 text, embedded IPv4 included; no zone.
result<address6> parse_address6(std::string_view text);
// "2001:db8::/32" or "2001:db8::1" (a host). Bits beyond the length are refused.
result<prefix6> parse_prefix6(std::string_view text);
std::string format_address6(const address6& address); // RFC 5952
std::string format(const prefix6& prefix);

} // namespace pantala
