#include "app/eal/devices.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>

#include <fmt/format.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <sched.h>
#include <unistd.h>

namespace pantala::app {

namespace {

bool has_option(const std::vector<std::string>& passed, std::initializer_list<const char*> names) {
    return std::any_of(passed.begin(), passed.end(), [&](const std::string& one) {
        return std::any_of(names.begin(), names.end(), [&](std::string_view name) {
            const bool is_long = name.starts_with("--");
            return one == name || (is_long ? one.starts_with(std::string(name) + "=")
                                           : one.starts_with(name) && !one.starts_with("--"));
        });
    });
}

// Free hugepages of every size, MiB.
std::uint64_t free_hugepages_mib() {
    std::uint64_t total_kib = 0;
    std::error_code failed;
    const std::filesystem::path root = "/sys/kernel/mm/hugepages";
    for (const auto& entry : std::filesystem::directory_iterator(root, failed)) {
        const std::string name = entry.path().filename(); // hugepages-2048kB
        const auto dash = name.find('-');
        std::uint64_t pages = 0;
        std::ifstream(entry.path() / "free_hugepages") >> pages;
        if (dash != std::string::npos) {
            total_kib += pages * std::strtoull(name.c_str() + dash + 1, nullptr, 10);
        }
    }
    return total_kib / 1024;
}

std::string up_to_comma(std::string_view text) {
    return std::string(text.substr(0, text.find(',')));
}

} // namespace

result<device> parse_device(std::string_view text, unsigned ordinal) {
    static const std::regex pci("([0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\\.[0-7]");
    device parsed;
    const std::string first = up_to_comma(text);
    if (text.starts_with("bus:")) {
        text.remove_prefix(4);
        if (text.empty() || text[0] == ',') {
            return error{EINVAL, "'bus:' wants the path of a bus file"};
        }
        parsed.ethdev = fmt::format("net_shmif{}", ordinal);
        parsed.argument = fmt::format("--vdev={},bus={}", parsed.ethdev, text);
    } else if (std::regex_match(first, pci)) {
        parsed.pci = true;
        parsed.ethdev = std::count(first.begin(), first.end(), ':') == 1 ? "0000:" + first : first;
        parsed.argument = fmt::format("-a{}", text);
    } else if (text.starts_with("net_") || text.starts_with("eth_")) {
        parsed.ethdev = first;
        parsed.argument = fmt::format("--vdev={}", text);
    } else {
        return error{
            EINVAL, fmt::format(
                        "'{}' is no device: say bus:PATH, a PCI address such as "
                        "0000:01:00.0, or a DPDK vdev such as net_tap0",
                        text)};
    }
    return parsed;
}

std::string floating_lcores(unsigned count) {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof allowed, &allowed);
    std::string cpus;
    const int present = static_cast<int>(sysconf(_SC_NPROCESSORS_CONF)); // the mask may name more
    for (int cpu = 0; cpu < present; ++cpu) {
        if (CPU_ISSET(cpu, &allowed)) {
            cpus += fmt::format("{}{}", cpus.empty() ? "" : ",", cpu);
        }
    }
    std::string lcores;
    for (unsigned i = 0; i < count; ++i) {
        lcores += fmt::format("{}{}@({})", i == 0 ? "" : ",", i, cpus);
    }
    return lcores;
}

std::vector<std::string> eal_arguments(const eal_request& request) {
    const auto& passed = request.passed;
    std::vector<std::string> arguments = {request.program};
    if (!has_option(passed, {"-l", "-c", "--lcores", "-S"})) {
        arguments.push_back("--lcores");
        arguments.push_back(
            request.lcores.empty() ? floating_lcores(request.lcore_count) : request.lcores);
    }
    const bool pci = std::any_of(
                         request.devices.begin(), request.devices.end(),
                         [](const device& one) { return one.pci; }) ||
                     has_option(passed, {"-a", "--allow", "-b", "--block"});
    const bool own_memory = has_option(passed, {"-m", "--socket-mem", "--no-huge", "--legacy-mem"});
    const bool ordinary_memory = !own_memory && free_hugepages_mib() < request.memory_mib;
    if (ordinary_memory) {
        arguments.insert(arguments.end(), {"--no-huge", "-m", std::to_string(request.memory_mib)});
    }
    if (!pci) {
        arguments.push_back("--no-pci");
        if (!has_option(passed, {"--iova-mode"})) {
            arguments.push_back("--iova-mode=va");
        }
    }
    if (!has_option(
            passed, {"--file-prefix", "--proc-type", "--huge-dir", "--in-memory", "--no-shconf"})) {
        // --in-memory speaks of hugepages only
        arguments.push_back(
            ordinary_memory || has_option(passed, {"--no-huge", "--legacy-mem"}) ? "--no-shconf"
                                                                                 : "--in-memory");
        if (!has_option(passed, {"--telemetry", "--no-telemetry"})) {
            arguments.push_back("--no-telemetry");
        }
    }
    if (!has_option(passed, {"--log-level"})) {
        arguments.push_back("--log-level=*:warning");
    }
    for (const device& one : request.devices) {
        arguments.push_back(one.argument);
    }
    arguments.insert(arguments.end(), passed.begin(), passed.end());
    return arguments;
}

result<void> start_eal(const eal_request& request) {
    // EAL keeps pointers into its arguments: they live as long as the process.
    auto* arguments = new std::vector<std::string>(eal_arguments(request));
    std::vector<char*> argv;
    for (std::string& argument : *arguments) {
        argv.push_back(argument.data());
    }
    if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0) {
        return error{
            rte_errno,
            fmt::format(
                "DPDK does not start: {} (its own words are above; it was given: "
                "{}). A device that is missing, a bus file that may not be "
                "opened or too little memory are the usual reasons",
                rte_strerror(rte_errno), fmt::join(arguments->begin() + 1, arguments->end(), " "))};
    }
    return {};
}

result<std::uint16_t> find_port(const device& wanted) {
    std::uint16_t port = 0;
    if (rte_eth_dev_get_port_by_name(wanted.ethdev.c_str(), &port) != 0) {
        return error{
            ENODEV, fmt::format(
                        "no port came of {}: {}", wanted.argument,
                        wanted.pci ? "is it bound to a DPDK driver (dpdk-devbind.py "
                                     "--status), and may this user open it?"
                                   : "see DPDK's words above")};
    }
    return port;
}

} // namespace pantala::app
