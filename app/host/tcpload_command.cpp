// `pantala tcpload`: how much a TCP server answers, and how soon.
#include "app/host/tcp_load.hpp"
#include "app/run/run_command.hpp"

#include <nlohmann/json.hpp>

#include <fmt/format.h>

namespace pantala::app {

namespace {

using nlohmann::json;

struct tcpload_options {
    std::string target;
    std::string path = "/";
    std::uint32_t echo_bytes = 0;
    unsigned connections = 100;
    unsigned pipeline = 1;
    std::uint64_t requests = 0;
    double warmup_s = 1;
    double seconds = 10;
};

std::string request_of(const tcpload_options& wanted, bool last) {
    if (wanted.echo_bytes != 0) {
        return std::string(wanted.echo_bytes, 'e');
    }
    return fmt::format(
        "GET {} HTTP/1.1\r\nHost: {}\r\n{}\r\n", wanted.path, wanted.target,
        last ? "Connection: close\r\n" : "");
}

result<load_settings> settings_of(const tcpload_options& wanted) {
    const auto target = parse_endpoint(wanted.target);
    if (!target || target->port == 0) {
        return error{EINVAL, fmt::format("'{}' is no target: say ADDRESS:PORT", wanted.target)};
    }
    load_settings settings;
    settings.kind = wanted.echo_bytes != 0 ? load_kind::echo : load_kind::http;
    settings.target = *target;
    settings.pipeline = wanted.pipeline;
    settings.requests_a_conn = wanted.requests;
    settings.request = request_of(wanted, false);
    settings.last_request = request_of(wanted, true);
    settings.warmup_ns = static_cast<std::uint64_t>(wanted.warmup_s * 1e9);
    settings.duration_ns = static_cast<std::uint64_t>(wanted.seconds * 1e9);
    return settings;
}

json shares(const histogram& times) {
    return {
        {"p50", times.percentile(0.5)},  {"p90", times.percentile(0.9)},
        {"p99", times.percentile(0.99)}, {"p999", times.percentile(0.999)},
        {"max", times.percentile(1.0)},
    };
}

json report_of(const std::vector<tcp_load*>& loads, double seconds) {
    std::uint64_t requests = 0;
    std::uint64_t bytes = 0;
    std::uint64_t opened = 0;
    std::uint64_t failed = 0;
    std::uint64_t bad = 0;
    const auto latency = std::make_unique<histogram>();
    const auto connect = std::make_unique<histogram>();
    for (const tcp_load* load : loads) {
        const tcp_load_counts& counts = load->counts();
        requests += counts.requests.read();
        bytes += counts.bytes.read();
        opened += counts.opened.read();
        failed += counts.failed.read();
        bad += counts.bad.read();
        latency->merge(counts.latency_ns);
        connect->merge(counts.connect_ns);
    }
    return {
        {"seconds", seconds},
        {"requests", requests},
        {"requests_per_s", static_cast<double>(requests) / seconds},
        {"connections", opened},
        {"connections_per_s", static_cast<double>(opened) / seconds},
        {"received_gbit_per_s", static_cast<double>(bytes) * 8e-9 / seconds},
        {"failed_connections", failed},
        {"bad_answers", bad},
        {"latency_ns", shares(*latency)},
        {"connect_ns", shares(*connect)},
    };
}

void print(const json& done, bool as_json) {
    if (as_json) {
        fmt::print("{}\n", done.dump());
        return;
    }
    fmt::print(
        "{:.0f} requests/s, {:.0f} connections/s, {:.3f} Gbit/s received; {} connections failed, "
        "{} bad answers\n",
        done["requests_per_s"].get<double>(), done["connections_per_s"].get<double>(),
        done["received_gbit_per_s"].get<double>(), done["failed_connections"].get<std::uint64_t>(),
        done["bad_answers"].get<std::uint64_t>());
    for (const char* name : {"latency_ns", "connect_ns"}) {
        fmt::print("{:<11}", name);
        for (const auto& [share, ns] : done[name].items()) {
            fmt::print("  {} {}", share, ns.get<std::uint64_t>());
        }
        fmt::print("\n");
    }
}

int run_tcpload(const run_options& options, const tcpload_options& wanted) {
    auto settings = settings_of(wanted);
    if (!settings) {
        return report(settings.failure());
    }
    std::vector<tcp_load*> loads; // the router's
    json done;
    run_extras extras;
    extras.quiet = true;
    extras.programs = [&](sockets& here) -> result<std::unique_ptr<worker_program>> {
        load_settings mine = *settings;
        const unsigned all = here.workers();
        mine.connections = (wanted.connections + all - 1 - here.worker()) / all;
        auto made = std::make_unique<tcp_load>(mine, here);
        loads.push_back(made.get());
        return std::unique_ptr<worker_program>(std::move(made));
    };
    extras.ended = [&] {
        for (const tcp_load* load : loads) {
            if (!load->finished()) {
                return false;
            }
        }
        done = report_of(loads, wanted.seconds);
        return true;
    };
    const int status = run_router(options, extras);
    if (status != 0) {
        return status;
    }
    if (done.is_null()) {
        return report({EINTR, "stopped before it was done"});
    }
    print(done, options.context.json);
    const bool nothing = done["requests"] == 0U;
    return nothing ? report({ETIMEDOUT, fmt::format("{} answered nothing", wanted.target)}) : 0;
}

} // namespace

void add_tcpload_command(cli_program program) {
    CLI::App* app = program.app.add_subcommand(
        "tcpload", "requests to a TCP server from a host of its own: rate and latency");
    auto options = add_run_options(program, app);
    auto wanted = std::make_shared<tcpload_options>();
    app->add_option("target", wanted->target, "ADDRESS:PORT")->required();
    app->add_option("--path", wanted->path, "what to ask a web server for");
    app->add_option(
           "--echo", wanted->echo_bytes, "instead, messages of this size to an echo server")
        ->check(CLI::Range(1U, 65'536U));
    app->add_option("--connections", wanted->connections, "open at the same time")
        ->check(CLI::Range(1U, 1'000'000U));
    app->add_option("--pipeline", wanted->pipeline, "requests under way on each")
        ->check(CLI::Range(1U, load_pipeline_max));
    app->add_option("--requests", wanted->requests, "on a connection, then a new one; 0: no end");
    app->add_option("--warmup", wanted->warmup_s, "seconds not counted")
        ->check(CLI::Range(0., 600.));
    app->add_option("--seconds", wanted->seconds, "seconds measured")->check(CLI::Range(.1, 3600.));
    app->callback([options, wanted] { options->status = run_tcpload(*options, *wanted); });
}

} // namespace pantala::app
