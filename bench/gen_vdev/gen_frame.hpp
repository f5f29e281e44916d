// The frames that the generating port writes: 64 bytes of Ethernet, IPv4 and UDP. Only the
// destination, the checksum and a serial number differ from frame to frame, so a frame is a
// constant 64-byte line and 16 varying bytes shuffled into it: written by stores as wide as the
// machine has, as a device's DMA would, so that no later load meets a narrower store (no forwarding
// stalls that a real port would not have).
//
//   0  Ethernet: to the router's side, from 02:00:00:00:01:1s, type 0x0800
//   14 IPv4: 20 bytes, total length 50, TTL 64, UDP, source 198.18.s.1
//   34 UDP: length 30, checksum 0 (not used)
//   42 two zero bytes; 44 serial number (index into the side's keys); 48 tag with the side
//   52 zero bytes
//
// IPv6's has the same length, its headers leave ten bytes:
//
//   0  Ethernet as above, type 0x86dd
//   14 IPv6: payload length 10, next header 59 (none: RFC 8200 4.7 has the rest passed on
//   unchanged),
//      hop limit 64, source 2001:db8:0:s::1
//   54 two zero bytes; 56 serial number; 60 tag with the side
#pragma once

#include "bench/gen_vdev/gen_keys.hpp"

#include <array>
#include <cstdint>
#include <cstring>

#include <immintrin.h>

