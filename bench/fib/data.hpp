// What fib_bench looks up: a table with next hops by rule, keys, and the right answers.
#pragma once

#include "stack/route/feed/prefix_file.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pantala::bench {

struct fib_options {
    std::string table; // empty: the synthetic one
    unsigned hops = 63;
    hop_rule rule = hop_rule::skewed;
    std::uint64_t seed = 1;
    std::size_t keys = std::size_t{1} << 22; // of each set
    // Zipf's law needs many draws for 3 M distinct destinations.
    std::size_t zipf_flows = std::size_t{1} << 24;
    std::size_t zipf_keys = std::size_t{1} << 24;
};

inline constexpr std::uint16_t no_hop = 0;

// A prefix and its next hop, 1..hops; 0 is "no route".
struct route4 {
    prefix4 prefix;
    std::uint16_t hop;
};

struct route6_of_table {
    prefix6 prefix;
    std::uint16_t hop;
};

// zipf64k: of 65,536 flows only, the traffic that a cache likes best.
enum class key_set : std::uint8_t { uniform, inside, zipf, zipf64k };
const char* name_of(key_set set);

template <class Key>
struct key_list {
    std::vector<Key> keys;
    std::vector<std::uint16_t> answers; // by the slow trie
    std::size_t distinct = 0;
};
using keys4 = key_list<std::uint32_t>;
using bytes6 = std::array<std::uint8_t, 16>; // an address as a packet has it
using keys6 = key_list<bytes6>;

// Everything is made on first use, and said so on stderr.
class fib_data {
  public:
    explicit fib_data(fib_options options) : options_(std::move(options)) {}

    const fib_options& options() const { return options_; }
    const std::vector<route4>& routes4();
    const keys4& keys(key_set set);
    const std::vector<route6_of_table>& routes6();
    const keys6& keys_of6(key_set set); // uniform: in 2000::/3

  private:
    void load();
    template <class Key, class Draw, class Ask>
    std::unique_ptr<key_list<Key>> make_keys(key_set set, Draw&& draw, Ask&& ask) const;

    fib_options options_;
    bool loaded_ = false;
    std::vector<route4> routes4_;
    std::vector<route6_of_table> routes6_;
    std::unique_ptr<keys4> keys4_[4];
    std::unique_ptr<keys6> keys6_[4];
    std::function<std::uint16_t(std::uint32_t)> oracle4_;
    std::function<std::uint16_t(const address6&)> oracle6_;
};

// The addresses of `count` draws from `flows` by Zipf's law with exponent 1: indices 0..flows-1.
std::vector<std::uint32_t> zipf_draws(std::size_t flows, std::size_t count, std::uint64_t seed);

void say(const char* format, ...) __attribute__((format(printf, 1, 2)));

} // namespace pantala::bench
