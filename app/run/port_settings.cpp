#include "app/run/port_settings.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

namespace pantala::app {

namespace {

// The longest packet that one receive buffer holds, VLAN tags and all; a port that scatters has no
// such bound.
unsigned buffer_mtu(port_id port, const rte_mempool& pool) {
    rte_eth_conf conf{};
    if (rte_eth_dev_conf_get(port.value, &conf) == 0 &&
        (conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_SCATTER) != 0) {
        return UINT16_MAX;
    }
    // The pool is only read, which DPDK's prototype does not say.
    const unsigned room = rte_pktmbuf_data_room_size(const_cast<rte_mempool*>(&pool));
    return room - RTE_PKTMBUF_HEADROOM - RTE_ETHER_HDR_LEN - 2 * RTE_VLAN_HLEN;
}

} // namespace

mac_address port_mac(port_id port) {
    rte_ether_addr found{};
    mac_address mac{};
    if (rte_eth_macaddr_get(port.value, &found) == 0) {
        std::copy_n(found.addr_bytes, mac.size(), mac.begin());
    }
    return mac;
}

result<void> is_station_mac(const mac_address& mac) {
    if ((mac[0] & 1) != 0 || mac == mac_address{}) {
        return error{
            EINVAL,
            fmt::format(
                "{} is no station's Ethernet address (a group's, or zero)", format_mac(mac))};
    }
    return {};
}

result<void> set_port_mac(port_id port, const std::string& name, const mac_address& mac) {
    if (auto good = is_station_mac(mac); !good) {
        return good;
    }
    rte_ether_addr wanted;
    std::copy(mac.begin(), mac.end(), wanted.addr_bytes);
    if (const int code = rte_eth_dev_default_mac_addr_set(port.value, &wanted); code != 0) {
        return error{
            -code, fmt::format(
                       "port {}: its driver does not take the Ethernet address {}: {}", name,
                       format_mac(mac), std::strerror(-code))};
    }
    return {};
}

result<void>
carry_mtu(port_id port, const std::string& name, std::uint16_t mtu, const rte_mempool& pool) {
    std::uint16_t now = 0;
    rte_eth_dev_info info{};
    int code = rte_eth_dev_get_mtu(port.value, &now);
    if (code == 0 && mtu <= now) {
        return {};
    }
    code = code != 0 ? code : rte_eth_dev_info_get(port.value, &info);
    if (code != 0) {
        return error{-code, fmt::format("port {} does not tell its MTU", name)};
    }
    if (mtu > info.max_mtu) {
        return error{
            EINVAL,
            fmt::format("MTU {}: the port {} carries at most {} bytes", mtu, name, info.max_mtu)};
    }
    if (const unsigned most = buffer_mtu(port, pool); mtu > most) {
        return error{
            EINVAL, fmt::format(
                        "MTU {}: the receive buffers of port {} were made for at most {} bytes; "
                        "start with a larger 'mtu' of [[port]]",
                        mtu, name, most)};
    }
    if (code = rte_eth_dev_set_mtu(port.value, mtu); code != 0) {
        return error{
            -code, fmt::format(
                       "MTU {}: the driver of port {} does not go beyond {} bytes while it runs "
                       "({}); start with a larger 'mtu' of [[port]]",
                       mtu, name, now, std::strerror(-code))};
    }
    return {};
}

} // namespace pantala::app
