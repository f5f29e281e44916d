// The tools' view of a bus of NetBSD's format (see bus_tool.hpp). Control.
#pragma once

#include "pmd/bus_tool.hpp"

namespace pantala::bus {

// True if the file at `path` begins with NetBSD's magic number.
bool netbsd_bus_at(const std::string& path);

// Reads the header only: needs no lock, and no right to write.
result<bus_status> netbsd_list(const std::string& path);

result<dump_report>
netbsd_dump(const std::string& path, std::FILE* to, const dump_options& options);

} // namespace pantala::bus
