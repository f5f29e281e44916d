#include "bench/fib/churn_load.hpp"

#include <algorithm>
#include <thread>

namespace pantala::bench {

namespace {

constexpr unsigned slice_us = 100; // changes are handed out a slice at a time
constexpr unsigned prefetch_ahead = 8;
constexpr std::size_t latencies_max = 2000;

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

} // namespace

churn_load::churn_load(fib_data& data, churn_router& router, std::size_t heavy)
    : router_(router), changes_(make_changes(data.routes4())) {
    std::shuffle(changes_.begin(), changes_.end(), random_);
    for (std::size_t i = 0; heavy > 0 && i < changes_.size(); ++i) {
        // Those of the first next hop give way to others; then so many get it.
        change& each = changes_[i];
        each.index = i < heavy ? 1 : std::max<std::uint16_t>(each.index, 2);
    }
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
}

std::size_t churn_load::prefixes_up_to(unsigned index) const {
    return static_cast<std::size_t>(
        std::count_if(changes_.begin(), changes_.end(), [index](const change& each) {
            return each.index <= index;
        }));
}

std::vector<destination> churn_load::destinations(fib_data& data) const {
    std::vector<destination> made;
    for (const std::uint32_t key : data.keys(key_set::inside).keys) {
        const result<route> found = router_.control().get(key);
        if (found) {
            made.push_back({be32::from(key), churn_router::index_of(*found)});
        }
    }
    say("%zu destinations", made.size());
    return made;
}

outcome churn_load::run(double rate, double seconds) {
    outcome out;
    out.rate_asked = rate;
    made_ = {};
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
        if (latencies.size() < latencies_max) {
            latencies.push_back(wait_for_workers(now));
        }
        std::this_thread::sleep_for(std::chrono::microseconds(slice_us));
        now = clock::now();
    }
    out.seconds = std::chrono::duration<double>(clock::now() - start).count();
    out.counts = router_.stop_count();
    out.changes = made_;
    out.control_share = std::chrono::duration<double>(busy).count() / out.seconds;
    std::sort(latencies.begin(), latencies.end());
    out.latency_us = latencies[latencies.size() / 2];
    return out;
}

void churn_load::mislead(unsigned every, bool wrong) {
    const unsigned hops = router_.layout().peers;
    for (std::size_t i = 0; i < changes_.size(); i += every) {
        const std::uint16_t index = changes_[i].index;
        const auto next = static_cast<std::uint16_t>(index % hops + 1);
        const feed_route route{
            changes_[i].prefix, router_.hop(wrong ? next : index, changes_[i].other)};
        while (!router_.control().announce(route).ok()) {
            router_.control().pump();
        }
    }
    wait_for_workers(clock::now());
}

void churn_load::one_change() {
    const std::size_t at = done_ % changes_.size();
    const std::size_t ahead = (done_ + prefetch_ahead) % changes_.size();
    router_.control().prefetch(changes_[ahead].prefix);
    change& now = changes_[at];
    ++done_;
    result<void> applied;
    if (now.nested && done_ % 5 >= 3) {
        now.there = !now.there;
        ++(now.there ? made_.announced : made_.withdrawn);
        applied = now.there ? announce(now) : router_.control().withdraw(now.prefix);
    } else if (now.there) {
        now.other = !now.other;
        ++made_.moved;
        applied = announce(now);
    }
    while (!applied.ok()) { // workers do not keep up
        router_.control().pump();
        applied = now.there ? announce(now) : router_.control().withdraw(now.prefix);
    }
}

result<void> churn_load::announce(const change& now) {
    return router_.control().announce({now.prefix, router_.hop(now.index, now.other)});
}

// Until the workers have applied all that was written; microseconds since `start`.
double churn_load::wait_for_workers(clock::time_point start) {
    while (!router_.control().settled()) {
        router_.control().pump();
        std::this_thread::yield(); // they may have this CPU
    }
    return std::chrono::duration<double, std::micro>(clock::now() - start).count();
}

} // namespace pantala::bench
