// fib4: the IPv4 forwarding table as a worker reads it.
//
// One image: a directory of 32-bit words and an arena of 8-byte units. A directory word is the unit
// where a node begins; a node covers 64 slots:
//
//     u64 run_start     bit i > 0 is set where slot i begins a new run of equal next hops
//     nexthop[n]        one a run: u8, or u16 where bit 0 of run_start is set, a wide node
//
//     nexthop of slot s = nexthop[how many of bits 1..s of run_start are set]
//
// A node is wide when it has a next hop of 255 or more. Lookups take fewer instructions while an
// image has had no wide node, as in routers with some hundred neighbours.
//
// The first 2^root_bits directory words are indexed by the address's top bits; a uniform range
// points to the node that all ranges of its next hop share (always hot), so there is no leaf flag
// and no branch. A next hop with its top bit set says that the slot has longer routes: the other 15
// bits are a long id, and the four directory words at 2^root_bits + 4 * id hold its next 8 bits. A
// narrow node has 255 in such a place; behind its bytes, from an even place on, are the u16s that
// these stand for, in their order.
// Nodes of up to 56 runs, wide ones of up to 28, never straddle a cache line (fib4_allocator).
//
// With 18 root bits a slot is a /24 and there is one long level; 10 root bits (4 KiB, for small
// tables) have two. Next hop 0 is the table's default route or, without one, "no route".
//
// A lookup costs three loads, the first two of them from 1 MiB and from some 2 MiB with the full
// Internet table. Callers that have other work meanwhile use the stages themselves.
#pragma once

#include "engine/base/cache_line.hpp"
#include "stack/route/nexthop.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

namespace pantala {

inline constexpr std::uint16_t fib4_long_flag = 0x8000;
inline constexpr unsigned fib4_longs_max = 32768;
inline constexpr unsigned fib4_slots = 64;      // of a node
inline constexpr std::uint16_t fib4_more = 255; // in a narrow node: a long id
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
    std::uint8_t nexthop[8]; // or more

    // Of every `slot` here only the low 6 bits count.

    // Of a narrow node: a nexthop_id's value or fib4_more.
    std::uint16_t narrow(std::uint32_t slot) const { return bytes()[runs_to(slot)]; }
    // Of either kind: a nexthop_id's value, or a long id with its flag set.
    std::uint16_t at(std::uint32_t slot) const {
        const auto wide = static_cast<unsigned>(run_start & 1);
        const unsigned runs = runs_to(slot); // a wide node's first run is counted, too
        std::uint16_t two = 0;               // bytes that end with the next hop's last
        std::memcpy(&two, bytes() - 1 - wide + (runs << wide), sizeof two);
        const unsigned found = static_cast<unsigned>(two) >> (8 & (wide - 1));
        if ((found | wide << 8) == fib4_more) [[unlikely]] {
            return more(runs);
        }
        return static_cast<std::uint16_t>(found);
    }
    // Of a narrow node: the long id of a run that has fib4_more.
    [[gnu::noinline, gnu::cold]] std::uint16_t more(unsigned run) const {
        const auto runs = 1 + static_cast<unsigned>(std::popcount(run_start));
        const auto before = std::count(bytes(), bytes() + run, std::uint8_t{fib4_more});
        std::uint16_t id = 0;
        std::memcpy(&id, bytes() + (runs + 1) / 2 * 2 + 2 * before, sizeof id);
        return id;
    }
    unsigned runs_to(std::uint32_t slot) const {
        return static_cast<unsigned>(std::popcount(run_start << (~slot & 63U)));
    }
    const std::uint8_t* bytes() const {
        return reinterpret_cast<const std::uint8_t*>(this) + sizeof run_start;
    }
};

// The node of 64 slots of one next hop.
constexpr std::array<std::uint64_t, 2> fib4_uniform(std::uint16_t nexthop) {
    return {nexthop >= fib4_more ? 1U : 0U, nexthop};
}
constexpr bool fib4_is_uniform(std::uint64_t run_start) {
    return run_start <= 1;
}

