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
    constexpr const char* names[] = {"uniform", "inside", "zipf"};
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
    say("table: %zu IPv4 prefixes, %u next hops, rule %s", routes4_.size(), options_.hops,
        options_.rule == hop_rule::skewed ? "skewed (u^3 of a hash)" : "even (a hash)");
}

const std::vector<route4>& fib_data::routes4() {
    load();
    return routes4_;
}

std::vector<std::uint32_t> fib_data::make_keys(key_set set) {
    std::mt19937_64 random(options_.seed + static_cast<unsigned>(set));
    std::vector<std::uint32_t> keys(options_.keys);
    const auto inside = [&] {
        const prefix4& prefix = routes4_[random() % routes4_.size()].prefix;
        return prefix.address | (static_cast<std::uint32_t>(random()) & ~mask4(prefix.length));
    };
    if (set == key_set::uniform) {
        std::generate(
            keys.begin(), keys.end(), [&] { return static_cast<std::uint32_t>(random()); });
    } else if (set == key_set::inside) {
        std::generate(keys.begin(), keys.end(), inside);
    } else {
        std::vector<std::uint32_t> flows(options_.zipf_flows);
        std::generate(flows.begin(), flows.end(), inside);
        const std::vector<std::uint32_t> draws =
            zipf_draws(flows.size(), keys.size(), options_.seed);
        std::transform(draws.begin(), draws.end(), keys.begin(), [&](std::uint32_t draw) {
            return flows[draw];
        });
    }
    return keys;
}

const keys4& fib_data::keys(key_set set) {
    load();
    std::unique_ptr<keys4>& made = keys4_[static_cast<unsigned>(set)];
    if (made) {
        return *made;
    }
    made = std::make_unique<keys4>();
    made->keys = make_keys(set);
    std::vector<std::uint32_t> sorted = made->keys;
    std::sort(sorted.begin(), sorted.end());
    made->distinct =
        static_cast<std::size_t>(std::unique(sorted.begin(), sorted.end()) - sorted.begin());
    say("keys %s: %zu, %zu distinct; asking the slow trie", name_of(set), made->keys.size(),
        made->distinct);
    made->answers.reserve(made->keys.size());
    for (const std::uint32_t key : made->keys) {
        made->answers.push_back(oracle4_(key));
    }
    return *made;
}

} // namespace pantala::bench
