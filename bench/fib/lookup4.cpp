// lookup4: IPv4 lookups in fib4, rte_lpm and rte_fib over the same table and keys. Every structure
// first answers all keys, and must agree with the slow trie.
#include "bench/fib/lookup4.hpp"
#include "bench/fib/loops.hpp"

#include "stack/route/rib.hpp"

#include <chrono>
#include <cstring>
#include <functional>

#include <benchmark/benchmark.h>
#include <rte_errno.h>
#include <rte_fib.h>
#include <rte_ip.h>
#include <rte_lpm.h>

namespace pantala::bench {

namespace {

constexpr unsigned fib_tbl8s = 4096;
constexpr unsigned lpm_rules = 1'100'000;

// --- the structures, each made on first use ---

rte_lpm* lpm_of(fib_data& data) {
    static rte_lpm* made = nullptr;
    if (made != nullptr) {
        return made;
    }
    const std::vector<route4>& routes = data.routes4();
    const rte_lpm_config config{lpm_rules, fib_tbl8s, 0};
    made = rte_lpm_create("bench", SOCKET_ID_ANY, &config);
    if (made == nullptr) {
        say("rte_lpm: %s", rte_strerror(rte_errno));
        std::exit(1);
    }
    const auto start = clock::now();
    std::size_t done = 0;
    for (const route4& route : routes) {
        const int status = rte_lpm_add(made, route.prefix.address, route.prefix.length, route.hop);
        if (status != 0) {
            say("rte_lpm: %s is refused (%d)", format(route.prefix).c_str(), status);
            std::exit(1);
        }
        if (++done % 50'000 == 0) {
            say("rte_lpm: %zu of %zu routes, %.0f s", done, routes.size(), seconds_since(start));
        }
    }
    say("rte_lpm: loaded in %.1f s, %zu bytes", seconds_since(start),
        (sizeof(rte_lpm_tbl_entry) << 24) + fib_tbl8s * 256 * sizeof(rte_lpm_tbl_entry));
    return made;
}

rte_fib* fib_of(fib_data& data, rte_fib_lookup_type type) {
    static rte_fib* made = nullptr;
    if (made == nullptr) {
        rte_fib_conf config{};
        config.type = RTE_FIB_DIR24_8;
        config.default_nh = no_hop;
        config.max_routes = lpm_rules;
        config.dir24_8.nh_sz = RTE_FIB_DIR24_8_2B;
        config.dir24_8.num_tbl8 = fib_tbl8s;
        made = rte_fib_create("bench", SOCKET_ID_ANY, &config);
        if (made == nullptr) {
            say("rte_fib: %s", rte_strerror(rte_errno));
            std::exit(1);
        }
        const auto start = clock::now();
        for (const route4& route : data.routes4()) {
            const int status =
                rte_fib_add(made, route.prefix.address, route.prefix.length, route.hop);
            if (status != 0) {
                say("rte_fib: %s is refused (%d)", format(route.prefix).c_str(), status);
                std::exit(1);
            }
        }
        say("rte_fib: 2-byte entries, loaded in %.3f s, %u bytes", seconds_since(start),
            (2U << 24) + fib_tbl8s * 256 * 2);
    }
    if (rte_fib_select_lookup(made, type) != 0) {
        return nullptr;
    }
    return made;
}

// --- the loops ---

void run_pantala(benchmark::State& state, fib_data& data, key_set which) {
    const keys4& set = data.keys(which);
    pantala4& table = pantala4_of(data);
    const fib4_reader<> fib = table.replica->fib4();
    constexpr unsigned burst = 64;
    alignas(64) nexthop_id answers[burst];
    const auto look = [&](const std::uint32_t* keys) {
        fib.lookup(std::span(keys, burst), answers);
        benchmark::ClobberMemory();
    };
    verify(set, burst, look, [&](unsigned i) { return table.hop_of_id[answers[i].value]; });
    measure(state, set, burst, look);
    state.counters["bytes"] = static_cast<double>(table.replica->bytes4());
}

void run_lpm(benchmark::State& state, fib_data& data, key_set which) {
    const keys4& set = data.keys(which);
    rte_lpm* lpm = lpm_of(data);
    constexpr unsigned burst = 32;
    alignas(64) std::uint32_t answers[burst];
    const auto look = [&](const std::uint32_t* keys) {
        rte_lpm_lookup_bulk(lpm, keys, answers, burst);
        benchmark::ClobberMemory();
    };
    verify(set, burst, look, [&](unsigned i) {
        const bool hit = (answers[i] & RTE_LPM_LOOKUP_SUCCESS) != 0;
        return hit ? answers[i] & 0xffffffU : unsigned{no_hop};
    });
    measure(state, set, burst, look);
}

void run_fib(benchmark::State& state, fib_data& data, key_set which, fib_variant how) {
    const keys4& set = data.keys(which);
    rte_fib* fib = fib_of(data, how.type);
    if (fib == nullptr) {
        state.SkipWithError("this CPU (or --force-max-simd-bitwidth) does not allow it");
        return;
    }
    alignas(64) std::uint64_t answers[256];
    const auto look = [&](const std::uint32_t* keys) {
        rte_fib_lookup_bulk(
            fib, const_cast<std::uint32_t*>(keys), answers, static_cast<int>(how.burst));
        benchmark::ClobberMemory();
    };
    verify(set, how.burst, look, [&](unsigned i) { return static_cast<unsigned>(answers[i]); });
    measure(state, set, how.burst, look);
}

} // namespace

pantala4& pantala4_of(fib_data& data) {
    static std::unique_ptr<pantala4> made;
    if (made) {
        return *made;
    }
    const std::vector<route4>& routes = data.routes4();
    made = std::make_unique<pantala4>();
    made->control = std::move(*rib::make(made->log));
    iface link;
    link.up = true;
    const iface_id port = *made->control->add_interface(link);
    std::vector<nexthop_id> ids(data.options().hops + 1);
    made->hop_of_id.assign(nexthops_max, no_hop);
    for (unsigned hop = 1; hop <= data.options().hops; ++hop) {
        const route_target target{nexthop_kind::gateway, 0x0a000000 + hop, port, 1};
        ids[hop] = *made->control->hop({&target, 1});
        made->hop_of_id[ids[hop].value] = static_cast<std::uint16_t>(hop);
    }
    made->replica = std::move(*made->control->join());
    std::vector<feed_route> feed;
    for (const route4& route : routes) {
        feed.push_back({route.prefix, ids[route.hop]});
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
    say("pantala: loaded in %.3f s, replica %zu bytes (IPv4 table), control %zu bytes", taken,
        made->replica->bytes4(), made->control->counts().authority_bytes);
    return *made;
}

void register_lookup4(fib_data& data) {
    using benchmark::RegisterBenchmark;
    const auto name = [](const char* structure, key_set set) {
        return std::string("lookup4/") + structure + "/" + name_of(set);
    };
    const auto pantala = [&](key_set set) {
        RegisterBenchmark(name("pantala", set).c_str(), [&data, set](benchmark::State& state) {
            run_pantala(state, data, set);
        });
    };
    pantala(key_set::zipf64k); // beside the flow cache
    for (const key_set set : {key_set::uniform, key_set::inside, key_set::zipf}) {
        pantala(set);
        const fib_variant variants[] = {
            {"rte_fib_scalar", RTE_FIB_LOOKUP_DIR24_8_SCALAR_INLINE, 32},
            {"rte_fib_avx512_b32", RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512, 32},
            {"rte_fib_avx512_b256", RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512, 256}};
        for (const fib_variant& how : variants) {
            RegisterBenchmark(
                name(how.name, set).c_str(),
                [&data, set, how](benchmark::State& state) { run_fib(state, data, set, how); });
        }
        RegisterBenchmark(name("rte_lpm", set).c_str(), [&data, set](benchmark::State& state) {
            run_lpm(state, data, set);
        });
    }
}

} // namespace pantala::bench
