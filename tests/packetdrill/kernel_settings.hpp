// From packetdrill's flags and the kernel's sysctls to the settings of a virtual host.
#pragma once

#include "tests/packetdrill/virtual_host.hpp"

#include <optional>
#include <string>

namespace pantala::packetdrill {

// "PERSONA LOCAL_ADDRESS MTU"; nothing: it is none.
std::optional<host_choice> read_choice(const std::string& flags);

// The device's queueing discipline and its options as the script's `tc` set it (device/tc); empty:
// none.
std::string read_qdisc();

} // namespace pantala::packetdrill
