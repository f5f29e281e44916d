// What fib_bench ends with: medians and spread of the repetitions, and Pantala's ratio to the best
// rival of each set of keys.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

namespace pantala::bench {

// Passes everything on to another reporter, and keeps the rates.
class ratio_reporter final : public benchmark::BenchmarkReporter {
  public:
    // `aggregates_only`: of repeated runs only medians and the like are passed on.
    ratio_reporter(std::unique_ptr<benchmark::BenchmarkReporter> to, bool aggregates_only);

    bool ReportContext(const Context& context) override;
    void ReportRuns(const std::vector<Run>& runs) override;
    void Finalize() override { to_->Finalize(); }

    // On stderr: a line for each benchmark, and one for each `family/pantala/set` with rivals.
    void print() const;

  private:
    std::unique_ptr<benchmark::BenchmarkReporter> to_;
    bool aggregates_only_;
    std::map<std::string, std::vector<double>> rates_; // items a second, by name
};

} // namespace pantala::bench
