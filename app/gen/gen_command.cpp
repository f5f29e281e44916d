// `pantala gen`: generator and sink, in one process or as two that a third drives.
#include "app/cli/commands.hpp"
#include "app/gen/gen_options.hpp"
#include "app/gen/generator.hpp"
#include "app/gen/trial_server.hpp"

#include <memory>

#include <fmt/format.h>

namespace pantala::app {

namespace {

struct gen_command {
    cli_context& context;
    const std::vector<std::string>& eal;
    int& status;
    gen_words words;
};

std::string trial_text(const trial_report& report) {
    const sink_state& sink = report.sink;
    const std::string partial =
        report.interrupted
            ? fmt::format(
                  "interrupted: {:.2f} of {} s\n", report.sender.seconds, report.order.seconds)
            : "";
    return partial +
           fmt::format(
               "sent      {} in {:.2f} s ({}pps)\n"
               "received  {} ({}pps)\n"
               "lost      {}   duplicate {}   reordered {}   misrouted {}   corrupt {}   foreign "
               "{}\n"
               "latency   p50 {:.1f} us   p90 {:.1f}   p99 {:.1f}   p99.9 {:.1f}   max {:.1f}\n",
               report.sender.sent, report.sender.seconds, format_count(report.sent_rate()) + " ",
               sink.received, format_count(report.received_rate()) + " ", report.lost(),
               sink.duplicate, sink.reordered, sink.misrouted, sink.corrupt, sink.foreign,
               sink.p50_us, sink.p90_us, sink.p99_us, sink.p999_us, sink.max_us);
}

trial_watch live_line(progress_line& line, std::string before) {
    return [&line, before = std::move(before), sent = std::uint64_t{0}, got = std::uint64_t{0}](
               double seconds, const sender_state& sender, const sink_state& sink) mutable {
        line.show(fmt::format(
            "{}{:.0f} s  sent {:>8}pps  received {:>8}pps  misrouted {}", before, seconds,
            format_count(double(sender.sent - sent)) + " ",
            format_count(double(sink.received - got)) + " ", sink.misrouted));
        sent = sender.sent;
        got = sink.received;
        return true;
    };
}

// One search, with a line for each of its trials and one while a long one runs.
result<search_report>
search_sizes(trial_runner& runner, const gen_command& command, const gen_words::searched& frames) {
    const search_options options{
        .seconds = command.words.seconds,
        .resolution = command.words.resolution,
        .highest = command.words.packet_rate,
        .sizes = frames.sizes};
    progress_line line;
    const std::string name = fmt::format("{} bytes, ", frames.name);
    unsigned trials = 0;
    return search_throughput(
        runner, options,
        [&](const trial_report& trial) {
            line.clear();
            fmt::print(
                stderr, "{}trial {} at {:>8}pps: lost {}\n", name, ++trials,
                format_count(trial.sent_rate()) + " ", trial.lost());
        },
        live_line(line, name));
}

json searched_row(const gen_words::searched& frames, const result<search_report>& found) {
    json row = found ? to_json(*found) : json{{"error", found.failure().text}};
    row["size"] = frames.name;
    return row;
}

void print_searches(const json& rows, bool interrupted) {
    static constexpr column columns[] = {
        {"size", "size", true},
        {"Mpps", "mpps", true},
        {"Gbit/s", "gbit_s", true},
        {"p50 us", "p50_us", true},
        {"p99 us", "p99_us", true},
        {"trials", "trials", true},
        {"", "error"}};
    json shown = rows;
    for (json& row : shown) {
        for (const char* key : {"mpps", "gbit_s", "p50_us", "p99_us"}) {
            row[key] =
                row.contains(key) ? json(fmt::format("{:.3f}", row[key].get<double>())) : json("-");
        }
        row["error"] = row.contains("error") ? row["error"] : json("");
    }
    fmt::print("{}{}", format_table(columns, shown), interrupted ? "interrupted\n" : "");
}

int run_searches(trial_runner& runner, const gen_command& command) {
    const auto& searches = command.words.searches;
    json rows = json::array();
    bool interrupted = false;
    bool all = true;
    for (std::size_t i = 0; i < searches.size() && !interrupted; ++i) {
        const auto found = search_sizes(runner, command, searches[i]);
        interrupted = found ? found->interrupted : found.failure().code == EINTR;
        if (!found && searches.size() == 1) {
            return report(found.failure());
        }
        if (!found) {
            report(found.failure());
        }
        all = all && found;
        rows.push_back(searched_row(searches[i], found));
    }
    if (command.context.json) {
        print_line(
            searches.size() == 1 ? rows[0].dump()
                                 : json{{"searches", rows}, {"interrupted", interrupted}}.dump());
    } else {
        print_searches(rows, interrupted);
    }
    return all && !interrupted ? 0 : exit_failed;
}

int run_trial(trial_runner& runner, const gen_command& command) {
    const send_order order{
        .rate = command.words.packet_rate,
        .seconds = command.words.seconds,
        .packets = command.words.count};
    progress_line line;
    const auto trial = runner.run(order, live_line(line, ""));
    line.clear();
    if (!trial) {
        return report(trial.failure());
    }
    fmt::print("{}", command.context.json ? to_json(*trial).dump() + "\n" : trial_text(*trial));
    return trial->clean() && !trial->interrupted ? 0 : exit_failed;
}

setup_watch shown_until(progress_line& line, const stop_signals& signals) {
    return [&](std::string_view what, std::uint64_t done, std::uint64_t of) {
        line.show({std::string(what), done, of});
        return !signals.requested();
    };
}

int run_gen(gen_command& command) {
    auto options = generator_settings(command.words, command.eal);
    if (!options) {
        return report(options.failure());
    }
    if (!command.words.serve && (options->tx.empty() || options->rx.empty())) {
        return report(
            {EINVAL, "gen: with only one of --tx and --rx another program must drive "
                     "it: say --serve --socket PATH"});
    }
    stop_signals signals;
    progress_line line;
    options->watch = shown_until(line, signals);
    auto opened = generator::open(*options);
    line.clear();
    if (!opened) {
        return report(opened.failure());
    }
    generator& gen = **opened;
    if (options->next_ip != 0) {
        fmt::print(stderr, "{} is at {}\n", format_ip4(options->next_ip), format_mac(gen.next()));
    }
    if (command.words.serve) {
        auto served = serve_trials(gen, command.context.socket_path(), signals);
        return served ? 0 : report(served.failure());
    }
    trial_runner runner(gen.ends(), [&signals] { return signals.requested(); });
    return command.words.search ? run_searches(runner, command) : run_trial(runner, command);
}

} // namespace

void add_gen_command(cli_program program) {
    auto command = std::make_shared<gen_command>(
        gen_command{program.context, program.eal, program.status, {}});
    CLI::App* app = program.app.add_subcommand(
        "gen", "traffic generator and sink on any port; `-- EAL` options may follow");
    add_gen_options(*app, command->words);
    app->callback([command] { command->status = run_gen(*command); });
}

} // namespace pantala::app
