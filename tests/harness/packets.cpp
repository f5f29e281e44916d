#include "tests/harness/packets.hpp"

#include "stack/wire/checksum.hpp"
#include "stack/wire/format.hpp"

#include <algorithm>
#include <cstring>

#include <gtest/gtest.h>

namespace pantala::test {
namespace {

template <class Header>
bytes bytes_of(const Header& header) {
    bytes result(sizeof header);
    std::memcpy(result.data(), &header, sizeof header);
    return result;
}

} // namespace

bytes payload(std::size_t count, std::uint8_t first) {
    bytes result(count);
    for (std::size_t i = 0; i < count; ++i) {
        result[i] = static_cast<std::uint8_t>(first + i);
    }
    return result;
}

bytes operator+(bytes left, const bytes& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

void fix_ip4_checksum(std::span<std::uint8_t> header) {
    const std::size_t length = std::min<std::size_t>((header[0] & 0x0fu) * 4, header.size());
    header[10] = header[11] = 0;
    const be16 sum = wire::checksum_of(wire::sum_bytes(header.data(), length));
    const std::uint16_t raw = sum.raw();
    std::memcpy(&header[10], &raw, sizeof raw);
}

bytes ip4(const ip4_fields& fields, const bytes& content) {
    wire::ipv4_header header;
    const std::size_t header_bytes = wire::ipv4_header_min_bytes + fields.options.size();
    header.version_ihl = static_cast<std::uint8_t>(0x40 | (header_bytes / 4));
    header.type_of_service = fields.type_of_service;
    header.total_length = be16::from(static_cast<std::uint16_t>(header_bytes + content.size()));
    header.identification = be16::from(fields.identification);
    header.flags_offset = be16::from(fields.flags_offset);
    header.time_to_live = fields.time_to_live;
    header.protocol = static_cast<std::uint8_t>(fields.protocol);
    header.source = fields.source;
    header.destination = fields.destination;
    bytes packet = bytes_of(header) + fields.options + content;
    fix_ip4_checksum(packet);
    return packet;
}

bytes udp(
    const ip4_fields& fields, std::uint16_t source_port, std::uint16_t destination_port,
    const bytes& content) {
    wire::udp_header header;
    header.source_port = be16::from(source_port);
    header.destination_port = be16::from(destination_port);
    const auto length = static_cast<std::uint16_t>(sizeof header + content.size());
    header.length = be16::from(length);
    const bytes unsummed = bytes_of(header) + content;
    header.checksum = wire::checksum_of(
        wire::sum_pseudo_header(fields.source, fields.destination, wire::ip_protocol::udp, length) +
        wire::sum_bytes(unsummed.data(), unsummed.size()));
    return bytes_of(header) + content;
}

bytes icmp4(
    wire::icmp4_type type, std::uint8_t code, std::uint16_t rest_high, std::uint16_t rest_low,
    const bytes& content) {
    wire::icmp4_header header;
    header.type = static_cast<std::uint8_t>(type);
    header.code = code;
    header.rest_high = be16::from(rest_high);
    header.rest_low = be16::from(rest_low);
    const bytes unsummed = bytes_of(header) + content;
    header.checksum = wire::checksum_of(wire::sum_bytes(unsummed.data(), unsummed.size()));
    return bytes_of(header) + content;
}

bytes arp(
    wire::arp_operation operation, const wire::mac_address& sender, wire::ipv4_address sender_ip,
    const wire::mac_address& target, wire::ipv4_address target_ip) {
    wire::arp_packet packet;
    packet.hardware = be16::from(wire::arp_hardware_ethernet);
    packet.protocol = be16::from(static_cast<std::uint16_t>(wire::ether_type::ipv4));
    packet.hardware_length = 6;
    packet.protocol_length = 4;
    packet.operation = be16::from(static_cast<std::uint16_t>(operation));
    packet.sender_hardware = sender;
    packet.sender_protocol = sender_ip;
    packet.target_hardware = target;
    packet.target_protocol = target_ip;
    return bytes_of(packet);
}

bytes ethernet(const link_fields& fields, wire::ether_type type, const bytes& content) {
    wire::ethernet_header header;
    header.destination = fields.destination;
    header.source = fields.source;
    header.type = be16::from(static_cast<std::uint16_t>(type));
    bytes frame;
    if (fields.vlan == vlan_none) {
        frame = bytes_of(header) + content;
    } else {
        wire::vlan_tag tag;
        tag.control = be16::from(fields.vlan);
        tag.type = header.type;
        header.type = be16::from(static_cast<std::uint16_t>(wire::ether_type::vlan));
        frame = bytes_of(header) + bytes_of(tag) + content;
    }
    if (fields.padded) {
        frame.resize(std::max(frame.size(), wire::ethernet_minimum_bytes), 0xee);
    }
    return frame;
}

bytes udp_frame(const link_fields& link, const ip4_fields& fields, std::size_t count) {
    return ethernet(
        link, wire::ether_type::ipv4, ip4(fields, udp(fields, 1000, 2000, payload(count))));
}

parsed_frame parse_frame(const bytes& frame) {
    parsed_frame result;
    result.link = header_of<wire::ethernet_header>(frame);
    result.type = result.link.ether();
    std::size_t at = sizeof result.link;
    if (result.type == wire::ether_type::vlan) {
        const auto tag = header_of<wire::vlan_tag>(frame, at);
        result.vlan = tag.identifier();
        result.type = tag.ether();
        at += sizeof tag;
    }
    if (at < frame.size()) {
        result.content.assign(frame.begin() + static_cast<std::ptrdiff_t>(at), frame.end());
    }
    return result;
}

std::optional<parsed_ip4> parse_ip4(const bytes& packet) {
    parsed_ip4 result;
    result.header = header_of<wire::ipv4_header>(packet);
    if (result.header.version() != 4) {
        return std::nullopt;
    }
    const std::size_t header_bytes = result.header.header_bytes();
    const std::size_t total = result.header.total_length.host();
    EXPECT_GE(header_bytes, wire::ipv4_header_min_bytes);
    EXPECT_GE(total, header_bytes);
    EXPECT_LE(total, packet.size());
    if (header_bytes < wire::ipv4_header_min_bytes || total < header_bytes ||
        total > packet.size()) {
        return std::nullopt;
    }
    EXPECT_TRUE(wire::checksum_valid(wire::sum_bytes(packet.data(), header_bytes)))
        << describe(packet);
    const auto at = [&](std::size_t place) {
        return packet.begin() + static_cast<std::ptrdiff_t>(place);
    };
    result.options.assign(at(wire::ipv4_header_min_bytes), at(header_bytes));
    result.content.assign(at(header_bytes), at(total));
    result.whole.assign(at(0), at(total));
    return result;
}

std::optional<parsed_ip4> parse_ip4_frame(const bytes& frame) {
    const parsed_frame link = parse_frame(frame);
    return link.type == wire::ether_type::ipv4 ? parse_ip4(link.content) : std::nullopt;
}

std::string describe(const bytes& frame) {
    return wire::format_frame(frame);
}

testing::AssertionResult same(const frames& actual, const frames& expected) {
    if (actual == expected) {
        return testing::AssertionSuccess();
    }
    auto failure = testing::AssertionFailure();
    for (std::size_t i = 0; i < std::max(actual.size(), expected.size()); ++i) {
        const bool both = i < actual.size() && i < expected.size();
        if (both && actual[i] == expected[i]) {
            continue;
        }
        failure << "\nframe " << i;
        if (i < expected.size()) {
            failure << "\n  expected " << expected[i].size() << " bytes: " << describe(expected[i]);
        }
        if (i < actual.size()) {
            failure << "\n  actual   " << actual[i].size() << " bytes: " << describe(actual[i]);
        }
        if (both) {
            const auto differ = std::mismatch(
                actual[i].begin(), actual[i].end(), expected[i].begin(), expected[i].end());
            failure << "\n  differ from byte " << differ.first - actual[i].begin();
        }
        return failure;
    }
    return failure;
}

} // namespace pantala::test
