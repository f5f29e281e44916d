#include "bench/bus/wires.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <optional>
#include <thread>

#include <rte_bus_vdev.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

namespace pantala::bench {

namespace {

constexpr unsigned descriptors = 1024;
constexpr unsigned pool_mbufs = 8191;
constexpr unsigned pool_cache = 256;
constexpr int link_wait_ms = 3000;

rte_mempool* make_pool(const std::string& name) {
    return rte_pktmbuf_pool_create(
        name.c_str(), pool_mbufs, pool_cache, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
}

bool start_port(std::uint16_t port, rte_mempool* pool) {
    const rte_eth_conf conf{};
    return rte_eth_dev_configure(port, 1, 1, &conf) == 0 &&
           rte_eth_rx_queue_setup(port, 0, descriptors, SOCKET_ID_ANY, nullptr, pool) == 0 &&
           rte_eth_tx_queue_setup(port, 0, descriptors, SOCKET_ID_ANY, nullptr) == 0 &&
           rte_eth_dev_start(port) == 0;
}

bool link_is_up(std::uint16_t port) {
    rte_eth_link link{};
    return rte_eth_link_get_nowait(port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

// memif's two sides shake hands in a thread of EAL's.
bool wait_for_link(const wire& made) {
    for (int waited = 0; waited < link_wait_ms; waited += 10) {
        if (link_is_up(made.near) && link_is_up(made.far)) {
            return true;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
}

std::optional<wire> start_wire(wire made) {
    rte_mempool* const near_pool = make_pool(made.name + "_near");
    made.pool = make_pool(made.name + "_far");
    if (near_pool == nullptr || made.pool == nullptr || !start_port(made.near, near_pool) ||
        !start_port(made.far, made.pool)) {
        std::fprintf(stderr, "bus_bench: %s: its ports do not start\n", made.name.c_str());
        return std::nullopt;
    }
    rte_eth_promiscuous_enable(made.near); // not all have it
    rte_eth_promiscuous_enable(made.far);
    if (!wait_for_link(made)) {
        std::fprintf(stderr, "bus_bench: %s: no link\n", made.name.c_str());
        return std::nullopt;
    }
    return made;
}

std::optional<std::uint16_t> probe(const std::string& device, const std::string& arguments) {
    std::uint16_t port = 0;
    if (rte_vdev_init(device.c_str(), arguments.c_str()) != 0 ||
        rte_eth_dev_get_port_by_name(device.c_str(), &port) != 0) {
        std::fprintf(stderr, "bus_bench: %s does not probe\n", device.c_str());
        return std::nullopt;
    }
    return port;
}

std::optional<wire> make_pair(
    const std::string& name, const std::array<std::string, 2>& devices,
    const std::array<std::string, 2>& arguments) {
    const auto near = probe(devices[0], arguments[0]);
    const auto far = near ? probe(devices[1], arguments[1]) : std::nullopt;
    if (!far) {
        return std::nullopt;
    }
    return start_wire({name, *near, *far, nullptr});
}

std::optional<wire> make_memif(const std::string& directory, bool zero_copy) {
    const std::string socket = "socket=" + directory + "/memif" + (zero_copy ? "z" : "c") +
                               ",socket-abstract=no,bsize=2048,rsize=10";
    const std::string tag = zero_copy ? "2" : "0";
    const std::string peer = zero_copy ? "3" : "1";
    // The client may export its packets' memory; it is the sender here, so that this counts.
    return make_pair(
        zero_copy ? "memif_zero_copy" : "memif_copy", {"net_memif" + tag, "net_memif" + peer},
        {"role=server," + socket, "role=client," + socket + (zero_copy ? ",zero-copy=yes" : "")});
}

std::optional<wire> make_ring() {
    std::array<rte_ring*, 2> rings{};
    for (unsigned i = 0; i < 2; ++i) {
        const std::string name = "wire" + std::to_string(i);
        rings[i] = rte_ring_create(
            name.c_str(), descriptors, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
        if (rings[i] == nullptr) {
            return std::nullopt;
        }
    }
    const int near = rte_eth_from_rings("near", &rings[0], 1, &rings[1], 1, 0);
    const int far = rte_eth_from_rings("far", &rings[1], 1, &rings[0], 1, 0);
    if (near < 0 || far < 0) {
        return std::nullopt;
    }
    return start_wire(
        {"net_ring", static_cast<std::uint16_t>(near), static_cast<std::uint16_t>(far), nullptr});
}

} // namespace

std::vector<wire> make_wires(const std::string& directory) {
    std::vector<wire> wires;
    const std::string bus = "flow=lossless,size=32M,bus=" + directory + "/bench.bus";
    for (auto made :
         {make_pair("pantala", {"net_shmif0", "net_shmif1"}, {bus, bus}),
          make_memif(directory, false), make_memif(directory, true), make_ring()}) {
        if (made) {
            wires.push_back(*made);
        }
    }
    return wires;
}

} // namespace pantala::bench
