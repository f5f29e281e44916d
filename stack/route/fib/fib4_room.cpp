// Whether there is room for a change, before it begins: an image that has no room in the midst of a
// change could not be made whole again.
#include "stack/route/fib/fib4_compiler.hpp"
#include "stack/route/fib/fib4_encoding.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <set>

namespace pantala {

// Each level may open a block of four nodes, and encodes anew one node, or all that the prefix
// covers; with the four nodes of each long block within it (longs_within).
fib4_compiler::demand fib4_compiler::demand_of(const prefix4& prefix) const {
    demand made{9, 0};
    std::uint32_t slot = prefix.address >> shape_.slot_shift();
    const std::uint16_t* values = values_.data();
    const std::uint8_t* lengths = lengths_.data();
    unsigned end = shape_.slot_length();
    for (bool opens = false; prefix.length > end; end += 8) {
        opens = opens || lengths[slot] != has_longs;
        made.longs += opens ? 1 : 0;
        if (!opens) {
            const long_block& block = long_at(values[slot]);
            values = block.values;
            lengths = block.lengths;
            slot = prefix.address >> (24 - end) & 255;
        }
    }
    const unsigned spare = end - prefix.length;
    made.nodes += spare > 6 ? std::uint64_t{1} << (spare - 6) : 0;
    return made;
}

// Long blocks of the slots that a prefix covers, with those below them.
std::uint64_t fib4_compiler::longs_within(const prefix4& prefix) const {
    const auto count = [this](
                           auto&& self, const std::uint16_t* values, const std::uint8_t* lengths,
                           std::uint32_t first, std::uint32_t slots) -> std::uint64_t {
        std::uint64_t found = 0;
        for (std::uint32_t slot = first; slot < first + slots; ++slot) {
            if (lengths[slot] == has_longs) {
                const long_block& block = long_at(values[slot]);
                found += 1 + self(self, block.values, block.lengths, 0, long_slots);
            }
        }
        return found;
    };
    const std::uint16_t* values = values_.data();
    const std::uint8_t* lengths = lengths_.data();
    std::uint32_t slot = prefix.address >> shape_.slot_shift();
    unsigned end = shape_.slot_length();
    for (; prefix.length > end; end += 8) {
        if (lengths[slot] != has_longs) {
            return 0;
        }
        const long_block& block = long_at(values[slot]);
        values = block.values;
        lengths = block.lengths;
        slot = prefix.address >> (24 - end) & 255;
    }
    return count(count, values, lengths, slot, std::uint32_t{1} << (end - prefix.length));
}

bool fib4_compiler::has_longer(const prefix4& slot) const {
    const prefix4 longer = make_prefix4(slot.address, slot.length + 1U);
    return demand_of(longer).longs == 0;
}

namespace {

constexpr std::uint32_t unknown_value = 0x10000; // no next hop has it; with the prefix's number

// Whether a node of these slots may take more units than `there`, whatever the unknown ones are.
bool outgrows(const std::uint32_t* slots, unsigned there, bool wide_hops) {
    unsigned runs = 0;
    unsigned longs = 0;
    bool wide = false;    // it is for certain
    bool unknown = false; // it may be
    for (unsigned slot = 0; slot < fib4_slots; ++slot) {
        const std::uint32_t value = slots[slot];
        if (slot != 0 && value == slots[slot - 1]) {
            continue;
        }
        const bool is_known = value < unknown_value;
        const bool is_long = is_known && (value & fib4_long_flag) != 0;
        ++runs;
        longs += is_long ? 1 : 0;
        unknown = unknown || !is_known;
        wide = wide || (is_known && !is_long && value >= fib4_more);
    }
    const unsigned as_narrow = wide ? 0 : units_for(narrow_bytes(runs, longs));
    const unsigned as_wide = wide || (unknown && wide_hops) ? units_for(wide_bytes(runs)) : 0;
    return runs > 1 && std::max(as_narrow, as_wide) > there;
}

} // namespace

void fib4_compiler::foresee_range(
    outlook& nodes, const level& at, std::uint32_t first, std::uint32_t count,
    const foreseen& what) const {
    for (std::uint32_t slot = first; slot < first + count; ++slot) {
        if (at.lengths[slot] == has_longs) {
            foresee_range(nodes, below(at.values[slot], at.shift), 0, long_slots, what);
        } else if (at.lengths[slot] <= what.length) {
            foresee_slot(nodes, at, slot, what.value);
        }
    }
}

void fib4_compiler::foresee_slot(
    outlook& nodes, const level& at, std::uint32_t slot, std::uint32_t value) {
    const std::uint32_t block = slot / fib4_slots;
    const auto [node, is_new] = nodes.try_emplace(at.first_word + block);
    if (is_new) {
        std::copy_n(at.values + std::size_t{block} * fib4_slots, fib4_slots, node->second.begin());
    }
    node->second[slot % fib4_slots] = value;
}

// Nodes that may need a larger place than theirs when all of these prefixes, which are there, lead
// elsewhere or go, and the one that each has for all nodes that are its alone.
std::uint64_t fib4_compiler::growth_of(std::span<const prefix4> prefixes, bool wide_hops) const {
    outlook nodes;
    std::uint32_t value = unknown_value;
    std::uint64_t found = 0;
    std::set<std::uint32_t> alone;
    for (const prefix4& prefix : prefixes) {
        level at = top();
        std::uint32_t slot = prefix.address >> at.shift;
        for (; prefix.length > 32 - at.shift; slot = prefix.address >> at.shift & 255) {
            if (at.lengths[slot] != has_longs) {
                return ~std::uint64_t{0} / 64; // it is not there
            }
            foresee_slot(nodes, at, slot, value); // that may close
            at = below(at.values[slot], at.shift);
        }
        const std::uint32_t count = std::uint32_t{1} << (32 - at.shift - prefix.length);
        foresee_range(nodes, at, slot, count, {value++, prefix.length});
    }
    for (const auto& [word, slots] : nodes) {
        const std::uint64_t* node = image_->arena() + image_->directory()[word];
        const unsigned place = fib4_is_uniform(node[0]) ? 0 : units_of(node);
        found += outgrows(slots.data(), place, wide_hops) ? 1 : 0;
        if (std::ranges::adjacent_find(slots, std::not_equal_to{}) == slots.end()) {
            alone.insert(slots[0]);
        }
    }
    return found + alone.size();
}

result<void>
fib4_compiler::reserve(std::span<const prefix4> prefixes, bool there, bool wide_hops) const {
    constexpr std::uint64_t kept = 1024; // nodes
    constexpr std::uint64_t nodes_a_long = 4;
    if (paused_) {
        return {}; // load() has room (load_max)
    }
    demand all{there ? 0 : kept, 0};
    for (const prefix4& prefix : prefixes) {
        const demand one = demand_of(prefix);
        all.nodes += one.nodes;
        all.longs += one.longs;
    }
    if (all.longs > free_longs_.size() + (fib4_longs_max - longs_.size())) {
        return error{ENOMEM, "too many ranges with long prefixes (32,768)"};
    }
    const auto fits = [this](std::uint64_t nodes) {
        return allocator_.reach() + nodes * fib4_allocator::chunk_units <= units_max_;
    };
    if (fits(all.nodes + nodes_a_long * longs_used_ * prefixes.size())) {
        return {};
    }
    for (const prefix4& prefix : prefixes) { // near the end: it is worth a look
        all.nodes += nodes_a_long * longs_within(prefix);
    }
    return fits(all.nodes) || (there && fits(growth_of(prefixes, wide_hops)))
               ? result<void>{}
               : error{ENOMEM, "the forwarding table is full (64 MiB a replica)"};
}

} // namespace pantala
