// One net_shmif port: what hangs off an ethdev slot, and the groups of ethdev calls that act on it.
// Control; the burst paths are in bus_rxtx.hpp.
#pragma once

#include "pmd/bus_rxtx.hpp"
#include "pmd/netbsd/netbsd_notice.hpp"
#include "pmd/netbsd/netbsd_rxtx.hpp"
#include "pmd/os/bus_bell.hpp"
#include "pmd/port/bus_devargs.hpp"

#include <memory>
#include <string>
#include <vector>

#include <rte_interrupts.h>

namespace pantala::bus {

inline constexpr std::uint32_t frame_overhead = 18; // Ethernet header and one VLAN tag

struct port {
    port_arguments arguments;
    bus_node node;                       // on a native bus
    std::unique_ptr<netbsd_port> netbsd; // on a bus of NetBSD's format
    port_shape shape;
    std::string name;
    std::array<std::uint8_t, 6> mac{};
    std::uint16_t mtu = 1500;
    bool rss_hash = false; // the application wants mbuf.hash.rss
    bool has_barrier = false;

    // Indexed by ethdev queue number; pointers, for ethdev holds them too.
    std::vector<std::unique_ptr<rx_queue>> rx;
    std::vector<std::unique_ptr<tx_queue>> tx;

    std::vector<int> event_fds; // one a receive queue, while interrupts are configured
    rte_intr_handle* interrupts = nullptr;
    bell_watch bell;
    netbsd_notice notice;

    std::vector<std::uint64_t> stats_base; // see bus_stats.cpp
};

// The names of this process's mempool drivers by number. A pool tells its driver by number, so all
// processes that share a pool must count them alike.
struct mempool_order {
    std::uint32_t count;
    std::array<std::array<char, RTE_MEMPOOL_OPS_NAMESIZE>, RTE_MEMPOOL_MAX_OPS_IDX> names;
};

// Lives in memory that secondary processes map too; the port itself does not.
struct private_data {
    port* self;
    mempool_order pools; // of the primary
};

port& port_of(rte_eth_dev* device);

// Longest frame the port's bus carries.
std::uint32_t frame_most(const port& self);
// Longest frame a port of this MTU and bus sends and expects.
std::uint32_t frame_limit(const port& self);
// Most queues each way that the port's bus allows.
std::uint32_t queues_most(const port& self);
// True once the port's bus went away.
bool bus_lost(const port& self);

// Logs a line of the driver's log type, pmd.net.shmif.
[[gnu::format(printf, 2, 3)]] void log_line(std::uint32_t level, const char* format, ...);

// bus_interrupts.cpp: one eventfd a receive queue, and the watch on the bell.
int start_interrupts(rte_eth_dev* device);
void stop_interrupts(rte_eth_dev* device);
int enable_interrupt(rte_eth_dev* device, std::uint16_t queue);
int disable_interrupt(rte_eth_dev* device, std::uint16_t queue);

// bus_secondary.cpp: the primary's port, to be looked at and captured from.
mempool_order mempool_order_here();
int probe_secondary(rte_vdev_device* vdev);

// bus_stats.cpp
void add_stats_ops(eth_dev_ops& ops);

// bus_settings.cpp: addresses, filters, MTU, RSS, link.
void add_settings_ops(eth_dev_ops& ops);
void describe_device(const port& self, rte_eth_dev_info& info);

} // namespace pantala::bus
