// One seed, one connection: network, settings and applications drawn at random; every byte must
// arrive once and in order, both ends must end, and nothing may be left behind.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace pantala::sim {

struct soak_result {
    std::string failure; // empty: all is well
    std::string world;   // what the seed drew, in words
    std::uint64_t packets = 0;
    std::uint64_t virtual_ms = 0;
};

// `trace`: where each packet is printed, or nullptr.
soak_result soak(std::uint64_t seed, std::FILE* trace = nullptr);

} // namespace pantala::sim
