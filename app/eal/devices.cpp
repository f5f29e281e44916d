#include "app/eal/devices.hpp"

#include <algorithm>
#include <regex>

#include <fmt/format.h>
#include <rte_ethdev.h>
#include <sched.h>
#include <unistd.h>

namespace pantala::app {

namespace {

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
    std::string lcores = "--lcores=";
    for (unsigned i = 0; i < count; ++i) {
        lcores += fmt::format("{}{}@({})", i == 0 ? "" : ",", i, cpus);
    }
    return lcores;
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
