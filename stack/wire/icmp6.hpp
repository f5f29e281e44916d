// ICMPv6 (RFC 4443) and the messages of neighbour discovery (RFC 4861 4).
#pragma once

#include "stack/wire/address.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace pantala::wire {

enum class icmp6_type : std::uint8_t {
    destination_unreachable = 1,
    packet_too_big = 2,
    time_exceeded = 3,
    parameter_problem = 4,
    echo_request = 128,
    echo_reply = 129,
    router_solicitation = 133,
    router_advertisement = 134,
    neighbor_solicitation = 135,
    neighbor_advertisement = 136,
    redirect = 137,
};

enum class icmp6_unreachable : std::uint8_t {
    no_route = 0,
    prohibited = 1,
    beyond_scope = 2,
    address = 3,
    port = 4,
    policy = 5,
    reject_route = 6,
};

struct icmp6_header {
    std::uint8_t type = 0;
    std::uint8_t code = 0;
    be16 checksum;
    be32 rest; // by type: MTU, pointer, identifier and sequence number, flags

    constexpr icmp6_type kind() const { return static_cast<icmp6_type>(type); }
    // RFC 4443 2.1: the high bit clear marks an error.
    constexpr bool is_error() const { return (type & 0x80) == 0; }
};

// Neighbour solicitation and advertisement: the header, then the target, then options.
struct nd_message {
    icmp6_header icmp;
    ipv6_address target;
};

// Flags of a neighbour advertisement, in `rest`.
inline constexpr std::uint32_t nd_flag_router = 0x80000000u;
inline constexpr std::uint32_t nd_flag_solicited = 0x40000000u;
inline constexpr std::uint32_t nd_flag_override = 0x20000000u;

enum class nd_option_type : std::uint8_t {
    source_link_address = 1,
    target_link_address = 2,
    prefix_information = 3,
    redirected_header = 4,
    mtu = 5,
};

struct nd_link_address_option {
    std::uint8_t type = 0;
    std::uint8_t length = 0; // in units of 8 bytes
    mac_address address;
};

inline constexpr std::size_t icmp6_header_bytes = 8;

static_assert(sizeof(icmp6_header) == icmp6_header_bytes && alignof(icmp6_header) == 1);
static_assert(sizeof(nd_message) == 24 && offsetof(nd_message, target) == 8);
static_assert(sizeof(nd_link_address_option) == 8);
static_assert(std::is_trivially_copyable_v<nd_message>);

} // namespace pantala::wire
