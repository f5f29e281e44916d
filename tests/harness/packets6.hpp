// IPv6 packets for tests; see packets.hpp.
#pragma once

#include "stack/wire/icmp6.hpp"
#include "stack/wire/ipv6.hpp"
#include "tests/harness/packets.hpp"

#include <cstdint>
#include <optional>

namespace pantala::test {

struct ip6_fields {
    wire::ipv6_address source;
    wire::ipv6_address destination;
    wire::ip_protocol next_header = wire::ip_protocol::udp; // of the first header in `content`
    std::uint8_t hop_limit = 64;
    std::uint8_t traffic_class = 0;
    std::uint32_t flow_label = 0;
};
bytes ip6(const ip6_fields& fields, const bytes& content);

// The checksum counts the pseudo header of `fields`.
bytes udp6(
    const ip6_fields& fields, std::uint16_t source_port, std::uint16_t destination_port,
    const bytes& content);
// `content` stands behind the first 8 bytes.
bytes icmp6(
    const ip6_fields& fields, wire::icmp6_type type, std::uint8_t code, std::uint32_t rest,
    const bytes& content);
// A whole packet with such a message.
bytes icmp6_packet(
    ip6_fields fields, wire::icmp6_type type, std::uint8_t code, std::uint32_t rest,
    const bytes& content = {});

// A hop-by-hop or destination options header with these options, padded.
bytes options_header(wire::ip_protocol next, const bytes& options);
bytes fragment_header(
    wire::ip_protocol next, std::uint32_t offset, bool more, std::uint32_t identification);

bytes bytes_of(const wire::ipv6_address& address);
bytes link_option(wire::nd_option_type type, const wire::mac_address& address);

struct parsed_ip6 {
    wire::ipv6_header header;
    bytes content; // without padding
    bytes whole;   // header and content
    // The message, if it is one, whose checksum is right.
    std::optional<wire::icmp6_header> icmp() const;
};
// Nothing if it is not IPv6 or a length is wrong.
std::optional<parsed_ip6> parse_ip6(const bytes& packet);
std::optional<parsed_ip6> parse_ip6_frame(const bytes& frame);

// 2001:db8:A:B::D
inline wire::ipv6_address ip6_host(std::uint16_t a, std::uint16_t b, std::uint16_t d) {
    return wire::ipv6_address::of(0x2001, 0xdb8, a, b, 0, 0, 0, d);
}
inline wire::ipv6_address link_local(const wire::mac_address& mac) {
    return wire::ipv6_address::from_halves(0xfe80ull << 48, wire::eui64_identifier(mac));
}

} // namespace pantala::test
