// fib4: the IPv4 forwarding table as a worker reads it.
//
// One image: a directory of 32-bit words and an arena of 8-byte units. A directory word is the unit
// where a node begins; a node covers 64 slots:
//
//     u64 run_start     bit i is set where slot i begins a new run of equal next hops; bit 0 always
//     u16 nexthop[n]    one a run, n = popcount(run_start)
//
//     nexthop of slot s = nexthop[popcount(run_start & bits 0..s) - 1]
//
// The first 2^root_bits directory words are indexed by the address's top bits; a uniform range
// points to the node that all ranges of its next hop share (always hot), so there is no leaf flag
// and no branch. A next hop with its top bit set says that the slot has longer routes: the other 15
// bits are a long id, and the four directory words at 2^root_bits + 4 * id hold its next 8 bits.
// Nodes of up to 28 runs never straddle a cache line (fib4_allocator).
//
// With 18 root bits a slot is a /24 and there is one long level; 10 root bits (4 KiB, for small
// tables) have two. Next hop 0 is the table's default route or, without one, "no route".
//
// A lookup costs three loads, the first two of them from 1 MiB and from 2 to 3 MiB with the full
// Internet table. Callers that have other work meanwhile use the stages themselves.
#pragma once

#include "engine/base/cache_line.hpp"
#include "stack/route/nexthop.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

namespace pantala {

inline constexpr std::uint16_t fib4_long_flag = 0x8000;
inline constexpr unsigned fib4_longs_max = 32768;
inline constexpr unsigned fib4_slots = 64; // of a node
inline constexpr unsigned fib4_root_bits_main = 18;
inline constexpr unsigned fib4_root_bits_small = 10;

// Keys that are asked for together: their nodes' lines are under way while they are. Chosen by
// bench/fib_bench with the full table: what more keys than 16 touch, two pages a key, no longer
// fits the first-level TLB, and costs half the speed (docs/decisions/0011).
inline constexpr unsigned fib4_together = 16;

// The shape of a table with `root_bits`: 18, 10 or 2, so that the levels end at bit 32.
struct fib4_shape {
    unsigned root_bits;

    constexpr std::uint32_t roots() const { return std::uint32_t{1} << root_bits; }
    constexpr unsigned slot_shift() const { return 32 - root_bits - 6; } // 8: a slot is a /24
    constexpr unsigned slot_length() const { return root_bits + 6; }
};

struct fib4_node {
    std::uint64_t run_start;
    std::uint16_t nexthop[1]; // popcount(run_start) of them

    // `slot`: only the low 6 bits count.
    std::uint16_t at(std::uint32_t slot) const {
        const int runs = std::popcount(run_start << (~slot & 63U));
        return reinterpret_cast<const std::uint16_t*>(&run_start)[runs + 3];
    }
};

// Reads an image; holds no memory of its own. Valid until the image is swapped.
template <unsigned root_bits = fib4_root_bits_main>
class fib4_reader {
  public:
    static constexpr fib4_shape shape{root_bits};
    static_assert(shape.slot_shift() % 8 == 0, "levels of 8 bits end at bit 32");

    fib4_reader(const std::uint32_t* directory, const std::uint64_t* arena)
        : directory_(directory), arena_(arena) {}

    // Stage 1: the line of the directory. Addresses are in host order throughout.
    void prefetch_root(std::uint32_t address) const {
        __builtin_prefetch(&directory_[address >> (32 - root_bits)]);
    }
    // Stage 2: the node's address, to prefetch and to hand to stage 3.
    const fib4_node* node(std::uint32_t address) const {
        return at_unit(directory_[address >> (32 - root_bits)]);
    }
    // Stage 3: a nexthop_id's value, or a long id with its flag set.
    std::uint16_t slot(const fib4_node* node, std::uint32_t address) const {
        return node->at(address >> shape.slot_shift());
    }
    // Stage 4, only for answers with fib4_long_flag: rare.
    [[gnu::noinline, gnu::cold]] std::uint16_t
    longer(std::uint16_t answer, std::uint32_t address) const {
        for (unsigned shift = shape.slot_shift(); (answer & fib4_long_flag) != 0 && shift != 0;) {
            shift -= 8;
            const std::uint32_t id = answer & ~fib4_long_flag;
            const std::uint32_t word = shape.roots() + 4 * id + ((address >> (shift + 6)) & 3);
            answer = at_unit(directory_[word])->at(address >> shift);
        }
        return answer;
    }

    // One address; for slow paths.
    nexthop_id lookup(std::uint32_t address) const {
        const std::uint16_t answer = slot(node(address), address);
        return nexthop_id{(answer & fib4_long_flag) != 0 ? longer(answer, address) : answer};
    }

    // All of `addresses` to `answers`, which is as long. The hot loop: by turns of `fib4_together`
    // keys, first all nodes, then all answers.
    void lookup(std::span<const std::uint32_t> addresses, nexthop_id* answers) const {
        const fib4_reader self = *this; // what no store to an answer can have changed
        const std::size_t count = addresses.size();
        const std::size_t whole = count - count % fib4_together;
        std::uint16_t any = 0;
        for (std::size_t i = 0; i < whole; i += fib4_together) {
            any |= self.turn(&addresses[i], &answers[i]);
        }
        for (std::size_t i = whole; i < count; ++i) {
            answers[i] = nexthop_id{self.slot(self.node(addresses[i]), addresses[i])};
            any |= answers[i].value;
        }
        if ((any & fib4_long_flag) != 0) [[unlikely]] {
            finish(addresses, answers);
        }
    }

    const std::uint32_t* directory() const { return directory_; }
    const std::uint64_t* arena() const { return arena_; }

  private:
    // Unrolled, so that the nodes stay in registers.
    std::uint16_t turn(const std::uint32_t* keys, nexthop_id* answers) const {
        const fib4_node* nodes[fib4_together];
#pragma GCC unroll 16
        for (unsigned i = 0; i < fib4_together; ++i) {
            nodes[i] = node(keys[i]);
            __builtin_prefetch(nodes[i]);
        }
        std::uint16_t any = 0;
#pragma GCC unroll 16
        for (unsigned i = 0; i < fib4_together; ++i) {
            const std::uint16_t found = slot(nodes[i], keys[i]);
            any |= found;
            answers[i] = nexthop_id{found};
        }
        return any;
    }
    // Follows the answers that are long ids: of the full table one burst in fifteen has one. Four
    // answers are looked at a time.
    [[gnu::noinline, gnu::cold]] void
    finish(std::span<const std::uint32_t> addresses, nexthop_id* answers) const {
        constexpr std::uint64_t flags = fib4_long_flag * std::uint64_t{0x0001000100010001};
        const std::size_t count = addresses.size();
        for (std::size_t i = 0; i < count; i += 4) {
            std::uint64_t four = 0;
            std::memcpy(&four, &answers[i], 2 * std::min(std::size_t{4}, count - i));
            for (four &= flags; four != 0; four &= four - 1) {
                const std::size_t at = i + static_cast<unsigned>(std::countr_zero(four)) / 16;
                answers[at] = nexthop_id{longer(answers[at].value, addresses[at])};
            }
        }
    }
    const fib4_node* at_unit(std::uint32_t unit) const {
        return reinterpret_cast<const fib4_node*>(arena_ + unit);
    }

    const std::uint32_t* directory_;
    const std::uint64_t* arena_;
};

} // namespace pantala
