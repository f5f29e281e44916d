// Every difference between the DPDK releases that net_shmif builds against is here. Built and
// tested with 22.11 (Debian 12); for what later releases changed in the parts we use, see each
// item.
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

} // namespace pantala::bus::compat
