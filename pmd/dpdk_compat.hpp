// Every difference between the DPDK releases that net_shmif builds against is here. Built and
// tested with 22.11 (Debian 12), compiled with 25.11; for what changed between them in the parts we
// use, see each item.
#pragma once

#include <cstdint>

#include <ethdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_version.h>

namespace pantala::bus::compat {

// The eight bytes data_off, refcnt, nb_segs, port. (rte_mbuf's zero-length marker `rearm_data` was
// replaced by anonymous unions in 24.03, so it is not named.)
inline void* rearm_at(rte_mbuf* packet) {
    return &packet->data_off;
}
static_assert(
    offsetof(rte_mbuf, port) == offsetof(rte_mbuf, data_off) + 6,
    "a PMD may write data_off, refcnt, nb_segs and port as one word");

// Counters by queue, for ethdev to make its own statistics of: members of rte_eth_stats up to
// 25.07, from 25.11 on a structure of their own, which may be missing.
#if RTE_VERSION < RTE_VERSION_NUM(25, 11, 0, 0)
using queue_stats = rte_eth_stats;
template <int (*get)(rte_eth_dev*, rte_eth_stats*, queue_stats*)>
int stats_get(rte_eth_dev* device, rte_eth_stats* stats) {
    return get(device, stats, stats);
}
#else
using queue_stats = eth_queue_stats;
template <int (*get)(rte_eth_dev*, rte_eth_stats*, queue_stats*)>
int stats_get(rte_eth_dev* device, rte_eth_stats* stats, eth_queue_stats* queues) {
    return get(device, stats, queues);
}
#endif

} // namespace pantala::bus::compat
