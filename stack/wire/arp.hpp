// ARP for IPv4 over Ethernet (RFC 826).
#pragma once

#include "stack/wire/address.hpp"

#include <cstddef>
#include <type_traits>

namespace pantala::wire {

enum class arp_operation : std::uint16_t { request = 1, reply = 2 };

inline constexpr std::uint16_t arp_hardware_ethernet = 1;

struct arp_packet {
    be16 hardware;                    // ar$hrd
    be16 protocol;                    // ar$pro: an EtherType
    std::uint8_t hardware_length = 0; // ar$hln
    std::uint8_t protocol_length = 0; // ar$pln
    be16 operation;                   // ar$op
    mac_address sender_hardware;      // ar$sha
    ipv4_address sender_protocol;     // ar$spa
    mac_address target_hardware;      // ar$tha
    ipv4_address target_protocol;     // ar$tpa
};

static_assert(sizeof(arp_packet) == 28 && alignof(arp_packet) == 1);
static_assert(offsetof(arp_packet, operation) == 6);
static_assert(offsetof(arp_packet, sender_hardware) == 8);
static_assert(offsetof(arp_packet, sender_protocol) == 14);
static_assert(offsetof(arp_packet, target_hardware) == 18);
static_assert(offsetof(arp_packet, target_protocol) == 24);
static_assert(std::is_trivially_copyable_v<arp_packet>);

} // namespace pantala::wire
