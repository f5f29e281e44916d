// Which IPv4 prefixes there are: finds the longest one that covers another, and walks them in
// order. For big tables one 64-byte line a /16 has a bit for each prefix of 16 to 24 bits in it (a
// heap: node i has the children 2i and 2i+1), and one heap has those under 16 bits: 4 MiB, and a
// search stays in one line. What is longer than /24, and all of a small table, is in an ordered
// set. Owner: control.
#pragma once

#include "stack/route/prefix4.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <vector>

namespace pantala {

class prefix_index4 {
  public:
    explicit prefix_index4(bool big);

    void add(const prefix4& prefix);
    void remove(const prefix4& prefix);
    // The longest prefix there, of length 1 and more, that covers `prefix` and is not itself.
    std::optional<prefix4> covering(const prefix4& prefix) const;
    // Appends those of `from`'s /16 that are not before it, in order (length 0 is not kept here);
    // returns where the walk goes on.
    std::optional<prefix4> walk(const prefix4& from, std::vector<prefix4>& out) const;
    // Appends `top`, of 16 bits and more, and what it covers, as far as they are there, in order.
    // Cost: by their number.
    void inside(const prefix4& top, std::vector<prefix4>& out) const;

    void prefetch(const prefix4& prefix) const {
        if (big_) {
            __builtin_prefetch(&heaps_[std::size_t{prefix.address >> 16} * heap_words]);
        }
    }

  private:
    static constexpr unsigned heap_words = 8; // 512 bits: lengths 16 to 24 of a /16

    static prefix4 prefix_of(std::uint32_t base, std::uint32_t node);
    void append_heap(const prefix4& top, std::vector<prefix4>& out) const;
    static std::uint32_t node_of(std::uint32_t address, unsigned length, unsigned top);
    bool has(std::uint32_t address, unsigned length) const;
    void set(const prefix4& prefix, bool there);
    void walk_block(std::uint32_t block, std::vector<prefix4>& out) const;

    bool big_;
    std::vector<std::uint64_t> short_; // lengths 0 to 15
    std::vector<std::uint64_t> heaps_; // by /16
    std::set<prefix4> rest_;
    std::array<std::uint32_t, 33> lengths_{}; // how many of each
};

} // namespace pantala