// Reads an image; holds no memory of its own. Valid until the replica applies the log again.
template <unsigned root_bits = fib4_root_bits_main>
class fib4_reader {
  public:
    static constexpr fib4_shape shape{root_bits};
    static_assert(shape.slot_shift() % 8 == 0, "levels of 8 bits end at bit 32");

    // `mixed`: there may be wide nodes.
    fib4_reader(const std::uint32_t* directory, const std::uint64_t* arena, bool mixed)
        : directory_(directory), arena_(arena), mixed_(mixed) {}

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
        const std::uint32_t slot = address >> shape.slot_shift();
        if (mixed_) [[unlikely]] {
            return node->at(slot);
        }
        const std::uint16_t found = node->narrow(slot);
        return found != fib4_more ? found : node->more(node->runs_to(slot));
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
        mixed_ ? lookup_any(addresses, answers) : lookup_narrow(addresses, answers);
    }

    const std::uint32_t* directory() const { return directory_; }
    const std::uint64_t* arena() const { return arena_; }

  private:
    void lookup_narrow(std::span<const std::uint32_t> addresses, nexthop_id* answers) const {
        const fib4_reader self = *this; // what no store to an answer can have changed
        const std::size_t count = addresses.size();
        const std::size_t whole = count - count % fib4_together;
        for (std::size_t i = 0; i < whole; i += fib4_together) {
            self.turn(&addresses[i], &answers[i]);
        }
        for (std::size_t i = whole; i < count; ++i) {
            answers[i] = self.lookup(addresses[i]);
        }
    }
    // Unrolled, so that the nodes stay in registers; there is none to note a long slot in.
    void turn(const std::uint32_t* keys, nexthop_id* answers) const {
        const fib4_node* nodes[fib4_together];
#pragma GCC unroll 16
        for (unsigned i = 0; i < fib4_together; ++i) {
            nodes[i] = node(keys[i]);
            __builtin_prefetch(nodes[i]);
        }
#pragma GCC unroll 16
        for (unsigned i = 0; i < fib4_together; ++i) {
            const std::uint16_t found = nodes[i]->narrow(keys[i] >> shape.slot_shift());
            if (found == fib4_more) [[unlikely]] {
                return turn_with_longs(keys, answers);
            }
            answers[i] = nexthop_id{found};
        }
    }
    // Of the full table one turn in sixty.
    [[gnu::noinline, gnu::cold]] void
    turn_with_longs(const std::uint32_t* keys, nexthop_id* answers) const {
        for (unsigned i = 0; i < fib4_together; ++i) {
            answers[i] = lookup(keys[i]);
        }
    }
    [[gnu::noinline]] void
    lookup_any(std::span<const std::uint32_t> addresses, nexthop_id* answers) const {
        const fib4_reader self = *this;
        const fib4_node* nodes[fib4_together];
        for (std::size_t first = 0; first < addresses.size(); first += fib4_together) {
            const std::size_t count =
                std::min<std::size_t>(fib4_together, addresses.size() - first);
            const std::uint32_t* const keys = &addresses[first];
            for (std::size_t i = 0; i < count; ++i) {
                nodes[i] = self.node(keys[i]);
                __builtin_prefetch(nodes[i]);
            }
            for (std::size_t i = 0; i < count; ++i) {
                const std::uint16_t found = nodes[i]->at(keys[i] >> shape.slot_shift());
                answers[first + i] =
                    nexthop_id{(found & fib4_long_flag) != 0 ? self.longer(found, keys[i]) : found};
            }
        }
    }
    const fib4_node* at_unit(std::uint32_t unit) const {
        return reinterpret_cast<const fib4_node*>(arena_ + unit);
    }

    const std::uint32_t* directory_;
    const std::uint64_t* arena_;
    bool mixed_;
};

} // namespace pantala
