// Starting EAL, so that it works on a bare machine and says what to do where it does not; and
// stopping on signals. Control only.
//
// Everything in launch_settings::eal is passed to EAL as it is and wins. What it leaves open:
//
//   lcores      control floats over the CPUs this process may use, each worker is bound to one;
//               more workers than CPUs share them (--lcores)
//   memory      no usable hugepages: --no-huge; nothing is left on disk (--in-memory, --no-shconf)
//   devices     no PCI device is touched unless named with -a
//   captures    where another process can attach (hugepages and --file-prefix), dpdk-dumpcap may
//               capture from every port
//   noise       warnings and errors only; no telemetry socket
#pragma once

#include "engine/base/result.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace pantala {

struct launch_settings {
    std::string program = "pantala";
    unsigned workers = 0;         // 0: a worker a CPU, but one CPU for control where there are two
    unsigned memory_mb = 512;     // without hugepages; taken as it is used
    std::vector<std::string> eal; // EAL's own options, "--vdev=..." and the like
};

// A worker's place. Dense: index is the worker_id.
struct worker_place {
    unsigned lcore = 0;      // EAL's number
    bool shared_cpu = false; // another lcore may run on its CPUs
};

// What start_eal hands to EAL: argv[0] first. Apart from the CPUs and hugepages of this machine it
// depends on nothing; for tests and for `--json` reports.
std::vector<std::string> eal_arguments(const launch_settings& settings);

// EAL, running. One in a process, and EAL cannot be started a second time after it ended.
class eal_session {
  public:
    static result<std::unique_ptr<eal_session>> start(const launch_settings& settings);
    ~eal_session();
    eal_session(const eal_session&) = delete;
    eal_session& operator=(const eal_session&) = delete;

    const std::vector<std::string>& arguments() const { return arguments_; }

  private:
    eal_session() = default;
    std::vector<std::string> arguments_;
    std::vector<char*> argv_; // EAL reorders it and keeps pointers
};

// EAL's worker lcores in the order of worker_id. Empty when EAL has only its main lcore.
std::vector<worker_place> worker_places();

// SIGINT and SIGTERM ask for a clean stop while one of these lives. One in a process.
class stop_signals {
  public:
    stop_signals(); // throws std::system_error when the process has no descriptor left
    ~stop_signals();
    stop_signals(const stop_signals&) = delete;
    stop_signals& operator=(const stop_signals&) = delete;

    int fd() const; // readable once a stop was asked for
    bool requested() const;
    void request(); // as a signal would; any thread
};

} // namespace pantala
