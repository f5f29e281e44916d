// churn_bench: a worker with its whole stack forwards 64-byte frames to destinations all over the
// table while control changes routes at a given rate. Every packet is checked where it leaves: the
// next hop must be one that its destination has had. Prints, for each rate, what was lost and
// misrouted, throughput, the rounds' 99.9th percentile and how long a change takes to arrive.
//
//   churn_bench --table FILE [--seconds N] [--rates 0,100000,1000000,1500000,2000000]
//   churn_bench --inject-fault     some routes lead where they should not: that must be noticed
//
// Churn: 3 of 5 changes give a prefix its other next hop of two, the rest withdraw or announce one
// of the nested prefixes (each has one of the two next hops of its parent, so the answer stays
// checkable while it comes and goes).
#include "bench/fib/churn_router.hpp"
#include "bench/fib/data.hpp"

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include <CLI/CLI.hpp>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_lcore.h>

namespace pantala::bench {

namespace {

using clock = std::chrono::steady_clock;

constexpr unsigned slice_us = 100; // changes are handed out a slice at a time
constexpr unsigned prefetch_ahead = 8;

struct change {
    prefix4 prefix;
    std::uint16_t index; // of the next hop, 1..peers
    bool nested;         // comes and goes
    bool there = true;
    bool other = false;
};

struct outcome {
    double rate_asked = 0;
    double rate_done = 0;
    double control_share = 0; // of control's core
    forwarded counts;
    double seconds = 0;
    double latency_us = 0; // median of a change's way to the worker
};

// Prefixes with what lies nested directly in another marked, and given their parent's next hop.
std::vector<change> make_changes(std::vector<route4> routes) {
    std::sort(routes.begin(), routes.end(), [](const route4& a, const route4& b) {
        return a.prefix < b.prefix;
    });
    std::vector<change> changes;
    std::vector<std::size_t> parents; // in `changes`, around the present one
    for (const route4& route : routes) {
        while (!parents.empty() && !changes[parents.back()].prefix.covers(route.prefix.address)) {
            parents.pop_back();
        }
        change made{route.prefix, route.hop, false};
        const bool has_parent = !parents.empty();
        if (has_parent && !changes[parents.back()].nested && changes.size() % 4 == 0) {
            made.nested = true;
            made.index = changes[parents.back()].index;
        }
        parents.push_back(changes.size());
        changes.push_back(made);
    }
    return changes;
}

// One worker on another lcore, control here.
class churn {
  public:
    churn(fib_data& data, churn_router& router)
        : router_(router), changes_(make_changes(data.routes4())) {
        std::vector<feed_route> feed;
        for (const change& each : changes_) {
            feed.push_back({each.prefix, router_.hop(each.index, false)});
        }
        const auto start = clock::now();
        if (!router_.control().load(feed).ok()) {
            say("the table does not load");
            std::exit(1);
        }
        say("loaded %zu routes in %.3f s", feed.size(),
            std::chrono::duration<double>(clock::now() - start).count());
        std::shuffle(changes_.begin(), changes_.end(), random_);
        make_destinations(data);
    }

    outcome run(double rate, double seconds) {
        outcome out;
        out.rate_asked = rate;
        router_.start_count();
        std::vector<double> latencies;
        const auto start = clock::now();
        const std::uint64_t changes_before = done_;
        clock::duration busy{};
        for (auto now = start; std::chrono::duration<double>(now - start).count() < seconds;) {
            const double elapsed = std::chrono::duration<double>(now - start).count();
            const auto due = changes_before + static_cast<std::uint64_t>(elapsed * rate);
            while (done_ < due) {
                one_change();
            }
            router_.control().pump();
            const auto end = clock::now();
            busy += end - now;
            if (latencies.size() < 2000) {
                latencies.push_back(wait_for_worker(now));
            }
            std::this_thread::sleep_for(std::chrono::microseconds(slice_us));
            now = clock::now();
        }
        out.seconds = std::chrono::duration<double>(clock::now() - start).count();
        out.counts = router_.stop_count();
        out.rate_done = static_cast<double>(done_ - changes_before) / out.seconds;
        out.control_share = std::chrono::duration<double>(busy).count() / out.seconds;
        std::sort(latencies.begin(), latencies.end());
        out.latency_us = latencies[latencies.size() / 2];
        return out;
    }

