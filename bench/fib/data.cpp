#include "bench/fib/data.hpp"

#include "tests/harness/slow_trie.hpp"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace pantala::bench {

void say(const char* format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    std::vfprintf(stderr, format, arguments);
    va_end(arguments);
    std::fputc('\n', stderr);
}

const char* name_of(key_set set) {
    constexpr const char* names[] = {"uniform", "inside", "zipf", "zipf64k"};
    return names[static_cast<unsigned>(set)];
}

std::vector<std::uint32_t> zipf_draws(std::size_t flows, std::size_t count, std::uint64_t seed) {
    std::vector<double> sums(flows);
    double sum = 0;
    for (std::size_t i = 0; i < flows; ++i) {
        sum += 1.0 / static_cast<double>(i + 1);
        sums[i] = sum;
    }
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> uniform(0, sum);
    std::vector<std::uint32_t> draws(count);
    for (std::uint32_t& draw : draws) {
        const auto at = std::lower_bound(sums.begin(), sums.end(), uniform(random));
        draw = static_cast<std::uint32_t>(
            std::min<std::ptrdiff_t>(at - sums.begin(), static_cast<std::ptrdiff_t>(flows) - 1));
    }
    return draws;
}

namespace {

test::key128 key_of6(const address6& address) {
    return static_cast<test::key128>(address.high) << 64 | address.low;
}

} // namespace

void fib_data::load() {
    if (loaded_) {
        return;
    }
    loaded_ = true;
    prefix_table table;
    if (options_.table.empty()) {
        say("making the synthetic table");
        table = synthetic_table();
    } else {
        result<prefix_table> read = read_prefix_file(options_.table);
        if (!read) {
            say("%s", read.failure().text.c_str());
            std::exit(1);
        }
        table = std::move(*read);
    }
    auto trie = std::make_shared<test::slow_trie<std::uint16_t>>();
    for (const file_route4& route : table.ip4) {
        const unsigned hop = 1 + hop_by_rule(route.prefix, options_.hops, options_.rule);
        routes4_.push_back({route.prefix, static_cast<std::uint16_t>(hop)});
        trie->set(
            test::key_of4(route.prefix.address), route.prefix.length,
            static_cast<std::uint16_t>(hop));
    }
    oracle4_ = [trie](std::uint32_t address) {
        return trie->lookup(test::key_of4(address)).value_or(no_hop);
    };
    auto trie6 = std::make_shared<test::slow_trie<std::uint16_t>>();
    for (const file_route6& route : table.ip6) {
        const unsigned hop = 1 + hop_by_rule(route.prefix, options_.hops, options_.rule);
        routes6_.push_back({route.prefix, static_cast<std::uint16_t>(hop)});
        trie6->set(
            key_of6(route.prefix.address), route.prefix.length, static_cast<std::uint16_t>(hop));
    }
    oracle6_ = [trie6](const address6& address) {
        return trie6->lookup(key_of6(address)).value_or(no_hop);
    };
    say("table: %zu IPv4 and %zu IPv6 prefixes, %u next hops, rule %s", routes4_.size(),
        routes6_.size(), options_.hops,
        options_.rule == hop_rule::skewed ? "skewed (u^3 of a hash)" : "even (a hash)");
}

const std::vector<route4>& fib_data::routes4() {
    load();
    return routes4_;
}

const std::vector<route6_of_table>& fib_data::routes6() {
    load();
    return routes6_;
}

// `draw(random)` gives a key, `ask(key)` its answer; the keys of a zipf set are drawn from as many
// flows as they say.
template <class Key, class Draw, class Ask>
std::unique_ptr<key_list<Key>> fib_data::make_keys(key_set set, Draw&& draw, Ask&& ask) const {
    std::mt19937_64 random(options_.seed + static_cast<unsigned>(set));
    auto made = std::make_unique<key_list<Key>>();
    const bool skewed = set == key_set::zipf || set == key_set::zipf64k;
    if (!skewed) {
        made->keys.resize(options_.keys);
        std::generate(made->keys.begin(), made->keys.end(), [&] { return draw(random); });
        std::transform(
            made->keys.begin(), made->keys.end(), std::back_inserter(made->answers), ask);
        std::vector<Key> sorted = made->keys;
        std::sort(sorted.begin(), sorted.end());
        made->distinct =
            static_cast<std::size_t>(std::unique(sorted.begin(), sorted.end()) - sorted.begin());
    } else {
        constexpr std::uint16_t unasked = 0xffff;
        const bool all = set == key_set::zipf;
        std::vector<Key> flows(all ? options_.zipf_flows : std::size_t{65536});
        std::generate(flows.begin(), flows.end(), [&] { return draw(random); });
        std::vector<std::uint16_t> answers(flows.size(), unasked);
        for (const std::uint32_t flow :
             zipf_draws(flows.size(), all ? options_.zipf_keys : options_.keys, options_.seed)) {
            if (answers[flow] == unasked) {
                answers[flow] = ask(flows[flow]);
                ++made->distinct; // two flows to one address are rare
            }
            made->keys.push_back(flows[flow]);
            made->answers.push_back(answers[flow]);
        }
    }
    say("keys %s: %zu, %zu distinct, answered by the slow trie", name_of(set), made->keys.size(),
        made->distinct);
    return made;
}

const keys4& fib_data::keys(key_set set) {
    load();
    std::unique_ptr<keys4>& made = keys4_[static_cast<unsigned>(set)];
    if (!made) {
        made = make_keys<std::uint32_t>(
            set,
            [this, set](std::mt19937_64& random) {
                const auto any = static_cast<std::uint32_t>(random());
                const prefix4& prefix = routes4_[random() % routes4_.size()].prefix;
                return set == key_set::uniform ? any
                                               : prefix.address | (any & ~mask4(prefix.length));
            },
            oracle4_);
    }
    return *made;
}

const keys6& fib_data::keys_of6(key_set set) {
    load();
    std::unique_ptr<keys6>& made = keys6_[static_cast<unsigned>(set)];
    if (!made) {
        made = make_keys<bytes6>(
            set,
            [this, set](std::mt19937_64& random) {
                const address6 any{random(), random()};
                if (set == key_set::uniform) {
                    return address6{any.high >> 3 | std::uint64_t{1} << 61, any.low}.bytes();
                }
                const prefix6& prefix = routes6_[random() % routes6_.size()].prefix;
                const address6 mask = mask6(prefix.length);
                return address6{
                    prefix.address.high | (any.high & ~mask.high),
                    prefix.address.low | (any.low & ~mask.low)}
                    .bytes();
            },
            [this](const bytes6& key) { return oracle6_(address6::from_bytes(key)); });
    }
    return *made;
}

} // namespace pantala::bench
