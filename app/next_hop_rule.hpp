// Which of several gateways a prefix of a plain CIDR list gets: a fixed rule, skewed as real tables
// are (the first takes about a quarter of the prefixes when there are 63).
#pragma once

#include "app/address.hpp"

#include <cstdint>

namespace pantala::app {

// SplitMix64's finisher (Steele, Lea, Flood 2014).
constexpr std::uint64_t mix64(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

// 0..count-1: count * u^3 for u uniform in [0, 1), by a hash of the prefix and `seed`.
constexpr unsigned skewed_choice(ip4_prefix prefix, unsigned count, std::uint64_t seed = 0) {
    const std::uint64_t key = (std::uint64_t{prefix.address} << 8 | prefix.length) ^ mix64(seed);
    const std::uint64_t u = mix64(key) >> 32;
    const std::uint64_t cube = ((u * u) >> 32) * u >> 32;
    return static_cast<unsigned>(cube * count >> 32);
}

} // namespace pantala::app
