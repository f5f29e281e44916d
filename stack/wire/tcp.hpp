// The TCP header (RFC 9293 3.1).
#pragma once

#include "engine/base/byte_order.hpp"
#include "engine/base/serial.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace pantala {

// A TCP sequence number: a point on a circle of 2^32 (RFC 9293 section 3.4). Comparisons mean
// "before" and "after" and hold for points less than 2^31 apart; they are no total order, so there
// is no operator<=>.
struct tcp_seq {
    std::uint32_t value = 0;

    constexpr tcp_seq() = default;
    constexpr explicit tcp_seq(std::uint32_t v) : value(v) {}

    constexpr bool operator==(const tcp_seq&) const = default;
    constexpr tcp_seq& operator+=(std::uint32_t bytes) {
        value += bytes;
        return *this;
    }
};

constexpr tcp_seq operator+(tcp_seq at, std::uint32_t bytes) {
    return tcp_seq{at.value + bytes};
}
constexpr tcp_seq operator-(tcp_seq at, std::uint32_t bytes) {
    return tcp_seq{at.value - bytes};
}
// Bytes from `earlier` forward to `later`.
constexpr std::uint32_t operator-(tcp_seq later, tcp_seq earlier) {
    return later.value - earlier.value;
}
constexpr bool operator<(tcp_seq a, tcp_seq b) {
    return serial_less(a.value, b.value);
}
constexpr bool operator>(tcp_seq a, tcp_seq b) {
    return serial_less(b.value, a.value);
}
constexpr bool operator<=(tcp_seq a, tcp_seq b) {
    return !serial_less(b.value, a.value);
}
constexpr bool operator>=(tcp_seq a, tcp_seq b) {
    return !serial_less(a.value, b.value);
}
constexpr tcp_seq seq_max(tcp_seq a, tcp_seq b) {
    return a < b ? b : a;
}
constexpr tcp_seq seq_min(tcp_seq a, tcp_seq b) {
    return a < b ? a : b;
}

} // namespace pantala

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
