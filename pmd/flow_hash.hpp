// The symmetric flow hash of a frame: Toeplitz with the 16-bit key 0x6d5a repeated (Woo and Park,
// "Scalable TCP Session Monitoring with Symmetric Receive-side Scaling"), as NICs with that key
// compute it: both directions of a flow have the same hash.
//
// With a key of period 16 the Toeplitz sum, which is linear, depends only on the XOR of the input's
// 16-bit words, and both halves of the result are equal. So the whole sum is a fold and two
// lookups.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

namespace pantala::bus {

namespace flow_hash_detail {

inline constexpr std::uint16_t key = 0x6d5a;

// The sum of the byte's bits at bit offset `first` of a 16-bit word, most significant bit first.
constexpr std::array<std::uint16_t, 256> byte_sums(int first) {
    std::array<std::uint16_t, 256> sums{};
    for (unsigned value = 0; value < 256; ++value) {
        for (int bit = 0; bit < 8; ++bit) {
            if ((value >> (7 - bit) & 1) != 0) {
                sums[value] = static_cast<std::uint16_t>(sums[value] ^ std::rotl(key, first + bit));
            }
        }
    }
    return sums;
}
inline constexpr std::array<std::uint16_t, 256> high_sums = byte_sums(0);
inline constexpr std::array<std::uint16_t, 256> low_sums = byte_sums(8);

inline std::uint64_t load8(const std::uint8_t* at) {
    std::uint64_t value;
    std::memcpy(&value, at, sizeof value);
    return value;
}
inline std::uint32_t load4(const std::uint8_t* at) {
    std::uint32_t value;
    std::memcpy(&value, at, sizeof value);
    return value;
}
constexpr bool has_ports(std::uint8_t protocol) {
    return protocol == 6 || protocol == 17 || protocol == 132; // TCP, UDP, SCTP
}

} // namespace flow_hash_detail

// The Toeplitz sum of the 16-bit words (in wire order) whose XOR is the fold of `words`.
inline std::uint32_t toeplitz_fold(std::uint64_t words) {
    words ^= words >> 32;
    words ^= words >> 16;
    const std::uint16_t sum = static_cast<std::uint16_t>(
        flow_hash_detail::high_sums[words & 0xff] ^ flow_hash_detail::low_sums[words >> 8 & 0xff]);
    return std::uint32_t{sum} << 16 | sum;
}

// Hash over addresses and, for unfragmented TCP, UDP and SCTP, ports; 0 for what is not IP. Reads
// at most `bytes` bytes; up to two VLAN tags are skipped.
inline std::uint32_t flow_hash(const std::uint8_t* frame, std::uint32_t bytes) {
    using flow_hash_detail::has_ports;
    using flow_hash_detail::load4;
    using flow_hash_detail::load8;
    std::uint32_t at = 12;
    std::uint16_t type = 0;
    for (int tags = 0; tags < 3; ++tags, at += 4) {
        if (bytes < at + 2) {
            return 0;
        }
        type = static_cast<std::uint16_t>(frame[at] << 8 | frame[at + 1]);
        if (type != 0x8100 && type != 0x88a8) {
            break;
        }
    }
    at += 2;
    if (type == 0x0800 && bytes >= at + 20) {
        const std::uint8_t* const ip = frame + at;
        std::uint64_t words = load8(ip + 12);
        const std::uint32_t l4 = at + (ip[0] & 15u) * 4;
        const bool whole = (ip[6] & 0x3f) == 0 && ip[7] == 0;
        if (whole && has_ports(ip[9]) && bytes >= l4 + 4) {
            words ^= load4(frame + l4);
        }
        return toeplitz_fold(words);
    }
    if (type == 0x86dd && bytes >= at + 40) {
        const std::uint8_t* const ip = frame + at;
        std::uint64_t words = load8(ip + 8) ^ load8(ip + 16) ^ load8(ip + 24) ^ load8(ip + 32);
        if (has_ports(ip[6]) && bytes >= at + 44) {
            words ^= load4(ip + 40);
        }
        return toeplitz_fold(words);
    }
    return 0;
}

} // namespace pantala::bus
