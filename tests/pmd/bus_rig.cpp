#include "tests/pmd/bus_rig.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include <gtest/gtest.h>
#include <rte_bus_vdev.h>
#include <rte_errno.h>
#include <unistd.h>

namespace pantala::bus::test {

namespace {

constexpr unsigned pool_mbufs = 1023;
unsigned names_given = 0; // ports and pools need names of their own

void require(bool condition, const char* what) {
    if (!condition) {
        throw std::runtime_error(what);
    }
}

void put16(frame& bytes, std::size_t at, std::uint32_t value) {
    bytes[at] = static_cast<std::uint8_t>(value >> 8);
    bytes[at + 1] = static_cast<std::uint8_t>(value);
}
void put32(frame& bytes, std::size_t at, std::uint32_t value) {
    put16(bytes, at, value >> 16);
    put16(bytes, at + 2, value & 0xffff);
}

} // namespace

scratch_path::scratch_path()
    : path_(
          "/dev/shm/pantala-test-" + std::to_string(getpid()) + "-" +
          std::to_string(names_given++) + ".bus") {
    unlink(path_.c_str());
}

scratch_path::~scratch_path() {
    unlink(path_.c_str());
}

frame udp_frame(std::uint32_t flow, std::uint32_t number, std::uint32_t bytes) {
    frame made(bytes);
    for (std::size_t i = 42; i < made.size(); ++i) {
        made[i] = static_cast<std::uint8_t>(number + i);
    }
    const std::array<std::uint8_t, 12> macs = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
    std::copy(macs.begin(), macs.end(), made.begin());
    put16(made, 12, 0x0800);
    made[14] = 0x45;
    put16(made, 16, bytes - 14);
    made[22] = 64;
    made[23] = 17;
    put32(made, 26, 0x0a000000 + flow);
    put32(made, 30, 0x0b000000 + flow * 7);
    put16(made, 34, 1024 + flow % 50000);
    put16(made, 36, 53);
    put16(made, 38, bytes - 34);
    put32(made, made.size() - 4, number);
    return made;
}

std::uint32_t number_of(const frame& bytes) {
    std::uint32_t number = 0;
    for (std::size_t i = bytes.size() - 4; i < bytes.size(); ++i) {
        number = number << 8 | bytes[i];
    }
    return number;
}

frame addressed(frame bytes, const rte_ether_addr& mac) {
    std::copy_n(mac.addr_bytes, 6, bytes.begin());
    return bytes;
}

rig_port::rig_port(const std::string& bus, const rig_options& options)
    : name_("net_shmif" + std::to_string(names_given)) {
    const std::string pool_name = "rig" + std::to_string(names_given++);
    pool_ = rte_pktmbuf_pool_create(
        pool_name.c_str(), pool_mbufs, 0, 0, options.mbuf_room, SOCKET_ID_ANY);
    require(pool_ != nullptr, "no mbuf pool");
    const std::string arguments =
        "bus=" + bus + (options.arguments.empty() ? "" : "," + options.arguments);
    require(rte_vdev_init(name_.c_str(), arguments.c_str()) == 0, "the port does not probe");
    require(rte_eth_dev_get_port_by_name(name_.c_str(), &id_) == 0, "the port has no number");
    rte_eth_conf conf{};
    conf.rxmode.offloads = options.rx_offloads;
    conf.intr_conf.rxq = options.interrupts ? 1 : 0;
    if (options.rss) {
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf = RTE_ETH_RSS_IPV4;
    }
    require(
        rte_eth_dev_configure(id_, options.queues, options.queues, &conf) == 0, "not configured");
    for (std::uint16_t queue = 0; queue < options.queues; ++queue) {
        require(
            rte_eth_rx_queue_setup(id_, queue, 512, SOCKET_ID_ANY, nullptr, pool_) == 0 &&
                rte_eth_tx_queue_setup(id_, queue, 512, SOCKET_ID_ANY, nullptr) == 0,
            "no queue");
    }
    require(rte_eth_dev_start(id_) == 0, "not started");
    if (options.promiscuous) {
        rte_eth_promiscuous_enable(id_);
    } else {
        rte_eth_promiscuous_disable(id_);
    }
}

rig_port::~rig_port() {
    rte_eth_dev_stop(id_);
    rte_eth_dev_close(id_);
    rte_vdev_uninit(name_.c_str());
    EXPECT_EQ(rte_mempool_in_use_count(pool_), 0u) << "mbufs leaked";
    rte_mempool_free(pool_);
}

rte_ether_addr rig_port::mac() const {
    rte_ether_addr address{};
    rte_eth_macaddr_get(id_, &address);
    return address;
}

rte_eth_stats rig_port::stats() const {
    rte_eth_stats stats{};
    rte_eth_stats_get(id_, &stats);
    return stats;
}

std::uint64_t rig_port::xstat(const std::string& name) const {
    std::uint64_t id = 0;
    std::uint64_t value = 0;
    require(rte_eth_xstats_get_id_by_name(id_, name.c_str(), &id) == 0, "no such statistic");
    require(rte_eth_xstats_get_by_id(id_, &id, &value, 1) == 1, "no value");
    return value;
}

std::uint16_t
rig_port::send(const std::vector<frame>& frames, std::uint16_t queue, unsigned segments) const {
    std::vector<rte_mbuf*> packets;
    for (const frame& one : frames) {
        rte_mbuf* first = nullptr;
        std::size_t done = 0;
        for (unsigned part = 0; part < segments; ++part) {
            rte_mbuf* const packet = rte_pktmbuf_alloc(pool_);
            require(packet != nullptr, "no mbuf");
            const std::size_t bytes =
                part + 1 == segments ? one.size() - done : one.size() / segments;
            char* const room = rte_pktmbuf_append(packet, static_cast<std::uint16_t>(bytes));
            require(room != nullptr, "frame too long for an mbuf");
            std::memcpy(room, one.data() + done, bytes);
            done += bytes;
            if (first == nullptr) {
                first = packet;
            } else {
                require(rte_pktmbuf_chain(first, packet) == 0, "chain");
            }
        }
        packets.push_back(first);
    }
    const auto count = static_cast<std::uint16_t>(packets.size());
    const std::uint16_t sent = rte_eth_tx_burst(id_, queue, packets.data(), count);
    for (std::size_t i = sent; i < packets.size(); ++i) {
        rte_pktmbuf_free(packets[i]);
    }
    return sent;
}

std::vector<rte_mbuf*> rig_port::receive_mbufs(std::uint16_t queue, std::size_t most) const {
    std::vector<rte_mbuf*> packets(most);
    packets.resize(rte_eth_rx_burst(id_, queue, packets.data(), static_cast<std::uint16_t>(most)));
    return packets;
}

std::vector<frame> rig_port::receive(std::uint16_t queue, std::size_t most) const {
    std::vector<frame> frames;
    constexpr std::size_t burst = 32;
    for (int idle = 0; idle < 2 && frames.size() < most;) {
        const auto packets = receive_mbufs(queue, std::min(burst, most - frames.size()));
        idle = packets.empty() ? idle + 1 : 0; // an overrun may cost one call
        for (rte_mbuf* const packet : packets) {
            frames.push_back(bytes_of(packet));
            rte_pktmbuf_free(packet);
        }
    }
    return frames;
}

frame bytes_of(const rte_mbuf* packet) {
    frame bytes;
    for (; packet != nullptr; packet = packet->next) {
        const auto* const data = rte_pktmbuf_mtod(packet, const std::uint8_t*);
        bytes.insert(bytes.end(), data, data + packet->data_len);
    }
    return bytes;
}

int probe_error(const std::string& arguments) {
    const std::string name = "net_shmif" + std::to_string(names_given++);
    const int code = rte_vdev_init(name.c_str(), arguments.c_str());
    if (code == 0) {
        rte_vdev_uninit(name.c_str());
    }
    return code;
}

} // namespace pantala::bus::test