    // Moves the way to the gateways of half the table; microseconds until the worker has it.
    double flap(bool other) {
        const auto start = clock::now();
        router_.move_way(other);
        router_.control().pump();
        return wait_for_worker(start);
    }

    // Gives one prefix in `every` a next hop that no packet to it has had, or the right one again.
    void mislead(unsigned every, unsigned hops, bool wrong) {
        for (std::size_t i = 0; i < changes_.size(); i += every) {
            const std::uint16_t index = changes_[i].index;
            const auto next = static_cast<std::uint16_t>(index % hops + 1);
            const feed_route route{
                changes_[i].prefix, router_.hop(wrong ? next : index, changes_[i].other)};
            while (!router_.control().announce(route).ok()) {
                router_.control().pump();
            }
        }
        wait_for_worker(clock::now());
    }

  private:
    void make_destinations(fib_data& data) {
        const keys4& keys = data.keys(key_set::inside);
        std::vector<churn_router::destination> made;
        for (const std::uint32_t key : keys.keys) {
            const result<route> found = router_.control().get(key);
            if (found) {
                made.push_back({be32::from(key), router_.index_of(*found)});
            }
        }
        say("%zu destinations", made.size());
        router_.set_destinations(std::move(made));
    }

    void one_change() {
        const std::size_t at = done_ % changes_.size();
        const std::size_t ahead = (done_ + prefetch_ahead) % changes_.size();
        router_.control().prefetch(changes_[ahead].prefix);
        change& now = changes_[at];
        ++done_;
        result<void> applied;
        if (now.nested && done_ % 5 >= 3) {
            now.there = !now.there;
            applied = now.there ? announce(now) : router_.control().withdraw(now.prefix);
        } else if (now.there) {
            now.other = !now.other;
            applied = announce(now);
        }
        while (!applied.ok()) { // workers do not keep up
            router_.control().pump();
            applied = now.there ? announce(now) : router_.control().withdraw(now.prefix);
        }
    }

    result<void> announce(const change& now) {
        return router_.control().announce({now.prefix, router_.hop(now.index, now.other)});
    }

    // Until the worker has applied all that was written; microseconds since `start`.
    double wait_for_worker(clock::time_point start) {
        while (!router_.control().settled()) {
            router_.control().pump();
        }
        return std::chrono::duration<double, std::micro>(clock::now() - start).count();
    }

