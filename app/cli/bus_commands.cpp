// `pantala bus`: makes a bus file, says who is on one, and writes what is on it as pcapng. Needs no
// running pantala.
#include "app/cli/commands.hpp"
#include "pmd/bus_size.hpp"
#include "pmd/bus_tool.hpp"

#include <atomic>
#include <bit>
#include <csignal>
#include <cstdio>
#include <memory>

#include <fmt/format.h>
#include <unistd.h>

namespace pantala::app {

namespace {

struct bus_command {
    explicit bus_command(const cli_program& program)
        : context(program.context), status(program.status) {}

    cli_context& context;
    int& status;
    std::string path;
    bus::geometry shape;
    std::string size = "16M";
    std::string format = "native";
    CLI::App* create = nullptr; // knows which of its options were said
    std::string to = "-";
    bus::dump_options dump;
};

const char* word(const bus::node_status& node) {
    switch (node.state) {
    case bus::node_state::free:
        return "free";
    case bus::node_state::stopped:
        return node.alive ? "stopped" : "gone";
    case bus::node_state::started:
        return node.alive ? "started" : "killed";
    }
    return "?";
}

json node_row(const bus::node_status& node) {
    return {
        {"slot", node.slot},
        {"name", node.name},
        {"address", fmt::format(
                        "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", node.mac[0], node.mac[1],
                        node.mac[2], node.mac[3], node.mac[4], node.mac[5])},
        {"state", word(node)},
        {"alive", node.alive},
        {"pid", node.pid},
        {"mtu", node.mtu},
        {"tx_queues", node.tx_queues},
        {"rx_queues", node.rx_queues},
        {"sent_bytes", node.sent_bytes}};
}

json native_row(const bus::bus_status& status) {
    json nodes = json::array();
    for (const bus::node_status& node : status.nodes) {
        nodes.push_back(node_row(node));
    }
    return {
        {"path", status.path},
        {"format", status.format},
        {"file_bytes", status.file_bytes},
        {"node_bytes", status.shape.node_bytes},
        {"nodes_max", status.shape.nodes},
        {"lanes", status.shape.lanes},
        {"nodes", nodes}};
}

json netbsd_row(const bus::bus_status& status) {
    return {
        {"path", status.path},
        {"format", status.format},
        {"file_bytes", status.file_bytes},
        {"data_bytes", status.ring.data_bytes},
        {"version", status.ring.version},
        {"generation", status.ring.generation},
        {"first", status.ring.first},
        {"last", status.ring.last},
        {"locked", status.ring.locked}};
}

std::string netbsd_text(const bus::bus_status& status) {
    return fmt::format(
        "{}: netbsd, one ring of {} bytes, filled {} times{}; who is on it leaves no trace\n",
        status.path, status.ring.data_bytes, status.ring.generation,
        status.ring.version == 0 ? ", nobody has sent yet"
        : status.ring.locked     ? ", locked"
                                 : "");
}

int list(const bus_command& command) {
    const auto status = bus::bus_list(command.path);
    if (!status) {
        return report(status.failure());
    }
    const bool native = status->format == "native";
    const json row = native ? native_row(*status) : netbsd_row(*status);
    if (command.context.json) {
        return print_line(row.dump());
    }
    if (!native) {
        fmt::print("{}", netbsd_text(*status));
        return 0;
    }
    static constexpr column columns[] = {
        {"slot", "slot", true},     {"name", "name"},           {"address", "address"},
        {"state", "state"},         {"pid", "pid", true},       {"mtu", "mtu", true},
        {"txq", "tx_queues", true}, {"rxq", "rx_queues", true}, {"bytes", "sent_bytes", true}};
    fmt::print(
        "{}: {}, {} of {} places used\n{}", status->path, status->format, row["nodes"].size(),
        status->shape.nodes, format_table(columns, row["nodes"]));
    return 0;
}

result<void> create_netbsd(const bus_command& command) {
    for (const char* option : {"--size", "--nodes", "--lanes"}) {
        if (command.create->count(option) != 0) {
            return error{
                EINVAL,
                fmt::format("{}: a bus of NetBSD's format is always one ring of 1 MiB", option)};
        }
    }
    return bus::netbsd_bus_create(command.path);
}

result<void> create_native(bus_command& command) {
    std::uint64_t bytes = 0;
    if (!bus::parse_bus_size(command.size, bytes) || !std::has_single_bit(bytes)) {
        return error{EINVAL, fmt::format("--size '{}': a power of two such as 16M", command.size)};
    }
    command.shape.node_bytes = bytes;
    return bus::bus_create(command.path, command.shape);
}

int create(bus_command& command) {
    const auto made = command.format == "netbsd" ? create_netbsd(command) : create_native(command);
    if (!made) {
        return report(made.failure());
    }
    return command.context.json ? list(command) : 0;
}

std::atomic<bool> dump_stop{false};
constexpr unsigned reader_grace_s = 2; // who reads our pipe has so long to take the rest

// Told to end, a dump ends: also one whose reader takes nothing, which would hold it in write() for
// ever.
void end_on_signals(bool into_pipe) {
    struct sigaction action {};
    action.sa_handler = into_pipe ? [](int) { dump_stop.store(true); alarm(reader_grace_s); }
                                  : [](int) { dump_stop.store(true); };
    for (const int signal : {SIGINT, SIGTERM}) {
        sigaction(signal, &action, nullptr);
    }
}

int dump(bus_command& command) {
    const bool to_stdout = command.to == "-";
    end_on_signals(to_stdout);
    if (to_stdout && isatty(STDOUT_FILENO)) {
        return report(
            {EINVAL, "bus dump: pcapng is not for terminals; say -w FILE or pipe it into "
                     "'tcpdump -nr -'"});
    }
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
        to_stdout ? stdout : std::fopen(command.to.c_str(), "wb"), std::fclose);
    if (!file) {
        return report({errno, fmt::format("cannot write {}", command.to)});
    }
    command.dump.stop = &dump_stop;
    const auto done = bus::bus_dump(command.path, file.get(), command.dump);
    if (!done) {
        return report(done.failure());
    }
    std::FILE* const tell = to_stdout || !command.context.json ? stderr : stdout;
    if (command.context.json) {
        fmt::print(
            tell, "{}\n", json{{"frames", done->frames}, {"overwritten", done->missed}}.dump());
        return 0;
    }
    fmt::print(
        tell, "{} frames written, {} were overwritten before they could be read\n", done->frames,
        done->missed);
    return 0;
}

} // namespace

