#include "app/cli/commands.hpp"
#include "app/words.hpp"

#include <fmt/format.h>

namespace pantala::app {

namespace {

constexpr const char* description =
    "Pantala: a DPDK router and host, sharded by lcore.\n"
    "`pantala run` starts one; the other commands speak to it, or to a bus, or make traffic.";

constexpr const char* exit_statuses =
    "Exit status: 0 done; 1 refused, impossible, or what was checked is not right (packets lost,\n"
    "replicas that differ); 2 the command line is not understood, and nobody was asked anything.";

// The first word that is neither an option nor --socket's value, if it is no subcommand's name.
std::string_view unknown_command(const CLI::App& app, const std::vector<const char*>& words) {
    for (std::size_t i = 1; i < words.size(); ++i) {
        const std::string_view word = words[i];
        if (word == "--socket") {
            ++i;
        } else if (!word.starts_with('-')) {
            const auto known = app.get_subcommands(
                [&](const CLI::App* each) { return each->check_name(std::string(word)); });
            return known.empty() ? word : std::string_view{};
        }
    }
    return {};
}

int refuse_command(const CLI::App& app, std::string_view word) {
    std::vector<std::string> names;
    for (const CLI::App* each : app.get_subcommands([](const CLI::App*) { return true; })) {
        names.push_back(each->get_name());
    }
    const std::vector<std::string_view> known(names.begin(), names.end());
    const std::string hint = did_you_mean(word, known);
    return report_usage(
        say(fmt::format("'{}' is no command{} (--help lists them)", word.substr(0, 60), hint)));
}

} // namespace

int parse_and_run(CLI::App& app, const add_to_cli& add, int argc, const char* const* argv) {
    // What follows `--` is EAL's and never looked at here.
    std::vector<const char*> ours;
    std::vector<std::string> eal;
    bool behind = false;
    for (int i = 0; i < argc; ++i) {
        if (behind) {
            eal.emplace_back(argv[i]);
        } else if (std::string_view(argv[i]) == "--") {
            behind = true;
        } else {
            ours.push_back(argv[i]);
        }
    }
    cli_context context;
    int status = 0;
    app.add_option("--socket", context.socket, "control socket of the running pantala");
    app.add_flag("--json,-j", context.json, "answer in JSON");
    app.set_version_flag("--version", "pantala " PANTALA_VERSION);
    add({app, context, eal, status});
    if (app.get_require_subcommand_min() > 0) {
        if (const auto word = unknown_command(app, ours); !word.empty()) {
            return refuse_command(app, word);
        }
    }
    try {
        app.parse(static_cast<int>(ours.size()), ours.data());
    } catch (const CLI::ParseError& wrong) {
        return app.exit(wrong) == 0 ? 0 : exit_usage; // 0: --help and --version
    }
    return status;
}

int run_program(int argc, const char* const* argv) {
    CLI::App app(description, "pantala");
    app.require_subcommand(1);
    app.fallthrough();
    app.footer(exit_statuses);
    const auto add = [](const cli_program& program) {
        add_run_command(program);
        add_net_commands(program);
        add_monitor_command(program);
        add_host_commands(program);
        add_echo_command(program);
        add_httpd_command(program);
        add_tcpload_command(program);
        add_gen_command(program);
        add_demo_command(program);
        add_bus_commands(program);
    };
    return parse_and_run(app, add, argc, argv);
}

} // namespace pantala::app
