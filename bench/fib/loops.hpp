// The loops that lookup4 and lookup6 share: check all answers, then measure.
#pragma once

#include "bench/fib/data.hpp"

#include <chrono>
#include <cstdlib>

#include <benchmark/benchmark.h>

namespace pantala::bench {

using clock = std::chrono::steady_clock;

inline double seconds_since(clock::time_point start) {
    return std::chrono::duration<double>(clock::now() - start).count();
}

inline std::string text_of(std::uint32_t key) {
    return format_address4(key);
}
inline std::string text_of(const bytes6& key) {
    return format_address6(address6::from_bytes(key));
}

// `look` answers keys[at .. at + burst) into its own buffer; `answer(i)` is its i-th answer, as the
// table's next hop. Ends the program where one differs from the slow trie's.
template <class Key, class Look, class Answer>
void verify(const key_list<Key>& set, unsigned burst, Look&& look, Answer&& answer) {
    for (std::size_t at = 0; at + burst <= set.keys.size(); at += burst) {
        look(&set.keys[at]);
        for (unsigned i = 0; i < burst; ++i) {
            if (answer(i) != set.answers[at + i]) {
                say("%s: answered %u, the slow trie %u", text_of(set.keys[at + i]).c_str(),
                    static_cast<unsigned>(answer(i)), set.answers[at + i]);
                std::exit(1);
            }
        }
    }
}

template <class Key, class Look>
void measure(benchmark::State& state, const key_list<Key>& set, unsigned burst, Look&& look) {
    std::size_t at = 0;
    constexpr unsigned keys_an_iteration = 4096; // for every burst alike
    const unsigned bursts = keys_an_iteration / burst;
    std::int64_t keys = 0;
    for (auto _ : state) {
        for (unsigned i = 0; i < bursts; ++i) {
            look(&set.keys[at]);
            at += burst;
            at = at + burst > set.keys.size() ? 0 : at;
        }
        keys += static_cast<std::int64_t>(bursts) * burst;
    }
    state.SetItemsProcessed(keys);
    state.counters["distinct_keys"] = static_cast<double>(set.distinct);
}

} // namespace pantala::bench