void add_bus_commands(cli_program program) {
    auto command = std::make_shared<bus_command>(program);
    CLI::App* app = program.app.add_subcommand("bus", "shared-memory Ethernet buses");
    app->require_subcommand(1);
    CLI::App* make = app->add_subcommand("create", "make a bus file (ports do so by themselves)");
    command->create = make;
    make->add_option("path", command->path)->required();
    make->add_option("--format", command->format, "native, or netbsd: NetBSD's shmif")
        ->capture_default_str()
        ->check(CLI::IsMember({"native", "netbsd"}));
    make->add_option("--size", command->size, "of each node's logs: a power of two, K, M or G")
        ->capture_default_str();
    make->add_option("--nodes", command->shape.nodes, "places")->capture_default_str();
    make->add_option("--lanes", command->shape.lanes, "receive queues at most")
        ->capture_default_str();
    make->callback([command] { command->status = create(*command); });
    CLI::App* ls = app->add_subcommand("ls", "who is on a bus");
    ls->alias("list");
    ls->add_option("path", command->path)->required();
    ls->callback([command] { command->status = list(*command); });
    CLI::App* out = app->add_subcommand("dump", "what is on a bus, as pcapng");
    out->add_option("path", command->path)->required();
    out->add_flag("-f,--follow", command->dump.follow, "go on with what comes");
    out->add_option("-c,--count", command->dump.count, "at most so many frames");
    out->add_option("-w,--write", command->to, "file, or '-'")->capture_default_str();
    out->callback([command] { command->status = dump(*command); });
}

} // namespace pantala::app
