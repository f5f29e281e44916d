// What `pantala bus create|ls|dump` do. No DPDK: works beside any process that uses the bus, or
// after all of them are gone. Control.
#pragma once

#include "engine/base/result.hpp"
#include "pmd/bus_layout.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace pantala::bus {

// One place on a bus, as its node told it.
struct node_status {
    std::uint32_t slot = 0;
    node_state state = node_state::free;
    bool alive = false; // a process holds it; started but not alive: killed
    std::string name;
    std::array<std::uint8_t, 6> mac{};
    std::uint32_t pid = 0; // in its own PID namespace
    std::uint16_t mtu = 0;
    std::uint16_t tx_queues = 0;
    std::uint16_t rx_queues = 0;
    std::uint64_t since_ns = 0;   // CLOCK_REALTIME of its last change of state
    std::uint64_t sent_bytes = 0; // of log, headers and padding included, since it started
};

// The ring of a bus of NetBSD's format, as its header tells it. Who is on such a bus nobody knows.
struct netbsd_status {
    std::uint32_t version = 0; // 0: nobody has sent yet
    std::uint32_t data_bytes = 0;
    std::uint64_t generation = 0; // how often the ring was filled
    std::uint32_t first = 0;      // offsets of the oldest and the latest packet
    std::uint32_t last = 0;
    bool locked = false;
};

struct bus_status {
    std::string path;
    std::string format; // "native" or "netbsd"
    std::uint64_t file_bytes = 0;
    // Of the native format:
    geometry shape;
    std::uint64_t bus_id = 0;
    std::uint64_t created_ns = 0;
    std::vector<node_status> nodes; // places that are or were in use
    // Of NetBSD's:
    netbsd_status ring;
};

// Makes a native bus at `path`, mode 0600; an error if anything is there.
result<void> bus_create(const std::string& path, const geometry& shape);
// The same of NetBSD's format, which has one geometry.
result<void> netbsd_bus_create(const std::string& path);

result<bus_status> bus_list(const std::string& path);

struct dump_options {
    bool follow = false;                     // wait for more until `stop`
    std::uint64_t count = UINT64_MAX;        // at most so many frames
    const std::atomic<bool>* stop = nullptr; // ends the dump (set it from a signal handler)
};

struct dump_report {
    std::uint64_t frames = 0;
    std::uint64_t missed = 0; // overwritten before they could be read
};

// Writes what is on the bus as pcapng, in order of time: first all that is still there, then, if
// asked to follow, whatever comes. Disturbs nobody: it holds no place and no sender waits for it.
result<dump_report> bus_dump(const std::string& path, std::FILE* to, const dump_options& options);

} // namespace pantala::bus
