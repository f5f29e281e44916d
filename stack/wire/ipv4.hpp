// The IPv4 header (RFC 791 3.1).
#pragma once

#include "stack/wire/address.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace pantala::wire {

// Protocol numbers (IANA), shared by IPv4's protocol field and IPv6's next header.
enum class ip_protocol : std::uint8_t {
    hop_by_hop = 0,
    icmp = 1,
    igmp = 2,
    tcp = 6,
    udp = 17,
    routing = 43,
    fragment = 44,
    icmpv6 = 58,
    none = 59,
    destination_options = 60,
};

struct ipv4_header {
    std::uint8_t version_ihl = 0;
    std::uint8_t type_of_service = 0;
    be16 total_length;
    be16 identification;
    be16 flags_offset;
    std::uint8_t time_to_live = 0;
    std::uint8_t protocol = 0;
    be16 checksum;
    ipv4_address source;
    ipv4_address destination;

    static constexpr std::uint16_t dont_fragment = 0x4000;
    static constexpr std::uint16_t more_fragments = 0x2000;
    static constexpr std::uint16_t offset_mask = 0x1fff; // in units of 8 bytes

    constexpr unsigned version() const { return version_ihl >> 4; }
    constexpr unsigned header_bytes() const { return (version_ihl & 0x0fu) * 4; }
    constexpr bool may_not_fragment() const { return (flags_offset.host() & dont_fragment) != 0; }
    constexpr bool has_more_fragments() const {
        return (flags_offset.host() & more_fragments) != 0;
    }
    // Of the payload's first byte in the whole datagram, in bytes.
    constexpr unsigned fragment_offset_bytes() const {
        return (flags_offset.host() & offset_mask) * 8u;
    }
    constexpr bool is_fragment() const {
        return (flags_offset.host() & (more_fragments | offset_mask)) != 0;
    }
};

inline constexpr std::size_t ipv4_header_min_bytes = 20;
inline constexpr std::size_t ipv4_header_max_bytes = 60;
inline constexpr std::size_t ipv4_minimum_mtu_bytes = 68; // RFC 791 3.2

// Option types with their copied bit and class (RFC 791 3.1, RFC 2113, RFC 1393).
enum class ipv4_option : std::uint8_t {
    end_of_list = 0,
    no_operation = 1,
    record_route = 7,
    timestamp = 68,
    security = 130,
    loose_source_route = 131,
    strict_source_route = 137,
    router_alert = 148,
};
inline constexpr std::uint8_t ipv4_option_copied = 0x80;

static_assert(sizeof(ipv4_header) == ipv4_header_min_bytes && alignof(ipv4_header) == 1);
static_assert(offsetof(ipv4_header, total_length) == 2);
static_assert(offsetof(ipv4_header, flags_offset) == 6);
static_assert(offsetof(ipv4_header, time_to_live) == 8 && offsetof(ipv4_header, checksum) == 10);
static_assert(offsetof(ipv4_header, source) == 12 && offsetof(ipv4_header, destination) == 16);
static_assert(std::is_trivially_copyable_v<ipv4_header>);

} // namespace pantala::wire
