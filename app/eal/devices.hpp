// From what an operator names (a bus file, a PCI address, a vdev) to EAL's argument for it and to
// its ethdev port. Control code.
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

// EAL's option for `count` lcores that float over the CPUs this process may use: for programs that
// share few CPUs with others.
std::string floating_lcores(unsigned count);

// The port of a device after EAL has started.
result<std::uint16_t> find_port(const device& wanted);

} // namespace pantala::app
