// ICMP (RFC 792), with the next-hop MTU of RFC 1191 and the codes of RFC 1812 5.2.7.1.
#pragma once

#include "engine/base/byte_order.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace pantala::wire {

enum class icmp4_type : std::uint8_t {
    echo_reply = 0,
    destination_unreachable = 3,
    source_quench = 4,
    redirect = 5,
    echo = 8,
    router_advertisement = 9,
    router_solicitation = 10,
    time_exceeded = 11,
    parameter_problem = 12,
    timestamp = 13,
    timestamp_reply = 14,
};

enum class icmp4_unreachable : std::uint8_t {
    net = 0,
    host = 1,
    protocol = 2,
    port = 3,
    fragmentation_needed = 4,
    source_route_failed = 5,
    prohibited = 13, // communication administratively prohibited
};

enum class icmp4_time_exceeded : std::uint8_t { in_transit = 0, in_reassembly = 1 };

struct icmp4_header {
    std::uint8_t type = 0;
    std::uint8_t code = 0;
    be16 checksum;
    // By type: identifier and sequence number (echo); unused and next-hop MTU (fragmentation
    // needed); pointer in the first byte (parameter problem); otherwise zero.
    be16 rest_high;
    be16 rest_low;

    constexpr icmp4_type kind() const { return static_cast<icmp4_type>(type); }
    // Reports a failure of another packet, so no error may be sent about it (RFC 1122 3.2.2).
    constexpr bool is_error() const {
        switch (kind()) {
        case icmp4_type::destination_unreachable:
        case icmp4_type::source_quench:
        case icmp4_type::redirect:
        case icmp4_type::time_exceeded:
        case icmp4_type::parameter_problem:
            return true;
        default:
            return false;
        }
    }
};

inline constexpr std::size_t icmp4_header_bytes = 8;

static_assert(sizeof(icmp4_header) == icmp4_header_bytes && alignof(icmp4_header) == 1);
static_assert(offsetof(icmp4_header, checksum) == 2 && offsetof(icmp4_header, rest_high) == 4);
static_assert(std::is_trivially_copyable_v<icmp4_header>);

} // namespace pantala::wire
