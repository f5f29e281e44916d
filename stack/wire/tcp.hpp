// The TCP header (RFC 9293 3.1).
#pragma once

#include "engine/base/byte_order.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace pantala::wire {

// Control bits, in the low byte of the second half of the fourth word.
namespace tcp_flag {
inline constexpr std::uint8_t fin = 0x01;
inline constexpr std::uint8_t syn = 0x02;
inline constexpr std::uint8_t rst = 0x04;
inline constexpr std::uint8_t psh = 0x08;
inline constexpr std::uint8_t ack = 0x10;
inline constexpr std::uint8_t urg = 0x20;
inline constexpr std::uint8_t ece = 0x40; // RFC 3168
inline constexpr std::uint8_t cwr = 0x80;
} // namespace tcp_flag

struct tcp_header {
    be16 source_port;
    be16 destination_port;
    be32 sequence;
    be32 acknowledgment;
    std::uint8_t data_offset = 0; // high 4 bits: header length in words; low 4: reserved
    std::uint8_t flags = 0;
    be16 window;
    be16 checksum;
    be16 urgent_pointer;

    constexpr unsigned header_bytes() const { return (data_offset >> 4) * 4u; }
};

inline constexpr std::size_t tcp_header_min_bytes = 20;
inline constexpr std::size_t tcp_header_max_bytes = 60;

static_assert(sizeof(tcp_header) == tcp_header_min_bytes && alignof(tcp_header) == 1);
static_assert(offsetof(tcp_header, sequence) == 4 && offsetof(tcp_header, acknowledgment) == 8);
static_assert(offsetof(tcp_header, data_offset) == 12 && offsetof(tcp_header, flags) == 13);
static_assert(offsetof(tcp_header, window) == 14 && offsetof(tcp_header, checksum) == 16);
static_assert(std::is_trivially_copyable_v<tcp_header>);

} // namespace pantala::wire
