// churn_bench: workers with their whole stacks forward 64-byte frames to destinations all over the
// table while control changes routes. Every packet is checked where it leaves: the next hop must be
// one that its destination has had. It asks
//
//   curve    what so many changes a second cost: packets lost and misrouted, throughput, the
//            rounds' 99.9th percentile, how long a change takes to arrive
//   poll     what it costs to read every counter and to walk the whole table ten times a second
//   hop      how soon each of several workers sends nothing more by the old way, once the way to a
//            BGP next hop of half a million prefixes has moved
//   link     what is lost when a link goes down that the whole table leads over, with another at
//            hand, and when it comes back
//
//   churn_bench --table FILE [--seconds N] [--rates 0,100000,...] [--only curve,poll,hop,link]
//   churn_bench --inject-fault     some routes lead where they should not: that must be noticed
//
// The curve's churn: 3 of 5 changes give a prefix its other next hop of two, the rest withdraw or
// announce one of the nested prefixes (each has one of the two next hops of its parent, so the
// answer stays checkable while it comes and goes). Status 0: no packet was lost or misrouted.
#include "bench/fib/churn_load.hpp"
#include "bench/fib/churn_router.hpp"
#include "bench/fib/data.hpp"

#include <algorithm>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>
#include <rte_cycles.h>
#include <rte_eal.h>

