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

result<trial_report> search_throughput(
    trial_runner& runner, const search_options& options,
    const std::function<bool(const trial_report&)>& seen) {
    std::optional<trial_report> best;
    double low = 0;
    double high = 0; // 0: no rate has lost anything yet
    std::uint64_t rate = options.highest;
    for (unsigned i = 0; i < options.trials; ++i) {
        auto trial = runner.run({.rate = rate, .seconds = options.seconds});
        if (!trial) {
            return trial.failure();
        }
        if (trial->sender.sent == 0) {
            return error{EIO, "the generator's port sends nothing: is it up?"};
        }
        const double offered = std::min(trial->sent_rate(), rate == 0 ? 1e18 : double(rate));
        if (trial->clean()) {
            // A sender that cannot reach the rate asked for is itself the limit.
            const bool limit = rate == 0 || trial->sent_rate() < 0.97 * double(rate);
            if (!best || offered > low) {
                low = offered;
                best = *trial;
            }
            high = limit ? low : high;
        } else {
            high = offered;
        }
        if ((seen && !seen(*trial)) || (high > 0 && (high - low) <= options.resolution * high)) {
            break;
        }
        // The first guess after a loss is what came through; then halves.
        const double came = trial->clean() ? low : trial->received_rate();
        const double middle = high == 0 ? 2 * low : (low + high) / 2;
        rate = static_cast<std::uint64_t>(
            low == 0 && came > 0.05 * high && came < 0.97 * high ? 0.97 * came : middle);
    }
    if (!best) {
        return error{EIO, "no rate was without loss"};
    }
    return *best;
}

} // namespace pantala::app
