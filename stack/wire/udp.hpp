// UDP (RFC 768).
#pragma once

#include "engine/base/byte_order.hpp"

#include <cstddef>
#include <type_traits>

namespace pantala::wire {

struct udp_header {
    be16 source_port;
    be16 destination_port;
    be16 length;   // header and data
    be16 checksum; // 0: none (IPv4 only)
};

inline constexpr std::size_t udp_header_bytes = 8;

static_assert(sizeof(udp_header) == udp_header_bytes && alignof(udp_header) == 1);
static_assert(offsetof(udp_header, length) == 4 && offsetof(udp_header, checksum) == 6);
static_assert(std::is_trivially_copyable_v<udp_header>);

} // namespace pantala::wire
