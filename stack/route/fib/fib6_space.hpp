// Places in a fib6 image: blocks of 16 lines, and single lines out of blocks of their own.
// Deterministic: the same history of calls gives the same places. Lives in control only: replicas
// are told where. Owner: control.
#pragma once

#include "stack/route/fib6.hpp"

#include <bit>
#include <cstdint>
#include <set>
#include <vector>

namespace pantala {

class fib6_space {
  public:
    static constexpr std::uint32_t block_lines = fib6_children;

    // The first line of 16 free ones.
    std::uint32_t take_block() {
        if (!free_.empty()) {
            const std::uint32_t block = free_.back();
            free_.pop_back();
            return line_of(block);
        }
        singles_.push_back(0);
        return line_of(static_cast<std::uint32_t>(singles_.size()) - 1);
    }
    void give_block(std::uint32_t line) { free_.push_back(block_of(line)); }

    std::uint32_t take_line() {
        if (partial_.empty()) {
            const std::uint32_t block = block_of(take_block());
            singles_[block] = all_lines;
            partial_.insert(block);
        }
        const std::uint32_t block = *partial_.begin();
        std::uint16_t& left = singles_[block];
        const auto at = static_cast<std::uint32_t>(std::countr_zero(left));
        left = static_cast<std::uint16_t>(left & (left - 1));
        if (left == 0) {
            partial_.erase(block);
        }
        return line_of(block) + at;
    }
    void give_line(std::uint32_t line) {
        const std::uint32_t block = block_of(line);
        std::uint16_t& left = singles_[block];
        left = static_cast<std::uint16_t>(left | 1U << (line - line_of(block)));
        if (left == all_lines) { // nobody uses it any more
            partial_.erase(block);
            left = 0;
            give_block(line_of(block));
        } else {
            partial_.insert(block);
        }
    }

    // No place given ends beyond this line.
    std::uint32_t reach() const { return line_of(static_cast<std::uint32_t>(singles_.size())); }

  private:
    static constexpr std::uint16_t all_lines = 0xffff;

    static constexpr std::uint32_t line_of(std::uint32_t block) {
        return fib6_first_line + block * block_lines;
    }
    static constexpr std::uint32_t block_of(std::uint32_t line) {
        return (line - fib6_first_line) / block_lines;
    }

    std::vector<std::uint16_t> singles_; // a block's free lines, where it is one of single lines
    std::vector<std::uint32_t> free_;    // blocks, a stack
    std::set<std::uint32_t> partial_;    // blocks of single lines that have free ones
};

} // namespace pantala
