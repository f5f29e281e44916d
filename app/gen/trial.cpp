#include "app/gen/trial.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

#include <fmt/format.h>

namespace pantala::app {

using nlohmann::json;
using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

namespace {

constexpr unsigned cancel_limit_ms = 2000; // the sender looks between bursts

} // namespace

double trial_report::sent_rate() const {
    return sender.seconds > 0 ? static_cast<double>(sender.sent) / sender.seconds : 0;
}

double trial_report::received_rate() const {
    return sender.seconds > 0 ? static_cast<double>(sink.received) / sender.seconds : 0;
}

json to_json(const trial_report& report) {
    const sink_state& sink = report.sink;
    return {
        {"seconds", report.sender.seconds},
        {"seconds_wanted", report.order.seconds},
        {"interrupted", report.interrupted},
        {"offered_pps", report.order.rate},
        {"sent", report.sender.sent},
        {"received", sink.received},
        {"lost", report.lost()},
        {"duplicate", sink.duplicate},
        {"reordered", sink.reordered},
        {"late", sink.late},
        {"misrouted", sink.misrouted},
        {"corrupt", sink.corrupt},
        {"foreign", sink.foreign},
        {"missed_by_port", sink.missed},
        {"bursts_port_full", report.sender.port_full},
        {"mpps", report.received_rate() / 1e6},
        {"gbit_s", report.sender.seconds > 0
                       ? static_cast<double>(sink.bytes) * 8 / report.sender.seconds / 1e9
                       : 0.0},
        {"p50_us", sink.p50_us},
        {"p90_us", sink.p90_us},
        {"p99_us", sink.p99_us},
        {"p999_us", sink.p999_us},
        {"max_us", sink.max_us},
    };
}

// False: it was told to end early.
result<bool> trial_runner::wait_sent(const trial_watch& watch) {
    const auto began = steady::now();
    auto next = began + 1s;
    for (;;) {
        auto sender = ends_.sender();
        if (!sender) {
            return sender.failure();
        }
        if (!sender->busy) {
            return true;
        }
        if (stopped_ && stopped_()) {
            return false;
        }
        const auto now = steady::now();
        if (watch && now >= next) {
            auto sink = ends_.sink();
            if (!sink) {
                return sink.failure();
            }
            if (!watch(std::chrono::duration<double>(now - began).count(), *sender, *sink)) {
                return false;
            }
            next += 1s;
        }
        std::this_thread::sleep_for(10ms);
    }
}

// Nothing is sent any more when it returns.
result<void> trial_runner::end_sending() {
    if (ends_.cancel) {
        if (auto told = ends_.cancel(); !told) {
            return told;
        }
    }
    for (unsigned ms = 0; ms < cancel_limit_ms; ms += 10) {
        const auto sender = ends_.sender();
        if (!sender || !sender->busy) {
            return sender ? result<void>() : sender.failure();
        }
        std::this_thread::sleep_for(10ms);
    }
    return error{ETIMEDOUT, "the generator goes on sending although it was told to end"};
}

result<void> trial_runner::wait_received() {
    const auto sender = ends_.sender();
    if (!sender) {
        return sender.failure();
    }
    std::uint64_t before = ~std::uint64_t{0};
    auto moved = steady::now();
    for (;;) {
        const auto sink = ends_.sink();
        if (!sink) {
            return sink.failure();
        }
        const std::uint64_t all = sink->received + sink->late + sink->duplicate;
        if (sink->received + sink->late >= sender->sent) {
            return {};
        }
        const auto now = steady::now();
        if (all != before) {
            before = all;
            moved = now;
        } else if (now - moved > std::chrono::milliseconds(quiet_ms)) {
            return {};
        }
        std::this_thread::sleep_for(5ms);
    }
}

result<trial_report> trial_runner::run(send_order order, const trial_watch& watch) {
    order.stream = ++stream_;
    trial_report report;
    report.order = order;
    if (auto begun = ends_.begin(order.stream); !begun) {
        return begun.failure();
    }
    if (auto sent = ends_.send(order); !sent) {
        return sent.failure();
    }
    auto whole = wait_sent(watch);
    if (!whole) {
        return whole.failure();
    }
    report.interrupted = !*whole;
    if (report.interrupted) {
        if (auto ended = end_sending(); !ended) {
            return ended.failure();
        }
    }
    if (auto received = wait_received(); !received) {
        return received.failure();
    }
    auto sender = ends_.sender();
    auto sink = ends_.sink();
    if (!sender || !sink) {
        return sender ? sink.failure() : sender.failure();
    }
    report.sender = *sender;
    report.sink = *sink;
    return report;
}

namespace {

// Where the highest rate without loss lies, as far as trials have told.
class bracket {
  public:
    explicit bracket(double resolution) : resolution_(resolution) {}

    // Takes a whole trial at `rate` (0: as fast as could be) into account; true: the best so far.
    bool learn(const trial_report& trial, std::uint64_t rate) {
        const double offered = std::min(trial.sent_rate(), rate == 0 ? 1e18 : double(rate));
        if (!trial.clean()) {
            high_ = offered;
            return false;
        }
        // A sender that cannot reach the rate asked for is itself the limit.
        const bool limit = rate == 0 || trial.sent_rate() < 0.97 * double(rate);
        const bool best = !any_ || offered > low_;
        low_ = best ? offered : low_;
        high_ = limit ? low_ : high_;
        any_ = true;
        return best;
    }
    bool narrow() const { return high_ > 0 && high_ - low_ <= resolution_ * high_; }
    // The first guess after a loss is what came through; then halves.
    std::uint64_t next(const trial_report& last) const {
        const double came = last.clean() ? low_ : last.received_rate();
        const double middle = high_ == 0 ? 2 * low_ : (low_ + high_) / 2;
        return static_cast<std::uint64_t>(std::max(
            1.0, low_ == 0 && came > 0.05 * high_ && came < 0.97 * high_
                     ? 0.97 * came
                     : middle)); // 0 would be the fastest
    }

  private:
    double resolution_;
    double low_ = 0;
    double high_ = 0; // 0: no rate has lost anything yet
    bool any_ = false;
};

} // namespace

result<search_report> search_throughput(
    trial_runner& runner, const search_options& options,
    const std::function<void(const trial_report&)>& seen, const trial_watch& during) {
    search_report report;
    std::optional<trial_report> best;
    bracket between(options.resolution);
    std::uint64_t rate = options.highest;
    while (report.trials < options.trials && !report.interrupted && !between.narrow()) {
        auto trial =
            runner.run({.rate = rate, .seconds = options.seconds, .sizes = options.sizes}, during);
        if (!trial) {
            return trial.failure();
        }
        report.interrupted = trial->interrupted;
        if (report.interrupted) {
            break;
        }
        if (trial->sender.sent == 0) {
            return error{EIO, "the generator's port sends nothing: is it up?"};
        }
        ++report.trials;
        if (between.learn(*trial, rate)) {
            best = *trial;
        }
        if (seen) {
            seen(*trial);
        }
        rate = between.next(*trial);
    }
    if (!best) {
        return report.interrupted ? error{EINTR, "interrupted before a rate without loss was found"}
                                  : error{EIO, "no rate was without loss"};
    }
    report.best = *best;
    return report;
}

json to_json(const search_report& report) {
    json row = to_json(report.best);
    row["trials"] = report.trials;
    row["interrupted"] = report.interrupted;
    return row;
}

} // namespace pantala::app
