// The IPv6 prefixes of a table and their routes, in order: a path-compressed binary trie of nodes
// in one vector. Serves exact and longest matches, and walks in the order of prefixes (nested ones
// after their parent), which is what the compiler paints from. Owner: control. Cost: a search
// touches one node a branch, some 20 with the full Internet table.
#pragma once

#include "stack/route/nexthop.hpp"
#include "stack/route/prefix6.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pantala {

struct rib_entry6 {
    address6 address;
    std::array<std::uint32_t, 2> child{}; // 0: none; the root is nobody's child
    std::uint32_t more = 0;               // 0: a single route of metric_of(protocol); else where
    nexthop_id hop{};                     // that the replica has
    std::uint8_t length = 0;
    std::uint8_t protocol = 0; // route_protocol
    bool present = false;      // false: a mere branch
    bool out = false;          // the compiler passes over it: see rib_fallback.cpp

    prefix6 prefix() const { return {address, length}; }
};

class prefix_trie6 {
  public:
    prefix_trie6() : nodes_(1) {}

    std::size_t size() const { return size_; }
    std::size_t bytes() const { return nodes_.capacity() * sizeof(rib_entry6); }

    // Exactly this prefix; nullptr: not there. Valid until the next insert or erase.
    rib_entry6* find(const prefix6& prefix);
    const rib_entry6* find(const prefix6& prefix) const {
        return const_cast<prefix_trie6*>(this)->find(prefix);
    }
    // The longest prefix of at most `length_max` bits that covers `address`; nullptr: none.
    const rib_entry6* match(const address6& address, unsigned length_max = 128) const;
    // A prefix that is not there. Entries found before may have moved.
    rib_entry6& insert(const prefix6& prefix);
    void erase(rib_entry6* entry);
    void reserve(std::size_t entries) { nodes_.reserve(2 * entries); }

    template <class Each>
    void for_each(Each&& each) {
        for (rib_entry6& node : nodes_) {
            if (node.present) {
                each(node);
            }
        }
    }

    // Walks the prefixes whose address is `from` or beyond, in order. Invalid once the trie
    // changes.
    class cursor {
      public:
        // `covering(entry)` is called for those that cover `from` and begin before it, the shortest
        // first.
        template <class Covering>
        cursor(const prefix_trie6& trie, const address6& from, Covering&& covering);
        cursor(const prefix_trie6& trie, const address6& from)
            : cursor(trie, from, [](const rib_entry6&) {}) {}

        // nullptr: at the end.
        const rib_entry6* next();
        // Passes over what lies within the entry that next() gave last.
        void skip_within() { depth_ = below_; }

      private:
        void push(std::uint32_t node) {
            if (node != 0) {
                waiting_[depth_++] = node;
            }
        }

        const prefix_trie6& trie_;
        std::array<std::uint32_t, 132> waiting_; // subtrees, the nearest last
        unsigned depth_ = 0;
        unsigned below_ = 0;
    };

  private:
    static unsigned bit_of(const address6& address, unsigned at) {
        return static_cast<unsigned>(
            (at < 64 ? address.high >> (63 - at) : address.low >> (127 - at)) & 1);
    }
    std::uint32_t make(const prefix6& prefix, bool present);
    void free_node(std::uint32_t index);

    std::vector<rib_entry6> nodes_; // 0 is ::/0
    std::vector<std::uint32_t> free_;
    std::size_t size_ = 0;
};

template <class Covering>
prefix_trie6::cursor::cursor(const prefix_trie6& trie, const address6& from, Covering&& covering)
    : trie_(trie) {
    std::uint32_t at = 0;
    do {
        const rib_entry6& node = trie.nodes_[at];
        if (node.address >= from) {
            waiting_[depth_++] = at;
            return;
        }
        if (!node.prefix().covers(from)) {
            return;
        }
        if (node.present) {
            covering(node);
        }
        const unsigned bit = node.length < 128 ? bit_of(from, node.length) : 1;
        if (bit == 0) {
            push(node.child[1]);
        }
        at = node.child[bit];
    } while (at != 0);
}

} // namespace pantala
