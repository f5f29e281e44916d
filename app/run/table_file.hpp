// Route files: one prefix a line, with a gateway of its own or without.
//
//   192.0.2.0/24
//   198.51.100.0/24 via 10.0.0.1
//
// Gzipped or not. `#` begins a comment. IPv6 lines are counted and passed over.
#pragma once

#include "app/address.hpp"
#include "engine/base/result.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace pantala::app {

struct table_route {
    ip4_prefix to;
    std::uint32_t via = 0; // host order; 0: the rule chooses
};

struct table_contents {
    std::vector<table_route> routes;
    std::uint64_t ip6_skipped = 0;
};

// Reads at most `limit` routes (0: all). Any thread. An error names file and line.
result<table_contents> read_table(const std::string& path, std::uint64_t limit);

} // namespace pantala::app
