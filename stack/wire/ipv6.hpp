// The IPv6 header and its extension headers (RFC 8200 3, 4).
#pragma once

#include "stack/wire/address.hpp"
#include "stack/wire/ipv4.hpp" // ip_protocol

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace pantala::wire {

struct ipv6_header {
    be32 version_class_flow; // version 4 bits, traffic class 8, flow label 20
    be16 payload_length;
    std::uint8_t next_header = 0;
    std::uint8_t hop_limit = 0;
    ipv6_address source;
    ipv6_address destination;

    constexpr unsigned version() const { return version_class_flow.host() >> 28; }
    constexpr std::uint32_t flow_label() const { return version_class_flow.host() & 0xfffff; }
    constexpr std::uint8_t traffic_class() const {
        return static_cast<std::uint8_t>(version_class_flow.host() >> 20);
    }
};

// The first bytes of a hop-by-hop, routing or destination options header.
struct ipv6_extension_header {
    std::uint8_t next_header = 0;
    std::uint8_t length = 0; // in units of 8 bytes, the first 8 not counted

    constexpr unsigned bytes() const { return (length + 1u) * 8; }
};

// Options of hop-by-hop and destination headers (IANA). The two high bits say what becomes of a
// packet whose option is not known (RFC 8200 4.2).
enum class ipv6_option : std::uint8_t {
    pad1 = 0,
    padn = 1,
    tunnel_limit = 4,
    router_alert = 5,
    jumbo_payload = 0xc2,
};
enum class ipv6_option_action : std::uint8_t { skip, discard, tell, tell_unless_multicast };
constexpr ipv6_option_action action_of(std::uint8_t option) {
    return static_cast<ipv6_option_action>(option >> 6);
}

struct ipv6_fragment_header {
    std::uint8_t next_header = 0;
    std::uint8_t reserved = 0;
    be16 offset_more; // offset in 8-byte units 13 bits, reserved 2, more 1
    be32 identification;

    constexpr unsigned offset_bytes() const { return offset_more.host() & 0xfff8u; }
    constexpr bool more() const { return (offset_more.host() & 1u) != 0; }
    // A whole packet in one fragment (RFC 6946).
    constexpr bool is_atomic() const { return (offset_more.host() & 0xfff9u) == 0; }
};

inline constexpr std::size_t ipv6_header_bytes = 40;
inline constexpr std::size_t ipv6_fragment_header_bytes = 8;
inline constexpr std::size_t ipv6_minimum_mtu_bytes = 1280; // RFC 8200 5

static_assert(sizeof(ipv6_header) == ipv6_header_bytes && alignof(ipv6_header) == 1);
static_assert(offsetof(ipv6_header, payload_length) == 4 && offsetof(ipv6_header, source) == 8);
static_assert(offsetof(ipv6_header, destination) == 24);
static_assert(sizeof(ipv6_fragment_header) == 8 && alignof(ipv6_fragment_header) == 1);
static_assert(std::is_trivially_copyable_v<ipv6_header>);

} // namespace pantala::wire
