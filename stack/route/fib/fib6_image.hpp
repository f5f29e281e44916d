// The memory of one fib6: words and lines in one reservation of address space. Pages beyond what
// was populated cost nothing. Control populates before it emits a patch that needs them, so
// applying a patch never faults and cannot fail. Owner: a worker, once control has handed it over.
#pragma once

#include "engine/base/result.hpp"
#include "stack/route/fib6.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

namespace pantala {

class fib6_image {
  public:
    // An empty table: every address has `default_id`. `small`: for a table of few routes, without
    // large pages. Errors: ENOMEM.
    static result<std::unique_ptr<fib6_image>> make(nexthop_id default_id, bool small = false);
    ~fib6_image();
    fib6_image(const fib6_image&) = delete;
    fib6_image& operator=(const fib6_image&) = delete;

    fib6_reader reader() const { return fib6_reader(words_); }
    nexthop_id lookup(const address6& address) const { return reader().lookup(address); }
    const std::uint32_t* words() const { return words_; }
    const std::uint32_t* line(std::uint32_t number) const { return reader().line(number); }

    // Owner. What is written is populated.
    void write_lines(std::uint32_t line, const void* from, unsigned lines) {
        std::memcpy(words_ + std::size_t{line} * fib6_line_words, from, lines * line_bytes);
        lines_ = std::max(lines_, line + lines);
    }
    void write_word(std::uint32_t word, std::uint32_t value) {
        words_[word] = value;
        if (word < fib6_roots + fib6_longs_max) {
            longs_ = std::max(longs_, word < fib6_roots ? 0 : word + 1 - fib6_roots);
        }
    }
    void prefetch_lines(std::uint32_t line) const {
        __builtin_prefetch(words_ + std::size_t{line} * fib6_line_words, 1);
    }

    // Makes it a byte-identical twin. Control, before it is handed over.
    void assign(const fib6_image& other);
    // Control, from any thread: makes lines up to `lines` and words of `longs` long ids resident.
    // Only pages that no patch has touched yet are written to.
    void populate(std::uint32_t lines, std::uint32_t longs);

    // Bytes of directories and lines in use.
    std::size_t bytes() const {
        return (fib6_roots + longs_) * sizeof(std::uint32_t) +
               (lines_ - fib6_first_line) * line_bytes;
    }
    // Bytes of memory that it has made resident, in whole pages of 4 KiB.
    std::size_t resident_bytes() const;
    // Of every byte in use; equal for replicas at the same generation.
    std::uint64_t hash() const;

    static constexpr std::size_t line_bytes = 64;
    static constexpr std::uint32_t lines_max = std::uint32_t{1} << 21; // 128 MiB
    // What make() writes: one block of 256 words, and the leaf that they lead to.
    static constexpr std::uint32_t first_block = fib6_first_line;
    static constexpr std::uint32_t first_leaf = fib6_first_line + fib6_line_words;

  private:
    fib6_image() = default;

    std::uint32_t* words_ = nullptr;
    std::uint32_t lines_ = fib6_first_line;
    std::uint32_t longs_ = 0;
    std::uint32_t populated_lines_ = 0;
    std::uint32_t populated_longs_ = 0;
    bool small_ = false;
    std::byte* mapping_ = nullptr;
    std::size_t mapping_bytes_ = 0;
};

} // namespace pantala
