// net_pantala_gen: an Ethernet port that is a traffic generator and a checking sink, for measuring
// one worker that forwards between two of them. See README.md for its arguments.
//
// Receiving writes a complete 64-byte frame into a fresh mbuf for each packet; sending frees them
// in bulk, as a device that has finished with them would: without looking at each where the
// forwarder asks for that (MBUF_FAST_FREE), as NICs' drivers do. It is always ready and never
// drops, so a forwarder is limited by its own work alone. One queue pair; its worker owns all
// state.
#include "bench/gen_vdev/gen_check.hpp"
#include "bench/gen_vdev/gen_control.hpp"
#include "bench/gen_vdev/gen_files.hpp"
#include "bench/gen_vdev/gen_frame.hpp"
#include "bench/gen_vdev/gen_keys.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include <ethdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_cycles.h>
#include <rte_kvargs.h>
#include <rte_mbuf.h>

namespace pantala::gen {
namespace {

constexpr unsigned rx_burst_max = 256;
constexpr std::uint32_t keys_ahead = 512; // of IPv4, and as many lines ahead of IPv6

// What each packet's mbuf is set to: two 16-byte stores, as the vector receive paths of NICs do.
struct alignas(16) mbuf_constants {
    std::uint16_t data_off, refcnt, nb_segs, port;
    std::uint64_t ol_flags;
};
struct alignas(16) mbuf_descriptor {
    std::uint32_t packet_type, pkt_len;
    std::uint16_t data_len, vlan_tci;
    std::uint32_t hash;
};
static_assert(offsetof(rte_mbuf, ol_flags) == offsetof(rte_mbuf, data_off) + 8);
static_assert(offsetof(rte_mbuf, pkt_len) == offsetof(rte_mbuf, packet_type) + 4);
static_assert(offsetof(rte_mbuf, data_len) == offsetof(rte_mbuf, packet_type) + 8);

struct gen_port {
    gen_port(keys_file k, control_file c) : keys(std::move(k)), shared(std::move(c)) {}

