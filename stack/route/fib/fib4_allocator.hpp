// Places nodes in a fib4 arena. Units are 8 bytes; a node takes 2 to 25 of them. A node of up to 8
// units (28 runs, 56 of a narrow one) never straddles a 64-byte line; a larger one starts on a
// line. Deterministic: the same history of calls gives the same places. Lives in control only:
// replicas are told where.
//
// The arena is cut into chunks of 4 lines with one bit a unit. Chunks are listed by the largest
// node that they can take, so finding room is a look at 33 lists. Owner: control.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace pantala {

class fib4_allocator {
  public:
    static constexpr unsigned node_units_max = 25;
    static constexpr unsigned chunk_units = 32;

    explicit fib4_allocator(std::uint32_t units_max);

    // The first unit of `units` (1..25) free ones; none when the arena is full.
    static constexpr std::uint32_t none = ~std::uint32_t{0};
    std::uint32_t take(unsigned units);
    void give(std::uint32_t unit, unsigned units);

    std::uint32_t used() const { return used_; } // units taken
    // No node ends beyond this unit.
    std::uint32_t reach() const { return static_cast<std::uint32_t>(chunks_.size()) * chunk_units; }

  private:
    struct chunk {
        std::uint32_t free = ~std::uint32_t{0}; // bit i: unit i is free
        std::uint32_t next = none;
        std::uint32_t previous = none;
        std::uint8_t room = 0; // which list it is in
    };

    void list(std::uint32_t index);
    void unlist(std::uint32_t index);

    std::vector<chunk> chunks_;
    std::array<std::uint32_t, chunk_units + 1> heads_;
    std::uint64_t occupied_lists_ = 0; // bit r: heads_[r] is not empty
    std::uint32_t chunks_max_;
    std::uint32_t used_ = 0;
};

} // namespace pantala
