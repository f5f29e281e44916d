// Compiles routes into a fib4 image and writes the difference to the route log.
//
// The authority is one next hop and one prefix length for each slot (with 18 root bits: each /24,
// 48 MB once); slots with longer routes have 256 slots of their own, which may have so again. A
// change paints its range of the authority, then the nodes that it touches are encoded anew and
// what differs is written: to the master image here, and through the log to every replica.
//
// The compiler is told the value of each prefix; which route that is, is the RIB's business.
// Owner: control. Cost: a /24 about 0.2 us; a /8 rebuilds up to 1,024 nodes.
#pragma once

#include "stack/route/fib/fib4_allocator.hpp"
#include "stack/route/fib/fib4_image.hpp"
#include "stack/route/prefix4.hpp"
#include "stack/route/rib/route_writer.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

namespace pantala {

// A prefix and its next hop, as the replica has it. Prefixes of length 0 are not the compiler's:
// the default route is next hop `default_id` itself.
struct fib4_entry {
    prefix4 prefix;
    nexthop_id value;
};

class fib4_compiler {
  public:
    // `table` marks the log entries, `units_max` is the most that nodes may take. Errors: ENOMEM.
    static result<std::unique_ptr<fib4_compiler>> make(
        unsigned root_bits, std::uint8_t table, nexthop_id default_id, route_writer& writer,
        std::uint32_t units_max = fib4_image::units_max);

    // Whether a change of `prefix`, or of all of these, is sure to find room: to be asked before
    // set() and clear(). Some room is kept for what must not fail, and for what is `there`: it may
    // change and go when nothing new can come any more. Where even that room is taken, what is
    // there is refused only if a node may outgrow its place: never if it leads elsewhere than what
    // is around it, unless `wide_hops`, there may be next hops of two bytes. Errors: ENOMEM.
    result<void> reserve(const prefix4& prefix, bool there = false, bool wide_hops = true) const {
        return reserve(std::span(&prefix, 1), there, wide_hops);
    }
    result<void>
    reserve(std::span<const prefix4> prefixes, bool there = false, bool wide_hops = true) const;
    // The most prefixes that load() is sure to find room for: of 8 M units, half a unit each (two
    // runs of two bytes) and 1 M for nodes and next hops, laid out with less than half of it lost.
    static constexpr std::size_t load_max = 6'000'000;
    // Whether the slot that is this prefix has longer routes. `slot` has the length of one.
    bool has_longer(const prefix4& slot) const;

    // A prefix (length 1..32) that was not there, or is there with another value.
    void set(const prefix4& prefix, nexthop_id value, bool is_new);
    // A prefix goes; `covering` is the longest one left that covers it (length 0: the default).
    void clear(const prefix4& prefix, const fib4_entry& covering);

    // Compiles `entries` (in any order, no duplicates) into an empty table at once, in parallel.
    // `image` is empty. The log is not written: the caller ships copies of image().
    void load(std::span<const fib4_entry> entries, std::unique_ptr<fib4_image> image);
    // set() and clear() do nothing until the next load().
    void pause() { paused_ = true; }

    // Called before patches reach beyond what is populated: every replica has to be, too.
    using populate_hook = std::function<void(std::uint32_t units, std::uint32_t words)>;
    void on_populate(populate_hook hook) { populate_ = std::move(hook); }

    // Loads the lines that set() or clear() of this prefix will touch.
    void prefetch(const prefix4& prefix) const;

    // The length of the longest prefix that covers `address`; 0: the default.
    unsigned match_length(std::uint32_t address) const;

    const fib4_image& image() const { return *image_; }
    std::size_t authority_bytes() const;
    std::uint32_t longs() const { return longs_used_; }

  private:
    static constexpr std::uint8_t has_longs = 0xff; // in `lengths`
    static constexpr unsigned long_slots = 256;

