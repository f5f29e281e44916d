#include "app/cli/commands.hpp"

#include <fmt/format.h>

namespace pantala::app {

namespace {

constexpr const char* description =
    "Pantala: a DPDK router and host, sharded by lcore.\n"
    "`pantala run` starts one; the other commands speak to it, or to a bus, or make traffic.";

} // namespace

int run_program(int argc, const char* const* argv) {
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
    CLI::App app(description, "pantala");
    cli_context context;
    int status = 0;
    app.add_option("--socket", context.socket, "control socket of the running pantala");
    app.add_flag("--json,-j", context.json, "answer in JSON");
    app.set_version_flag("--version", "pantala " PANTALA_VERSION);
    app.require_subcommand(1);
    app.fallthrough();
    const cli_program program{app, context, eal, status};
    add_run_command(program);
    add_net_commands(program);
    add_gen_command(program);
    add_demo_command(program);
    add_bus_commands(program);
    try {
        app.parse(static_cast<int>(ours.size()), ours.data());
    } catch (const CLI::ParseError& wrong) {
        return app.exit(wrong);
    }
    return status;
}

} // namespace pantala::app
