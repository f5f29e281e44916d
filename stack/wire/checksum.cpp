#include "stack/wire/checksum.hpp"

namespace pantala::wire {

partial_sum sum_bytes(const void* data, std::size_t bytes, partial_sum initial) {
    const auto* at = static_cast<const unsigned char*>(data);
    partial_sum sum = initial;
    // 32-bit words into a 64-bit sum: no carry is lost, and the compiler makes vectors of it.
    for (; bytes >= 4; bytes -= 4, at += 4) {
        std::uint32_t word = 0;
        std::memcpy(&word, at, 4);
        sum += word;
    }
    if (bytes >= 2) {
        std::uint16_t word = 0;
        std::memcpy(&word, at, 2);
        sum += word;
        bytes -= 2;
        at += 2;
    }
    if (bytes == 1) {
        sum += *at; // little-endian: the byte is the low half of the word, the padding the high
    }
    return sum;
}

partial_sum sum_pseudo_header(
    ipv4_address source, ipv4_address destination, ip_protocol protocol, std::uint16_t length) {
    return partial_sum{source.value.raw()} + destination.value.raw() +
           be16::from(static_cast<std::uint8_t>(protocol)).raw() + be16::from(length).raw();
}

partial_sum sum_pseudo_header(
    const ipv6_address& source, const ipv6_address& destination, ip_protocol next_header,
    std::uint32_t length) {
    const partial_sum sum =
        sum_bytes(destination.bytes.data(), 16, sum_bytes(source.bytes.data(), 16));
    return sum + be32::from(length).raw() +
           be32::from(static_cast<std::uint8_t>(next_header)).raw();
}

} // namespace pantala::wire
