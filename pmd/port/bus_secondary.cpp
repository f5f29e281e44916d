// net_shmif in a secondary process: the primary's ports, to be looked at (names, addresses, capture
// by dpdk-dumpcap), not to be used.
//
// A capture goes through a pool that the secondary makes and the primary takes mbufs from. The pool
// names its driver by number, and the numbers follow the order in which each program's libraries
// were loaded: dpdk-testpmd links one that dpdk-dumpcap does not, so the primary would look for the
// mbufs with another driver, and every packet would be dropped. So the secondary counts as the
// primary does.
#include "pmd/port/bus_port.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include <rte_mempool.h>
#include <rte_spinlock.h>

namespace pantala::bus {

namespace {

std::uint16_t refuse_burst(void*, rte_mbuf**, std::uint16_t) {
    static std::atomic<bool> told{false};
    if (!told.exchange(true, std::memory_order_relaxed)) {
        log_line(
            RTE_LOG_ERR, "a secondary process cannot send or receive through its primary's place "
                         "on a bus; let it join the bus as a peer");
    }
    return 0;
}

int describe(rte_eth_dev*, rte_eth_dev_info* info) {
    info->max_rx_queues = lanes_max;
    info->max_tx_queues = lanes_max;
    info->max_mac_addrs = 1 + filter_addresses_max;
    return 0;
}

// Numbers this process's mempool drivers as `wanted` does; those that the primary lacks come last.
// Only while this process has made no pool: it is called where EAL probes its devices. False if a
// driver of the primary's is missing here, with its name told.
bool adopt_order(const mempool_order& wanted) {
    auto& table = rte_mempool_ops_table;
    std::array<rte_mempool_ops, RTE_MEMPOOL_MAX_OPS_IDX> ops{};
    const std::uint32_t have = std::min<std::uint32_t>(table.num_ops, ops.size());
    std::copy_n(table.ops, have, ops.begin());
    for (std::uint32_t i = 0; i < std::min<std::uint32_t>(wanted.count, ops.size()); ++i) {
        const char* const name = wanted.names[i].data();
        const auto found =
            std::find_if(ops.begin() + i, ops.begin() + have, [name](const rte_mempool_ops& one) {
                return std::strncmp(one.name, name, sizeof one.name) == 0;
            });
        if (found == ops.begin() + have) {
            log_line(
                RTE_LOG_WARNING,
                "the primary process has the mempool driver '%.*s', this one has not: load "
                "the same libraries (-d or LD_PRELOAD), or captures stay empty",
                static_cast<int>(wanted.names[i].size()), name);
            return false;
        }
        std::rotate(ops.begin() + i, found, found + 1);
    }
    rte_spinlock_lock(&table.sl);
    std::copy_n(ops.begin(), have, table.ops);
    rte_spinlock_unlock(&table.sl);
    return true;
}

} // namespace

mempool_order mempool_order_here() {
    mempool_order order{};
    order.count = std::min<std::uint32_t>(rte_mempool_ops_table.num_ops, order.names.size());
    for (std::uint32_t i = 0; i < order.count; ++i) {
        std::strncpy(
            order.names[i].data(), rte_mempool_ops_table.ops[i].name, order.names[i].size() - 1);
    }
    return order;
}

int probe_secondary(rte_vdev_device* vdev) {
    static const eth_dev_ops look_only = [] {
        eth_dev_ops ops{};
        ops.dev_infos_get = describe;
        return ops;
    }();
    const char* const name = rte_vdev_device_name(vdev);
    rte_eth_dev* const device = rte_eth_dev_attach_secondary(name);
    if (device == nullptr) {
        log_line(
            RTE_LOG_ERR,
            "%s: a secondary process has no place on a bus of its own; start it as a primary with "
            "a --file-prefix of its own and --vdev=net_shmif0,bus=PATH",
            name);
        return -ENOTSUP;
    }
    adopt_order(static_cast<const private_data*>(device->data->dev_private)->pools);
    device->device = &vdev->device;
    device->dev_ops = &look_only;
    device->rx_pkt_burst = refuse_burst;
    device->tx_pkt_burst = refuse_burst;
    rte_eth_dev_probing_finish(device);
    return 0;
}

} // namespace pantala::bus
