// Compiles IPv6 routes into a fib6 image and writes the difference to the route log.
//
// The authority is the trie of prefixes itself. A change of a prefix sweeps the leaves that its
// range meets: the intervals of each are found anew from the trie, and what differs is written, to
// the master image here and through the log to every replica. A leaf that overflows is split, one
// that runs empty is merged with its neighbour; the lines of a node that changes shape are written
// to a fresh block first and then shown by one write to its parent, so that a replica is never
// seen between two shapes. Where a tree gets its lines depends on the history of changes alone.
//
// Owner: control. Cost: a /48 about 1 us; a prefix that spans many leaves, so many times 0.2 us.
#pragma once

#include "engine/base/result.hpp"
#include "stack/route/fib/fib6_image.hpp"
#include "stack/route/fib/fib6_space.hpp"
#include "stack/route/index/prefix_trie6.hpp"
#include "stack/route/rib/route_writer.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

namespace pantala {

class fib6_compiler {
  public:
    // `routes` outlives it and says what the image should be. `table` marks the log entries; table
    // 0 is a big one. Errors: ENOMEM.
    static result<std::unique_ptr<fib6_compiler>> make(
        const prefix_trie6& routes, std::uint8_t table, nexthop_id default_id,
        route_writer& writer);

    // Whether a change of `prefix` is sure to find room: to be asked before it. Errors: ENOMEM.
    result<void> reserve(const prefix6& prefix) const;
    result<void> reserve(std::span<const prefix6> prefixes) const; // the same of many
    // A prefix of a bit or more has changed in the trie: `prefixes` is 1 where it was added, -1
    // where it went, 0 where its next hop changed.
    void changed(const prefix6& prefix, int prefixes);
    // Compiles all into an image that is empty as fib6_image::make() gives it. The log is not
    // written: the caller ships copies of image().
    void load(std::unique_ptr<fib6_image> image);
    // changed() does nothing until the next load().
    void pause() { paused_ = true; }

    // Called before patches reach beyond what is populated: every replica has to be, too.
    using populate_hook = std::function<void(std::uint32_t lines, std::uint32_t longs)>;
    void on_populate(populate_hook hook) { populate_ = std::move(hook); }

    const fib6_image& image() const { return *image_; }

  private:
    struct interval {
        std::uint32_t last; // key
        std::uint16_t hop;
    };
    using line_content = std::array<std::uint32_t, fib6_line_words>;
    struct child {
        std::uint32_t last; // key
        line_content line;
    };
    using children = std::vector<child>;
    // A tree: where its word is, and the address that its keys begin at.
    struct tree {
        std::uint32_t word;
        unsigned level;
        address6 base;
    };
    // The way to a leaf: inner lines, which child was taken, and the last key of each line.
    struct step {
        std::uint32_t line;
        std::uint32_t last;
        unsigned index;
    };
    struct path {
        std::array<step, 8> steps;
        unsigned depth = 0; // inner lines
        std::uint32_t leaf = 0;
        std::uint32_t first = 0; // keys of the leaf
        std::uint32_t last = ~std::uint32_t{0};
    };
    // A slot with routes longer than itself.
    struct long_slot {
        std::uint16_t id;
        std::uint32_t prefixes;
    };
    struct shared_place {
        std::uint32_t line = 0;
        std::uint32_t users = 0;
    };

    fib6_compiler(
        const prefix_trie6& routes, std::uint8_t table, nexthop_id default_id,
        route_writer& writer);

    // --- ranges (fib6_compiler.cpp) ---
    void change_at(const prefix6& prefix, unsigned level);
    void change_root(std::uint32_t root);
    void own_block(std::uint32_t root);
    void drop_block(std::uint32_t root);
    bool count_long(const prefix6& slot, int prefixes);
    void close_long(const prefix6& slot);
    void recompile(const tree& of, std::uint32_t first, std::uint32_t last);
    void recompile(const tree& of, const prefix6& prefix);
    // The intervals of keys [first, last] of a tree, into intervals_.
    void sweep(const tree& of, std::uint32_t first, std::uint32_t last);
    tree tree_of(const address6& address, unsigned level) const;
    std::uint16_t hop_at(const address6& address, unsigned length_max) const;

    // --- trees (fib6_tree.cpp) ---
    struct child_range {
        unsigned first;
        unsigned count;
    };
    std::uint16_t hop_of_tree(std::uint32_t word) const; // of a uniform one
    path descend(const tree& of, std::uint32_t key) const;
    void put_leaf(const tree& of, path& at);
    void put_root_leaf(const tree& of);
    void merge_leaf(const tree& of, path& at);
    void make_tree(const tree& of, children lines, unsigned height);
    void replace(const tree& of, path& at, unsigned depth, child_range which, const children& with);
    void merge_inner(const tree& of, path& at, unsigned depth);
    void collapse(const tree& of, const line_content& only, unsigned height);
    children group(const children& lines);
    void append_children(const std::uint32_t* inner, std::uint32_t last, children& to) const;
    children leaves_of(std::span<const interval> intervals) const;
    static line_content leaf_of(std::span<const interval> intervals);
    static line_content inner_of(std::span<const child> below, std::uint32_t block);
    static void read_leaf(const std::uint32_t* leaf, std::uint32_t last, std::vector<interval>& to);
    void release_tree(std::uint32_t word);
    void release_below(std::uint32_t line, unsigned height);

    // --- places and writes ---
    std::uint32_t share_leaf(std::uint16_t hop);
    void unshare_leaf(std::uint16_t hop);
    std::uint32_t share_block(std::uint16_t hop);
    void unshare_block(std::uint16_t hop);
    std::uint32_t word_at(std::uint32_t word) const { return image_->words()[word]; }
    void write_lines(std::uint32_t line, const void* from, unsigned lines);
    void write_line(std::uint32_t line, const line_content& content);
    std::uint32_t write_block(std::span<const child> lines);
    void write_word(std::uint32_t word, std::uint32_t value);
    void ensure(std::uint32_t lines, std::uint32_t longs);
    void give_garbage();

    const prefix_trie6& routes_;
    std::uint8_t table_;
    std::uint16_t default_;
    route_writer& writer_;
    bool paused_ = false;
    bool loading_ = false; // the log is not written
    populate_hook populate_;
    std::uint32_t ready_lines_ = 0; // populated everywhere
    std::uint32_t ready_longs_ = 0;
    std::unique_ptr<fib6_image> image_;
    fib6_space space_;
    std::vector<std::uint32_t> deep_;       // by the first 12 bits: prefixes longer than that
    std::map<prefix6, long_slot> longs_;    // by slot
    std::vector<std::uint16_t> free_longs_; // a stack
    std::uint32_t longs_made_ = 0;
    std::map<std::uint16_t, shared_place> leaves_; // uniform trees, by next hop
    std::map<std::uint16_t, shared_place> blocks_; // uniform /12s
    std::vector<interval> intervals_;              // sweep()'s
    std::vector<std::uint32_t> garbage_blocks_;
    std::vector<std::uint32_t> garbage_lines_;
};

} // namespace pantala
