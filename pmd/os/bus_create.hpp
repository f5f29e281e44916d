// A bus file as a file: making it whole, checking it, reserving its room. Control only.
#pragma once

#include "engine/base/result.hpp"
#include "pmd/bus_layout.hpp"

#include <string>

namespace pantala::bus {

// The geometry of the open file, or why it is no usable bus.
result<geometry> check_bus(int fd, const std::string& path);

// Makes [offset, offset + bytes) exist on the file system, so that no store there can fail later.
result<void>
reserve_room(int fd, std::uint64_t offset, std::uint64_t bytes, const std::string& path);

} // namespace pantala::bus
