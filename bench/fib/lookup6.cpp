// lookup6: IPv6 lookups in fib6, rte_lpm6 and rte_fib6 over the same table and keys. Every
// structure first answers all keys, and must agree with the slow trie. Keys are bytes as a packet
// has them: what a structure makes of them is on its bill.
#include "bench/fib/lookup4.hpp"
#include "bench/fib/loops.hpp"
#include "stack/route/rib.hpp"

#include <chrono>

#include <benchmark/benchmark.h>
#include <rte_errno.h>
#include <rte_fib6.h>
#include <rte_lpm6.h>
#include <rte_memory.h>

namespace pantala::bench {

namespace {

constexpr unsigned tbl8s = 262'144;
constexpr unsigned rules = 300'000;

enum class way : std::uint8_t { best, scalar, avx512 };

struct pantala_table {
    route_log log;
    std::unique_ptr<rib> control;
    std::unique_ptr<route_replica> replica;
    std::vector<std::uint16_t> hop_of_id; // nexthop_id to the table's next hop
};

pantala_table& pantala_of(fib_data& data) {
    static std::unique_ptr<pantala_table> made;
    if (made) {
        return *made;
    }
    made = std::make_unique<pantala_table>();
    made->control = std::move(*rib::make(made->log));
    iface link;
    link.up = true;
    const iface_id port = *made->control->add_interface(link);
    std::vector<nexthop_id> ids(data.options().hops + 1);
    made->hop_of_id.assign(nexthops_max, no_hop);
    for (unsigned hop = 1; hop <= data.options().hops; ++hop) {
        route_target target{nexthop_kind::gateway, 0, port, 1};
        target.gateway6 = address6{0xfe80000000000000, hop};
        ids[hop] = *made->control->hop({&target, 1});
        made->hop_of_id[ids[hop].value] = static_cast<std::uint16_t>(hop);
    }
    made->replica = std::move(*made->control->join());
    std::vector<feed_route6> feed;
    for (const route6_of_table& each : data.routes6()) {
        feed.push_back({each.prefix, ids[each.hop]});
    }
    const auto start = clock::now();
    if (!made->control->load(feed).ok()) {
        say("pantala: the table does not load");
        std::exit(1);
    }
    const double taken = seconds_since(start);
    while (!made->control->settled()) {
        made->control->pump();
        made->replica->apply();
    }
    say("pantala: IPv6 loaded in %.3f s, replica %zu bytes (IPv6 table)", taken,
        made->replica->bytes6());
    return *made;
}

rte_lpm6* lpm_of(fib_data& data) {
    static rte_lpm6* made = nullptr;
    if (made != nullptr) {
        return made;
    }
    const rte_lpm6_config config{rules, tbl8s, 0};
    made = rte_lpm6_create("bench6", SOCKET_ID_ANY, &config);
    if (made == nullptr) {
        say("rte_lpm6: %s", rte_strerror(rte_errno));
        std::exit(1);
    }
    const auto start = clock::now();
    for (const route6_of_table& each : data.routes6()) {
        const bytes6 address = each.prefix.address.bytes();
        const int status = rte_lpm6_add(made, address.data(), each.prefix.length, each.hop);
        if (status != 0) {
            say("rte_lpm6: %s is refused (%d)", format(each.prefix).c_str(), status);
            std::exit(1);
        }
    }
    say("rte_lpm6: loaded in %.1f s", seconds_since(start));
    return made;
}

rte_fib6* fib_of(fib_data& data, rte_fib6_lookup_type type) {
    static rte_fib6* made = nullptr;
    if (made == nullptr) {
        rte_fib6_conf config{};
        config.type = RTE_FIB6_TRIE;
        config.default_nh = no_hop;
        config.max_routes = rules;
        config.trie.nh_sz = RTE_FIB6_TRIE_4B; // with 2 bytes it drops routes of this table
        config.trie.num_tbl8 = tbl8s;
        made = rte_fib6_create("bench6", SOCKET_ID_ANY, &config);
        if (made == nullptr) {
            say("rte_fib6: %s", rte_strerror(rte_errno));
            std::exit(1);
        }
        const auto start = clock::now();
        for (const route6_of_table& each : data.routes6()) {
            const bytes6 address = each.prefix.address.bytes();
            const int status = rte_fib6_add(made, address.data(), each.prefix.length, each.hop);
            if (status != 0) {
                say("rte_fib6: %s is refused (%d)", format(each.prefix).c_str(), status);
                std::exit(1);
            }
        }
        say("rte_fib6: 4-byte entries, loaded in %.3f s", seconds_since(start));
    }
    return rte_fib6_select_lookup(made, type) == 0 ? made : nullptr;
}

std::uint64_t half(const std::uint8_t* bytes) {
    std::uint64_t raw = 0;
    std::memcpy(&raw, bytes, sizeof raw);
    return __builtin_bswap64(raw);
}

void run_pantala(benchmark::State& state, fib_data& data, key_set which, way how) {
    const keys6& set = data.keys_of6(which);
    pantala_table& table = pantala_of(data);
    const fib6_reader fib = table.replica->fib6();
    constexpr unsigned burst = 64;
    alignas(64) nexthop_id answers[burst];
    address6 addresses[burst];
    const auto look = [&](const bytes6* keys) {
        for (unsigned i = 0; i < burst; ++i) {
            addresses[i] = {half(keys[i].data()), half(keys[i].data() + 8)};
        }
        const std::span<const address6> asked(addresses, burst);
        if (how == way::best) {
            fib.lookup(asked, answers);
        } else if (how == way::scalar) {
            fib.lookup_scalar(asked, answers);
        } else {
            fib.lookup_avx512(asked, answers);
        }
        benchmark::ClobberMemory();
    };
    verify(set, burst, look, [&](unsigned i) { return table.hop_of_id[answers[i].value]; });
    measure(state, set, burst, look);
    state.counters["bytes"] = static_cast<double>(table.replica->bytes6());
}

using raw_keys = std::uint8_t (*)[16];

raw_keys raw(const bytes6* keys) {
    return reinterpret_cast<raw_keys>(const_cast<bytes6*>(keys));
}

void run_lpm(benchmark::State& state, fib_data& data, key_set which) {
    const keys6& set = data.keys_of6(which);
    rte_lpm6* lpm = lpm_of(data);
    constexpr unsigned burst = 32;
    alignas(64) std::int32_t answers[burst];
    const auto look = [&](const bytes6* keys) {
        rte_lpm6_lookup_bulk_func(lpm, raw(keys), answers, burst);
        benchmark::ClobberMemory();
    };
    verify(set, burst, look, [&](unsigned i) {
        return answers[i] < 0 ? unsigned{no_hop} : static_cast<unsigned>(answers[i]);
    });
    measure(state, set, burst, look);
}

void run_fib(
    benchmark::State& state, fib_data& data, key_set which, rte_fib6_lookup_type type,
    unsigned burst) {
    const keys6& set = data.keys_of6(which);
    rte_fib6* fib = fib_of(data, type);
    if (fib == nullptr) {
        state.SkipWithError("this CPU (or --force-max-simd-bitwidth) does not allow it");
        return;
    }
    alignas(64) std::uint64_t answers[256];
    const auto look = [&](const bytes6* keys) {
        rte_fib6_lookup_bulk(fib, raw(keys), answers, static_cast<int>(burst));
        benchmark::ClobberMemory();
    };
    verify(set, burst, look, [&](unsigned i) { return static_cast<unsigned>(answers[i]); });
    measure(state, set, burst, look);
}

} // namespace

void register_lookup6(fib_data& data) {
    using benchmark::RegisterBenchmark;
    using benchmark::State;
    for (const key_set set : {key_set::uniform, key_set::inside, key_set::zipf}) {
        const auto add = [set](const char* structure, auto run) {
            RegisterBenchmark(
                (std::string("lookup6/") + structure + "/" + name_of(set)).c_str(), run);
        };
        add("pantala", [&data, set](State& state) { run_pantala(state, data, set, way::best); });
        add("pantala_scalar",
            [&data, set](State& state) { run_pantala(state, data, set, way::scalar); });
        if (fib6_has_avx512()) {
            add("pantala_avx512",
                [&data, set](State& state) { run_pantala(state, data, set, way::avx512); });
        }
        add("rte_fib6_scalar", [&data, set](State& state) {
            run_fib(state, data, set, RTE_FIB6_LOOKUP_TRIE_SCALAR, 32);
        });
        add("rte_fib6_avx512", [&data, set](State& state) {
            run_fib(state, data, set, RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512, 32);
        });
        add("rte_fib6_avx512_b256", [&data, set](State& state) {
            run_fib(state, data, set, RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512, 256);
        });
        add("rte_lpm6", [&data, set](State& state) { run_lpm(state, data, set); });
    }
}

} // namespace pantala::bench
