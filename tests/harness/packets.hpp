// Packets for tests, built from the inside out as vectors of bytes, and taken apart again. Lengths
// and checksums come out right; a test that wants them wrong changes the bytes afterwards.
#pragma once

#include "stack/route/interface.hpp"
#include "stack/wire/arp.hpp"
#include "stack/wire/ethernet.hpp"
#include "stack/wire/icmp4.hpp"
#include "stack/wire/ipv4.hpp"
#include "stack/wire/udp.hpp"

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace pantala::test {

using bytes = std::vector<std::uint8_t>;
using frames = std::vector<bytes>;

// --- making ---

// `count` bytes that are unlike each other: 0, 1, 2, ...
bytes payload(std::size_t count, std::uint8_t first = 0);
bytes operator+(bytes left, const bytes& right);

struct ip4_fields {
    wire::ipv4_address source;
    wire::ipv4_address destination;
    wire::ip_protocol protocol = wire::ip_protocol::udp;
    std::uint8_t time_to_live = 64;
    std::uint8_t type_of_service = 0;
    std::uint16_t identification = 0;
    std::uint16_t flags_offset = 0;
    bytes options; // a multiple of 4
};
bytes ip4(const ip4_fields& fields, const bytes& content);
// The checksum of `header`, which is somewhere in a packet, made right again.
void fix_ip4_checksum(std::span<std::uint8_t> header);

// The checksum counts the pseudo header of `fields`.
bytes udp(
    const ip4_fields& fields, std::uint16_t source_port, std::uint16_t destination_port,
    const bytes& content);
bytes icmp4(
    wire::icmp4_type type, std::uint8_t code, std::uint16_t rest_high, std::uint16_t rest_low,
    const bytes& content);
bytes arp(
    wire::arp_operation operation, const wire::mac_address& sender, wire::ipv4_address sender_ip,
    const wire::mac_address& target, wire::ipv4_address target_ip);

struct link_fields {
    wire::mac_address destination;
    wire::mac_address source;
    std::uint16_t vlan = vlan_none;
    bool padded = true; // to 60 bytes
};
bytes ethernet(const link_fields& fields, wire::ether_type type, const bytes& content);

// An Ethernet frame with a UDP datagram of `count` bytes of payload.
bytes udp_frame(const link_fields& link, const ip4_fields& fields, std::size_t count = 18);

// --- taking apart ---

struct parsed_frame {
    wire::ethernet_header link;
    std::uint16_t vlan = vlan_none;
    wire::ether_type type{};
    bytes content; // with padding
};
parsed_frame parse_frame(const bytes& frame);

struct parsed_ip4 {
    wire::ipv4_header header;
    bytes options;
    bytes content; // without padding
    bytes whole;   // header and content
};
// Nothing if it is not IPv4; a GoogleTest failure if a length or the header checksum is wrong.
std::optional<parsed_ip4> parse_ip4(const bytes& packet);
std::optional<parsed_ip4> parse_ip4_frame(const bytes& frame);

// The header at `at`; all zero if the content is too short for it.
template <class Header>
Header header_of(const bytes& content, std::size_t at = 0) {
    Header header;
    if (content.size() >= at + sizeof header) {
        std::memcpy(&header, content.data() + at, sizeof header);
    }
    return header;
}

// In words, for failure messages.
std::string describe(const bytes& frame);
// Equal byte for byte and in order; else both in words.
testing::AssertionResult same(const frames& actual, const frames& expected);

inline wire::mac_address mac(std::uint8_t last, std::uint8_t before = 0) {
    return {{0x02, 0, 0, 0, before, last}};
}
inline wire::ipv4_address ip(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
    return wire::ipv4_address::of(a, b, c, d);
}

} // namespace pantala::test
