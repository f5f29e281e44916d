// The oracle for longest-prefix matching: a plain binary trie, one node a bit, no cleverness. It
// shares no code with the forwarding tables that it judges.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace pantala::test {

// Keys are the top bits of a 128-bit address: IPv4 addresses are shifted up by 96.
__extension__ using key128 = unsigned __int128;

constexpr key128 key_of4(std::uint32_t address) {
    return static_cast<key128>(address) << 96;
}

template <class Value>
class slow_trie {
  public:
    void set(key128 address, unsigned length, Value value) {
        std::uint32_t at = 0;
        for (unsigned depth = 0; depth < length; ++depth) {
            const unsigned bit = bit_of(address, depth);
            if (nodes_[at].child[bit] == 0) {
                nodes_[at].child[bit] = static_cast<std::uint32_t>(nodes_.size());
                nodes_.emplace_back();
            }
            at = nodes_[at].child[bit];
        }
        nodes_[at].value = value;
    }

    // False: it was not there.
    bool erase(key128 address, unsigned length) {
        std::uint32_t at = 0;
        for (unsigned depth = 0; depth < length; ++depth) {
            at = nodes_[at].child[bit_of(address, depth)];
            if (at == 0) {
                return false;
            }
        }
        const bool there = nodes_[at].value.has_value();
        nodes_[at].value.reset();
        return there;
    }

    std::optional<Value> lookup(key128 address) const {
        std::optional<Value> best = nodes_[0].value;
        std::uint32_t at = 0;
        for (unsigned depth = 0; depth < 128; ++depth) {
            at = nodes_[at].child[bit_of(address, depth)];
            if (at == 0) {
                break;
            }
            if (nodes_[at].value) {
                best = nodes_[at].value;
            }
        }
        return best;
    }

  private:
    struct node {
        std::uint32_t child[2] = {0, 0}; // 0: none; the root is nobody's child
        std::optional<Value> value;
    };

    static unsigned bit_of(key128 address, unsigned depth) {
        return static_cast<unsigned>(address >> (127 - depth)) & 1;
    }

    std::vector<node> nodes_ = std::vector<node>(1);
};

} // namespace pantala::test
