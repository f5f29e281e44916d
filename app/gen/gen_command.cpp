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
    return fmt::format(
        "sent      {} in {:.2f} s ({}pps)\n"
        "received  {} ({}pps)\n"
        "lost      {}   duplicate {}   reordered {}   misrouted {}   corrupt {}   foreign {}\n"
        "latency   p50 {:.1f} us   p90 {:.1f}   p99 {:.1f}   p99.9 {:.1f}   max {:.1f}\n",
        report.sender.sent, report.sender.seconds, format_count(report.sent_rate()) + " ",
        sink.received, format_count(report.received_rate()) + " ", report.lost(), sink.duplicate,
        sink.reordered, sink.misrouted, sink.corrupt, sink.foreign, sink.p50_us, sink.p90_us,
        sink.p99_us, sink.p999_us, sink.max_us);
}

trial_watch live_line(stop_signals& signals) {
    return [&signals, sent = std::uint64_t{0}, got = std::uint64_t{0}](
               double seconds, const sender_state& sender, const sink_state& sink) mutable {
        fmt::print(
            stderr, "{:4.0f} s  sent {:>8}pps  received {:>8}pps  misrouted {}\n", seconds,
            format_count(double(sender.sent - sent)) + " ",
            format_count(double(sink.received - got)) + " ", sink.misrouted);
        sent = sender.sent;
        got = sink.received;
        return !signals.requested();
    };
}

void print_trial(bool as_json, const trial_report& report) {
    fmt::print("{}", as_json ? to_json(report).dump() + "\n" : trial_text(report));
}

int run_search(trial_runner& runner, const gen_command& command, stop_signals& signals) {
    const search_options options{
        .seconds = command.words.seconds,
        .resolution = command.words.resolution,
        .highest = command.words.packet_rate};
    auto best = search_throughput(runner, options, [&](const trial_report& trial) {
        fmt::print(
            stderr, "trial at {:>8}pps: lost {}\n", format_count(trial.sent_rate()) + " ",
            trial.lost());
        return !signals.requested();
    });
    if (!best) {
        return report(best.failure());
    }
    print_trial(command.context.json, *best);
    return 0;
}

int run_trial(
    generator& gen, trial_runner& runner, const gen_command& command, stop_signals& signals) {
    const send_order order{
        .rate = command.words.packet_rate,
        .seconds = command.words.seconds,
        .packets = command.words.count};
    auto trial = runner.run(order, live_line(signals));
    gen.cancel();
    if (!trial) {
        return report(trial.failure());
    }
    print_trial(command.context.json, *trial);
    return trial->clean() ? 0 : exit_failed;
}

int run_gen(gen_command& command) {
    auto options = generator_settings(command.words, command.eal);
    if (!options) {
        return report(options.failure());
    }
    stop_signals signals;
    auto opened = generator::open(*options);
    if (!opened) {
        return report(opened.failure());
    }
    generator& gen = **opened;
    if (command.words.serve) {
        auto served = serve_trials(gen, command.context.socket_path(), signals);
        return served ? 0 : report(served.failure());
    }
    if (options->tx.empty() || options->rx.empty()) {
        return report(
            {EINVAL, "gen: with only one of --tx and --rx another program must drive "
                     "it: say --serve --socket PATH"});
    }
    trial_runner runner(gen.ends());
    return command.words.search ? run_search(runner, command, signals)
                                : run_trial(gen, runner, command, signals);
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
