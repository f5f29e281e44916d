// The pool of packet buffers of an engine. Control code.
#pragma once

#include <cstdint>
#include <string>

struct rte_mempool;

namespace pantala {

// A pool of `count` mbufs with room for `data_bytes` behind the usual headroom; nullptr: no memory,
// and rte_errno says which. Its owner frees it with rte_mempool_free.
//
// Where EAL runs without hugepages, DPDK gives each buffer a 4 KiB page of its own, so that all
// headers fall into the same few sets of the first-level cache. The pool then brings memory of its
// own, packed, and asks the kernel for large pages under it (which it gives where transparent
// hugepages are not switched off), provided that no device there is wants EAL's memory itself: real
// ones map it for DMA, and some virtual ones share it with a peer. A device of these kinds that is
// plugged in later cannot use such a pool. docs/decisions/0023-packed-buffers.md has the figures.
rte_mempool*
make_packet_pool(const std::string& name, unsigned count, unsigned cache, unsigned data_bytes);

} // namespace pantala
