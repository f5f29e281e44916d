// The subcommands of `pantala`, each added to the program's command line by its own file. A command
// sets `status` when it ran.
#pragma once

#include "app/cli/output.hpp"

#include <functional>
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

void add_net_commands(cli_program program);    // addr, route, neigh, link, netisr, stats
void add_monitor_command(cli_program program); // monitor
void add_host_commands(cli_program program);   // ss, hostcache
void add_run_command(cli_program program);     // run
void add_echo_command(cli_program program);    // echo
void add_httpd_command(cli_program program);   // httpd
void add_tcpload_command(cli_program program); // tcpload
void add_gen_command(cli_program program);     // gen
void add_demo_command(cli_program program);    // demo
void add_bus_commands(cli_program program);    // bus

// Changes of routes from a file or, "-", from standard input, one a line, to a running pantala:
// what has come when the input pauses is made at once. Stops at the first that fails. Returns the
// status.
int run_route_batch(const cli_context& context, const std::string& from);

// The command line of a program: the options that all have, and those that `add` adds.
using add_to_cli = std::function<void(const cli_program& program)>;
int parse_and_run(CLI::App& app, const add_to_cli& add, int argc, const char* const* argv);

// The program behind main(): takes argv apart and runs one command. Returns the exit status.
int run_program(int argc, const char* const* argv);

} // namespace pantala::app
