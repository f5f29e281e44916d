// Ports: an ethdev made ready for n workers, and what had to be given up on the way. Control only.
//
// One transmit queue and one receive queue a worker where the device has them. What it lacks:
//
//   RSS, or fewer receive queues   workers that read a queue hand each packet to its flow's owner
//   fewer transmit queues          a worker without one hands its packets to a worker that has
//   checksum offload               the stack sums by itself (capabilities say which); that of
//                                  IPv4 headers always, and all on receive from virtio and vhost
//   receive interrupts             an idle worker looks every few milliseconds
//   an interrupt of its own        not asked for: a line shared with other devices
//   (uio_pci_generic)              is the kernel's to switch off; as without interrupts
//   the MTU asked for              refused, with the device's own bounds
#pragma once

#include "engine/base/result.hpp"
#include "engine/base/rss.hpp"
#include "engine/ids.hpp"
#include "engine/impair/impair.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

struct rte_mempool;

namespace pantala {

struct port_settings {
    std::uint16_t mtu = 0;               // 0: 1500, or the device's largest if that is less
    std::uint16_t rx_descriptors = 1024; // adjusted to what the device allows
    std::uint16_t tx_descriptors = 1024;
    std::uint16_t queues = 0; // at most so many each way; 0: as many as there are workers
    bool promiscuous = false;
    bool rss = true;
    bool interrupts = true; // false: nobody will wait for them (idle policy `busy`)
    impair_settings impair{};
};

// What was chosen.
struct port_report {
    port_id id;
    std::string name; // EAL's device name
    std::string driver;
    std::array<std::uint8_t, 6> mac{};
    std::uint16_t mtu = 0;
    std::uint16_t rx_queues = 0;
    std::uint16_t tx_queues = 0;
    std::uint16_t rx_descriptors = 0;
    std::uint16_t tx_descriptors = 0;
    bool rss = false;          // the device spreads flows; symmetric where it took our key
    bool rx_checksums = false; // mbuf flags say whether TCP and UDP checksums were right
    bool tx_ip4_checksum = false;
    bool tx_l4_checksums = false;
    bool multi_segment = false; // transmits chains
    bool rx_interrupts = false;
    bool promiscuous = false;
    int socket = 0;
    std::vector<std::string> notes; // a sentence for each thing given up
};

// Configures and starts the port for `workers`; its packets come from `pool`. On failure the port
// is stopped and the sentence says what to do.
result<port_report>
open_port(port_id id, const port_settings& settings, std::uint16_t workers, rte_mempool* pool);

// Stops and closes it; nobody may poll it any more.
void close_port(port_id id);

// Every port that EAL found, in order.
std::vector<port_id> list_ports();

} // namespace pantala
