// ICMPv6 (RFC 4443), the messages of neighbour discovery (RFC 4861 4) and of multicast listener
// discovery (RFC 3810 5).
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
    listener_query = 130,
    listener_report_v1 = 131,
    listener_done_v1 = 132,
    router_solicitation = 133,
    router_advertisement = 134,
    neighbor_solicitation = 135,
    neighbor_advertisement = 136,
    redirect = 137,
    listener_report = 143, // version 2
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

enum class icmp6_time_exceeded : std::uint8_t { in_transit = 0, in_reassembly = 1 };

enum class icmp6_parameter : std::uint8_t {
    header_field = 0,
    next_header = 1,
    option = 2,
    first_fragment = 3, // without the whole header chain (RFC 7112)
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
    nonce = 14, // RFC 3971 5.3.2, RFC 7527
};

// Redirect (RFC 4861 4.5), then options.
struct nd_redirect {
    icmp6_header icmp;
    ipv6_address target; // the better first hop; the destination itself: it is a neighbour
    ipv6_address destination;
};

// Router advertisement (RFC 4861 4.2), then options. In icmp.rest: hop limit, flags, lifetime.
struct nd_router_advertisement {
    icmp6_header icmp;
    be32 reachable_ms; // 0: not said
    be32 retransmit_ms;

    constexpr std::uint8_t hop_limit() const {
        return static_cast<std::uint8_t>(icmp.rest.host() >> 24);
    }
    constexpr std::uint16_t lifetime_s() const {
        return static_cast<std::uint16_t>(icmp.rest.host());
    }
};

struct nd_prefix_option {
    std::uint8_t type = 3;
    std::uint8_t length = 4;
    std::uint8_t prefix_length = 0;
    std::uint8_t flags = 0;
    be32 valid_s;
    be32 preferred_s;
    be32 reserved;
    ipv6_address prefix;

    static constexpr std::uint8_t on_link = 0x80;
    static constexpr std::uint8_t autonomous = 0x40;
};
inline constexpr std::uint32_t nd_lifetime_infinite = 0xffffffffu;

struct nd_mtu_option {
    std::uint8_t type = 5;
    std::uint8_t length = 1;
    be16 reserved;
    be32 mtu;
};

// Multicast listener query, version 2 (RFC 3810 5.1); version 1 ends behind `group`.
struct mld_query {
    icmp6_header icmp; // rest: maximum response code, reserved
    ipv6_address group;
    std::uint8_t flags_robustness = 0;
    std::uint8_t interval_code = 0;
    be16 sources;
};
// One record of a version 2 report (RFC 3810 5.2), without sources.
struct mld_record {
    std::uint8_t type = 0;
    std::uint8_t aux_words = 0;
    be16 sources;
    ipv6_address group;
};
enum class mld_record_type : std::uint8_t {
    is_include = 1,
    is_exclude = 2,
    to_include = 3,
    to_exclude = 4,
};

struct nd_link_address_option {
    std::uint8_t type = 0;
    std::uint8_t length = 0; // in units of 8 bytes
    mac_address address;
};

inline constexpr std::size_t icmp6_header_bytes = 8;
inline constexpr std::uint8_t nd_hop_limit = 255; // RFC 4861 7.1: from no further than the link

static_assert(sizeof(icmp6_header) == icmp6_header_bytes && alignof(icmp6_header) == 1);
static_assert(sizeof(nd_message) == 24 && offsetof(nd_message, target) == 8);
static_assert(sizeof(nd_link_address_option) == 8);
static_assert(sizeof(nd_redirect) == 40 && offsetof(nd_redirect, destination) == 24);
static_assert(sizeof(nd_router_advertisement) == 16);
static_assert(sizeof(nd_prefix_option) == 32 && offsetof(nd_prefix_option, prefix) == 16);
static_assert(sizeof(nd_mtu_option) == 8);
static_assert(sizeof(mld_query) == 28 && sizeof(mld_record) == 20);
static_assert(std::is_trivially_copyable_v<nd_message>);

} // namespace pantala::wire
