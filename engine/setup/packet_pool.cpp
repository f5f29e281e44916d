#include "engine/setup/packet_pool.hpp"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_memory.h>
#include <sys/mman.h>

namespace pantala {

namespace {

constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;

// Virtual devices that give EAL's memory to a peer.
constexpr std::string_view sharing_drivers[] = {
    "net_virtio_user", "net_memif", "net_vhost", "net_af_xdp"};

bool wants_eal_memory(const rte_eth_dev_info& info) {
    const std::string_view bus = rte_bus_name(rte_dev_bus(info.device));
    const std::string_view driver = info.driver_name;
    return bus != "vdev" || std::ranges::find(sharing_drivers, driver) != std::end(sharing_drivers);
}

bool any_wants_eal_memory() {
    std::uint16_t port = 0;
    RTE_ETH_FOREACH_DEV(port) {
        rte_eth_dev_info info{};
        if (rte_eth_dev_info_get(port, &info) != 0 || wants_eal_memory(info)) {
            return true;
        }
    }
    return false;
}

struct mapping {
    void* at;
    std::size_t bytes;
};

void unmap(rte_mempool_memhdr*, void* opaque) {
    const std::unique_ptr<mapping> memory(static_cast<mapping*>(opaque));
    munmap(memory->at, memory->bytes);
}

// Memory for all of the pool's objects, on large pages if the kernel has them. False: there is
// none.
bool populate(rte_mempool& pool) {
    const std::size_t objects =
        std::size_t{rte_mempool_calc_obj_size(pool.elt_size, pool.flags, nullptr)} * pool.size;
    const std::size_t used = (objects + 2 * huge_page_bytes - 1) & ~(huge_page_bytes - 1);
    const std::size_t bytes = used + huge_page_bytes;
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        rte_errno = ENOMEM;
        return false;
    }
    const auto start = reinterpret_cast<std::uintptr_t>(at);
    auto* aligned = reinterpret_cast<char*>((start + huge_page_bytes - 1) & ~(huge_page_bytes - 1));
    madvise(aligned, used, MADV_HUGEPAGE); // advice: without it the pool works, too
    auto memory = std::make_unique<mapping>(mapping{at, bytes});
    const int added =
        rte_mempool_populate_virt(&pool, aligned, used, huge_page_bytes, unmap, memory.get());
    if (added <= 0) {
        munmap(at, bytes);
        rte_errno = added < 0 ? -added : ENOMEM;
        return false;
    }
    memory.release(); // the pool's from here on
    return static_cast<unsigned>(added) == pool.size;
}

rte_mempool*
make_on_own_memory(const std::string& name, unsigned count, unsigned cache, std::uint16_t room) {
    rte_mempool* pool = rte_mempool_create_empty(
        name.c_str(), count, static_cast<unsigned>(sizeof(rte_mbuf)) + room, cache,
        sizeof(rte_pktmbuf_pool_private), SOCKET_ID_ANY, RTE_MEMPOOL_F_NO_IOVA_CONTIG);
    if (pool == nullptr) {
        return nullptr;
    }
    rte_pktmbuf_pool_private about{};
    about.mbuf_data_room_size = room;
    const int code = rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), nullptr);
    rte_pktmbuf_pool_init(pool, &about);
    if (code != 0 || !populate(*pool)) {
        rte_errno = code != 0 ? -code : rte_errno;
        rte_mempool_free(pool);
        return nullptr;
    }
    rte_mempool_obj_iter(pool, rte_pktmbuf_init, nullptr);
    return pool;
}

} // namespace

rte_mempool*
make_packet_pool(const std::string& name, unsigned count, unsigned cache, unsigned data_bytes) {
    const auto room = static_cast<std::uint16_t>(data_bytes + RTE_PKTMBUF_HEADROOM);
    // What was given to EAL bounds this pool, too: a larger one is EAL's to refuse.
    const bool fits = std::uint64_t{count} * (sizeof(rte_mbuf) + room) < rte_eal_get_physmem_size();
    const bool own = fits && rte_eal_has_hugepages() == 0 && rte_eal_iova_mode() == RTE_IOVA_VA &&
                     !any_wants_eal_memory();
    return own ? make_on_own_memory(name, count, cache, room)
               : rte_pktmbuf_pool_create(name.c_str(), count, cache, 0, room, SOCKET_ID_ANY);
}

} // namespace pantala
