// A made-up routing table for those who have no real one: as many prefixes of each length as the
// Internet's IPv4 table had in 2025, clustered as there (neighbours are likely to be neighbours).
#pragma once

#include "app/address.hpp"
#include "engine/base/result.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace pantala::app {

// All different, by the same seed always the same; none in special-purpose space (RFC 6890).
std::vector<ip4_prefix> make_synthetic_table(std::uint64_t seed);

// One a line.
result<void> write_prefix_list(const std::string& path, const std::vector<ip4_prefix>& prefixes);

} // namespace pantala::app
