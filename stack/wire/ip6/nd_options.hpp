// The options of neighbour discovery (RFC 4861 4.6), read once and within bounds.
#pragma once

#include "stack/wire/icmp6.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <span>

namespace pantala::wire {

inline constexpr unsigned nd_prefixes_max = 8; // of one advertisement; more are passed over
inline constexpr unsigned nd_options_max = 32;

struct nd_options {
    std::optional<mac_address> source; // link addresses
    std::optional<mac_address> target;
    std::uint32_t mtu = 0;                            // 0: not said
    std::optional<std::array<std::uint8_t, 6>> nonce; // RFC 3971 5.3.2; its first six bytes
    std::array<nd_prefix_option, nd_prefixes_max> prefixes{};
    unsigned prefix_count = 0;
};

// The options in `bytes`, all of it. Those that are not known are passed over (RFC 4861 4.6).
// Nothing: one has length 0 or reaches beyond the end, or a link address is that of a group: the
// message must be dropped.
std::optional<nd_options> parse_nd_options(std::span<const std::uint8_t> bytes);

} // namespace pantala::wire
