// The device arguments of net_shmif, in words and as values. Control.
//
//   bus=PATH            the bus file; made if there is none (mode 0600)
//   queues=N            most queues each way, 1 to the bus's lanes (default: as many as it has)
//   mac=xx:xx:...       else b2:a0 and four random bytes
//   size=BYTES[K|M|G]   of a bus that is made: each node's logs, a power of two (default 16M)
//   flow=lossy|lossless what a slow reader does: loses frames (default), or holds our sending up
//   format=native|netbsd
//   mtu=N               (default 1500)
#pragma once

#include "engine/base/result.hpp"
#include "pmd/bus_layout.hpp"

#include <array>
#include <cstdint>
#include <string>

namespace pantala::bus {

enum class bus_format : std::uint8_t { native, netbsd };

struct port_arguments {
    std::string bus;
    std::uint32_t queues = 0; // 0: as the bus allows
    std::array<std::uint8_t, 6> mac{};
    std::uint64_t size = geometry{}.node_bytes;
    bool lossless = false;
    bus_format format = bus_format::native;
    std::uint16_t mtu = 1500;
};

result<port_arguments> parse_arguments(const char* text);

} // namespace pantala::bus
