// fib_bench: longest-prefix lookups and updates, Pantala beside DPDK's libraries.
//
//   fib_bench --table FILE [--hops N] [--rule skewed|even] [--benchmark_filter=...] ...
//
// Without a table the synthetic one is taken. rte_lpm takes a minute and a half to load the full
// table; it is loaded only when its rows are selected (--benchmark_filter=-rte_lpm leaves it out).
#include "bench/fib/lookup4.hpp"
#include "bench/fib/report.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <benchmark/benchmark.h>
#include <rte_eal.h>

namespace {

// Repetitions in random order, unless the command line says otherwise.
std::vector<char*> with_defaults(int argc, char** argv) {
    static char repetitions[] = "--benchmark_repetitions=5";
    static char interleaved[] = "--benchmark_enable_random_interleaving=true";
    static char short_ones[] = "--benchmark_min_time=0.1";
    std::vector<char*> all{argv[0], repetitions, interleaved, short_ones};
    all.insert(all.end(), argv + 1, argv + argc);
    return all;
}

// Takes the library's options that show medians and the like only: the library would not tell the
// reporter of the runs either, from which the ratios come.
bool take_aggregates_only(std::vector<char*>& options) {
    bool only = false;
    std::erase_if(options, [&](const char* option) {
        const std::string_view word = option;
        for (const std::string_view name :
             {"--benchmark_report_aggregates_only", "--benchmark_display_aggregates_only"}) {
            if (word == name || word.starts_with(std::string(name) + "=")) {
                only = !word.ends_with("=false") && !word.ends_with("=0");
                return true;
            }
        }
        return false;
    });
    return only;
}

std::unique_ptr<benchmark::BenchmarkReporter> reporter_of(const std::vector<char*>& options) {
    const bool json = std::any_of(options.begin(), options.end(), [](const char* option) {
        return std::string_view(option) == "--benchmark_format=json";
    });
    if (json) {
        return std::make_unique<benchmark::JSONReporter>();
    }
    return std::make_unique<benchmark::ConsoleReporter>(benchmark::ConsoleReporter::OO_None);
}

} // namespace

int main(int argc, char** argv) {
    using namespace pantala;
    std::vector<char*> words = with_defaults(argc, argv);
    const bool aggregates_only = take_aggregates_only(words);
    bench::ratio_reporter report(reporter_of(words), aggregates_only);
    argc = static_cast<int>(words.size());
    argv = words.data();
    benchmark::Initialize(&argc, argv);
    bench::fib_options options;
    CLI::App app("Route lookups and updates beside rte_lpm and rte_fib");
    app.add_option("--table", options.table, "prefix file, plain or gzip'd (default: synthetic)");
    app.add_option("--hops", options.hops, "next hops")->check(CLI::Range(1, 32000));
    app.add_option("--rule", options.rule, "how prefixes get their next hops")
        ->transform(CLI::CheckedTransformer(std::map<std::string, hop_rule>{
            {"skewed", hop_rule::skewed}, {"even", hop_rule::even}}));
    app.add_option("--seed", options.seed, "of the keys");
    app.add_option("--keys", options.keys, "in each set");
    app.add_option("--zipf-flows", options.zipf_flows, "flows that the zipf keys are drawn from");
    app.add_option("--zipf-keys", options.zipf_keys, "draws from them");
    CLI11_PARSE(app, argc, argv);

    const char* eal[] = {argv[0],       "--no-huge",           "--no-pci",
                         "--no-shconf", "--no-telemetry",      "-m",
                         "2048",        "--log-level=*:error", "--force-max-simd-bitwidth=512"};
    if (rte_eal_init(std::size(eal), const_cast<char**>(eal)) < 0) {
        bench::say("EAL does not start");
        return 1;
    }
    bench::fib_data data(options);
    bench::register_lookup4(data);
    bench::register_lookup6(data);
    bench::register_flow_cache(data);
    bench::register_update4(data);
    benchmark::RunSpecifiedBenchmarks(&report);
    report.print();
    return 0;
}
