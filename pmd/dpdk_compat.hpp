// Every difference between the DPDK releases that net_shmif builds against (22.11 to 25.11) is
// here.
//
//   23.07  rte_eth_link grew and rte_eth_dev_data lost nothing we use
//   23.11  struct fields are marked by macros, not attributes; stdatomic types behind a macro
//   24.03  RTE_LOG_LINE
//   24.11  __rte_cache_aligned moved in front; rte_mbuf's `rearm_data` markers were removed
//   25.07  supported_ptypes and *_queue_stats: per-queue statistics have a call of their own
#pragma once

#include <cstdint>

#include <ethdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_version.h>

namespace pantala::bus::compat {

// The eight bytes data_off, refcnt, nb_segs, port.
inline void* rearm_at(rte_mbuf* packet) {
    return &packet->data_off;
}
static_assert(
    offsetof(rte_mbuf, port) == offsetof(rte_mbuf, data_off) + 6,
    "a PMD may write data_off, refcnt, nb_segs and port as one word");

#if RTE_VERSION >= RTE_VERSION_NUM(24, 3, 0, 0)
using ptypes_count = std::size_t;
#endif

#if RTE_VERSION >= RTE_VERSION_NUM(25, 7, 0, 0)
inline constexpr bool split_queue_stats = true;
#else
inline constexpr bool split_queue_stats = false;
#endif

} // namespace pantala::bus::compat
