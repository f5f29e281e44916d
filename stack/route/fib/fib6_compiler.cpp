// Which trees and leaves a change meets, and what their intervals are.
#include "stack/route/fib/fib6_compiler.hpp"

#include "engine/base/check.hpp"

#include <algorithm>
#include <set>

namespace pantala {

namespace {

constexpr unsigned first_bits = 12;

// Bits of the address up to the end of a level's key.
constexpr unsigned end_of(unsigned level) {
    return std::min(fib6_root_bits + 32 * (level + 1), 128U);
}

constexpr unsigned level_of(unsigned length) {
    unsigned level = 0;
    while (length > end_of(level)) {
        ++level;
    }
    return level;
}

// The first and the last address that have this key in a tree.
address6 first_of(const address6& base, unsigned level, std::uint32_t key) {
    const std::uint64_t wide = key;
    switch (level) {
    case 0:
        return {base.high | wide << 12, 0};
    case 1:
        return {base.high | wide >> 20, wide << 44};
    case 2:
        return {base.high, base.low | wide << 12};
    default:
        return {base.high, base.low | wide >> 20};
    }
}

address6 last_of(const address6& base, unsigned level, std::uint32_t key) {
    return make_prefix6(first_of(base, level, key), end_of(level)).last();
}

// The last key of an address's: below bit 128 there are none.
std::uint32_t last_key(const address6& address, unsigned level) {
    const std::uint32_t beyond = level + 1 == fib6_levels ? 0xfffff : 0;
    return fib6_key(address, level) | beyond;
}

std::uint32_t root_of(const address6& address) {
    return static_cast<std::uint32_t>(address.high >> (64 - first_bits));
}

} // namespace

fib6_compiler::fib6_compiler(
    const prefix_trie6& routes, std::uint8_t table, nexthop_id default_id, route_writer& writer)
    : routes_(routes), table_(table), default_(default_id.value), writer_(writer) {}

result<std::unique_ptr<fib6_compiler>> fib6_compiler::make(
    const prefix_trie6& routes, std::uint8_t table, nexthop_id default_id, route_writer& writer) {
    auto image = fib6_image::make(default_id, table != 0);
    if (!image) {
        return image.failure();
    }
    std::unique_ptr<fib6_compiler> made(new fib6_compiler(routes, table, default_id, writer));
    made->load(std::move(*image));
    return made;
}

// A prefix brings at most two intervals, and some lines of the nodes above them; all of a table may
// have to be copied while it changes shape.
result<void> fib6_compiler::reserve(const prefix6& prefix) const {
    return reserve(std::span(&prefix, 1));
}

result<void> fib6_compiler::reserve(std::span<const prefix6> prefixes) const {
    constexpr std::size_t spare_lines = fib6_roots * fib6_children; // every /12 may need a block
    const std::size_t lines = space_.reach() + 2 * (routes_.size() + prefixes.size()) + spare_lines;
    if (lines > fib6_image::lines_max) {
        return error{ENOMEM, "the IPv6 forwarding table is full (128 MiB a replica)"};
    }
    std::set<prefix6> slots;
    for (const prefix6& prefix : prefixes) {
        for (unsigned level = 0; level < level_of(prefix.length); ++level) {
            const prefix6 slot = make_prefix6(prefix.address, end_of(level));
            if (!longs_.contains(slot)) {
                slots.insert(slot);
            }
        }
    }
    if (slots.size() > free_longs_.size() + (fib6_longs_max - longs_made_)) {
        return error{ENOMEM, "too many ranges with IPv6 prefixes longer than /52 (32,768)"};
    }
    return {};
}

void fib6_compiler::changed(const prefix6& prefix, int prefixes) {
    PANTALA_DCHECK(prefix.length >= 1);
    if (paused_) {
        return;
    }
    const std::uint32_t root = root_of(prefix.address);
    if (prefix.length > first_bits) {
        deep_[root] += static_cast<std::uint32_t>(prefixes);
        if (prefixes > 0 && deep_[root] == 1) {
            own_block(root);
        } else if (deep_[root] == 0) {
            drop_block(root);
            return;
        }
    }
    const unsigned level = level_of(prefix.length);
    unsigned outermost = level; // the outermost tree of which a slot came or went
    for (unsigned inner = level; inner > 0; --inner) {
        if (count_long(make_prefix6(prefix.address, end_of(inner - 1)), prefixes)) {
            outermost = inner - 1;
        }
    }
    if (prefixes >= 0 || outermost == level) {
        change_at(prefix, level);
        for (unsigned outer = level; outer-- > outermost;) {
            recompile(tree_of(prefix.address, outer), make_prefix6(prefix.address, end_of(outer)));
        }
    } else { // first the way in goes, then what it led to
        recompile(
            tree_of(prefix.address, outermost), make_prefix6(prefix.address, end_of(outermost)));
        for (unsigned outer = outermost; outer < level; ++outer) {
            close_long(make_prefix6(prefix.address, end_of(outer)));
        }
    }
    give_garbage();
}

void fib6_compiler::change_at(const prefix6& prefix, unsigned level) {
    if (prefix.length <= first_bits) {
        const std::uint32_t last = root_of(prefix.last());
        for (std::uint32_t root = root_of(prefix.address); root <= last; ++root) {
            change_root(root);
        }
    } else if (prefix.length <= fib6_root_bits) {
        const std::uint64_t last = prefix.last().high >> (64 - fib6_root_bits);
        for (std::uint64_t at = prefix.address.high >> (64 - fib6_root_bits); at <= last; ++at) {
            recompile(tree_of({at << (64 - fib6_root_bits), 0}, 0), 0, ~std::uint32_t{0});
        }
    } else {
        recompile(tree_of(prefix.address, level), prefix);
    }
    // What longer routes leave open in their slots is this prefix's, perhaps.
    const auto end = longs_.upper_bound({prefix.last(), 128});
    for (auto slot = longs_.lower_bound({prefix.address, prefix.length}); slot != end; ++slot) {
        if (slot->first.length >= prefix.length) {
            recompile(
                tree_of(slot->first.address, level_of(slot->first.length) + 1), 0,
                ~std::uint32_t{0});
        }
    }
}

void fib6_compiler::change_root(std::uint32_t root) {
    const address6 base{std::uint64_t{root} << (64 - first_bits), 0};
    if (deep_[root] != 0) {
        for (std::uint64_t second = 0; second < fib6_second; ++second) {
            recompile(tree_of({base.high | second << 44, 0}, 0), 0, ~std::uint32_t{0});
        }
        return;
    }
    const std::uint16_t before = hop_of_tree(word_at(word_at(root) * fib6_line_words));
    const std::uint16_t hop = hop_at(base, first_bits);
    if (hop != before) {
        write_word(root, share_block(hop));
        unshare_block(before);
    }
}

// A uniform /12 gets a block of its own, with what it has.
void fib6_compiler::own_block(std::uint32_t root) {
    const std::uint16_t hop = hop_of_tree(word_at(word_at(root) * fib6_line_words));
    std::array<std::uint32_t, fib6_second> words;
    for (std::uint32_t& word : words) {
        word = share_leaf(hop) << 3;
    }
    const std::uint32_t block = space_.take_block();
    write_lines(block, words.data(), fib6_children);
    write_word(root, block);
    unshare_block(hop);
}

void fib6_compiler::drop_block(std::uint32_t root) {
    const address6 base{std::uint64_t{root} << (64 - first_bits), 0};
    const std::uint32_t block = word_at(root);
    write_word(root, share_block(hop_at(base, first_bits)));
    for (std::uint32_t second = 0; second < fib6_second; ++second) {
        release_tree(word_at(block * fib6_line_words + second));
    }
    garbage_blocks_.push_back(block);
    auto slot = longs_.lower_bound({base, 0});
    while (slot != longs_.end() && root_of(slot->first.address) == root) {
        const prefix6 gone = slot->first;
        ++slot;
        close_long(gone);
    }
    give_garbage();
}

// Counts a prefix that is longer than a slot, or one less. True: the slot became long, or is so no
// more (its tree is there until close_long).
bool fib6_compiler::count_long(const prefix6& slot, int prefixes) {
    if (prefixes == 0) {
        return false;
    }
    const auto [at, fresh] = longs_.try_emplace(slot);
    if (!fresh) {
        at->second.prefixes += static_cast<std::uint32_t>(prefixes);
        return at->second.prefixes == 0;
    }
    at->second.prefixes = 1;
    if (free_longs_.empty()) {
        PANTALA_ASSERT(longs_made_ < fib6_longs_max); // reserve() has asked
        free_longs_.push_back(static_cast<std::uint16_t>(longs_made_++));
    }
    at->second.id = free_longs_.back();
    free_longs_.pop_back();
    ensure(0, longs_made_);
    write_word(fib6_roots + at->second.id, share_leaf(default_) << 3);
    return true;
}

void fib6_compiler::close_long(const prefix6& slot) {
    const auto at = longs_.find(slot);
    release_tree(word_at(fib6_roots + at->second.id));
    free_longs_.push_back(at->second.id);
    longs_.erase(at);
}

void fib6_compiler::recompile(const tree& of, const prefix6& prefix) {
    recompile(of, fib6_key(prefix.address, of.level), last_key(prefix.last(), of.level));
}

void fib6_compiler::recompile(const tree& of, std::uint32_t first, std::uint32_t last) {
    for (std::uint64_t key = first; key <= last;) {
        path at = descend(of, static_cast<std::uint32_t>(key));
        sweep(of, at.first, at.last);
        key = std::uint64_t{at.last} + 1;
        put_leaf(of, at);
    }
}

namespace {

// Prefixes that are open at a key, the longest last.
struct open_prefix {
    std::uint32_t last; // key
    std::uint16_t hop;
};

} // namespace

void fib6_compiler::sweep(const tree& of, std::uint32_t first, std::uint32_t last) {
    const unsigned end = end_of(of.level);
    const address6 from = first_of(of.base, of.level, first);
    const address6 to = last_of(of.base, of.level, last);
    std::array<open_prefix, 130> open;
    unsigned depth = 1;
    open[0] = {last, default_};
    const auto enter = [&](const rib_entry6& entry) {
        const address6 until = entry.prefix().last();
        if (entry.length != 0 && !entry.out) {
            open[depth++] = {until < to ? last_key(until, of.level) : last, entry.hop.value};
        }
    };
    intervals_.clear();
    std::uint64_t next = first;
    const auto emit = [&](std::uint32_t until, std::uint16_t hop) {
        if (!intervals_.empty() && intervals_.back().hop == hop) {
            intervals_.back().last = until;
        } else {
            intervals_.push_back({until, hop});
        }
        next = std::uint64_t{until} + 1;
    };
    const auto close_before = [&](std::uint64_t key) {
        while (next < key) {
            while (depth > 1 && open[depth - 1].last < next) {
                --depth;
            }
            const std::uint64_t until = std::min<std::uint64_t>(open[depth - 1].last, key - 1);
            emit(static_cast<std::uint32_t>(until), open[depth - 1].hop);
        }
        while (depth > 1 && open[depth - 1].last < next) {
            --depth;
        }
    };
    prefix_trie6::cursor cursor(routes_, from, enter);
    for (const rib_entry6* entry = cursor.next(); entry != nullptr && entry->address <= to;
         entry = cursor.next()) {
        if (entry->out) {
            continue;
        }
        const std::uint32_t key = fib6_key(entry->address, of.level);
        close_before(key);
        if (entry->length <= end) {
            enter(*entry);
        } else if (next == key) {
            const prefix6 slot = make_prefix6(entry->address, end);
            emit(key, fib6_long_flag | longs_.find(slot)->second.id);
        }
    }
    close_before(std::uint64_t{last} + 1);
}

fib6_compiler::tree fib6_compiler::tree_of(const address6& address, unsigned level) const {
    if (level == 0) {
        const std::uint32_t second = static_cast<std::uint32_t>(address.high >> 44) & 255;
        return {
            word_at(root_of(address)) * fib6_line_words + second, 0,
            make_prefix6(address, fib6_root_bits).address};
    }
    const prefix6 slot = make_prefix6(address, end_of(level - 1));
    return {fib6_roots + longs_.find(slot)->second.id, level, slot.address};
}

std::uint16_t fib6_compiler::hop_at(const address6& address, unsigned length_max) const {
    const rib_entry6* entry = routes_.match(address, length_max);
    while (entry != nullptr && entry->out) {
        entry = routes_.match(address, entry->length - 1U); // what is out is longer than 0
    }
    return entry == nullptr || entry->length == 0 ? default_ : entry->hop.value;
}

void fib6_compiler::load(std::unique_ptr<fib6_image> image) {
    paused_ = false;
    loading_ = true;
    image_ = std::move(image);
    space_ = {};
    PANTALA_ASSERT(space_.take_block() == fib6_image::first_block);
    PANTALA_ASSERT(space_.take_line() == fib6_image::first_leaf);
    ready_lines_ = space_.reach();
    ready_longs_ = 0;
    deep_.assign(fib6_roots, 0);
    longs_.clear();
    free_longs_.clear();
    longs_made_ = 0;
    leaves_ = {{default_, {fib6_image::first_leaf, 1}}}; // always there
    blocks_ = {{default_, {fib6_image::first_block, fib6_roots + 1}}};
    prefix_trie6::cursor cursor(routes_, address6{});
    while (const rib_entry6* entry = cursor.next()) {
        if (entry->out) {
            continue;
        }
        deep_[root_of(entry->address)] += entry->length > first_bits;
        for (unsigned level = 0; level < level_of(entry->length); ++level) {
            count_long(make_prefix6(entry->address, end_of(level)), 1);
        }
    }
    for (std::uint32_t root = 0; root < fib6_roots; ++root) {
        if (deep_[root] != 0) {
            own_block(root);
        }
        change_root(root);
    }
    for (const auto& [slot, what] : longs_) {
        recompile(tree_of(slot.address, level_of(slot.length) + 1), 0, ~std::uint32_t{0});
    }
    loading_ = false;
}

} // namespace pantala
