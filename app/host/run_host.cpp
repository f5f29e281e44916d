#include "app/run/run_command.hpp"

#include <pantala/program.hpp>

#include <cstring>

#include <fmt/format.h>

namespace pantala {

int run_host(int argc, const char* const* argv, int (*start)(sockets& here)) {
    CLI::App app("A host of its own: ports, addresses and workers as for `pantala run`.");
    const auto add = [start](const app::cli_program& program) {
        auto options = app::add_run_options(program, &program.app);
        app::run_extras extras;
        extras.programs = [start](sockets& here) -> result<std::unique_ptr<app::worker_program>> {
            if (const int code = start(here); code != 0) {
                return error{
                    code, fmt::format("the program does not start: {}", std::strerror(code))};
            }
            return std::unique_ptr<app::worker_program>();
        };
        program.app.callback(
            [options, extras] { options->status = app::run_router(*options, extras); });
    };
    return app::parse_and_run(app, add, argc, argv);
}

} // namespace pantala