    // A slot with longer routes. `under` and `under_length` are what the slot would have without.
    struct long_block {
        std::uint16_t under = 0;
        std::uint8_t under_length = 0;
        std::uint32_t prefixes = 0; // longer than the slot, within it
        std::uint16_t values[long_slots];
        std::uint8_t lengths[long_slots];
    };
    // Slots of one level: where they are, and the directory word of the first 64.
    struct level {
        std::uint16_t* values;
        std::uint8_t* lengths;
        std::uint32_t first_word;
        unsigned shift; // address bits right of the slot
    };
    struct painting {
        prefix4 prefix;
        std::uint16_t value;
        std::uint8_t length; // what it becomes; a clear only changes slots of prefix.length
        bool clear;

        bool applies(std::uint8_t now) const {
            return clear ? now == prefix.length : now <= prefix.length;
        }
    };

    fib4_compiler(
        unsigned root_bits, std::uint8_t table, nexthop_id default_id, route_writer& writer,
        std::uint32_t units_max);

    // What a change may take at most: nodes of the arena, long blocks.
    struct demand {
        std::uint64_t nodes;
        std::uint32_t longs;
    };
    demand demand_of(const prefix4& prefix) const;
    std::uint64_t longs_within(const prefix4& prefix) const;
    // What nodes may become, by directory word.
    using outlook = std::unordered_map<std::uint32_t, std::array<std::uint32_t, fib4_slots>>;
    struct foreseen {
        std::uint32_t value;
        std::uint8_t length;
    };
    void foresee_range(
        outlook& nodes, const level& at, std::uint32_t first, std::uint32_t count,
        const foreseen& what) const;
    static void
    foresee_slot(outlook& nodes, const level& at, std::uint32_t slot, std::uint32_t value);
    std::uint64_t growth_of(std::span<const prefix4> prefixes, bool wide_hops) const;

    level top() const;
    level below(std::uint16_t flagged, unsigned shift) const;
    long_block& long_at(std::uint16_t flagged) const { return *longs_[flagged & ~fib4_long_flag]; }

    void change(const painting& how, int prefixes);
    void change_at(level at, const painting& how, int prefixes);
    void paint_range(level at, std::uint32_t first, std::uint32_t count, const painting& how);
    void paint_under(level at, std::uint32_t slot, const painting& how);
    void open_long(level at, std::uint32_t slot);
    void close_long(level at, std::uint32_t slot);
    std::uint16_t take_long_id();

    void emit(level at, std::uint32_t block);
    void
    emit_node(std::uint32_t word, std::uint32_t unit, const std::uint64_t* node, unsigned units);
    void emit_word(std::uint32_t word, std::uint32_t unit);
    void release_node(const std::uint64_t* node, std::uint32_t unit);
    // The shared node of a uniform range; `fresh`: it has to be written.
    std::uint32_t share(std::uint16_t value, bool& fresh);
    void unshare(std::uint16_t value);
    std::uint32_t take(unsigned units);
    void ensure(std::uint32_t units, std::uint32_t words);

    void load_authority(std::span<const fib4_entry> entries);
    void load_image();

    fib4_shape shape_;
    std::uint8_t table_;
    std::uint16_t default_;
    std::uint32_t units_max_;
    bool paused_ = false;
    bool loading_ = false; // paint only
    route_writer& writer_;
    populate_hook populate_;
    std::uint32_t ready_units_ = 0; // populated everywhere
    std::uint32_t ready_words_ = 0;
    std::unique_ptr<fib4_image> image_;
    fib4_allocator allocator_;
    std::vector<std::uint16_t> values_;
    std::vector<std::uint8_t> lengths_;
    std::vector<std::unique_ptr<long_block>> longs_;
    std::vector<std::uint16_t> free_longs_; // a stack
    std::uint32_t longs_used_ = 0;
    struct shared_node {
        std::uint32_t unit = 0;
        std::uint32_t users = 0;
    };
    std::vector<shared_node> shared_; // by next hop
};

} // namespace pantala
