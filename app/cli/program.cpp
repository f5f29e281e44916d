#include "app/cli/commands.hpp"

#include <fmt/format.h>

namespace pantala::app {

namespace {

constexpr const char* description =
    "Pantala: a DPDK router and host, sharded by lcore.\n"
    "`pantala run` starts one; the other commands speak to it, or to a bus, or make traffic.";

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
    try {
        app.parse(static_cast<int>(ours.size()), ours.data());
    } catch (const CLI::ParseError& wrong) {
        return app.exit(wrong);
    }
    return status;
}

int run_program(int argc, const char* const* argv) {
    CLI::App app(description, "pantala");
    app.require_subcommand(1);
    app.fallthrough();
    const auto add = [](const cli_program& program) {
        add_run_command(program);
        add_net_commands(program);
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
