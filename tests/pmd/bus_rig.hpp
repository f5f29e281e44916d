// What the bus tests share: a bus file of their own, ports on it, frames.
#pragma once

#include "pmd/bus_layout.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

namespace pantala::bus::test {

// A path in memory that nobody else uses; whatever lies there goes at the end.
class scratch_path {
  public:
    scratch_path();
    ~scratch_path();
    scratch_path(const scratch_path&) = delete;
    scratch_path& operator=(const scratch_path&) = delete;
    const std::string& string() const { return path_; }

  private:
    std::string path_;
};

using frame = std::vector<std::uint8_t>;

// IPv4 UDP, no FCS; addresses and ports follow from `flow`, the last four bytes are `number`.
frame udp_frame(std::uint32_t flow, std::uint32_t number, std::uint32_t bytes = 64);
// The number that udp_frame() put in.
std::uint32_t number_of(const frame& bytes);
// Addressed to `mac`.
frame addressed(frame bytes, const rte_ether_addr& mac);

struct rig_options {
    std::uint16_t queues = 1;
    std::string arguments; // device arguments beside bus=
    std::uint64_t rx_offloads = 0;
    bool rss = false;
    bool interrupts = false;
    bool promiscuous = true;
    std::uint16_t mbuf_room = RTE_MBUF_DEFAULT_BUF_SIZE;
};

// A started net_shmif port with a pool of its own; gone at the end.
class rig_port {
  public:
    explicit rig_port(const std::string& bus, const rig_options& options = {});
    ~rig_port();
    rig_port(const rig_port&) = delete;
    rig_port& operator=(const rig_port&) = delete;

    std::uint16_t id() const { return id_; }
    rte_mempool* pool() const { return pool_; }
    rte_ether_addr mac() const;
    rte_eth_stats stats() const;
    std::uint64_t xstat(const std::string& name) const;

    // One burst; frames go over `segments` mbufs each. How many the port took.
    std::uint16_t
    send(const std::vector<frame>& frames, std::uint16_t queue = 0, unsigned segments = 1) const;
    // Everything that waits (at most `most` frames).
    std::vector<frame> receive(std::uint16_t queue = 0, std::size_t most = SIZE_MAX) const;
    std::vector<rte_mbuf*> receive_mbufs(std::uint16_t queue = 0, std::size_t most = 32) const;

  private:
    std::string name_;
    std::uint16_t id_ = 0;
    rte_mempool* pool_ = nullptr;
};

// The bytes of a chain of mbufs.
frame bytes_of(const rte_mbuf* packet);

// Tries to probe a port and tells the error (0: it worked, and the port is gone again).
int probe_error(const std::string& arguments);

} // namespace pantala::bus::test
