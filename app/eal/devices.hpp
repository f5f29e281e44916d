// From what an operator names (a bus file, a PCI address, a vdev) to EAL's arguments and to ethdev
// ports. Control code.
#pragma once

#include "engine/base/result.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pantala::app {

// One device as EAL is told of it and finds it again.
struct device {
    std::string ethdev;   // the ethdev's name
    std::string argument; // "--vdev=..." or "-a..."
    bool pci = false;
};

// `bus:PATH[,ARGS]`, `DDDD:BB:DD.F[,ARGS]` or `BB:DD.F[,ARGS]`, `net_NAME[,ARGS]`. `ordinal` makes
// the names of bus devices differ within the process.
result<device> parse_device(std::string_view text, unsigned ordinal);

struct eal_request {
    std::string program;             // argv[0]
    std::vector<device> devices;     //
    std::string lcores;              // empty: main and `lcore_count - 1` more, all floating
    unsigned lcore_count = 1;        //
    unsigned memory_mib = 0;         // needed without hugepages
    std::vector<std::string> passed; // the operator's own EAL options; they win
};

// Arguments for rte_eal_init. Without free hugepages it asks for ordinary memory, without PCI
// devices it leaves PCI alone, and it shares nothing with other processes unless `passed` says so:
// so it works for an ordinary user and beside other DPDK programs.
std::vector<std::string> eal_arguments(const eal_request& request);

// EAL's syntax for `count` lcores that float over the CPUs this process may use.
std::string floating_lcores(unsigned count);

// Starts EAL; the error says what was tried and what to do.
result<void> start_eal(const eal_request& request);

// The port of a device after EAL has started.
result<std::uint16_t> find_port(const device& wanted);

} // namespace pantala::app
