#include "stack/route/index/prefix_trie6.hpp"

#include "engine/base/check.hpp"

#include <algorithm>
#include <bit>

namespace pantala {

namespace {

// How many bits two addresses share, at most `most`.
unsigned common_bits(const address6& a, const address6& b, unsigned most) {
    const std::uint64_t high = a.high ^ b.high;
    const int shared = high != 0 ? std::countl_zero(high) : 64 + std::countl_zero(a.low ^ b.low);
    return std::min(static_cast<unsigned>(shared), most);
}

} // namespace

rib_entry6* prefix_trie6::find(const prefix6& prefix) {
    std::uint32_t at = 0;
    do {
        rib_entry6& node = nodes_[at];
        if (node.length >= prefix.length) {
            return node.present && node.prefix() == prefix ? &node : nullptr;
        }
        if (!node.prefix().covers(prefix.address)) {
            return nullptr;
        }
        at = node.child[bit_of(prefix.address, node.length)];
    } while (at != 0);
    return nullptr;
}

const rib_entry6* prefix_trie6::match(const address6& address, unsigned length_max) const {
    const rib_entry6* best = nullptr;
    std::uint32_t at = 0;
    do {
        const rib_entry6& node = nodes_[at];
        if (node.length > length_max || !node.prefix().covers(address)) {
            break;
        }
        best = node.present ? &node : best;
        at = node.length < 128 ? node.child[bit_of(address, node.length)] : 0;
    } while (at != 0);
    return best;
}

std::uint32_t prefix_trie6::make(const prefix6& prefix, bool present) {
    std::uint32_t index = static_cast<std::uint32_t>(nodes_.size());
    if (free_.empty()) {
        nodes_.emplace_back();
    } else {
        index = free_.back();
        free_.pop_back();
    }
    rib_entry6 made;
    made.address = prefix.address;
    made.length = prefix.length;
    made.present = present;
    nodes_[index] = made;
    return index;
}

void prefix_trie6::free_node(std::uint32_t index) {
    nodes_[index] = rib_entry6{};
    free_.push_back(index);
}

rib_entry6& prefix_trie6::insert(const prefix6& prefix) {
    ++size_;
    std::uint32_t parent = 0;
    unsigned side = 0;
    std::uint32_t at = 0; // the node where the new one belongs, under `parent`
    for (;;) {
        const rib_entry6& node = nodes_[at];
        if (node.prefix() == prefix) {
            PANTALA_DCHECK(!node.present);
            nodes_[at].present = true;
            return nodes_[at];
        }
        const unsigned most = std::min(node.length, prefix.length);
        const unsigned shared = common_bits(node.address, prefix.address, most);
        if (shared < node.length) {
            break;
        }
        parent = at;
        side = bit_of(prefix.address, node.length);
        at = node.child[side];
        if (at == 0) {
            const std::uint32_t made = make(prefix, true);
            nodes_[parent].child[side] = made;
            return nodes_[made];
        }
    }
    // The node there keeps its subtree: below the new prefix, or beside it under a new branch.
    const address6 other = nodes_[at].address;
    const unsigned most = std::min(nodes_[at].length, prefix.length);
    const unsigned shared = common_bits(other, prefix.address, most);
    const std::uint32_t made = make(prefix, true);
    std::uint32_t top = made;
    if (shared < prefix.length) {
        top = make(make_prefix6(prefix.address, shared), false);
        nodes_[top].child[bit_of(prefix.address, shared)] = made;
    }
    nodes_[top].child[bit_of(other, shared)] = at;
    nodes_[parent].child[side] = top;
    return nodes_[made];
}

void prefix_trie6::erase(rib_entry6* entry) {
    --size_;
    const prefix6 prefix = entry->prefix();
    const auto gone = static_cast<std::uint32_t>(entry - nodes_.data());
    std::array<std::uint32_t, 2> above{}; // its parent, and that one's
    for (std::uint32_t at = 0; at != gone;) {
        above = {at, above[0]};
        at = nodes_[at].child[bit_of(prefix.address, nodes_[at].length)];
    }
    entry->out = false;
    entry->present = false;
    entry->more = 0;
    // Takes a mere branch with less than two children out from between.
    const auto splice = [this](std::uint32_t index, std::uint32_t parent) {
        const rib_entry6 node = nodes_[index];
        if (index == 0 || node.present || (node.child[0] != 0 && node.child[1] != 0)) {
            return;
        }
        auto& link = nodes_[parent].child[nodes_[parent].child[1] == index ? 1 : 0];
        link = node.child[0] != 0 ? node.child[0] : node.child[1];
        free_node(index);
    };
    splice(gone, above[0]);
    splice(above[0], above[1]);
}

const rib_entry6* prefix_trie6::cursor::next() {
    while (depth_ != 0) {
        const std::uint32_t at = waiting_[--depth_];
        const rib_entry6& node = trie_.nodes_[at];
        below_ = depth_;
        push(node.child[1]);
        push(node.child[0]);
        if (node.present) {
            return &node;
        }
    }
    return nullptr;
}

} // namespace pantala
