// The subcommands of `pantala`, each added to the program's command line by its own file. A command
// sets `status` when it ran.
#pragma once

#include "app/cli/output.hpp"

#include <string>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/CLI.hpp>

namespace pantala::app {

struct cli_program {
    CLI::App& app;
    cli_context& context;
    const std::vector<std::string>& eal; // what stood behind `--`
    int& status;
};

void add_net_commands(cli_program program); // addr, route, neigh, link, netisr, stats
void add_run_command(cli_program program);  // run
void add_gen_command(cli_program program);  // gen
void add_demo_command(cli_program program); // demo
void add_bus_commands(cli_program program); // bus

// The program behind main(): takes argv apart and runs one command. Returns the exit status.
int run_program(int argc, const char* const* argv);

} // namespace pantala::app
