// The demonstration: generator, router and sink as three processes on two buses, all of them this
// program; a routing table, the highest rate without loss, and then traffic at that rate of which
// every packet is checked.
//
//   generator -- bus west -- router -- bus east -- sink (all gateways at once)
#pragma once

#include "engine/base/result.hpp"

#include <cstdint>
#include <functional>
#include <string>

#include <nlohmann/json.hpp>

namespace pantala::app {

struct demo_options {
    double seconds = 10;
    std::string table; // CIDR list
    unsigned workers = 1;
    unsigned gateways = 63;
    std::uint32_t flows = 1000000;
    std::uint64_t rate = 0;    // packets a second; 0: searched
    double share = 0.9;        // of the rate found that is then driven
    std::uint64_t updates = 0; // route changes a second meanwhile
    std::string sizes = "64";
    std::string bus = "size=64M"; // arguments of the two bus ports that send
    std::string directory;        // of buses and sockets; empty: a fresh one, removed at the end
};

// Speaks of its progress through `say` (whole lines); `stopped` ends it early when it returns
// true. The value is the report: ipv4_routes, forwarded, lost, misrouted, mpps,
// cycles_per_packet, p50_us, p99_us, replica_bytes_ipv4 and more.
result<nlohmann::json> run_demo(
    const demo_options& options, const std::function<void(const std::string&)>& say,
    const std::function<bool()>& stopped);

} // namespace pantala::app
