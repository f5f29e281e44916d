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
    // Of the first and last eight bytes, in host order.
    static constexpr ipv6_address from_halves(std::uint64_t high, std::uint64_t low) {
        ipv6_address result;
        for (unsigned i = 0; i < 8; ++i) {
            result.bytes[i] = static_cast<std::uint8_t>(high >> (56 - 8 * i));
            result.bytes[8 + i] = static_cast<std::uint8_t>(low >> (56 - 8 * i));
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
    // fc00::/7 (RFC 4193).
    constexpr bool is_unique_local() const { return (bytes[0] & 0xfe) == 0xfc; }
    // ::ffff:0:0/96 (RFC 4291 2.5.5.2); never on the wire.
    bool is_v4_mapped() const { return high() == 0 && low() >> 32 == 0xffff; }

  private:
    std::uint64_t half(std::size_t at) const {
        std::uint64_t raw = 0;
        std::memcpy(&raw, bytes.data() + at, sizeof raw);
        return be64::from_raw(raw).host();
    }
};

inline constexpr ipv6_address ipv6_all_nodes = ipv6_address::of(0xff02, 0, 0, 0, 0, 0, 0, 1);
inline constexpr ipv6_address ipv6_all_routers = ipv6_address::of(0xff02, 0, 0, 0, 0, 0, 0, 2);
inline constexpr ipv6_address ipv6_mldv2_routers = ipv6_address::of(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

// ff02::1:ffXX:XXXX (RFC 4291 2.7.1).
constexpr ipv6_address solicited_node(const ipv6_address& address) {
    ipv6_address group = ipv6_address::of(0xff02, 0, 0, 0, 0, 1, 0xff00, 0);
    for (std::size_t i = 13; i < 16; ++i) {
        group.bytes[i] = address.bytes[i];
    }
    return group;
}

// The Ethernet address of a multicast group (RFC 2464 7).
constexpr mac_address multicast_mac(const ipv6_address& group) {
    return {{0x33, 0x33, group.bytes[12], group.bytes[13], group.bytes[14], group.bytes[15]}};
}

// The modified EUI-64 interface identifier of a station (RFC 4291, appendix A).
constexpr std::uint64_t eui64_identifier(const mac_address& mac) {
    std::uint64_t id = mac.bytes[0] ^ 0x02u;
    id = id << 8 | mac.bytes[1];
    id = id << 8 | mac.bytes[2];
    id = id << 16 | 0xfffe;
    id = id << 8 | mac.bytes[3];
    id = id << 8 | mac.bytes[4];
    return id << 8 | mac.bytes[5];
}

// How far an address reaches (RFC 4291 2.7; unicast as RFC 6724 3.1 has it).
enum class ipv6_scope : std::uint8_t { interface = 1, link = 2, admin = 4, site = 5, global = 14 };

constexpr ipv6_scope scope_of(const ipv6_address& address) {
    if (address.is_multicast()) {
        return static_cast<ipv6_scope>(address.bytes[1] & 0x0f);
    }
    return address.is_link_local() || address.is_loopback() ? ipv6_scope::link : ipv6_scope::global;
}

static_assert(sizeof(mac_address) == 6 && alignof(mac_address) == 1);
static_assert(sizeof(ipv4_address) == 4 && alignof(ipv4_address) == 1);
static_assert(sizeof(ipv6_address) == 16 && alignof(ipv6_address) == 1);

} // namespace pantala::wire
