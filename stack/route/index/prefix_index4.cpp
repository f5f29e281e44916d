#include "stack/route/index/prefix_index4.hpp"

#include <algorithm>
#include <bit>

namespace pantala {

namespace {

constexpr unsigned block_length = 16;
constexpr unsigned heap_length = 24; // the longest in a heap
constexpr std::uint32_t blocks = std::uint32_t{1} << block_length;

} // namespace

prefix_index4::prefix_index4(bool big) : big_(big) {
    if (big) {
        short_.resize(blocks / 64);
        heaps_.resize(std::size_t{blocks} * heap_words);
    }
}

// The heap's node of a prefix; the heap's root has length `top`.
std::uint32_t prefix_index4::node_of(std::uint32_t address, unsigned length, unsigned top) {
    const unsigned depth = length - top;
    const std::uint32_t path =
        depth == 0 ? 0 : address << top >> (32 - depth); // the bits after the first `top`
    return std::uint32_t{1} << depth | path;
}

bool prefix_index4::has(std::uint32_t address, unsigned length) const {
    if (length < block_length) {
        const std::uint32_t node = node_of(address, length, 0);
        return (short_[node / 64] >> (node % 64) & 1) != 0;
    }
    const std::uint32_t node = node_of(address, length, block_length);
    const std::uint64_t word = heaps_[std::size_t{address >> 16} * heap_words + node / 64];
    return (word >> (node % 64) & 1) != 0;
}

void prefix_index4::set(const prefix4& prefix, bool there) {
    const bool is_short = prefix.length < block_length;
    const std::uint32_t node = node_of(prefix.address, prefix.length, is_short ? 0 : block_length);
    std::uint64_t& word = is_short
                              ? short_[node / 64]
                              : heaps_[std::size_t{prefix.address >> 16} * heap_words + node / 64];
    const std::uint64_t bit = std::uint64_t{1} << (node % 64);
    word = there ? word | bit : word & ~bit;
}

void prefix_index4::add(const prefix4& prefix) {
    ++lengths_[prefix.length];
    if (big_ && prefix.length <= heap_length) {
        set(prefix, true);
    } else {
        rest_.insert(prefix);
    }
}

void prefix_index4::remove(const prefix4& prefix) {
    --lengths_[prefix.length];
    if (big_ && prefix.length <= heap_length) {
        set(prefix, false);
    } else {
        rest_.erase(prefix);
    }
}

std::optional<prefix4> prefix_index4::covering(const prefix4& prefix) const {
    for (unsigned length = prefix.length; length-- > 1;) {
        if (lengths_[length] == 0) {
            continue;
        }
        const prefix4 wider = make_prefix4(prefix.address, length);
        const bool there =
            big_ && length <= heap_length ? has(wider.address, length) : rest_.contains(wider);
        if (there) {
            return wider;
        }
    }
    return std::nullopt;
}

// Of a node of the /16 that begins at `base`.
prefix4 prefix_index4::prefix_of(std::uint32_t base, std::uint32_t node) {
    const auto depth = static_cast<unsigned>(std::bit_width(node)) - 1;
    const std::uint32_t path = node ^ std::uint32_t{1} << depth;
    return make_prefix4(base | path << (16 - depth), block_length + depth);
}

// A node's descendants of one depth lie side by side.
void prefix_index4::append_heap(const prefix4& top, std::vector<prefix4>& out) const {
    const std::uint64_t* heap = &heaps_[std::size_t{top.address >> 16} * heap_words];
    const std::uint32_t node = node_of(top.address, top.length, block_length);
    for (unsigned deeper = 0; top.length + deeper <= heap_length; ++deeper) {
        std::uint32_t at = node << deeper;
        const std::uint32_t end = (node + 1) << deeper;
        while (at < end) {
            const unsigned many = std::min(64 - at % 64, end - at); // of one word
            const std::uint64_t mask =
                many == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << many) - 1;
            std::uint64_t left = heap[at / 64] >> (at % 64) & mask;
            for (; left != 0; left &= left - 1) {
                const auto bit = static_cast<unsigned>(std::countr_zero(left));
                out.push_back(prefix_of(top.address & mask4(block_length), at + bit));
            }
            at += many;
        }
    }
}

void prefix_index4::inside(const prefix4& top, std::vector<prefix4>& out) const {
    const std::size_t first = out.size();
    if (big_ && top.length <= heap_length) {
        append_heap(top, out);
    }
    for (auto at = rest_.lower_bound(top); at != rest_.end() && top.covers(at->address); ++at) {
        out.push_back(*at);
    }
    std::sort(out.begin() + static_cast<std::ptrdiff_t>(first), out.end());
}

// All prefixes that begin in a /16, in order.
void prefix_index4::walk_block(std::uint32_t block, std::vector<prefix4>& out) const {
    const std::size_t first = out.size();
    const std::uint32_t base = block << 16;
    for (unsigned length = 1; length < block_length; ++length) {
        if ((base & ~mask4(length)) == 0 && has(base, length)) {
            out.push_back(make_prefix4(base, length));
        }
    }
    for (unsigned word = 0; word < heap_words; ++word) {
        std::uint64_t left = heaps_[std::size_t{block} * heap_words + word];
        for (; left != 0; left &= left - 1) {
            out.push_back(
                prefix_of(base, word * 64 + static_cast<unsigned>(std::countr_zero(left))));
        }
    }
    if (!rest_.empty()) {
        for (auto at = rest_.lower_bound({base, 0});
             at != rest_.end() && at->address >> 16 == block; ++at) {
            out.push_back(*at);
        }
    }
    std::sort(out.begin() + static_cast<std::ptrdiff_t>(first), out.end());
}

std::optional<prefix4> prefix_index4::walk(const prefix4& from, std::vector<prefix4>& out) const {
    if (!big_) {
        out.insert(out.end(), rest_.lower_bound(from), rest_.end());
        return std::nullopt;
    }
    std::vector<prefix4> all;
    const std::uint32_t block = from.address >> 16;
    walk_block(block, all);
    out.insert(out.end(), std::lower_bound(all.begin(), all.end(), from), all.end());
    if (block + 1 == blocks) {
        return std::nullopt;
    }
    return prefix4{(block + 1) << 16, 0};
}

} // namespace pantala