    churn_router& router_;
    std::vector<change> changes_;
    std::mt19937_64 random_{11};
    std::uint64_t done_ = 0;
};

void print(const outcome& out, double quiet_mpps) {
    const forwarded& counts = out.counts;
    const double mpps = static_cast<double>(counts.sent) / out.seconds / 1e6;
    const double cycles = 1e6 / static_cast<double>(rte_get_tsc_hz());
    std::printf(
        "churn/pantala/%-8.0f %9.0f/s  %6.2f Mpps (%5.1f %%)  lost %llu  misrouted %llu  round "
        "p50 %.1f p99.9 %.1f max %.1f us  change arrives in %.0f us  control %.0f %%\n",
        out.rate_asked, out.rate_done, mpps, quiet_mpps > 0 ? 100 * mpps / quiet_mpps : 100.0,
        static_cast<unsigned long long>(counts.received - counts.sent),
        static_cast<unsigned long long>(counts.misrouted), counts.percentile(0.5) * cycles,
        counts.percentile(0.999) * cycles, static_cast<double>(counts.longest) * cycles,
        out.latency_us, 100 * out.control_share);
}

// The check itself under test: it is silent, then a thousandth of the routes is wrong and it must
// speak, then they are right again and it must be silent.
int prove_the_check(churn& load, unsigned hops) {
    constexpr unsigned every = 1000;
    bool good = true;
    for (const bool wrong : {false, true, false}) {
        load.mislead(every, hops, wrong);
        const outcome out = load.run(0, 0.5);
        good &= out.counts.sent > 0 && (out.counts.misrouted > 0) == wrong;
        std::printf(
            "one prefix in %u %s: %llu of %llu packets misrouted\n", every,
            wrong ? "leads elsewhere" : "is as it should be",
            static_cast<unsigned long long>(out.counts.misrouted),
            static_cast<unsigned long long>(out.counts.sent));
    }
    std::printf("the check %s\n", good ? "holds" : "FAILS");
    return good ? 0 : 1;
}

int run_all(fib_data& data, const std::vector<double>& rates, double seconds, bool inject_fault) {
    churn_router router(data.options().hops);
    churn load(data, router);
    rte_eal_remote_launch(
        [](void* self) {
            static_cast<churn_router*>(self)->run();
            return 0;
        },
        &router, rte_get_next_lcore(-1, 1, 0));
    router.resolve_neighbors();
    if (inject_fault) {
        const int status = prove_the_check(load, data.options().hops);
        router.stop();
        rte_eal_mp_wait_lcore();
        return status;
    }
    bool good = true;
    double quiet_mpps = 0;
    for (const double rate : rates) {
        const outcome out = load.run(rate, seconds);
        print(out, quiet_mpps);
        std::fflush(stdout);
        quiet_mpps =
            rate == 0 ? static_cast<double>(out.counts.sent) / out.seconds / 1e6 : quiet_mpps;
        good &= out.counts.misrouted == 0 && out.counts.received == out.counts.sent;
    }
    router.start_count();
    std::vector<double> flaps;
    for (unsigned i = 0; i < 200; ++i) {
        flaps.push_back(load.flap(i % 2 == 0));
    }
    const forwarded counts = router.stop_count();
    std::sort(flaps.begin(), flaps.end());
    std::printf(
        "flap of the way to %u of %u next hops (%zu prefixes): median %.0f us, longest %.0f us, "
        "lost %llu, misrouted %llu\n",
        router.recursive_peers(), data.options().hops, router.recursive_prefixes(data.routes4()),
        flaps[flaps.size() / 2], flaps.back(),
        static_cast<unsigned long long>(counts.received - counts.sent),
        static_cast<unsigned long long>(counts.misrouted));
    good &= counts.misrouted == 0 && counts.received == counts.sent;
    router.stop();
    rte_eal_mp_wait_lcore();
    const bool same = router.replica().hash() == router.control().hash();
    std::printf("replica and RIB: %s\n", same ? "equal" : "DIFFERENT");
    return good && same ? 0 : 1;
}

} // namespace

} // namespace pantala::bench

int main(int argc, char** argv) {
    using namespace pantala::bench;
    fib_options options;
    std::vector<double> rates = {0,       1'000,     10'000,    100'000,
                                 300'000, 1'000'000, 1'500'000, 2'000'000};
    double seconds = 3;
    bool inject_fault = false;
    CLI::App app("Forwarding while routes change");
    app.add_option("--table", options.table, "prefix file, plain or gzip'd (default: synthetic)");
    app.add_option("--rates", rates, "changes a second, the first 0 for comparison")
        ->delimiter(',');
    app.add_option("--seconds", seconds, "of each rate");
    app.add_flag("--inject-fault", inject_fault, "wrong routes, which the check must notice");
    CLI11_PARSE(app, argc, argv);
    const char* eal[] = {argv[0],       "--no-huge",      "--no-pci",
                         "--no-shconf", "--no-telemetry", "-m",
                         "256",         "--lcores=0,1",   "--log-level=*:error"};
    if (rte_eal_init(std::size(eal), const_cast<char**>(eal)) < 0) {
        say("EAL does not start (two CPUs are needed)");
        return 1;
    }
    fib_data data(options);
    return run_all(data, rates, seconds, inject_fault);
}
