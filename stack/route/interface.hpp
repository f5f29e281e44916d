// The interface record: what every worker knows of a port, or of a VLAN on one. Written by control
// through the route log, so that interfaces, next hops and routes change in one order on every
// worker. Readers: the workers, each its own copy.
#pragma once

#include "engine/base/byte_order.hpp"
#include "engine/ids.hpp"
#include "stack/route/nexthop.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace pantala {

inline constexpr std::uint16_t vlan_none = 0xffff; // untagged
inline constexpr unsigned iface_addresses_max = 8; // of each family

// Flags of an address, of either family (RFC 4862, 4429, 5227). A tentative one is not used yet,
// but to ask whether somebody else has it; a duplicate one not at all; a deprecated one only where
// there is no other.
inline constexpr std::uint8_t address_tentative = 1;
inline constexpr std::uint8_t address_duplicate = 2;
inline constexpr std::uint8_t address_deprecated = 4;
inline constexpr std::uint8_t address_optimistic = 8; // used also while it is tentative
inline constexpr std::uint8_t address_automatic = 16; // made from an advertised prefix
inline constexpr std::uint8_t address_probed = 32;    // asked for each time its interface comes up

// May packets be sent from it and to it?
constexpr bool address_usable(std::uint8_t flags) {
    return (flags & address_duplicate) == 0 &&
           ((flags & address_tentative) == 0 || (flags & address_optimistic) != 0);
}
// The same of one that is used on trust (RFC 4429): nobody is to believe it over somebody else.
constexpr bool address_on_trust(std::uint8_t flags) {
    return (flags & address_tentative) != 0 && address_usable(flags);
}

struct iface_address4 {
    be32 address{};
    std::uint8_t prefix_length = 0; // 0..32
    std::uint8_t flags = 0;         // address_*

    constexpr std::uint32_t mask() const {
        return prefix_length == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix_length); // host order
    }
    // Whether `other` is on the link of this address.
    constexpr bool on_link(be32 other) const {
        return ((other.host() ^ address.host()) & mask()) == 0;
    }
    // The directed broadcast address; none on links of /31 and /32 (RFC 3021).
    constexpr bool is_broadcast(be32 other) const {
        return prefix_length < 31 && other.host() == (address.host() | ~mask());
    }
    bool operator==(const iface_address4&) const = default;
};

struct iface_address6 {
    std::array<std::uint8_t, 16> address{};
    std::uint8_t prefix_length = 0; // 0..128
    std::uint8_t flags = 0;         // address_*

    constexpr bool is_link_local() const {
        return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
    }
    // Whether `other` is on the link of this address.
    constexpr bool on_link(const std::array<std::uint8_t, 16>& other) const {
        for (unsigned i = 0; i < 16 && 8 * i < prefix_length; ++i) {
            const unsigned bits = prefix_length - 8 * i;
            const unsigned mask = bits >= 8 ? 0xffU : 0xffU << (8 - bits);
            if (((address[i] ^ other[i]) & mask & 0xffU) != 0) {
                return false;
            }
        }
        return true;
    }
    bool operator==(const iface_address6&) const = default;
};

// Duties of an interface beside forwarding. Off by default.
inline constexpr std::uint8_t iface_advertise = 1;  // router advertisements are sent (RFC 4861 6.2)
inline constexpr std::uint8_t iface_accept_ra = 2;  // others' are believed: SLAAC (RFC 4862)
inline constexpr std::uint8_t iface_rpf_strict = 4; // reverse path check (RFC 3704)
inline constexpr std::uint8_t iface_rpf_loose = 8;

struct iface {
    bool present = false; // false: no such interface; nothing else counts then
    bool up = false;
    port_id port{};
    std::uint16_t vlan = vlan_none; // 1..4094, or vlan_none
    std::uint16_t mtu = 1500;       // bytes of L3
    std::uint16_t mtu6 = 0;         // what routers say of IPv6 packets; 0: nothing
    std::array<std::uint8_t, 6> mac{};
    std::uint8_t table = 0; // routing table (VRF) of packets that come in here
    std::uint8_t address4_count = 0;
    std::uint8_t address6_count = 0;
    std::uint8_t duties = 0;            // iface_*
    std::uint8_t hop_limit6 = 0;        // what routers say of our own packets; 0: nothing
    std::uint16_t ra_interval_s = 600;  // MaxRtrAdvInterval, 4..1800
    std::uint16_t ra_lifetime_s = 1800; // AdvDefaultLifetime; 0: no default router
    std::array<iface_address4, iface_addresses_max> addresses4{};
    std::array<iface_address6, iface_addresses_max> addresses6{};

    // Bytes that an IPv6 packet may have here (LinkMTU of RFC 4861).
    std::uint16_t link_mtu6() const { return mtu6 == 0 || mtu6 > mtu ? mtu : mtu6; }

    std::span<const iface_address4> ip4() const { return {addresses4.data(), address4_count}; }
    std::span<const iface_address6> ip6() const { return {addresses6.data(), address6_count}; }

    // The address of ours on the link where `other` lies; nullptr: none.
    const iface_address4* on_link(be32 other) const {
        for (const iface_address4& mine : ip4()) {
            if (mine.on_link(other)) {
                return &mine;
            }
        }
        return nullptr;
    }
    const iface_address6* on_link(const std::array<std::uint8_t, 16>& other) const {
        for (const iface_address6& mine : ip6()) {
            if (mine.on_link(other)) {
                return &mine;
            }
        }
        return nullptr;
    }
    // An address of ours to speak with to `towards`: one on its link, else any; nullptr: none.
    const iface_address4* source4(be32 towards) const {
        const iface_address4* any = nullptr;
        for (const iface_address4& mine : ip4()) {
            if (address_usable(mine.flags) && mine.on_link(towards)) {
                return &mine;
            }
            any = any == nullptr && address_usable(mine.flags) ? &mine : any;
        }
        return any;
    }
    bool operator==(const iface&) const = default;
};

static_assert(std::is_trivially_copyable_v<iface> && sizeof(iface) <= 256);

} // namespace pantala
