// Whether there is room for a change, before it begins: an image that has no room in the midst of a
// change could not be made whole again.
#include "stack/route/fib/fib4_compiler.hpp"

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

result<void> fib4_compiler::reserve(std::span<const prefix4> prefixes, bool there) const {
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
    return fits(all.nodes) ? result<void>{}
                           : error{ENOMEM, "the forwarding table is full (64 MiB a replica)"};
}

} // namespace pantala