namespace pantala::gen {

inline constexpr unsigned frame_bytes = 64;
inline constexpr unsigned ip_offset = 14;
inline constexpr unsigned checksum_offset = ip_offset + 10;
inline constexpr unsigned destination_offset = ip_offset + 16;
inline constexpr unsigned serial_offset = 44;
inline constexpr unsigned tag_offset = 48;
inline constexpr std::uint8_t ttl_sent = 64;

constexpr std::uint32_t tag_of(unsigned side) {
    return 0x4e47'5030u | side;
}

using frame = std::array<std::uint8_t, frame_bytes>;

inline std::uint32_t load_u32(const std::uint8_t* from) {
    std::uint32_t value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

// Ones' complement sum of the 20-byte IPv4 header, as 16-bit words in memory order, folded.
inline std::uint16_t header_sum(const std::uint8_t* header) {
    std::uint32_t sum = 0;
    for (unsigned i = 0; i < 20; i += 2) {
        std::uint16_t word;
        std::memcpy(&word, header + i, sizeof word);
        sum += word;
    }
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>((sum & 0xffff) + (sum >> 16));
}

// The constant part: destination, checksum and serial number are zero.
inline frame frame_template(unsigned side, const std::array<std::uint8_t, 6>& destination_mac) {
    frame f{};
    const std::uint8_t source_mac[6] = {0x02, 0,    0,
                                        0,    0x01, static_cast<std::uint8_t>(0x10 + side)};
    std::memcpy(&f[0], destination_mac.data(), 6);
    std::memcpy(&f[6], source_mac, 6);
    f[12] = 0x08;
    f[14] = 0x45;
    f[17] = frame_bytes - ip_offset;
    f[22] = ttl_sent;
    f[23] = 17;
    f[26] = 198;
    f[27] = 18;
    f[28] = static_cast<std::uint8_t>(side);
    f[29] = 1;
    f[34] = 0x10; // source port 4097
    f[35] = 0x01;
    f[37] = 9; // discard
    f[39] = frame_bytes - ip_offset - 20;
    const std::uint32_t tag = tag_of(side);
    std::memcpy(&f[tag_offset], &tag, sizeof tag);
    return f;
}

// Header checksum, in memory order, of the template with this destination (wire order).
constexpr std::uint16_t checksum_with(std::uint32_t template_sum, std::uint32_t destination) {
    std::uint32_t sum = template_sum + (destination & 0xffff) + (destination >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

// Writes whole frames. The varying bytes are {destination, checksum, 0, serial, 0}.
class frame_writer {
  public:
    explicit frame_writer(const frame& constant) {
        alignas(64) std::uint8_t place[64];
        std::memset(place, 0x80, sizeof place); // 0x80: the shuffle writes zero
        place[checksum_offset] = 4;
        place[checksum_offset + 1] = 5;
        for (std::uint8_t i = 0; i < 4; ++i) {
            place[destination_offset + i] = i;
            place[serial_offset + i] = 8 + i;
        }
        std::memcpy(constant_, constant.data(), 64);
        std::memcpy(place_, place, 64);
    }

    void write(
        std::uint8_t* to, std::uint32_t destination, std::uint16_t checksum,
        std::uint32_t serial) const {
        const __m128i varying =
            _mm_set_epi32(0, static_cast<int>(serial), checksum, static_cast<int>(destination));
#if defined(__AVX512BW__)
        const __m512i spread = _mm512_maskz_broadcast_i32x4(0xffff, varying);
        const __m512i placed = _mm512_shuffle_epi8(spread, _mm512_load_si512(place_));
        _mm512_storeu_si512(to, _mm512_or_si512(placed, _mm512_load_si512(constant_)));
#else
        const __m256i spread = _mm256_broadcastsi128_si256(varying);
        for (unsigned half = 0; half < 64; half += 32) {
            const auto* place = reinterpret_cast<const __m256i*>(place_ + half);
            const auto* constant = reinterpret_cast<const __m256i*>(constant_ + half);
            const __m256i placed = _mm256_shuffle_epi8(spread, _mm256_load_si256(place));
            _mm256_storeu_si256(
                reinterpret_cast<__m256i*>(to + half),
                _mm256_or_si256(placed, _mm256_load_si256(constant)));
        }
#endif
    }

  private:
    alignas(64) std::uint8_t constant_[64];
    alignas(64) std::uint8_t place_[64];
};

inline constexpr unsigned destination6_offset = ip_offset + 24;
inline constexpr unsigned serial6_offset = 56;
inline constexpr unsigned tag6_offset = 60;

// The constant part: destination and serial number are zero.
inline frame frame_template6(unsigned side, const std::array<std::uint8_t, 6>& destination_mac) {
    frame f{};
    const frame ip4 = frame_template(side, destination_mac);
    std::memcpy(f.data(), ip4.data(), 12); // the Ethernet addresses
    f[12] = 0x86;
    f[13] = 0xdd;
    f[14] = 0x60;
    f[19] = frame_bytes - ip_offset - 40;
    f[20] = 59;
    f[21] = ttl_sent;
    const std::uint8_t source[16] = {
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, static_cast<std::uint8_t>(side), 0, 0, 0, 0, 0, 0, 0, 1};
    std::memcpy(&f[22], source, sizeof source);
    const std::uint32_t tag = tag_of(side);
    std::memcpy(&f[tag6_offset], &tag, sizeof tag);
    return f;
}

// As frame_writer.
class frame_writer6 {
  public:
    explicit frame_writer6(const frame& constant) {
        alignas(64) std::uint8_t place[64];
        std::memset(place, 0x80, sizeof place);
        for (std::uint8_t i = 0; i < 16; ++i) {
            place[destination6_offset + i] = i;
        }
        std::memcpy(constant_, constant.data(), 64);
        std::memcpy(place_, place, 64);
    }

    void write(std::uint8_t* to, const key6& destination, std::uint32_t serial) const {
        constexpr unsigned serial_word = serial6_offset / 4;
        const __m128i key = _mm_loadu_si128(reinterpret_cast<const __m128i*>(&destination));
#if defined(__AVX512BW__)
        const __m512i spread = _mm512_maskz_broadcast_i32x4(0xffff, key);
        const __m512i placed = _mm512_shuffle_epi8(spread, _mm512_load_si512(place_));
        const __m512i filled = _mm512_or_si512(placed, _mm512_load_si512(constant_));
        _mm512_storeu_si512(
            to, _mm512_mask_set1_epi32(filled, 1U << serial_word, static_cast<int>(serial)));
#else
        const __m256i spread = _mm256_broadcastsi128_si256(key);
        for (unsigned half = 0; half < 64; half += 32) {
            const auto* place = reinterpret_cast<const __m256i*>(place_ + half);
            const auto* constant = reinterpret_cast<const __m256i*>(constant_ + half);
            const __m256i placed = _mm256_shuffle_epi8(spread, _mm256_load_si256(place));
            __m256i filled = _mm256_or_si256(placed, _mm256_load_si256(constant));
            if (half != 0) { // where the serial number is
                filled = _mm256_blend_epi32(
                    filled, _mm256_set1_epi32(static_cast<int>(serial)), 1 << (serial_word - 8));
            }
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + half), filled);
        }
#endif
    }

  private:
    alignas(64) std::uint8_t constant_[64];
    alignas(64) std::uint8_t place_[64];
};

} // namespace pantala::gen
