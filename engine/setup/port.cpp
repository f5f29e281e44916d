#include "engine/setup/port.hpp"

#include "engine/dpdk/versions.hpp"
#include "engine/handoff/netisr.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include <rte_ethdev.h>
#include <rte_log.h>
#include <rte_mbuf.h>

namespace pantala {

namespace {

constexpr std::uint16_t mtu_default = 1500;
constexpr std::uint64_t rss_wanted = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_FRAG_IPV4 |
                                     RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_UDP |
                                     RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_FRAG_IPV6 |
                                     RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_NONFRAG_IPV6_UDP;
// The IPv4 header's is not asked for: docs/decisions/0024-checksums-on-receive.md.
constexpr std::uint64_t rx_l4_wanted = RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
constexpr std::uint64_t tx_l4_wanted = RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;

std::string reason(int code) {
    return std::strerror(code < 0 ? -code : code);
}

// Everything that one attempt to start the port needs.
struct attempt {
    port_id id;
    const port_settings& settings;
    std::uint16_t workers;
    rte_mempool* pool;
    rte_eth_dev_info info{};
    rte_eth_conf conf{};
    std::array<std::uint8_t, 64> key{};
    port_report report;

    error fail(const std::string& what, int code, const std::string& advice) const {
        return error{
            code < 0 ? -code : code, "port " + std::to_string(id.value) + " (" + report.name +
                                         "): " + what + ": " + reason(code) + "; " + advice};
    }
    void note(std::string text) { report.notes.push_back(std::move(text)); }
};

void choose_queues(attempt& a) {
    const std::uint16_t wanted =
        a.settings.queues == 0 ? a.workers : std::min(a.settings.queues, a.workers);
    const std::uint64_t hashes = a.settings.rss ? a.info.flow_type_rss_offloads & rss_wanted : 0;
    a.report.tx_queues = std::min<std::uint16_t>(wanted, a.info.max_tx_queues);
    a.report.rx_queues =
        hashes == 0 ? std::uint16_t{1} : std::min<std::uint16_t>(wanted, a.info.max_rx_queues);
    a.report.rss = a.report.rx_queues > 1;
    if (a.report.rss) {
        a.conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        a.conf.rx_adv_conf.rss_conf.rss_hf = hashes;
        if (a.info.hash_key_size != 0 && a.info.hash_key_size <= a.key.size()) {
            for (std::size_t i = 0; i < a.key.size(); ++i) {
                a.key[i] = rss_key_symmetric[i % 2];
            }
            a.conf.rx_adv_conf.rss_conf.rss_key = a.key.data();
            a.conf.rx_adv_conf.rss_conf.rss_key_len = a.info.hash_key_size;
        }
    }
    if (a.report.rx_queues < a.workers) {
        a.note(
            (hashes == 0 ? std::string("no RSS")
                         : std::string("fewer receive queues than workers")) +
            ": packets are handed to the worker that owns their flow");
    }
    if (a.report.tx_queues < a.workers) {
        a.note("fewer transmit queues than workers: some workers send through another");
    }
}

// Asked to verify checksums, these hand over packets that have none yet, as what a neighbour on the
// same machine sends: good for a host, but not to be forwarded.
bool lets_unfinished_through(const std::string& driver) {
    return driver.starts_with("net_virtio") || driver.starts_with("net_vhost");
}

void choose_offloads(attempt& a) {
    a.conf.rxmode.offloads =
        lets_unfinished_through(a.report.driver) ? 0 : a.info.rx_offload_capa & rx_l4_wanted;
    a.report.rx_checksums = a.conf.rxmode.offloads == rx_l4_wanted;
    if (a.report.rss) {
        a.conf.rxmode.offloads |= a.info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_RSS_HASH;
    }
    a.report.tx_ip4_checksum = (a.info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
    a.report.tx_l4_checksums = (a.info.tx_offload_capa & tx_l4_wanted) == tx_l4_wanted;
    a.report.multi_segment = (a.info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
    a.conf.txmode.offloads =
        a.info.tx_offload_capa & (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
    if (a.report.tx_l4_checksums) {
        a.conf.txmode.offloads |= tx_l4_wanted;
    }
    // All that the engine sends is from its one pool and has one reference: nothing is shared or
    // cloned. Newer versions of DPDK want it unsegmented besides.
    if (!dpdk::fast_free_excludes_segments || !a.report.multi_segment) {
        a.conf.txmode.offloads |= a.info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
    }
}

// What the device has where nothing is asked for: its arguments may have set it.
std::uint16_t mtu_of_device(port_id id) {
    std::uint16_t mtu = 0;
    return rte_eth_dev_get_mtu(id.value, &mtu) == 0 && mtu != 0 ? mtu : mtu_default;
}

result<void> choose_mtu(attempt& a) {
    const std::uint16_t largest = a.info.max_mtu == 0 ? mtu_default : a.info.max_mtu;
    a.report.mtu = a.settings.mtu == 0 ? std::min(mtu_of_device(a.id), largest) : a.settings.mtu;
    if (a.report.mtu > largest || a.report.mtu < a.info.min_mtu) {
        return a.fail(
            "MTU " + std::to_string(a.report.mtu) + " does not suit the device", EINVAL,
            "choose one from " + std::to_string(a.info.min_mtu) + " to " + std::to_string(largest));
    }
    a.conf.rxmode.mtu = a.report.mtu;
    const std::uint32_t frame = a.report.mtu + RTE_ETHER_HDR_LEN + 2u * RTE_VLAN_HLEN;
    const std::uint32_t room = rte_pktmbuf_data_room_size(a.pool) - RTE_PKTMBUF_HEADROOM;
    if (frame > room) {
        if ((a.info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) == 0) {
            return a.fail(
                "a frame of MTU " + std::to_string(a.report.mtu) +
                    " does not fit one buffer, and the device cannot scatter",
                EINVAL,
                "lower the MTU to " + std::to_string(room - (frame - a.report.mtu)) +
                    " or make buffers larger");
        }
        a.conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
    }
    return {};
}

result<void> set_up_queues(attempt& a) {
    const std::uint16_t id = a.id.value;
    a.report.rx_descriptors = a.settings.rx_descriptors;
    a.report.tx_descriptors = a.settings.tx_descriptors;
    int code =
        rte_eth_dev_adjust_nb_rx_tx_desc(id, &a.report.rx_descriptors, &a.report.tx_descriptors);
    if (code != 0) {
        return a.fail("descriptor counts refused", code, "set others");
    }
    rte_eth_rxconf rx = a.info.default_rxconf;
    rx.offloads = a.conf.rxmode.offloads;
    rte_eth_txconf tx = a.info.default_txconf;
    tx.offloads = a.conf.txmode.offloads;
    const auto socket = static_cast<unsigned>(a.report.socket);
    for (std::uint16_t q = 0; q < a.report.rx_queues; ++q) {
        code = rte_eth_rx_queue_setup(id, q, a.report.rx_descriptors, socket, &rx, a.pool);
        if (code != 0) {
            return a.fail(
                "receive queue " + std::to_string(q) + " refused", code,
                "give EAL more memory (-m) or ask for fewer queues or descriptors");
        }
    }
    for (std::uint16_t q = 0; q < a.report.tx_queues; ++q) {
        code = rte_eth_tx_queue_setup(id, q, a.report.tx_descriptors, socket, &tx);
        if (code != 0) {
            return a.fail(
                "transmit queue " + std::to_string(q) + " refused", code,
                "give EAL more memory (-m) or ask for fewer queues or descriptors");
        }
    }
    return {};
}

result<void> configure_and_start(attempt& a, bool interrupts) {
    a.conf.intr_conf.rxq = interrupts ? 1 : 0;
    const std::uint16_t id = a.id.value;
    int code = rte_eth_dev_configure(id, a.report.rx_queues, a.report.tx_queues, &a.conf);
    if (code != 0 && a.conf.rx_adv_conf.rss_conf.rss_key != nullptr) {
        a.conf.rx_adv_conf.rss_conf.rss_key = nullptr; // some drivers have a key of their own only
        a.conf.rx_adv_conf.rss_conf.rss_key_len = 0;
        code = rte_eth_dev_configure(id, a.report.rx_queues, a.report.tx_queues, &a.conf);
    }
    if (code != 0) {
        return a.fail("configuration refused", code, "its driver's page in DPDK's guide says why");
    }
    if (auto done = set_up_queues(a); !done) {
        return done;
    }
    code = rte_eth_dev_start(id);
    if (code != 0) {
        return a.fail("does not start", code, "its driver's page in DPDK's guide says why");
    }
    return {};
}

// The device's own table, so that it agrees with owner_of.
void spread_flows(attempt& a) {
    const std::uint16_t entries = a.info.reta_size;
    if (!a.report.rss || entries == 0 || entries > RTE_ETH_RSS_RETA_SIZE_512) {
        return;
    }
    std::array<rte_eth_rss_reta_entry64, RTE_ETH_RSS_RETA_SIZE_512 / RTE_ETH_RETA_GROUP_SIZE>
        table{};
    for (std::uint16_t i = 0; i < entries; ++i) {
        rte_eth_rss_reta_entry64& group = table[i / RTE_ETH_RETA_GROUP_SIZE];
        group.mask = ~std::uint64_t{0};
        group.reta[i % RTE_ETH_RETA_GROUP_SIZE] = owner_of(i, a.report.rx_queues).value;
    }
    if (rte_eth_dev_rss_reta_update(a.id.value, table.data(), entries) != 0) {
        a.note("its RSS table cannot be set: the driver's own spread is used");
    }
}

// ethdev logs an error for a device without interrupts; asking is not an error.
bool has_rx_interrupts(const attempt& a) {
    const int type = rte_log_register("lib.ethdev");
    const int level = type < 0 ? 0 : rte_log_get_level(static_cast<std::uint32_t>(type));
    if (type >= 0) {
        rte_log_set_level(static_cast<std::uint32_t>(type), RTE_LOG_EMERG);
    }
    bool all = true;
    for (std::uint16_t q = 0; q < a.report.rx_queues; ++q) {
        all = all && rte_eth_dev_rx_intr_ctl_q_get_fd(a.id.value, q) >= 0;
    }
    if (type >= 0) {
        rte_log_set_level(static_cast<std::uint32_t>(type), static_cast<std::uint32_t>(level));
    }
    return all;
}

// A PCI device's line interrupt (INTx) is level-triggered and shared with its neighbours. The
// kernel masks it at the device, or for good when nobody seems to care for it, and there is one for
// all queues: not something to sleep on.
bool has_line_interrupt_only(const attempt& a) {
    std::error_code failed;
    const auto driver =
        std::filesystem::read_symlink("/sys/bus/pci/devices/" + a.report.name + "/driver", failed);
    return !failed && driver.filename() == "uio_pci_generic";
}

void note_interrupts(attempt& a, bool shared_line) {
    a.report.rx_interrupts = a.conf.intr_conf.rxq != 0 && has_rx_interrupts(a);
    if (a.report.rx_interrupts || !a.settings.interrupts) {
        return;
    }
    a.note(
        std::string(
            shared_line
                ? "its only interrupt is a shared line (uio_pci_generic; vfio-pci has better)"
                : "no receive interrupts") +
        ": an idle worker looks every few milliseconds");
}

void finish(attempt& a) {
    spread_flows(a);
    // Neighbour discovery asks groups (RFC 4861). A device without a filter does not know the call.
    static_cast<void>(rte_eth_allmulticast_enable(a.id.value));
    if (a.settings.promiscuous) {
        a.report.promiscuous = rte_eth_promiscuous_enable(a.id.value) == 0;
        if (!a.report.promiscuous) {
            a.note("promiscuous mode refused by the device");
        }
    }
    rte_ether_addr mac{};
    if (rte_eth_macaddr_get(a.id.value, &mac) == 0) {
        std::copy_n(mac.addr_bytes, a.report.mac.size(), a.report.mac.begin());
    }
    std::uint16_t mtu = 0;
    if (rte_eth_dev_get_mtu(a.id.value, &mtu) == 0) {
        a.report.mtu = mtu;
    }
}

} // namespace

result<port_report>
open_port(port_id id, const port_settings& settings, std::uint16_t workers, rte_mempool* pool) {
    attempt a{.id = id, .settings = settings, .workers = workers, .pool = pool};
    char name[RTE_ETH_NAME_MAX_LEN] = "?";
    if (id.value >= ports_max || rte_eth_dev_is_valid_port(id.value) == 0 ||
        rte_eth_dev_get_name_by_port(id.value, name) != 0) {
        return a.fail(
            "no such port", ENODEV,
            "EAL makes ports from --vdev=... and -a PCI_ADDRESS (or numbers above " +
                std::to_string(ports_max - 1) + " are in use)");
    }
    a.report.id = id;
    a.report.name = name;
    if (const int code = rte_eth_dev_info_get(id.value, &a.info); code != 0) {
        return a.fail("does not tell what it can", code, "is the device still there?");
    }
    a.report.driver = a.info.driver_name != nullptr ? a.info.driver_name : "?";
    const int socket = rte_eth_dev_socket_id(id.value);
    a.report.socket = socket < 0 ? 0 : socket;
    choose_queues(a);
    if (a.report.rx_queues == 0 || a.report.tx_queues == 0) {
        return a.fail("has no queues one way", ENOTSUP, "use a device that receives and transmits");
    }
    choose_offloads(a);
    if (auto done = choose_mtu(a); !done) {
        return done.failure();
    }
    // Some drivers refuse to start when receive interrupts are asked for and cannot be had.
    const bool shared_line = has_line_interrupt_only(a);
    const bool ask = settings.interrupts && !shared_line;
    auto started = configure_and_start(a, ask);
    if (!started && ask) {
        rte_eth_dev_stop(id.value);
        started = configure_and_start(a, false);
    }
    if (!started) {
        rte_eth_dev_stop(id.value);
        return started.failure();
    }
    note_interrupts(a, shared_line);
    finish(a);
    return std::move(a.report);
}

void close_port(port_id id) {
    rte_eth_dev_stop(id.value);
    rte_eth_dev_close(id.value);
}

std::vector<port_id> list_ports() {
    std::vector<port_id> ports;
    std::uint16_t id = 0;
    RTE_ETH_FOREACH_DEV(id) {
        ports.push_back(port_id{id});
    }
    return ports;
}

} // namespace pantala
