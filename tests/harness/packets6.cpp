#include "tests/harness/packets6.hpp"

#include "stack/wire/checksum.hpp"

#include <cstring>

namespace pantala::test {
namespace {

template <class Header>
bytes raw(const Header& header) {
    bytes result(sizeof header);
    std::memcpy(result.data(), &header, sizeof header);
    return result;
}

be16 checksum6(const ip6_fields& fields, wire::ip_protocol protocol, const bytes& content) {
    return wire::checksum_of(
        wire::sum_pseudo_header(
            fields.source, fields.destination, protocol,
            static_cast<std::uint32_t>(content.size())) +
        wire::sum_bytes(content.data(), content.size()));
}

} // namespace

bytes ip6(const ip6_fields& fields, const bytes& content) {
    wire::ipv6_header header;
    header.version_class_flow =
        be32::from(6u << 28 | std::uint32_t{fields.traffic_class} << 20 | fields.flow_label);
    header.payload_length = be16::from(static_cast<std::uint16_t>(content.size()));
    header.next_header = static_cast<std::uint8_t>(fields.next_header);
    header.hop_limit = fields.hop_limit;
    header.source = fields.source;
    header.destination = fields.destination;
    return raw(header) + content;
}

bytes udp6(
    const ip6_fields& fields, std::uint16_t source_port, std::uint16_t destination_port,
    const bytes& content) {
    wire::udp_header header;
    header.source_port = be16::from(source_port);
    header.destination_port = be16::from(destination_port);
    header.length = be16::from(static_cast<std::uint16_t>(sizeof header + content.size()));
    header.checksum = checksum6(fields, wire::ip_protocol::udp, raw(header) + content);
    return raw(header) + content;
}

bytes icmp6(
    const ip6_fields& fields, wire::icmp6_type type, std::uint8_t code, std::uint32_t rest,
    const bytes& content) {
    wire::icmp6_header header;
    header.type = static_cast<std::uint8_t>(type);
    header.code = code;
    header.rest = be32::from(rest);
    header.checksum = checksum6(fields, wire::ip_protocol::icmpv6, raw(header) + content);
    return raw(header) + content;
}

bytes icmp6_packet(
    ip6_fields fields, wire::icmp6_type type, std::uint8_t code, std::uint32_t rest,
    const bytes& content) {
    fields.next_header = wire::ip_protocol::icmpv6;
    return ip6(fields, icmp6(fields, type, code, rest, content));
}

bytes options_header(wire::ip_protocol next, const bytes& options) {
    bytes header = {static_cast<std::uint8_t>(next), 0};
    header = header + options;
    if (const std::size_t gap = (8 - header.size() % 8) % 8; gap == 1) {
        header.push_back(0);
    } else if (gap > 1) {
        header = header + bytes{1, static_cast<std::uint8_t>(gap - 2)} + bytes(gap - 2);
    }
    header[1] = static_cast<std::uint8_t>(header.size() / 8 - 1);
    return header;
}

bytes fragment_header(
    wire::ip_protocol next, std::uint32_t offset, bool more, std::uint32_t identification) {
    wire::ipv6_fragment_header header;
    header.next_header = static_cast<std::uint8_t>(next);
    header.offset_more = be16::from(static_cast<std::uint16_t>(offset | (more ? 1 : 0)));
    header.identification = be32::from(identification);
    return raw(header);
}

bytes bytes_of(const wire::ipv6_address& address) {
    return raw(address);
}

bytes link_option(wire::nd_option_type type, const wire::mac_address& address) {
    wire::nd_link_address_option option;
    option.type = static_cast<std::uint8_t>(type);
    option.length = 1;
    option.address = address;
    return raw(option);
}

std::optional<parsed_ip6> parse_ip6(const bytes& packet) {
    parsed_ip6 result;
    result.header = header_of<wire::ipv6_header>(packet);
    const std::size_t total = sizeof(wire::ipv6_header) + result.header.payload_length.host();
    if (packet.size() < sizeof(wire::ipv6_header) || result.header.version() != 6 ||
        total > packet.size()) {
        return std::nullopt;
    }
    const auto at = [&](std::size_t place) {
        return packet.begin() + static_cast<std::ptrdiff_t>(place);
    };
    result.content.assign(at(sizeof(wire::ipv6_header)), at(total));
    result.whole.assign(at(0), at(total));
    return result;
}

std::optional<parsed_ip6> parse_ip6_frame(const bytes& frame) {
    const parsed_frame link = parse_frame(frame);
    return link.type == wire::ether_type::ipv6 ? parse_ip6(link.content) : std::nullopt;
}

std::optional<wire::icmp6_header> parsed_ip6::icmp() const {
    if (header.next_header != static_cast<std::uint8_t>(wire::ip_protocol::icmpv6) ||
        content.size() < sizeof(wire::icmp6_header)) {
        return std::nullopt;
    }
    const wire::partial_sum sum = wire::sum_pseudo_header(
                                      header.source, header.destination, wire::ip_protocol::icmpv6,
                                      static_cast<std::uint32_t>(content.size())) +
                                  wire::sum_bytes(content.data(), content.size());
    return wire::checksum_valid(sum) ? std::optional(header_of<wire::icmp6_header>(content))
                                     : std::nullopt;
}

} // namespace pantala::test
