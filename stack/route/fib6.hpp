// fib6: the IPv6 forwarding table as a worker reads it. Addresses are two host-order halves
// (prefix6.hpp). Answers are next hops of the same table as IPv4's; the default of the main table
// is nexthop_default6.
//
// One image of 32-bit words, and of 64-byte lines over the same memory:
//
//     words 0 .. 4095      by the first 12 bits: the line where 256 words begin
//     these 256 words      by the next 8 bits: the tree of a /20: line << 3 | height
//     words 4096 ..        trees of what is longer than its slot, by long id
//     from line 2304 on    blocks of 256 words, and lines of trees
//
// A tree is a B+-tree over the next 32 bits of the address as an unsigned key (bits 20 to 51). A
// line has the last keys of its intervals but the last one, ascending, then 0xffffffff:
//
//     leaf    u32 last[10]; u16 hop[11]; u16 0         hop[i] is for the keys of interval i
//     inner   u32 last[15]; u32 child                  interval i is the line child + i
//
//     i = how many of last[] are less than the key
//
// Every /20 has a tree; uniform ones share a leaf (always hot), so there is no branch on the way
// down but for the height. A hop with its top bit set is a long id: the slot (a /52) has longer
// routes, in a tree over the next 32 bits; three such levels end beyond bit 128.
//
// With the full Internet table a lookup touches 24 KiB of directories, one or two inner lines and
// one leaf. Callers pass bursts, so that the lines of one level come while those of other keys are
// searched.
#pragma once

#include "stack/route/nexthop.hpp"
#include "stack/route/prefix6.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace pantala {

inline constexpr std::uint16_t fib6_long_flag = 0x8000;
inline constexpr unsigned fib6_longs_max = 32768;
inline constexpr unsigned fib6_roots = 4096;       // words by the first 12 bits
inline constexpr unsigned fib6_second = 256;       // words by the next 8
inline constexpr unsigned fib6_root_bits = 12 + 8; // above a tree's key
inline constexpr unsigned fib6_line_words = 16;    // 64 bytes
inline constexpr unsigned fib6_leaf_runs = 11;     // intervals of a leaf, and children
inline constexpr unsigned fib6_children = 16;      // of an inner line
inline constexpr unsigned fib6_leaf_lasts = fib6_leaf_runs - 1;
inline constexpr unsigned fib6_inner_lasts = fib6_children - 1;
inline constexpr unsigned fib6_first_line = (fib6_roots + fib6_longs_max) / fib6_line_words;
inline constexpr unsigned fib6_levels = 4; // of trees: keys from bits 20, 52, 84, 116

// Keys looked up together. Chosen by bench/fib_bench (lookup6/pantala) with the full table.
inline constexpr unsigned fib6_burst = 32;

// The key of a tree of `level`: bits 20 + 32 * level and on.
constexpr std::uint32_t fib6_key(const address6& address, unsigned level) {
    switch (level) {
    case 0:
        return static_cast<std::uint32_t>(address.high >> 12);
    case 1:
        return static_cast<std::uint32_t>(address.high << 20 | address.low >> 44);
    case 2:
        return static_cast<std::uint32_t>(address.low >> 12);
    default:
        return static_cast<std::uint32_t>(address.low << 20);
    }
}

// Reads an image; holds no memory of its own. Valid until the replica applies the log again.
class fib6_reader {
  public:
    // `words` is aligned to a line.
    explicit fib6_reader(const std::uint32_t* words) : words_(words) {}

    // One address; for slow paths.
    nexthop_id lookup(const address6& address) const {
        const std::uint16_t answer = search(tree(address), fib6_key(address, 0));
        return nexthop_id{(answer & fib6_long_flag) != 0 ? longer(answer, address) : answer};
    }

    // All of `addresses` to `answers`, which is as long: any number, best in bursts of
    // `fib6_burst` and more. By AVX-512 where the CPU has it.
    void lookup(std::span<const address6> addresses, nexthop_id* answers) const;
    // The two ways of it, for tests and benches; AVX-512 only where fib6_has_avx512().
    void lookup_scalar(std::span<const address6> addresses, nexthop_id* answers) const;
    void lookup_avx512(std::span<const address6> addresses, nexthop_id* answers) const;

    // Brings the directory's lines near, as early as the destination is at hand.
    void prefetch_root(const address6& address) const {
        __builtin_prefetch(&words_[address.high >> 52]);
    }
    const std::uint32_t* words() const { return words_; }

    // --- the pieces, for lookup ---

    // The tree of a /20: line << 3 | height.
    std::uint32_t tree(const address6& address) const {
        return line(words_[address.high >> 52])[address.high >> 44 & (fib6_second - 1)];
    }
    const std::uint32_t* line(std::uint32_t number) const {
        return words_ + std::size_t{number} * fib6_line_words;
    }
    // Which interval of a line with `lasts` last keys has the key.
    static unsigned interval(const std::uint32_t* line, unsigned lasts, std::uint32_t key) {
        unsigned before = 0;
        for (unsigned i = 0; i < lasts; ++i) {
            before += line[i] < key;
        }
        return before;
    }
    static std::uint16_t hop_of(const std::uint32_t* leaf, unsigned run) {
        return reinterpret_cast<const std::uint16_t*>(leaf + fib6_leaf_lasts)[run];
    }
    std::uint16_t search(std::uint32_t tree, std::uint32_t key) const {
        const std::uint32_t* at = line(tree >> 3);
        for (unsigned height = tree & 7; height != 0; --height) {
            at = line(at[fib6_inner_lasts] + interval(at, fib6_inner_lasts, key));
        }
        return hop_of(at, interval(at, fib6_leaf_lasts, key));
    }
    // Follows long ids; rare.
    [[gnu::noinline, gnu::cold]] std::uint16_t
    longer(std::uint16_t answer, const address6& address) const {
        for (unsigned level = 1; (answer & fib6_long_flag) != 0 && level < fib6_levels; ++level) {
            const std::uint32_t id = answer & ~fib6_long_flag;
            answer = search(words_[fib6_roots + id], fib6_key(address, level));
        }
        return answer;
    }

  private:
    const std::uint32_t* words_;
};

bool fib6_has_avx512();

} // namespace pantala
