// SipHash (Aumasson and Bernstein, 2012): a keyed hash whose collisions an outsider cannot find.
// 1-3 for tables that only need to be unpredictable, 2-4 where the value itself goes on the wire
// (initial sequence numbers, SYN cookies).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pantala {

struct siphash_key {
    std::uint64_t k0 = 0;
    std::uint64_t k1 = 0;
};

template <unsigned CompressionRounds, unsigned FinalRounds>
class siphash {
  public:
    constexpr explicit siphash(siphash_key key)
        : v0_(key.k0 ^ 0x736f6d6570736575), v1_(key.k1 ^ 0x646f72616e646f6d),
          v2_(key.k0 ^ 0x6c7967656e657261), v3_(key.k1 ^ 0x7465646279746573) {}

    // Eight bytes of message, little-endian.
    constexpr void word(std::uint64_t m) {
        v3_ ^= m;
        rounds<CompressionRounds>();
        v0_ ^= m;
    }

    // The last 0..7 bytes in the low end of `tail`; `length` is the whole message's in bytes.
    constexpr std::uint64_t finish(std::uint64_t tail, std::size_t length) {
        word(tail | static_cast<std::uint64_t>(length) << 56);
        v2_ ^= 0xff;
        rounds<FinalRounds>();
        return v0_ ^ v1_ ^ v2_ ^ v3_;
    }

    static std::uint64_t of(siphash_key key, const void* bytes, std::size_t length) {
        siphash hash(key);
        const auto* at = static_cast<const unsigned char*>(bytes);
        std::size_t left = length;
        for (; left >= 8; left -= 8, at += 8) {
            std::uint64_t m = 0;
            std::memcpy(&m, at, 8);
            hash.word(m);
        }
        std::uint64_t tail = 0;
        std::memcpy(&tail, at, left);
        return hash.finish(tail, length);
    }

  private:
    template <unsigned Count>
    constexpr void rounds() {
        for (unsigned i = 0; i < Count; ++i) {
            v0_ += v1_;
            v1_ = std::rotl(v1_, 13) ^ v0_;
            v0_ = std::rotl(v0_, 32);
            v2_ += v3_;
            v3_ = std::rotl(v3_, 16) ^ v2_;
            v0_ += v3_;
            v3_ = std::rotl(v3_, 21) ^ v0_;
            v2_ += v1_;
            v1_ = std::rotl(v1_, 17) ^ v2_;
            v2_ = std::rotl(v2_, 32);
        }
    }

    std::uint64_t v0_, v1_, v2_, v3_;
};

using siphash13 = siphash<1, 3>;
using siphash24 = siphash<2, 4>;

} // namespace pantala
