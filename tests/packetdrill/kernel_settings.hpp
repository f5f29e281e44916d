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
// A queue of no length, and nothing but the queue: whatever is sent dies there, and the sender is
// told. (A longer one is always empty: the virtual device takes all at once.)
bool takes_nothing(const std::string& qdisc);

} // namespace pantala::packetdrill