namespace pantala::bench {

namespace {

struct churn_options {
    std::vector<double> rates = {0,       1'000,     10'000,    100'000,
                                 300'000, 1'000'000, 1'500'000, 2'000'000};
    double seconds = 3; // of each rate
    unsigned workers = 4;
    unsigned flaps = 200;
    std::vector<unsigned> cpus = usable_cpus();
    std::vector<std::string> only = {"curve", "poll", "hop", "link"};

    bool wants(const char* question) const {
        return std::find(only.begin(), only.end(), question) != only.end();
    }
};

unsigned long long printed(std::uint64_t count) {
    return count;
}

double us_per_cycle() {
    return 1e6 / static_cast<double>(rte_get_tsc_hz());
}

void print(const outcome& out, double quiet_mpps) {
    const forwarded& counts = out.counts;
    const double us = us_per_cycle();
    std::printf(
        "churn/pantala/%-8.0f %9.0f/s  %6.2f Mpps (%5.1f %%)  lost %llu  misrouted %llu  round "
        "p50 %.1f p99.9 %.1f max %.1f us  change arrives in %.0f us  control %.0f %%  "
        "(announced %llu, withdrawn %llu, moved %llu)\n",
        out.rate_asked, static_cast<double>(out.changes.all()) / out.seconds, out.mpps(),
        quiet_mpps > 0 ? 100 * out.mpps() / quiet_mpps : 100.0, printed(counts.lost()),
        printed(counts.misrouted), counts.percentile(0.5) * us, counts.percentile(0.999) * us,
        static_cast<double>(counts.longest) * us, out.latency_us, 100 * out.control_share,
        printed(out.changes.announced), printed(out.changes.withdrawn), printed(out.changes.moved));
    std::fflush(stdout);
}

bool draw_curve(churn_load& load, const churn_options& options) {
    bool good = true;
    double quiet_mpps = 0;
    for (const double rate : options.rates) {
        const outcome out = load.run(rate, options.seconds);
        print(out, quiet_mpps);
        quiet_mpps = rate == 0 ? out.mpps() : quiet_mpps;
        good &= out.clean();
    }
    return good;
}

double median(std::vector<double> of) {
    std::sort(of.begin(), of.end());
    return of.empty() ? 0 : of[of.size() / 2];
}

// --- poll ---

// Every counter of every worker, as `pantala stats` sums them.
std::uint64_t read_counters(const churn_router& router) {
    std::uint64_t sum = 0;
    for (const auto& each : router.workers()) {
        const stack& state = each->state();
        for (const ip4_counter_name& one : ip4_counter_names) {
            sum += (state.ip4_counts().*one.member).read();
        }
        for (const ip6_counter_name& one : ip6_counter_names) {
            sum += (state.ip6_counts().*one.member).read();
        }
        for (const nd_counter_name& one : nd_counter_names) {
            sum += (state.nd_counts().*one.member).read();
        }
        for (const arp_counter_name& one : arp_counter_names) {
            sum += (state.arp_counts().*one.member).read();
        }
        for (std::uint16_t id = 0; id < std::size(churn_links); ++id) {
            for (const link_counter_name& one : link_counter_names) {
                sum += (state.link_counts()[iface_id{id}].*one.member).read();
            }
        }
        for (unsigned reason = 0; reason < drop_reason_count; ++reason) {
            sum += each->rig().drops.dropped(static_cast<drop_reason>(reason));
        }
        sum += each->rig().rounds.busy_rounds();
    }
    return sum;
}

// All routes, as a dump of the table sees them.
std::size_t dump_table(rib& routes) {
    std::size_t seen = 0;
    for (std::optional<prefix4> from = prefix4{}; from;) {
        from = routes.visit(
            0, *from, 4096, [&](const route& one) { seen += one.targets.empty() ? 0 : 1; });
        routes.pump();
    }
    return seen;
}

// Slices with and without polling in turn, so that the machine's moods meet both.
bool ask_poll(churn_router& router) {
    constexpr unsigned slices = 12;
    constexpr unsigned polls_a_second = 10;
    std::vector<double> quiet;
    std::vector<double> polled;
    std::vector<double> dump_ms;
    double polled_seconds = 0;
    bool good = true;
    std::size_t rows = 0;
    for (unsigned slice = 0; slice < 2 * slices; ++slice) {
        const bool polls = slice % 2 == 1;
        router.start_count();
        const auto start = std::chrono::steady_clock::now();
        for (unsigned i = 0; i < polls_a_second / 2; ++i) {
            const auto due = start + (i + 1) * std::chrono::milliseconds(1000 / polls_a_second);
            if (polls) {
                const auto begun = std::chrono::steady_clock::now();
                read_counters(router);
                rows = dump_table(router.control());
                dump_ms.push_back(std::chrono::duration<double, std::milli>(
                                      std::chrono::steady_clock::now() - begun)
                                      .count());
            }
            std::this_thread::sleep_until(due);
        }
        outcome out;
        out.seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        out.counts = router.stop_count();
        good &= out.clean();
        polled_seconds += polls ? out.seconds : 0;
        (polls ? polled : quiet).push_back(out.mpps());
    }
    const double before = median(quiet);
    const double with = median(polled);
    std::printf(
        "poll/pantala: every counter and all %zu routes %.1f times a second (%.0f ms each): "
        "%.2f -> %.2f Mpps (%.2f %%), %s\n",
        rows, static_cast<double>(dump_ms.size()) / polled_seconds, median(dump_ms), before, with,
        100 * (with / before - 1), good ? "lost 0, misrouted 0" : "PACKETS WENT ASTRAY");
    return good;
}

// --- hop ---

// TSC cycles from the order to move until the last worker sent the last frame by the old way and
// had the change.
std::vector<double> flap(churn_router& router, bool to_second) {
    const std::uint64_t start = rte_rdtsc_precise();
    router.move_way(to_second);
    router.control().pump();
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    while (!router.control().settled()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::vector<double> took;
    for (const auto& each : router.workers()) {
        const std::uint64_t end = std::max(each->changed_at(), each->last_by(to_second ? 0 : 1));
        took.push_back(end < start ? 0 : static_cast<double>(end - start) * us_per_cycle());
    }
    return took;
}

bool ask_hop(fib_data& data, const churn_options& options) {
    constexpr std::size_t heavy = 500'000;
    churn_router router(
        {.cpus = options.cpus,
         .peers = data.options().hops,
         .recursive = 1,
         .workers = options.workers});
    churn_load load(data, router, heavy);
    router.start(load.destinations(data));
    router.start_count();
    std::vector<std::vector<double>> all(options.workers);
    std::vector<double> slowest;
    constexpr double bound_us = 1000;
    for (unsigned i = 0; i < options.flaps; ++i) {
        const std::vector<double> took = flap(router, i % 2 == 0);
        for (unsigned w = 0; w < options.workers; ++w) {
            all[w].push_back(took[w]);
        }
        slowest.push_back(*std::max_element(took.begin(), took.end()));
    }
    const forwarded counts = router.stop_count();
    std::printf(
        "hop/pantala: %u moves of the way to a BGP next hop of %zu prefixes, %u workers on %zu "
        "CPUs, %.1f M packets: lost %llu, misrouted %llu; the slowest worker has it after "
        "median %.0f us, longest %.0f us, %ld of them above 1 ms",
        options.flaps, load.prefixes_up_to(1), options.workers, options.cpus.size(),
        static_cast<double>(counts.sent) / 1e6, printed(counts.lost()), printed(counts.misrouted),
        median(slowest), *std::max_element(slowest.begin(), slowest.end()),
        std::count_if(slowest.begin(), slowest.end(), [](double us) { return us > bound_us; }));
    for (unsigned w = 0; w < options.workers; ++w) {
        std::printf(
            "%s worker %u %.0f/%.0f", w == 0 ? " (" : ",", w, median(all[w]),
            *std::max_element(all[w].begin(), all[w].end()));
    }
    std::printf(")\n");
    router.stop();
    const bool same = router.alike();
    std::printf("replicas and RIB: %s\n", same ? "equal" : "DIFFERENT");
    return same && counts.sent > 0 && counts.misrouted == 0 && counts.lost() == 0;
}

// --- link ---

bool ask_link(fib_data& data, const churn_options& options) {
    churn_router router(
        {.cpus = options.cpus,
         .peers = data.options().hops,
         .recursive = data.options().hops,
         .workers = options.workers,
         .both_ways = true});
    churn_load load(data, router);
    router.start(load.destinations(data));
    router.start_count();
    std::vector<double> took;
    for (unsigned i = 0; i < 2 * options.flaps; ++i) {
        const std::uint64_t start = rte_rdtsc_precise();
        router.turn_link(i % 2 == 1);
        router.control().pump();
        took.push_back(static_cast<double>(rte_rdtsc_precise() - start) * us_per_cycle());
        std::this_thread::sleep_for(std::chrono::milliseconds(4));
        while (!router.control().settled()) {
            router.control().pump();
            std::this_thread::yield();
        }
    }
    const forwarded counts = router.stop_count();
    std::printf(
        "link/pantala: %u times down and up, %zu prefixes over it by %u next hops, %u workers, "
        "%.1f M packets: lost %llu, misrouted %llu; a turn costs control median %.0f us, longest "
        "%.0f us\n",
        options.flaps, load.prefixes(), data.options().hops, options.workers,
        static_cast<double>(counts.sent) / 1e6, printed(counts.lost()), printed(counts.misrouted),
        median(took), *std::max_element(took.begin(), took.end()));
    router.stop();
    const bool same = router.alike();
    std::printf("replicas and RIB: %s\n", same ? "equal" : "DIFFERENT");
    return same && counts.sent > 0 && counts.misrouted == 0 && counts.lost() == 0;
}

// --- all ---

// The check itself under test: it is silent, then a thousandth of the routes is wrong and it must
// speak, then they are right again and it must be silent.
bool prove_the_check(churn_load& load) {
    constexpr unsigned every = 1000;
    bool good = true;
    for (const bool wrong : {false, true, false}) {
        load.mislead(every, wrong);
        const outcome out = load.run(0, 0.5);
        good &= out.counts.sent > 0 && (out.counts.misrouted > 0) == wrong;
        std::printf(
            "one prefix in %u %s: %llu of %llu packets misrouted\n", every,
            wrong ? "leads elsewhere" : "is as it should be", printed(out.counts.misrouted),
            printed(out.counts.sent));
    }
    std::printf("the check %s\n", good ? "holds" : "FAILS");
    return good;
}

bool run_one_worker(fib_data& data, const churn_options& options, bool inject_fault) {
    churn_router router({.cpus = options.cpus, .peers = data.options().hops});
    churn_load load(data, router);
    router.start(load.destinations(data));
    bool good = true;
    if (inject_fault) {
        good = prove_the_check(load);
    } else {
        good = !options.wants("poll") || ask_poll(router);
        good &= !options.wants("curve") || draw_curve(load, options);
    }
    router.stop();
    const bool same = router.alike();
    std::printf("replica and RIB: %s\n", same ? "equal" : "DIFFERENT");
    return good && same;
}

bool run_all(fib_data& data, const churn_options& options) {
    bool good = true;
    if (options.wants("curve") || options.wants("poll")) {
        good &= run_one_worker(data, options, false);
    }
    if (options.wants("hop")) {
        good &= ask_hop(data, options);
    }
    if (options.wants("link")) {
        good &= ask_link(data, options);
    }
    return good;
}

} // namespace

} // namespace pantala::bench

int main(int argc, char** argv) {
    using namespace pantala::bench;
    fib_options table;
    churn_options options;
    bool inject_fault = false;
    CLI::App app("Forwarding while routes change");
    app.add_option("--table", table.table, "prefix file, plain or gzip'd (default: synthetic)");
    app.add_option("--rates", options.rates, "changes a second, the first 0 for comparison")
        ->delimiter(',');
    app.add_option("--seconds", options.seconds, "of each rate");
    app.add_option("--workers", options.workers, "that see the way and the link flap")
        ->check(CLI::Range(1U, 32U));
    app.add_option("--flaps", options.flaps, "of the way, and of the link")
        ->check(CLI::Range(1U, 100'000U));
    app.add_option("--only", options.only, "which questions: curve, poll, hop, link")
        ->delimiter(',')
        ->check(CLI::IsMember({"curve", "poll", "hop", "link"}));
    app.add_flag("--inject-fault", inject_fault, "wrong routes, which the check must notice");
    CLI11_PARSE(app, argc, argv);
    const char* eal[] = {argv[0], "--no-huge", "--no-pci",   "--no-shconf",        "--no-telemetry",
                         "-m",    "512",       "--lcores=0", "--log-level=*:error"};
    if (options.cpus.size() < 2) {
        say("two CPUs are needed: one for control, one for the worker");
        return 1;
    }
    if (rte_eal_init(std::size(eal), const_cast<char**>(eal)) < 0) {
        say("EAL does not start");
        return 1;
    }
    fib_data data(table);
    const bool good = inject_fault ? run_one_worker(data, options, true) : run_all(data, options);
    return good ? 0 : 1;
}
