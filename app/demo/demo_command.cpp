// `pantala demo`: what scripts/demo runs once everything is built.
#include "app/cli/commands.hpp"
#include "app/demo/demo.hpp"
#include "app/gen/gen_options.hpp"
#include "app/gen/table/synthetic_table.hpp"
#include "engine/setup/launch.hpp"

#include <filesystem>
#include <memory>

#include <fmt/format.h>

namespace pantala::app {

namespace {

struct demo_command {
    explicit demo_command(const cli_program& program)
        : context(program.context), status(program.status) {}

    cli_context& context;
    int& status;
    demo_options options;
    std::string rate = "0";
    std::string updates = "0";
    std::string table_to_write;
};

std::string report_text(const json& r) {
    return fmt::format(
        "\n{} IPv4 routes in {:.2f} MB a worker; {} packets forwarded in {:.1f} s: {:.2f} Mpps, "
        "{:.0f} "
        "cycles each\n"
        "lost {}, misrouted {}, reordered within a flow {}, corrupt {}; latency p50 {:.0f} us, p99 "
        "{:.0f} us\n",
        r["ipv4_routes"].get<std::uint64_t>(), r["replica_bytes_ipv4"].get<double>() / 1e6,
        r["forwarded"].get<std::uint64_t>(), r["seconds"].get<double>(), r["mpps"].get<double>(),
        r["cycles_per_packet"].get<double>(), r["lost"].get<std::uint64_t>(),
        r["misrouted"].get<std::uint64_t>(), r["reordered"].get<std::uint64_t>(),
        r["corrupt"].get<std::uint64_t>(), r["p50_us"].get<double>(), r["p99_us"].get<double>());
}

int run(demo_command& command) {
    if (!command.table_to_write.empty()) {
        auto written = write_prefix_list(command.table_to_write, make_synthetic_table(1));
        return written ? 0 : report(written.failure());
    }
    auto rate = parse_rate(command.rate);
    auto updates = parse_rate(command.updates);
    if (!rate || !updates) {
        return report(rate ? updates.failure() : rate.failure());
    }
    command.options.rate = *rate;
    command.options.updates = *updates;
    if (std::string& table = command.options.table; !table.empty()) {
        std::error_code failed;
        const auto path = std::filesystem::canonical(table, failed);
        if (failed) {
            return report({ENOENT, fmt::format("--table {}: {}", table, failed.message())});
        }
        table = path.string();
    }
    stop_signals signals;
    auto outcome = run_demo(
        command.options, [](const std::string& line) { fmt::print(stderr, "{}\n", line); },
        [&] { return signals.requested(); });
    if (!outcome) {
        return report(outcome.failure());
    }
    const json& r = *outcome;
    fmt::print("{}", command.context.json ? r.dump() + "\n" : report_text(r));
    const bool clean = r["lost"] == 0 && r["misrouted"] == 0 && r["corrupt"] == 0 &&
                       r["forwarded"] != 0 && r["interrupted"] == false;
    return clean ? 0 : exit_failed;
}

} // namespace

void add_demo_command(cli_program program) {
    auto command = std::make_shared<demo_command>(program);
    demo_options& options = command->options;
    CLI::App* app = program.app.add_subcommand(
        "demo", "generator, router and sink on two buses, every packet checked");
    app->add_option("--seconds", options.seconds, "how long to forward")
        ->capture_default_str()
        ->check(CLI::Range(0.1, 86400.0));
    app->add_option("--table", options.table, "CIDR list; else a synthetic one");
    app->add_option(
        "--write-table", command->table_to_write, "only write that synthetic one to a file");
    app->add_option("--workers", options.workers, "of the router")
        ->capture_default_str()
        ->check(CLI::Range(1U, 64U));
    app->add_option("--gateways", options.gateways, "next hops")
        ->capture_default_str()
        ->check(CLI::Range(1U, 250U));
    app->add_option("--flows", options.flows, "different destinations")
        ->capture_default_str()
        ->check(CLI::Range(1U, 16'000'000U));
    app->add_option(
           "--rate", command->rate, "packets a second; 0: look for the highest without loss")
        ->capture_default_str();
    app->add_option("--share", options.share, "of the rate found that is then driven")
        ->capture_default_str()
        ->check(CLI::Range(0.05, 1.0));
    app->add_option("--updates", command->updates, "route changes a second meanwhile")
        ->capture_default_str();
    app->add_option("--size", options.sizes, "frame bytes: SIZE[:WEIGHT],... or imix")
        ->capture_default_str();
    app->add_option("--bus", options.bus, "arguments of the buses, as size=64M,flow=lossy")
        ->capture_default_str();
    app->callback([command] { command->status = run(*command); });
}

} // namespace pantala::app