    keys_file keys;
    control_file shared;
    unsigned side = 0;
    mac_rule macs = mac_rule::nexthop;
    bool rx_checksum = false;
    bool fast_free = false; // the forwarder vouches for what it sends: one pool, no references
    rte_ether_addr mac{};
    // receive
    rte_mempool* pool = nullptr;
    std::uint32_t next = 0; // serial number of the next frame
    std::uint32_t template_sum = 0;
    mbuf_constants constants{};
    frame_writer writer{frame{}};
    frame_writer6 writer6{frame{}};
};

gen_port& port_of(rte_eth_dev* device) {
    return *static_cast<gen_port*>(device->process_private);
}

void add(std::atomic<std::uint64_t>& counter, std::uint64_t n) {
    counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

// Keys of a later burst: their stream must not wait for memory, as a device's packets do not.
template <class Key>
void ask_ahead(const Key* keys, std::uint32_t count) {
    constexpr std::uint32_t keys_a_line = 64 / sizeof(Key);
    for (std::uint32_t ahead = 0; ahead < count; ahead += keys_a_line) {
        __builtin_prefetch(keys + keys_ahead + ahead);
    }
}

// Sets the mbufs of a burst, and write(data, i) their frames.
template <class Write>
[[gnu::always_inline]] inline void fill(
    const gen_port& port, rte_mbuf** packets, std::uint32_t count, std::uint32_t type,
    Write write) {
    const auto constants = _mm_load_si128(reinterpret_cast<const __m128i*>(&port.constants));
    const mbuf_descriptor filled = {type, frame_bytes, frame_bytes, 0, 0};
    const auto descriptor = _mm_load_si128(reinterpret_cast<const __m128i*>(&filled));
    for (std::uint32_t i = 0; i < count; ++i) {
        rte_mbuf* packet = packets[i];
        _mm_storeu_si128(reinterpret_cast<__m128i*>(&packet->data_off), constants);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(&packet->packet_type), descriptor);
        write(static_cast<std::uint8_t*>(packet->buf_addr) + RTE_PKTMBUF_HEADROOM, i);
    }
}

void fill4(const gen_port& port, rte_mbuf** packets, std::uint32_t count) {
    const std::uint32_t* destinations = port.keys.destinations(port.side).data() + port.next;
    ask_ahead(destinations, count);
    std::uint16_t checksums[rx_burst_max];
    for (std::uint32_t i = 0; i < count; ++i) {
        checksums[i] = checksum_with(port.template_sum, destinations[i]);
    }
    constexpr std::uint32_t type = RTE_PTYPE_L2_ETHER | RTE_PTYPE_L3_IPV4 | RTE_PTYPE_L4_UDP;
    fill(port, packets, count, type, [&](std::uint8_t* data, std::uint32_t i) {
        port.writer.write(data, destinations[i], checksums[i], port.next + i);
    });
}

void fill6(const gen_port& port, rte_mbuf** packets, std::uint32_t count) {
    const key6* destinations = port.keys.destinations6(port.side).data() + port.next;
    ask_ahead(destinations, count);
    constexpr std::uint32_t type = RTE_PTYPE_L2_ETHER | RTE_PTYPE_L3_IPV6;
    fill(port, packets, count, type, [&](std::uint8_t* data, std::uint32_t i) {
        port.writer6.write(data, destinations[i], port.next + i);
    });
}

std::uint16_t receive(void* queue, rte_mbuf** packets, std::uint16_t wanted) {
    gen_port& port = *static_cast<gen_port*>(queue);
    auto& counters = port.shared->counters;
    const auto keys = static_cast<std::uint32_t>(port.keys.count(port.side));
    const std::uint32_t left = keys - port.next;
    const std::uint32_t count =
        std::min({std::uint32_t{wanted}, left, std::uint32_t{rx_burst_max}});
    if (rte_mempool_get_bulk(port.pool, reinterpret_cast<void**>(packets), count) < 0) {
        add(counters.no_mbuf, 1);
        return 0;
    }
    if (port.keys.is_ip6()) {
        fill6(port, packets, count);
    } else {
        fill4(port, packets, count);
    }
    port.next += count;
    if (port.next == keys) {
        port.next = 0;
    }
    add(counters.generated, count);
    return static_cast<std::uint16_t>(count);
}

// Frees a burst: runs of packets of one pool go back together.
void free_burst(rte_mbuf** packets, std::uint16_t count) {
    void* done[rx_burst_max];
    unsigned gathered = 0;
    rte_mempool* pool = nullptr;
    for (unsigned i = 0; i < count; ++i) {
        if (packets[i]->nb_segs != 1) {
            rte_pktmbuf_free(packets[i]);
            continue;
        }
        rte_mbuf* last = rte_pktmbuf_prefree_seg(packets[i]);
        if (last == nullptr) {
            continue;
        }
        if (gathered == rx_burst_max || (last->pool != pool && gathered != 0)) {
            rte_mempool_put_bulk(pool, done, gathered);
            gathered = 0;
        }
        pool = last->pool;
        done[gathered++] = last;
    }
    if (gathered != 0) {
        rte_mempool_put_bulk(pool, done, gathered);
    }
}

std::uint16_t send(void* queue, rte_mbuf** packets, std::uint16_t count) {
    gen_port& port = *static_cast<gen_port*>(queue);
    if (port.shared->check.load(std::memory_order_relaxed) != 0) [[unlikely]] {
        const frame_checker check(port.keys, port.side, port.macs, port.mac.addr_bytes);
        for (unsigned i = 0; i < count; ++i) {
            check.count(*packets[i], port.shared->counters);
        }
    }
    if (port.fast_free && count != 0) {
        rte_mempool_put_bulk(packets[0]->pool, reinterpret_cast<void**>(packets), count);
    } else {
        free_burst(packets, count);
    }
    add(port.shared->counters.sent, count);
    return count;
}

// ---- ethdev operations ----

int configure(rte_eth_dev*) {
    return 0;
}

int start(rte_eth_dev* device) {
    gen_port& port = port_of(device);
    std::array<std::uint8_t, 6> mac{};
    std::memcpy(mac.data(), port.mac.addr_bytes, 6);
    const frame constant = frame_template(port.side, mac);
    port.shared->tsc_hz = rte_get_tsc_hz();
    port.template_sum = header_sum(constant.data() + ip_offset);
    port.writer = frame_writer(constant);
    port.writer6 = frame_writer6(frame_template6(port.side, mac));
    port.constants = {
        RTE_PKTMBUF_HEADROOM, 1, 1, device->data->port_id,
        port.rx_checksum ? RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD : 0};
    device->data->dev_link.link_status = RTE_ETH_LINK_UP;
    return 0;
}

int stop(rte_eth_dev* device) {
    device->data->dev_link.link_status = RTE_ETH_LINK_DOWN;
    return 0;
}

int close(rte_eth_dev* device) {
    delete static_cast<gen_port*>(device->process_private);
    device->process_private = nullptr;
    device->data->mac_addrs = nullptr; // lay inside gen_port
    return 0;
}

int info(rte_eth_dev* device, rte_eth_dev_info* info) {
    info->max_mac_addrs = 1;
    info->max_rx_pktlen = 2048;
    info->min_rx_bufsize = 64;
    info->max_mtu = 1500;
    info->max_rx_queues = 1;
    info->max_tx_queues = 1;
    info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
    if (port_of(device).rx_checksum) {
        info->rx_offload_capa = RTE_ETH_RX_OFFLOAD_CHECKSUM;
        info->rx_queue_offload_capa = RTE_ETH_RX_OFFLOAD_CHECKSUM;
    }
    return 0;
}

int rx_queue(
    rte_eth_dev* device, std::uint16_t queue, std::uint16_t, unsigned, const rte_eth_rxconf*,
    rte_mempool* pool) {
    port_of(device).pool = pool;
    device->data->rx_queues[queue] = &port_of(device);
    return 0;
}

int tx_queue(
    rte_eth_dev* device, std::uint16_t queue, std::uint16_t, unsigned, const rte_eth_txconf* how) {
    const std::uint64_t offloads = how->offloads | device->data->dev_conf.txmode.offloads;
    port_of(device).fast_free = (offloads & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE) != 0;
    device->data->tx_queues[queue] = &port_of(device);
    return 0;
}

int link(rte_eth_dev*, int) {
    return 0;
}

int accept(rte_eth_dev*) {
    return 0;
}

int set_mtu(rte_eth_dev*, std::uint16_t) {
    return 0;
}

int stats(rte_eth_dev* device, rte_eth_stats* stats) {
    const auto& counters = port_of(device).shared->counters;
    stats->ipackets = counters.generated.load(std::memory_order_relaxed);
    stats->ibytes = stats->ipackets * frame_bytes;
    stats->opackets = counters.sent.load(std::memory_order_relaxed);
    stats->obytes = stats->opackets * frame_bytes;
    stats->rx_nombuf = counters.no_mbuf.load(std::memory_order_relaxed);
    return 0;
}

const std::uint32_t* packet_types(rte_eth_dev*) {
    static const std::uint32_t known[] = {
        RTE_PTYPE_L2_ETHER, RTE_PTYPE_L3_IPV4, RTE_PTYPE_L3_IPV6, RTE_PTYPE_L4_UDP,
        RTE_PTYPE_UNKNOWN};
    return known;
}

const eth_dev_ops operations = [] {
    eth_dev_ops ops{};
    ops.dev_configure = configure;
    ops.dev_start = start;
    ops.dev_stop = stop;
    ops.dev_close = close;
    ops.dev_infos_get = info;
    ops.rx_queue_setup = rx_queue;
    ops.tx_queue_setup = tx_queue;
    ops.link_update = link;
    ops.promiscuous_enable = accept;
    ops.promiscuous_disable = accept;
    ops.allmulticast_enable = accept;
    ops.allmulticast_disable = accept;
    ops.mtu_set = set_mtu;
    ops.stats_get = stats;
    ops.dev_supported_ptypes_get = packet_types;
    return ops;
}();

// ---- probe and remove ----

int refuse(const char* name, const std::string& why) {
    std::fprintf(stderr, "%s: %s\n", name, why.c_str());
    return -EINVAL;
}

// The value of one argument, or `otherwise` when it is not given.
std::string argument(const rte_kvargs* arguments, const char* key, const char* otherwise) {
    const char* value = arguments == nullptr ? nullptr : rte_kvargs_get(arguments, key);
    return value == nullptr ? otherwise : value;
}

int make_port(rte_vdev_device* vdev, const rte_kvargs* arguments) {
    const char* name = rte_vdev_device_name(vdev);
    const std::string side = argument(arguments, "side", "");
    const std::string macs = argument(arguments, "macs", "nexthop");
    const std::string checksum = argument(arguments, "rx_checksum", "0");
    if (side != "0" && side != "1") {
        return refuse(name, "side=0 or side=1 is needed: which half of the keys to generate");
    }
    if ((macs != "nexthop" && macs != "port") || (checksum != "0" && checksum != "1")) {
        return refuse(name, "macs is nexthop or port; rx_checksum is 0 or 1");
    }
    auto keys = keys_file::open(argument(arguments, "keys", ""));
    if (!keys) {
        return refuse(name, keys.failure().text);
    }
    auto shared = control_file::open(argument(arguments, "control", ""));
    if (!shared) {
        return refuse(name, shared.failure().text);
    }
    rte_eth_dev* device = rte_eth_vdev_allocate(vdev, 0);
    if (device == nullptr) {
        return -ENOMEM;
    }
    auto* port = new gen_port(std::move(keys.value()), std::move(shared.value()));
    port->side = side == "1" ? 1 : 0;
    port->macs = macs == "port" ? mac_rule::port : mac_rule::nexthop;
    port->rx_checksum = checksum == "1";
    std::memcpy(port->mac.addr_bytes, side_mac(port->side).data(), 6);
    device->process_private = port;
    device->data->mac_addrs = &port->mac;
    device->data->dev_link = {
        RTE_ETH_SPEED_NUM_100G, RTE_ETH_LINK_FULL_DUPLEX, RTE_ETH_LINK_FIXED, RTE_ETH_LINK_DOWN};
    device->data->dev_flags |= RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS;
    device->dev_ops = &operations;
    device->rx_pkt_burst = receive;
    device->tx_pkt_burst = send;
    rte_eth_dev_probing_finish(device);
    return 0;
}

int probe(rte_vdev_device* vdev) {
    static const char* const known[] = {"side", "keys", "control", "macs", "rx_checksum", nullptr};
    const char* name = rte_vdev_device_name(vdev);
    if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
        return refuse(name, "works in the primary process only");
    }
    const char* text = rte_vdev_device_args(vdev);
    rte_kvargs* arguments = rte_kvargs_parse(text == nullptr ? "" : text, known);
    if (arguments == nullptr) {
        return refuse(name, "arguments are side, keys, control, macs, rx_checksum");
    }
    const int outcome = make_port(vdev, arguments);
    rte_kvargs_free(arguments);
    return outcome;
}

int remove(rte_vdev_device* vdev) {
    rte_eth_dev* device = rte_eth_dev_allocated(rte_vdev_device_name(vdev));
    return device == nullptr ? 0 : rte_eth_dev_close(device->data->port_id);
}

rte_vdev_driver driver = [] {
    rte_vdev_driver d{};
    d.probe = probe;
    d.remove = remove;
    return d;
}();

RTE_PMD_REGISTER_VDEV(net_pantala_gen, driver);
RTE_PMD_REGISTER_PARAM_STRING(
    net_pantala_gen, "side=<0|1> keys=<file> control=<file> "
                     "macs=<nexthop|port> rx_checksum=<0|1>");

} // namespace
} // namespace pantala::gen
