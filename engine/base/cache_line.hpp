// Cache geometry. Pairs of lines are fetched together by adjacent-line prefetchers, so fields of
// different writers are kept two lines apart.
#pragma once

#include <cstddef>

namespace pantala {

inline constexpr std::size_t cache_line_bytes = 64;
inline constexpr std::size_t sharing_range_bytes = 128;

} // namespace pantala
