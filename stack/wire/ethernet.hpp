// Ethernet II (RFC 894) and the 802.1Q tag.
#pragma once

#include "engine/base/byte_order.hpp"
#include "stack/wire/address.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace pantala::wire {

// EtherType values (IANA, IEEE 802 Numbers).
enum class ether_type : std::uint16_t {
    ipv4 = 0x0800,
    arp = 0x0806,
    vlan = 0x8100,   // 802.1Q customer tag
    vlan_s = 0x88a8, // 802.1ad service tag
    ipv6 = 0x86dd,
};

struct ethernet_header {
    mac_address destination;
    mac_address source;
    be16 type;

    constexpr ether_type ether() const { return static_cast<ether_type>(type.host()); }
};

// Follows the two addresses in place of the type; `type` is that of the payload.
struct vlan_tag {
    be16 control; // priority 3 bits, DEI 1 bit, VLAN identifier 12 bits
    be16 type;

    constexpr std::uint16_t identifier() const { return control.host() & 0x0fff; }
    constexpr ether_type ether() const { return static_cast<ether_type>(type.host()); }
};

inline constexpr std::size_t ethernet_header_bytes = 14;
inline constexpr std::size_t vlan_tag_bytes = 4;
inline constexpr std::size_t ethernet_minimum_bytes = 60;  // of a frame on the wire, without FCS
inline constexpr std::uint16_t vlan_identifier_max = 4094; // 0 is "priority only", 4095 reserved

static_assert(sizeof(ethernet_header) == ethernet_header_bytes);
static_assert(offsetof(ethernet_header, source) == 6 && offsetof(ethernet_header, type) == 12);
static_assert(std::is_trivially_copyable_v<ethernet_header>);
static_assert(sizeof(vlan_tag) == vlan_tag_bytes && alignof(vlan_tag) == 1);

} // namespace pantala::wire
