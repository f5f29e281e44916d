// The memory of one fib4: directory and arena in one reservation of address space. Pages beyond
// what was populated cost nothing. Control populates before it emits a patch that needs them, so
// applying a patch never faults and cannot fail.
#pragma once

#include "engine/base/result.hpp"
#include "stack/route/fib4.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

namespace pantala {

class fib4_image {
  public:
    // An empty table: every address has `default_id`. Errors: ENOMEM.
    static result<std::unique_ptr<fib4_image>>
    make(unsigned root_bits, nexthop_id default_id = nexthop_default);
    ~fib4_image();
    fib4_image(const fib4_image&) = delete;
    fib4_image& operator=(const fib4_image&) = delete;

    fib4_shape shape() const { return shape_; }
    template <unsigned root_bits>
    fib4_reader<root_bits> reader() const {
        PANTALA_DCHECK(root_bits == shape_.root_bits);
        return {directory_, arena_, mixed_};
    }
    // One address, whatever the shape; for slow paths.
    nexthop_id lookup(std::uint32_t address) const;
    // Many addresses; `answers` is as long.
    void lookup(std::span<const std::uint32_t> addresses, nexthop_id* answers) const;

    const std::uint32_t* directory() const { return directory_; }
    const std::uint64_t* arena() const { return arena_; }
    // Whether a node was ever wide: lookups in it take more instructions (fib4.hpp).
    bool mixed() const { return mixed_; }

    // Owner. `unit` .. `unit + units` is populated; the directory word is set after the node.
    void write_node(std::uint32_t index, std::uint32_t unit, const void* node, unsigned units) {
        std::memcpy(arena_ + unit, node, units * sizeof(std::uint64_t));
        mixed_ |= (arena_[unit] & 1) != 0;
        units_ = std::max(units_, unit + units);
        write_word(index, unit);
    }
    void write_word(std::uint32_t index, std::uint32_t unit) {
        directory_[index] = unit;
        words_ = std::max(words_, index + 1);
    }
    void prefetch_write(std::uint32_t index, std::uint32_t unit) const {
        __builtin_prefetch(&directory_[index], 1);
        __builtin_prefetch(&arena_[unit], 1);
    }

    // Makes it a byte-identical twin. Control, before it is handed over.
    void assign(const fib4_image& other);
    // Control, from any thread: makes the first `units` of the arena and `words` of the directory
    // resident. Only pages that no patch has touched yet are written to. At most units_max.
    void populate(std::uint32_t units, std::uint32_t words);

    std::uint32_t units() const { return units_; }
    std::uint32_t words() const { return words_; }
    // Bytes of directory and arena in use.
    std::size_t bytes() const { return words_ * std::size_t{4} + units_ * std::size_t{8}; }
    // Bytes of memory that it has made resident, in whole pages of 4 KiB.
    std::size_t resident_bytes() const;
    // Of every byte in use; equal for replicas at the same generation.
    std::uint64_t hash() const;
    bool same_bytes(const fib4_image& other) const;

    static constexpr std::uint32_t units_max = std::uint32_t{1} << 23; // 64 MiB

  private:
    explicit fib4_image(unsigned root_bits) : shape_{root_bits} {}

    fib4_shape shape_;
    std::uint32_t* directory_ = nullptr;
    std::uint64_t* arena_ = nullptr;
    bool mixed_ = false; // a wide node was written once
    std::uint32_t words_ = 0;
    std::uint32_t units_ = 0;
    std::uint32_t populated_words_ = 0;
    std::uint32_t populated_units_ = 0;
    std::byte* mapping_ = nullptr;
    std::size_t mapping_bytes_ = 0;
};

} // namespace pantala
