// Every difference between the DPDK releases that Pantala builds against is here. Built and tested
// with 22.11 (Debian 12), compiled with 25.11; for what changed between them in the parts we use,
// see each item.
#pragma once

#include <cstddef>
#include <cstdint>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_version.h>

struct eth_queue_stats; // of the drivers' headers, from 25.11 on
struct rte_eth_dev;

namespace pantala::dpdk {

// The eight bytes data_off, refcnt, nb_segs, port. (rte_mbuf's zero-length marker `rearm_data` was
// replaced by anonymous unions in 24.03, so it is not named.)
inline void* rearm_at(rte_mbuf* packet) {
    return &packet->data_off;
}
static_assert(
    offsetof(rte_mbuf, port) == offsetof(rte_mbuf, data_off) + 6,
    "a PMD may write data_off, refcnt, nb_segs and port as one word");

// From 25.11 on a transmit queue that frees without looking (MBUF_FAST_FREE) takes no chains.
inline constexpr bool fast_free_excludes_segments = RTE_VERSION >= RTE_VERSION_NUM(25, 11, 0, 0);

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

} // namespace pantala::dpdk
