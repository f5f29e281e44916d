// The Toeplitz hash of receive side scaling: the same sum for a NIC, the bus, the hand-off between
// workers and the choice of a source port whose answers come home.
//
// Bit i of the input (most significant bit of byte 0 first), when set, adds the 32 bits of the key
// that begin at bit i. So hash(a ^ b) = hash(a) ^ hash(b), a byte's share depends only on its value
// and its place, and a table of 256 shares a place turns the sum into one load and one XOR a byte.
// A key that repeats every 16 bits gives all even places one table and all odd places another: the
// input may be folded to two bytes first, and exchanging source and destination changes nothing
// (both directions of a flow meet on one worker).
#pragma once

#include "engine/base/check.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pantala {

inline constexpr std::size_t rss_key_bytes = 40;
inline constexpr std::size_t rss_input_max_bytes = 36; // IPv6 addresses and both L4 ports
using rss_key = std::array<std::uint8_t, rss_key_bytes>;

// Microsoft's verification key ("RSS Hashing Functions"): NIC data sheets give vectors for it.
inline constexpr rss_key rss_key_microsoft = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

// 0x6d5a repeated (Woo and Park, 2012): symmetric. Pantala's own choice wherever it may choose.
inline constexpr rss_key rss_key_symmetric = [] {
    rss_key key{};
    for (std::size_t i = 0; i < rss_key_bytes; ++i) {
        key[i] = i % 2 == 0 ? 0x6d : 0x5a;
    }
    return key;
}();

// Immutable after construction, about 37 kB (2 kB of it touched with a symmetric key): share one.
class toeplitz {
  public:
    constexpr explicit toeplitz(const rss_key& key) : key_(key), periodic_(repeats(key)) {
        for (std::size_t place = 0; place < rss_input_max_bytes; ++place) {
            for (unsigned value = 0; value < 256; ++value) {
                shares_[place][value] = share(place, static_cast<std::uint8_t>(value));
            }
        }
    }

    const rss_key& key() const { return key_; }
    bool symmetric() const { return periodic_; }

    // `input` in wire order, at most rss_input_max_bytes: source address, destination address and,
    // where the flow has them, source and destination port.
    constexpr std::uint32_t hash(std::span<const std::uint8_t> input) const {
        PANTALA_DCHECK(input.size() <= rss_input_max_bytes);
        if (periodic_) {
            return hash_folded(input);
        }
        std::uint32_t sum = 0;
        for (std::size_t i = 0; i < input.size(); ++i) {
            sum ^= shares_[i][input[i]];
        }
        return sum;
    }

    // The scalar twin, bit by bit from the definition: what the fast one is tested against.
    constexpr std::uint32_t hash_scalar(std::span<const std::uint8_t> input) const {
        std::uint32_t sum = 0;
        for (std::size_t i = 0; i < input.size(); ++i) {
            sum ^= share(i, input[i]);
        }
        return sum;
    }

    // IPv4 four-tuple as host values. Cost with a symmetric key: two loads.
    constexpr std::uint32_t hash4(
        std::uint32_t source, std::uint32_t destination, std::uint16_t source_port,
        std::uint16_t destination_port) const {
        if (periodic_) {
            const std::uint32_t both = source ^ destination;
            return word_share(
                static_cast<std::uint16_t>(both >> 16 ^ both ^ source_port ^ destination_port));
        }
        std::uint32_t sum = 0;
        const auto add = [&](std::size_t place, std::uint32_t value, unsigned bytes) {
            for (unsigned i = 0; i < bytes; ++i) {
                sum ^= shares_[place + i][value >> 8 * (bytes - 1 - i) & 0xff];
            }
        };
        add(0, source, 4);
        add(4, destination, 4);
        add(8, source_port, 2);
        add(10, destination_port, 2);
        return sum;
    }

    // IPv4 addresses alone (fragments, protocols without ports).
    constexpr std::uint32_t hash4(std::uint32_t source, std::uint32_t destination) const {
        return hash4(source, destination, 0, 0);
    }

  private:
    static constexpr bool repeats(const rss_key& key) {
        for (std::size_t i = 2; i < rss_key_bytes; ++i) {
            if (key[i] != key[i - 2]) {
                return false;
            }
        }
        return true;
    }

    constexpr std::uint32_t share(std::size_t place, std::uint8_t value) const {
        std::uint64_t window = 0; // the 40 key bits that a byte at `place` meets
        for (std::size_t i = 0; i < 5; ++i) {
            window = window << 8 | (place + i < rss_key_bytes ? key_[place + i] : 0u);
        }
        std::uint32_t sum = 0;
        for (unsigned bit = 0; bit < 8; ++bit) {
            if ((value & (0x80u >> bit)) != 0) {
                sum ^= static_cast<std::uint32_t>(window >> (8 - bit));
            }
        }
        return sum;
    }

    constexpr std::uint32_t word_share(std::uint16_t word) const {
        return shares_[0][word >> 8] ^ shares_[1][word & 0xff];
    }

    constexpr std::uint32_t hash_folded(std::span<const std::uint8_t> input) const {
        unsigned even = 0;
        unsigned odd = 0;
        std::size_t i = 0;
        for (; i + 1 < input.size(); i += 2) {
            even ^= input[i];
            odd ^= input[i + 1];
        }
        if (i < input.size()) {
            even ^= input[i];
        }
        return shares_[0][even] ^ shares_[1][odd];
    }

    rss_key key_;
    bool periodic_;
    std::array<std::array<std::uint32_t, 256>, rss_input_max_bytes> shares_{};
};

} // namespace pantala
