// The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
//
// A partial sum is a plain integer: the one's complement sum does not care for byte order (RFC 1071
// 2 (B)), so words are added as the host loads them and the result is stored as it stands.
#pragma once

#include "engine/base/byte_order.hpp"
#include "stack/wire/ipv4.hpp"
#include "stack/wire/ipv6.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pantala::wire {

// Unfolded one's complement sum of 16-bit words in memory order. Sums of parts may be added as long
// as every part but the last has an even length; 2^16 parts of 64 KiB do not overflow it.
using partial_sum = std::uint64_t;

// The sum over `bytes` bytes; an odd last byte counts as if a zero followed it.
partial_sum sum_bytes(const void* data, std::size_t bytes, partial_sum initial = 0);

// Copies and sums in one pass. The areas do not overlap.
partial_sum copy_and_sum(void* to, const void* from, std::size_t bytes, partial_sum initial = 0);

constexpr std::uint16_t fold(partial_sum sum) {
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(sum);
}

// What goes into a checksum field (which was zero while summing).
constexpr be16 checksum_of(partial_sum sum) {
    return be16::from_raw(static_cast<std::uint16_t>(~fold(sum)));
}

// True if data that includes its own checksum field sums to all ones.
constexpr bool checksum_valid(partial_sum sum) {
    return fold(sum) == 0xffff;
}

// The sum of a header without options: five loads, no loop.
inline partial_sum sum_ipv4_header20(const void* header) {
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    std::uint32_t c = 0;
    const auto* bytes = static_cast<const unsigned char*>(header);
    std::memcpy(&a, bytes, 8);
    std::memcpy(&b, bytes + 8, 8);
    std::memcpy(&c, bytes + 16, 4);
    return (a & 0xffffffff) + (a >> 32) + (b & 0xffffffff) + (b >> 32) + c;
}

// The checksum after one 16-bit word changed from `before` to `after` (RFC 1624, equation 3:
// HC' = ~(~HC + ~m + m')). Never yields the wrong zero that equation 4 of RFC 1141 could.
constexpr be16 checksum_update(be16 checksum, be16 before, be16 after) {
    const std::uint32_t sum =
        static_cast<std::uint16_t>(~checksum.raw()) +
        static_cast<std::uint32_t>(static_cast<std::uint16_t>(~before.raw())) + after.raw();
    return checksum_of(sum);
}

// The pseudo headers of RFC 9293 3.1 / RFC 768 and RFC 8200 8.1. `length` counts the transport
// header and its data.
partial_sum sum_pseudo_header(
    ipv4_address source, ipv4_address destination, ip_protocol protocol, std::uint16_t length);
partial_sum sum_pseudo_header(
    const ipv6_address& source, const ipv6_address& destination, ip_protocol next_header,
    std::uint32_t length);

} // namespace pantala::wire
