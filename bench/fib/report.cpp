#include "bench/fib/report.hpp"

#include "bench/fib/data.hpp"

#include <algorithm>

namespace pantala::bench {

namespace {

double median(std::vector<double> of) {
    std::sort(of.begin(), of.end());
    return of[of.size() / 2];
}

// Parts of "family/structure/set".
struct name_parts {
    std::string family;
    std::string structure;
    std::string set;
};

name_parts parts_of(const std::string& name) {
    const std::size_t first = name.find('/');
    const std::size_t second = name.find('/', first + 1);
    const std::size_t third = name.find('/', second + 1);
    return {
        name.substr(0, first), name.substr(first + 1, second - first - 1),
        name.substr(second + 1, third - second - 1)};
}

} // namespace

ratio_reporter::ratio_reporter(
    std::unique_ptr<benchmark::BenchmarkReporter> to, bool aggregates_only)
    : to_(std::move(to)), aggregates_only_(aggregates_only) {}

bool ratio_reporter::ReportContext(const Context& context) {
    to_->SetOutputStream(&GetOutputStream());
    to_->SetErrorStream(&GetErrorStream());
    return to_->ReportContext(context);
}

void ratio_reporter::ReportRuns(const std::vector<Run>& runs) {
    for (const Run& run : runs) {
        const auto rate = run.counters.find("items_per_second");
        if (run.run_type == Run::RT_Iteration && rate != run.counters.end()) {
            const name_parts parts = parts_of(run.benchmark_name());
            rates_[parts.family + "/" + parts.structure + "/" + parts.set].push_back(
                rate->second.value);
        }
    }
    const bool is_part = std::all_of(runs.begin(), runs.end(), [](const Run& run) {
        return run.run_type == Run::RT_Iteration && run.repetitions > 1;
    });
    if (!aggregates_only_ || !is_part) {
        to_->ReportRuns(runs);
    }
}

void ratio_reporter::print() const {
    for (const auto& [name, rates] : rates_) {
        const auto [least, most] = std::minmax_element(rates.begin(), rates.end());
        say("%-36s median %7.1f M/s, %7.1f to %7.1f, %zu runs", name.c_str(), median(rates) / 1e6,
            *least / 1e6, *most / 1e6, rates.size());
    }
    for (const auto& [name, rates] : rates_) {
        const name_parts mine = parts_of(name);
        std::string best;
        for (const auto& [other, other_rates] : rates_) {
            const name_parts rival = parts_of(other);
            const bool competes = rival.family == mine.family && rival.set == mine.set &&
                                  rival.structure.starts_with("rte_");
            if (competes && (best.empty() || median(other_rates) > median(rates_.at(best)))) {
                best = other;
            }
        }
        if (mine.structure == "pantala" && !best.empty()) {
            const std::vector<double>& rival = rates_.at(best);
            say("ratio %s: %.2f to the best rival, %s (medians; least to most %.2f to %.2f)",
                name.c_str(), median(rates) / median(rival), parts_of(best).structure.c_str(),
                *std::min_element(rates.begin(), rates.end()) /
                    *std::max_element(rival.begin(), rival.end()),
                *std::max_element(rates.begin(), rates.end()) /
                    *std::min_element(rival.begin(), rival.end()));
        }
    }
}

} // namespace pantala::bench
