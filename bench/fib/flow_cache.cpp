// flow_cache: would an exact-match cache in front of fib4 pay? Direct-mapped, eight entries a
// line; misses of a burst are looked up together and put
// in. Flushing it after a change of routes would come on top; here it is never flushed.
#include "bench/fib/lookup4.hpp"
#include "bench/fib/loops.hpp"
#include "stack/route/rib.hpp"

#include <benchmark/benchmark.h>

namespace pantala::bench {

namespace {

class flow_cache {
  public:
    flow_cache(unsigned bits, const fib4_reader<>& fib)
        : shift_(32 - bits), entries_(std::size_t{1} << bits, entry{0, fib.lookup(0)}) {}

    void
    lookup(const fib4_reader<>& fib, std::span<const std::uint32_t> keys, nexthop_id* answers) {
        std::uint32_t missed[burst_max];
        std::uint32_t slots[burst_max];
        std::uint8_t places[burst_max];
        nexthop_id found[burst_max];
        for (std::size_t i = 0; i < keys.size(); ++i) {
            slots[i] = keys[i] * 0x9e3779b1U >> shift_;
            __builtin_prefetch(&entries_[slots[i]]);
        }
        std::size_t misses = 0;
        for (std::size_t i = 0; i < keys.size(); ++i) {
            const entry& at = entries_[slots[i]];
            answers[i] = at.hop;
            missed[misses] = keys[i];
            places[misses] = static_cast<std::uint8_t>(i);
            misses += at.key != keys[i];
        }
        if (misses != 0) {
            fib.lookup({missed, misses}, found);
            for (std::size_t m = 0; m < misses; ++m) {
                answers[places[m]] = found[m];
                entries_[slots[places[m]]] = {missed[m], found[m]};
            }
        }
        hits_ += keys.size() - misses;
        asked_ += keys.size();
    }
    double hit_share() const { return static_cast<double>(hits_) / static_cast<double>(asked_); }

    static constexpr unsigned burst_max = 64;

  private:
    struct entry {
        std::uint32_t key = 0;
        nexthop_id hop{};
    };

    unsigned shift_;
    std::vector<entry> entries_;
    std::uint64_t hits_ = 0;
    std::uint64_t asked_ = 0;
};

void run(benchmark::State& state, fib_data& data, key_set which, unsigned bits) {
    const keys4& set = data.keys(which);
    const pantala4& table = pantala4_of(data);
    const fib4_reader<> fib = table.replica->fib4();
    flow_cache cache(bits, fib);
    alignas(64) nexthop_id answers[flow_cache::burst_max];
    const auto look = [&](const std::uint32_t* keys) {
        cache.lookup(fib, std::span(keys, flow_cache::burst_max), answers);
        benchmark::ClobberMemory();
    };
    verify(set, flow_cache::burst_max, look, [&](unsigned i) {
        return table.hop_of_id[answers[i].value];
    });
    measure(state, set, flow_cache::burst_max, look);
    state.counters["hits"] = cache.hit_share();
}

} // namespace

void register_flow_cache(fib_data& data) {
    for (const key_set set : {key_set::inside, key_set::zipf, key_set::zipf64k}) {
        for (const unsigned bits : {12U, 16U}) {
            const std::string name =
                "lookup4/flow_cache_" + std::to_string(bits) + "/" + name_of(set);
            benchmark::RegisterBenchmark(name.c_str(), [&data, set, bits](benchmark::State& state) {
                run(state, data, set, bits);
            });
        }
    }
}

} // namespace pantala::bench
