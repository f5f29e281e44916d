// The settings of a net_shmif port: addresses and filters, MTU, RSS, what it can do.
#include "pmd/port/bus_port.hpp"

#include "engine/base/rss.hpp"

#include <algorithm>
#include <cstring>

namespace pantala::bus {

namespace {

constexpr std::uint16_t reta_entries = RTE_ETH_RSS_RETA_SIZE_64;
constexpr std::uint64_t rss_types =
    RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_FRAG_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_TCP |
    RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV4_SCTP | RTE_ETH_RSS_NONFRAG_IPV4_OTHER |
    RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_FRAG_IPV6 | RTE_ETH_RSS_NONFRAG_IPV6_TCP |
    RTE_ETH_RSS_NONFRAG_IPV6_UDP | RTE_ETH_RSS_NONFRAG_IPV6_SCTP | RTE_ETH_RSS_NONFRAG_IPV6_OTHER;

std::uint64_t word_of(const rte_ether_addr& address) {
    std::uint64_t word = 0;
    std::memcpy(&word, address.addr_bytes, sizeof address.addr_bytes);
    return word;
}

// Receive queue of a hash's low bits: the writer picks the lane, the lane belongs to a queue.
std::uint16_t queue_of(const port& self, unsigned entry, unsigned rx_queues) {
    const std::uint32_t lanes = self.netbsd ? 1 : self.node.map().shape.lanes;
    const std::uint32_t lane = entry & (lanes - 1);
    return static_cast<std::uint16_t>(lane % rx_queues);
}

// The NetBSD format leaves no room for a VLAN tag beside a full MTU.
std::uint32_t mtu_most(const port& self) {
    return frame_most(self) - (self.netbsd ? RTE_ETHER_HDR_LEN : frame_overhead);
}

int promiscuous_enable(rte_eth_dev* device) {
    port_of(device).shape.filter.promiscuous.store(true, std::memory_order_relaxed);
    return 0;
}
int promiscuous_disable(rte_eth_dev* device) {
    port_of(device).shape.filter.promiscuous.store(false, std::memory_order_relaxed);
    return 0;
}
int all_multicast_enable(rte_eth_dev* device) {
    port_of(device).shape.filter.all_multicast.store(true, std::memory_order_relaxed);
    return 0;
}
int all_multicast_disable(rte_eth_dev* device) {
    port_of(device).shape.filter.all_multicast.store(false, std::memory_order_relaxed);
    return 0;
}

int mac_set(rte_eth_dev* device, rte_ether_addr* address) {
    port& self = port_of(device);
    std::memcpy(self.mac.data(), address->addr_bytes, self.mac.size());
    self.shape.filter.address[0].store(word_of(*address), std::memory_order_relaxed);
    if (!self.netbsd) {
        self.node.set_mac(self.mac);
    }
    return 0;
}

// ethdev keeps the list of addresses; the filter's copy is indexed alike.
int mac_add(rte_eth_dev* device, rte_ether_addr* address, std::uint32_t index, std::uint32_t) {
    mac_filter& filter = port_of(device).shape.filter;
    filter.address[index].store(word_of(*address), std::memory_order_relaxed);
    const std::uint32_t count = filter.addresses.load(std::memory_order_relaxed);
    filter.addresses.store(std::max(count, index + 1), std::memory_order_relaxed);
    return 0;
}
void mac_remove(rte_eth_dev* device, std::uint32_t index) {
    mac_filter& filter = port_of(device).shape.filter;
    constexpr std::uint64_t none = ~std::uint64_t{0}; // no 48 bits are equal to it
    filter.address[index].store(none, std::memory_order_relaxed);
}

int multicast_set(rte_eth_dev* device, rte_ether_addr* list, std::uint32_t count) {
    mac_filter& filter = port_of(device).shape.filter;
    if (count > filter_multicasts_max) {
        return -ENOSPC;
    }
    filter.multicasts.store(0, std::memory_order_relaxed);
    for (std::uint32_t i = 0; i < count; ++i) {
        filter.multicast[i].store(word_of(list[i]), std::memory_order_relaxed);
    }
    filter.multicasts.store(count, std::memory_order_release);
    return 0;
}

int mtu_set(rte_eth_dev* device, std::uint16_t mtu) {
    port& self = port_of(device);
    const std::uint32_t most = mtu_most(self);
    if (mtu > most) {
        log_line(
            RTE_LOG_ERR, "%s: MTU %u: this bus carries at most %u", self.name.c_str(), mtu, most);
        return -EINVAL;
    }
    self.mtu = mtu;
    self.shape.frame_bytes_max = frame_limit(self);
    if (!self.netbsd) {
        self.node.entry().mtu = mtu;
    }
    return 0;
}

int rss_get(rte_eth_dev* device, rte_eth_rss_conf* conf) {
    const port& self = port_of(device);
    conf->rss_hf = self.rss_hash || self.rx.size() > 1 ? rss_types : 0;
    if (conf->rss_key != nullptr && conf->rss_key_len >= rss_key_bytes) {
        std::memcpy(conf->rss_key, rss_key_symmetric.data(), rss_key_bytes);
    }
    conf->rss_key_len = rss_key_bytes;
    return 0;
}

// The senders hash, all alike: neither key nor types can be changed by one receiver.
int rss_update(rte_eth_dev* device, rte_eth_rss_conf* conf) {
    const bool same_key =
        conf->rss_key == nullptr ||
        (conf->rss_key_len == rss_key_bytes &&
         std::memcmp(conf->rss_key, rss_key_symmetric.data(), rss_key_bytes) == 0);
    if (!same_key) {
        log_line(
            RTE_LOG_ERR, "%s: a bus hashes with the symmetric key 6d:5a:6d:5a:... only",
            port_of(device).name.c_str());
        return -ENOTSUP;
    }
    return 0;
}

int reta_get(rte_eth_dev* device, rte_eth_rss_reta_entry64* reta, std::uint16_t entries) {
    const port& self = port_of(device);
    for (unsigned i = 0; i < entries; ++i) {
        if ((reta[i / RTE_ETH_RETA_GROUP_SIZE].mask >> i % RTE_ETH_RETA_GROUP_SIZE & 1) != 0) {
            reta[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] =
                queue_of(self, i, device->data->nb_rx_queues);
        }
    }
    return 0;
}

int reta_set(rte_eth_dev* device, rte_eth_rss_reta_entry64* reta, std::uint16_t entries) {
    const port& self = port_of(device);
    for (unsigned i = 0; i < entries; ++i) {
        const rte_eth_rss_reta_entry64& group = reta[i / RTE_ETH_RETA_GROUP_SIZE];
        if ((group.mask >> i % RTE_ETH_RETA_GROUP_SIZE & 1) != 0 &&
            group.reta[i % RTE_ETH_RETA_GROUP_SIZE] !=
                queue_of(self, i, device->data->nb_rx_queues)) {
            return -ENOTSUP; // lanes go to queues in turn, always
        }
    }
    return 0;
}

} // namespace

void describe_device(const port& self, rte_eth_dev_info& info) {
    const std::uint32_t queues =
        self.arguments.queues != 0 ? self.arguments.queues : queues_most(self);
    info.max_rx_queues = static_cast<std::uint16_t>(queues);
    info.max_tx_queues = static_cast<std::uint16_t>(queues);
    info.max_mac_addrs = 1 + filter_addresses_max;
    info.min_rx_bufsize = 64;
    info.max_rx_pktlen = frame_most(self);
    info.min_mtu = RTE_ETHER_MIN_MTU;
    info.max_mtu = static_cast<std::uint16_t>(mtu_most(self));
    info.rx_offload_capa =
        self.netbsd ? 0 : RTE_ETH_RX_OFFLOAD_SCATTER | RTE_ETH_RX_OFFLOAD_RSS_HASH;
    info.tx_offload_capa = RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
    info.tx_queue_offload_capa = info.tx_offload_capa;
    if (!self.netbsd) {
        info.reta_size = reta_entries;
        info.hash_key_size = rss_key_bytes;
        info.flow_type_rss_offloads = rss_types;
    }
    info.speed_capa = RTE_ETH_LINK_SPEED_100G | RTE_ETH_LINK_SPEED_FIXED;
    info.default_rxportconf = {32, 512, 1};
    info.default_txportconf = {32, 512, 1};
}

void add_settings_ops(eth_dev_ops& ops) {
    ops.promiscuous_enable = promiscuous_enable;
    ops.promiscuous_disable = promiscuous_disable;
    ops.allmulticast_enable = all_multicast_enable;
    ops.allmulticast_disable = all_multicast_disable;
    ops.mac_addr_set = mac_set;
    ops.mac_addr_add = mac_add;
    ops.mac_addr_remove = mac_remove;
    ops.set_mc_addr_list = multicast_set;
    ops.mtu_set = mtu_set;
    ops.rss_hash_conf_get = rss_get;
    ops.rss_hash_update = rss_update;
    ops.reta_query = reta_get;
    ops.reta_update = reta_set;
}

} // namespace pantala::bus
