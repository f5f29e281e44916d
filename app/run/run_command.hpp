// `pantala run`, and the programs that are a router with something more in each worker.
#pragma once

#include "app/cli/commands.hpp"
#include "app/config/config.hpp"
#include "app/run/worker_program.hpp"

#include <memory>
#include <string>
#include <vector>

namespace pantala::app {

struct run_options {
    cli_context& context;
    const std::vector<std::string>& eal;
    int& status;
    std::string file;
    std::vector<std::string> ports;
    std::vector<std::string> addrs;
    std::vector<std::string> tables;
    std::vector<std::string> via;
    unsigned workers = 0;
    bool busy = false;
    bool reference = false;
    bool check = false;
};

// Configuration, ports, workers: the options of `pantala run`, for any command that is one.
std::shared_ptr<run_options> add_run_options(const cli_program& program, CLI::App* app);

// What runs in it besides.
struct run_extras {
    program_factory programs; // empty: none
    // Asked every 50 ms or so, on the control thread; true ends the run. Empty: nobody asks.
    std::function<bool()> ended;
    bool quiet = false; // does not announce itself
};

// A router (and host) until a signal, `stop` or `ended` comes. Returns the exit status.
int run_router(const run_options& options, const run_extras& extras = {});

} // namespace pantala::app
