#include "stack/wire/checksum.hpp"

namespace pantala::wire {

namespace {

// Eight words of 64 bits at a time (one vector of 64 bytes, or two of 32: the compiler's matter);
// their halves are added apart, so that no carry is lost.
constexpr unsigned lanes = 8;
using word_vector [[gnu::vector_size(lanes * sizeof(std::uint64_t))]] = std::uint64_t;
constexpr std::size_t step = sizeof(word_vector);

struct lane_sums {
    word_vector low{};
    word_vector high{};

    void add(const word_vector& words) {
        low += words & 0xffffffff;
        high += words >> 32;
    }
    // A thousand additions, a packet of 64 KiB, are far from overflow.
    partial_sum total() const {
        const word_vector both = low + high;
        partial_sum sum = 0;
        for (unsigned i = 0; i < lanes; ++i) {
            sum += both[i];
        }
        return sum;
    }
};

// The last bytes, fewer than a step.
partial_sum sum_tail(const unsigned char* at, std::size_t bytes) {
    partial_sum sum = 0;
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

} // namespace

partial_sum sum_bytes(const void* data, std::size_t bytes, partial_sum initial) {
    const auto* at = static_cast<const unsigned char*>(data);
    lane_sums sums;
    for (; bytes >= step; bytes -= step, at += step) {
        word_vector words;
        std::memcpy(&words, at, step);
        sums.add(words);
    }
    return initial + sums.total() + sum_tail(at, bytes);
}

partial_sum copy_and_sum(void* to, const void* from, std::size_t bytes, partial_sum initial) {
    const auto* at = static_cast<const unsigned char*>(from);
    auto* out = static_cast<unsigned char*>(to);
    lane_sums sums;
    for (; bytes >= step; bytes -= step, at += step, out += step) {
        word_vector words;
        std::memcpy(&words, at, step);
        std::memcpy(out, &words, step);
        sums.add(words);
    }
    std::memcpy(out, at, bytes);
    return initial + sums.total() + sum_tail(at, bytes);
}

partial_sum sum_pseudo_header(
    ipv4_address source, ipv4_address destination, ip_protocol protocol, std::uint16_t length) {
    return partial_sum{source.value.raw()} + destination.value.raw() +
           be16::from(static_cast<std::uint8_t>(protocol)).raw() + be16::from(length).raw();
}

partial_sum sum_pseudo_header(
    const ipv6_address& source, const ipv6_address& destination, ip_protocol next_header,
    std::uint32_t length) {
    std::uint64_t words[4];
    std::memcpy(words, source.bytes.data(), 16);
    std::memcpy(words + 2, destination.bytes.data(), 16);
    partial_sum sum = 0;
    for (const std::uint64_t word : words) {
        sum += (word & 0xffffffff) + (word >> 32);
    }
    return sum + be32::from(length).raw() +
           be32::from(static_cast<std::uint8_t>(next_header)).raw();
}

} // namespace pantala::wire
