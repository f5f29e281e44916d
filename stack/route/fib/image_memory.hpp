// Memory for images of tables: a big reservation of address space of which control makes resident
// what is needed, ahead of need. Private to stack/route/fib. Owner: control.
#pragma once

#include "engine/base/result.hpp"

#include <cstddef>
#include <cstdint>

namespace pantala {

inline constexpr std::size_t page_bytes = 4096;
inline constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;

// Address space that reads as zero. `huge`: by large pages, as far as the kernel has them. Errors:
// ENOMEM.
result<std::byte*> reserve_memory(std::size_t bytes, bool huge);
void release_memory(std::byte* mapping, std::size_t bytes);

// Writes zero to one byte of each page of [begin, end).
void touch_pages(void* begin, void* end);
std::byte* page_above(void* at);
std::byte* huge_page_above(void* at);
constexpr std::size_t whole_pages(std::size_t bytes) {
    return (bytes + page_bytes - 1) / page_bytes * page_bytes;
}

std::uint64_t mix_bytes(std::uint64_t hash, const void* data, std::size_t bytes);

} // namespace pantala
