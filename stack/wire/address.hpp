// Addresses as the wire carries them. Each is its own type, trivially copyable and of alignment 1.
#pragma once

#include "engine/base/byte_order.hpp"

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pantala::wire {

struct mac_address {
    std::array<std::uint8_t, 6> bytes{};

    constexpr auto operator<=>(const mac_address&) const = default;
    // The group bit: multicast or broadcast, never a station (IEEE 802).
    constexpr bool is_group() const { return (bytes[0] & 1) != 0; }
    constexpr bool is_zero() const { return *this == mac_address{}; }
};

inline constexpr mac_address mac_broadcast{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

struct ipv4_address {
    be32 value{};

    static constexpr ipv4_address from(std::uint32_t host_value) {
        return {be32::from(host_value)};
    }
    static constexpr ipv4_address
    of(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
        return from(
            (std::uint32_t{a} << 24) | (std::uint32_t{b} << 16) | (std::uint32_t{c} << 8) | d);
    }
    constexpr std::uint32_t host() const { return value.host(); }
    constexpr bool operator==(const ipv4_address&) const = default;
    constexpr auto operator<=>(const ipv4_address& other) const { return host() <=> other.host(); }

    constexpr bool is_zero() const { return host() == 0; }
    // 224.0.0.0/4 (RFC 1112).
    constexpr bool is_multicast() const { return (host() >> 28) == 0xe; }
    // 127.0.0.0/8 (RFC 1122 3.2.1.3 (g)).
    constexpr bool is_loopback() const { return (host() >> 24) == 127; }
    constexpr bool is_limited_broadcast() const { return host() == 0xffffffff; }
};

// The network mask of a prefix length 0..32, in host order.
constexpr std::uint32_t ipv4_mask(unsigned length) {
    return length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
}

struct ipv6_address {
    std::array<std::uint8_t, 16> bytes{};

    constexpr auto operator<=>(const ipv6_address&) const = default;

    // The eight 16-bit groups in the order of the text form.
    static constexpr ipv6_address
    of(std::uint16_t a, std::uint16_t b, std::uint16_t c, std::uint16_t d, std::uint16_t e,
       std::uint16_t f, std::uint16_t g, std::uint16_t h) {
        ipv6_address result;
        const std::uint16_t groups[8] = {a, b, c, d, e, f, g, h};
        for (std::size_t i = 0; i < 8; ++i) {
            result.bytes[2 * i] = static_cast<std::uint8_t>(groups[i] >> 8);
            result.bytes[2 * i + 1] = static_cast<std::uint8_t>(groups[i]);
        }
        return result;
    }
    // The top 64 bits, in host order.
    std::uint64_t high() const { return half(0); }
    std::uint64_t low() const { return half(8); }

    constexpr bool is_unspecified() const { return *this == ipv6_address{}; }
    constexpr bool is_loopback() const { return *this == of(0, 0, 0, 0, 0, 0, 0, 1); }
    // ff00::/8 (RFC 4291 2.7).
    constexpr bool is_multicast() const { return bytes[0] == 0xff; }
    // fe80::/10 (RFC 4291 2.5.6).
    constexpr bool is_link_local() const { return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80; }

  private:
    std::uint64_t half(std::size_t at) const {
        std::uint64_t raw = 0;
        std::memcpy(&raw, bytes.data() + at, sizeof raw);
        return be64::from_raw(raw).host();
    }
};

static_assert(sizeof(mac_address) == 6 && alignof(mac_address) == 1);
static_assert(sizeof(ipv4_address) == 4 && alignof(ipv4_address) == 1);
static_assert(sizeof(ipv6_address) == 16 && alignof(ipv6_address) == 1);

} // namespace pantala::wire
