#include "app/run/run_command.hpp"

#include "app/control/server.hpp"
#include "app/run/requests.hpp"
#include "app/run/router.hpp"
#include "engine/setup/launch.hpp"

#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <poll.h>

namespace pantala::app {

namespace {

// `NAME=DEVICE`, or a device alone, which is then called p0, p1, ...
port_config port_of(const std::string& text, std::size_t ordinal) {
    port_config port;
    const auto equals = text.find('=');
    const auto before = text.substr(0, equals);
    const bool named = equals != std::string::npos && equals > 0 &&
                       before.find_first_of(":,/") == std::string::npos;
    port.name = named ? before : fmt::format("p{}", ordinal);
    port.device = named ? text.substr(equals + 1) : text;
    return port;
}

// `ADDRESS/LENGTH@NAME`
result<addr_config> addr_of(const std::string& text) {
    const auto at = text.find('@');
    addr_config addr{
        .address = text.substr(0, at), .dev = at == std::string::npos ? "" : text.substr(at + 1)};
    auto good = parse_interface_address(addr.address);
    if (!good || addr.dev.empty()) {
        return error{EINVAL, fmt::format("--addr '{}': say ADDRESS/LENGTH@PORT", text)};
    }
    return addr;
}

result<config> gather(const run_options& options) {
    config from;
    if (!options.file.empty()) {
        auto read = read_config(options.file);
        if (!read) {
            return read;
        }
        from = std::move(*read);
    }
    for (const std::string& text : options.ports) {
        from.ports.push_back(port_of(text, from.ports.size()));
    }
    for (const std::string& text : options.addrs) {
        auto addr = addr_of(text);
        if (!addr) {
            return addr.failure();
        }
        from.addrs.push_back(std::move(*addr));
    }
    for (const std::string& text : options.via) {
        if (auto good = parse_ip4(text); !good) {
            return good.failure();
        }
    }
    for (const std::string& file : options.tables) {
        from.tables.push_back({.file = file, .via = options.via});
    }
    if (options.workers != 0) {
        from.engine.workers = options.workers;
    }
    if (options.busy) {
        from.engine.idle = "busy";
    }
    if (!options.context.socket.empty()) {
        from.control.socket = options.context.socket;
    } else if (from.control.socket.empty()) {
        from.control.socket = default_socket_path();
    }
    return from;
}

std::uint64_t now_ms() {
    using namespace std::chrono;
    return static_cast<std::uint64_t>(
        duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count());
}

constexpr unsigned ended_interval_ms = 50;
// What connections buffer; ports' queues take a few thousand of them.
constexpr unsigned host_mbufs_default = 65'535;

// Sleeps until there is something for control to do, at most `longest_ms`.
void wait_for_work(
    router& of, const control_server& server, const stop_signals& signals, unsigned longest_ms,
    std::vector<pollfd>& fds) {
    of.bell().arm();
    int wait = static_cast<int>(std::min(server.wait_ms(), longest_ms));
    if (of.has_messages() || of.has_work()) {
        wait = 0;
    }
    fds.assign(1, {signals.fd(), POLLIN, 0});
    fds.push_back({of.bell().fd(), POLLIN, 0});
    server.watch(fds);
    poll(fds.data(), fds.size(), wait);
    of.bell().disarm();
}

void control_loop(
    router& of, control_server& server, stop_signals& signals, const std::function<bool()>& ended) {
    bool stop = false;
    add_requests(server, of, stop);
    std::vector<pollfd> fds;
    const unsigned longest_ms = ended ? ended_interval_ms : 1000;
    while (!stop && !signals.requested() && !(ended && ended())) {
        const bool quiet = of.turn();
        wait_for_work(of, server, signals, quiet ? longest_ms : 1, fds);
        server.service(now_ms());
    }
}

void announce(const cli_context& context, router& of, const std::string& socket) {
    const json state = of.summary();
    if (context.json) {
        fmt::print("{}\n", json{{"ready", true}, {"socket", socket}, {"state", state}}.dump());
    } else {
        fmt::print(
            "pantala: {} worker{}, {} IPv4 routes, ready after {:.2f} s; control socket {}\n",
            state["workers"].get<unsigned>(), state["workers"] == 1 ? "" : "s",
            state["ipv4_routes"].get<std::uint64_t>(), state["start_seconds"].get<double>(),
            socket);
        for (const json& link : of.list_links()) {
            fmt::print(
                "  {:<8} {} mtu {} {}\n", link["name"].get<std::string>(),
                link["address"].get<std::string>(), link["mtu"].get<unsigned>(),
                link["addresses"].dump());
            for (const json& note : link.value("notes", json::array())) {
                fmt::print("           {}\n", note.get<std::string>());
            }
        }
    }
    std::fflush(stdout);
}

progress_report shown_on(progress_line& line) {
    return [&line](std::string_view what, std::uint64_t done, std::uint64_t of) {
        line.show({std::string(what), done, of});
    };
}

int check_only(const config& from, bool as_json) {
    progress_line progress;
    const auto good = router::check(from, shown_on(progress));
    if (!good) {
        return report(good.failure());
    }
    return as_json ? print_line(json{{"ok", true}}.dump()) : 0;
}

} // namespace

int run_router(const run_options& options, const run_extras& extras) {
    if (options.reference) {
        fmt::print("{}", config_reference());
        return 0;
    }
    auto from = gather(options);
    if (!from) {
        return report(from.failure());
    }
    if (options.check) {
        return check_only(*from, options.context.json);
    }
    if (extras.programs && from->engine.mbufs == 0) {
        from->engine.mbufs = host_mbufs_default;
    }
    stop_signals signals;
    // The socket first: a second router on it is refused before anything is touched.
    auto server = control_server::open(from->control.socket);
    if (!server) {
        return report(server.failure());
    }
    progress_line progress;
    auto made = router::make(*from, options.eal, shown_on(progress), extras.programs);
    if (!made) {
        return report(made.failure());
    }
    if (!extras.quiet) {
        announce(options.context, **made, from->control.socket);
    }
    control_loop(**made, **server, signals, extras.ended);
    return 0;
}

std::shared_ptr<run_options> add_run_options(const cli_program& program, CLI::App* app) {
    auto options = std::make_shared<run_options>(
        run_options{program.context, program.eal, program.status, {}, {}, {}, {}, {}});
    app->add_option("-c,--config", options->file, "TOML configuration");
    app->add_option(
        "-p,--port", options->ports,
        "[NAME=]DEVICE: bus:PATH[,ARGS], a PCI address or a DPDK vdev; may be repeated");
    app->add_option("--addr", options->addrs, "ADDRESS/LENGTH@PORT; may be repeated");
    app->add_option("--table", options->tables, "load this route file");
    app->add_option("--via", options->via, "gateway for its prefixes; may be repeated");
    app->add_option("-w,--workers", options->workers, "how many workers")
        ->check(CLI::Range(1U, 64U));
    app->add_flag("--busy", options->busy, "workers never sleep");
    app->add_flag(
        "--check", options->check,
        "only check the configuration, and what it names: no port is opened");
    app->add_flag("--reference", options->reference, "print all keys of the configuration");
    return options;
}

void add_run_command(cli_program program) {
    CLI::App* app = program.app.add_subcommand(
        "run", "start a router; `-- EAL` options may follow. SIGINT and SIGTERM stop it");
    auto options = add_run_options(program, app);
    app->callback([options] { options->status = run_router(*options); });
}

} // namespace pantala::app
