// `pantala httpd`: a web server on every worker.
#include "app/host/http_server.hpp"
#include "app/run/run_command.hpp"
#include "engine/base/clock.hpp"

#include <fmt/format.h>

namespace pantala::app {

namespace {

struct httpd_options {
    std::string listen = "[::]:80";
    std::string root;
    std::uint64_t body = 64;
    unsigned idle_s = 60;
    unsigned backlog = 4096;
};

result<http_settings> settings_of(const httpd_options& options) {
    const auto local = parse_endpoint(options.listen);
    if (!local) {
        return error{EINVAL, fmt::format("--listen '{}': say ADDRESS:PORT", options.listen)};
    }
    http_settings settings;
    settings.listen = *local;
    settings.backlog = options.backlog;
    settings.idle_ns = options.idle_s * ns_per_s;
    if (options.root.empty()) {
        settings.content = std::make_shared<http_content>(http_content::fixed(options.body));
        return settings;
    }
    auto files = http_content::files(options.root);
    if (!files) {
        return files.failure();
    }
    settings.content = std::make_shared<http_content>(std::move(*files));
    return settings;
}

int run_httpd(const run_options& options, const httpd_options& wanted) {
    auto settings = settings_of(wanted);
    if (!settings) {
        return report(settings.failure());
    }
    run_extras extras;
    extras.programs = [&](sockets& here) -> result<std::unique_ptr<worker_program>> {
        auto made = std::make_unique<http_server>(*settings);
        if (auto done = made->start(here); !done) {
            return done.failure();
        }
        return std::unique_ptr<worker_program>(std::move(made));
    };
    return run_router(options, extras);
}

} // namespace

void add_httpd_command(cli_program program) {
    CLI::App* app = program.app.add_subcommand(
        "httpd", "a router and host with a web server: HTTP/1.1, answers from memory");
    auto options = add_run_options(program, app);
    auto wanted = std::make_shared<httpd_options>();
    app->add_option("--listen", wanted->listen, "ADDRESS:PORT, *:PORT or [ADDRESS]:PORT");
    auto* root = app->add_option("--root", wanted->root, "serve this directory, read at the start");
    app->add_option("--body", wanted->body, "every path has a body of this many bytes")
        ->excludes(root)
        ->check(CLI::Range(std::uint64_t{0}, http_content_bytes_max));
    app->add_option("--idle-seconds", wanted->idle_s, "a connection without a request ends")
        ->check(CLI::Range(1U, 86'400U));
    app->add_option("--backlog", wanted->backlog, "connections nobody accepted yet, a worker")
        ->check(CLI::Range(1U, 4096U));
    app->callback([options, wanted] { options->status = run_httpd(*options, *wanted); });
}

} // namespace pantala::app
