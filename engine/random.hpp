// A seeded source of random numbers (xoshiro256++ by Blackman and Vigna, state filled by
// splitmix64). Not for secrets: launch seeds each worker's from the system, tests from a constant,
// and a run is repeated from its seed. Owner: one thread.
#pragma once

#include <bit>
#include <cstdint>

namespace pantala {

class random_source {
  public:
    explicit random_source(std::uint64_t seed) {
        for (std::uint64_t& word : state_) {
            seed += 0x9e3779b97f4a7c15u;
            std::uint64_t z = seed;
            z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
            z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
            word = z ^ (z >> 31);
        }
    }

    std::uint64_t next() {
        const std::uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
        const std::uint64_t shifted = state_[1] << 17;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= shifted;
        state_[3] = std::rotl(state_[3], 45);
        return result;
    }

    // In [0, bound) by one multiplication; bias under bound / 2^32. bound 0 gives 0.
    std::uint32_t below(std::uint32_t bound) {
        return static_cast<std::uint32_t>(((next() >> 32) * bound) >> 32);
    }

    // True once in `n` calls on average.
    bool one_in(std::uint32_t n) { return below(n) == 0; }

  private:
    std::uint64_t state_[4];
};

} // namespace pantala
