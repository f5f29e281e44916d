// Which IPv6 headers of a burst are *plain*: what RFC 8200 3 and RFC 4291 ask of the common kind of
// packet. What is not plain is not wrong: it leaves the fast path and is judged one by one.
//
// Plain means: version 6, the payload no longer than the frame holds, no hop-by-hop header, and
// source and destination both in the space that is routed between links: global unicast 2000::/3 or
// unique local fc00::/7. The hop limit is not looked at: packets for this host may have any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <immintrin.h>

namespace pantala::wire {

inline constexpr unsigned ip6_plain_max = 64; // headers in a call

// Is this the first byte of an address in 2000::/3 or fc00::/7?
constexpr unsigned ip6_routed_between_links(unsigned first) {
    return static_cast<unsigned>((first >> 5) == 1) | static_cast<unsigned>((first >> 1) == 0x7e);
}

// One header; 40 bytes of it are readable, and `bytes` from there belong to the frame. 1: it is
// plain; `destination` then is its destination, two host-order halves `high` and `low`.
template <class Address>
unsigned ip6_look_one(const std::uint8_t* header, std::uint32_t bytes, Address& destination) {
    const auto load = [](const std::uint8_t* from) {
        std::uint64_t value = 0;
        std::memcpy(&value, from, sizeof value);
        return value;
    };
    const std::uint64_t first = load(header);
    const std::uint64_t source = load(header + 8);
    const std::uint64_t high = load(header + 24);
    destination.high = __builtin_bswap64(high);
    destination.low = __builtin_bswap64(load(header + 32));
    const std::uint32_t payload = __builtin_bswap16(static_cast<std::uint16_t>(first >> 32));
    // All of it, without a branch for each.
    return static_cast<unsigned>((first & 0xf0) == 0x60) &
           static_cast<unsigned>(payload + 40 <= bytes) &
           static_cast<unsigned>((first >> 48 & 0xff) != 0) &
           ip6_routed_between_links(static_cast<unsigned>(source & 0xff)) &
           ip6_routed_between_links(static_cast<unsigned>(high & 0xff));
}

namespace ip6_four {

inline __m128i load(const void* from) {
    return _mm_loadu_si128(static_cast<const __m128i*>(from));
}
inline __m128i masked_equal(__m128i words, int mask, int value) {
    return _mm_cmpeq_epi32(_mm_and_si128(words, _mm_set1_epi32(mask)), _mm_set1_epi32(value));
}
// By the first byte of each word, as ip6_routed_between_links.
inline __m128i routed_between_links(__m128i words) {
    return _mm_or_si128(masked_equal(words, 0xe0, 0x20), masked_equal(words, 0xfe, 0xfc));
}

} // namespace ip6_four

// Four headers: bit i of the result is ip6_look_one of header i.
template <class Address>
unsigned
ip6_look_four(const std::uint8_t* const* header, const std::uint32_t* bytes, Address* destination) {
    static_assert(sizeof(Address) == 16 && offsetof(Address, low) == 8);
    using ip6_four::load, ip6_four::masked_equal, ip6_four::routed_between_links;
    const __m128i halves = _mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    __m128i about[4]; // words 0 and 1 of a header, the first of its source, of its destination
    for (unsigned i = 0; i < 4; ++i) {
        const std::uint8_t* at = header[i];
        about[i] = _mm_blend_epi32(load(at), load(at + 12), 8);
        _mm_storeu_si128(
            reinterpret_cast<__m128i*>(destination + i), _mm_shuffle_epi8(load(at + 24), halves));
    }
    const __m128i low01 = _mm_unpacklo_epi32(about[0], about[1]);
    const __m128i low23 = _mm_unpacklo_epi32(about[2], about[3]);
    const __m128i high01 = _mm_unpackhi_epi32(about[0], about[1]);
    const __m128i high23 = _mm_unpackhi_epi32(about[2], about[3]);
    const __m128i second = _mm_unpackhi_epi64(low01, low23); // payload length, next header

    constexpr char zero = -128;
    const __m128i swapped =
        _mm_set_epi8(zero, zero, 12, 13, zero, zero, 8, 9, zero, zero, 4, 5, zero, zero, 0, 1);
    const __m128i needed = _mm_add_epi32(_mm_shuffle_epi8(second, swapped), _mm_set1_epi32(40));
    const __m128i fits = _mm_cmpeq_epi32(_mm_min_epu32(needed, load(bytes)), needed);
    const __m128i version = masked_equal(_mm_unpacklo_epi64(low01, low23), 0xf0, 0x60);
    const __m128i options = masked_equal(second, 0xff0000, 0); // of every hop
    const __m128i unicast = _mm_and_si128(
        routed_between_links(_mm_unpacklo_epi64(high01, high23)),
        routed_between_links(_mm_unpackhi_epi64(high01, high23)));
    const __m128i plain =
        _mm_andnot_si128(options, _mm_and_si128(_mm_and_si128(version, fits), unicast));
    return static_cast<unsigned>(_mm_movemask_ps(_mm_castsi128_ps(plain)));
}

// Looks at `count` headers, each as ip6_look_one does; bit i of the result: header i is plain.
template <class Address>
std::uint64_t ip6_look(
    const std::uint8_t* const* header, const std::uint32_t* bytes, unsigned count,
    Address* destination) {
    std::uint64_t mask = 0;
    unsigned i = 0;
    for (; i + 4 <= count; i += 4) {
        mask |= std::uint64_t{ip6_look_four(header + i, bytes + i, destination + i)} << i;
    }
    for (; i < count; ++i) {
        mask |= std::uint64_t{ip6_look_one(header[i], bytes[i], destination[i])} << i;
    }
    return mask;
}

} // namespace pantala::wire
