// An IPv4 prefix as control computes with it: host order, no bit set beyond its length.
#pragma once

#include "engine/base/byte_order.hpp"
#include "engine/base/result.hpp"

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace pantala {

// The network mask of `length` bits, 0..32, in host order.
constexpr std::uint32_t mask4(unsigned length) {
    return length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
}

struct prefix4 {
    std::uint32_t address = 0; // host order
    std::uint8_t length = 0;   // 0..32

    constexpr auto operator<=>(const prefix4&) const = default; // nested ones follow their parent

    constexpr std::uint32_t last() const { return address | ~mask4(length); }
    constexpr bool covers(std::uint32_t host) const { return (host & mask4(length)) == address; }
};

// The prefix of `length` bits that holds `host`.
constexpr prefix4 make_prefix4(std::uint32_t host, unsigned length) {
    return {host & mask4(length), static_cast<std::uint8_t>(length)};
}

// "192.0.2.1" to host order. Four decimal parts, no leading zeros, nothing else.
result<std::uint32_t> parse_address4(std::string_view text);
// "192.0.2.0/24", "192.0.2.1" (a host) or "default". Bits beyond the length are refused.
result<prefix4> parse_prefix4(std::string_view text);
std::string format_address4(std::uint32_t host);
std::string format(const prefix4& prefix);

} // namespace pantala
