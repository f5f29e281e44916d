#include "stack/wire/format.hpp"

#include "stack/wire/arp.hpp"
#include "stack/wire/ethernet.hpp"
#include "stack/wire/icmp4.hpp"
#include "stack/wire/icmp6.hpp"
#include "stack/wire/ipv4.hpp"
#include "stack/wire/ipv6.hpp"
#include "stack/wire/tcp.hpp"
#include "stack/wire/udp.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include <arpa/inet.h>
#include <fmt/core.h>

namespace pantala::wire {
namespace {

using bytes_view = std::span<const std::uint8_t>;

template <class Header>
std::optional<Header> take(bytes_view bytes) {
    if (bytes.size() < sizeof(Header)) {
        return std::nullopt;
    }
    Header header;
    std::memcpy(&header, bytes.data(), sizeof header);
    return header;
}

std::string format_icmp4(bytes_view bytes) {
    const auto icmp = take<icmp4_header>(bytes);
    if (!icmp) {
        return "ICMP [truncated]";
    }
    switch (icmp->kind()) {
    case icmp4_type::echo:
    case icmp4_type::echo_reply:
        return fmt::format(
            "ICMP echo {}, id {}, seq {}, length {}",
            icmp->kind() == icmp4_type::echo ? "request" : "reply", icmp->rest_high.host(),
            icmp->rest_low.host(), bytes.size());
    case icmp4_type::destination_unreachable:
        if (icmp->code == static_cast<std::uint8_t>(icmp4_unreachable::fragmentation_needed)) {
            return fmt::format(
                "ICMP unreachable - need to frag (mtu {}), length {}", icmp->rest_low.host(),
                bytes.size());
        }
        return fmt::format("ICMP unreachable, code {}, length {}", icmp->code, bytes.size());
    case icmp4_type::time_exceeded:
        return fmt::format(
            "ICMP {}, length {}",
            icmp->code == 0 ? "time exceeded in-transit" : "ip reassembly time exceeded",
            bytes.size());
    default:
        return fmt::format(
            "ICMP type {}, code {}, length {}", icmp->type, icmp->code, bytes.size());
    }
}

std::string format_tcp(bytes_view bytes) {
    const auto tcp = take<tcp_header>(bytes);
    if (!tcp || tcp->header_bytes() < tcp_header_min_bytes || tcp->header_bytes() > bytes.size()) {
        return "Flags [truncated]";
    }
    // tcpdump's letters in tcpdump's order.
    constexpr struct {
        std::uint8_t bit;
        char letter;
    } letters[] = {{tcp_flag::fin, 'F'}, {tcp_flag::syn, 'S'}, {tcp_flag::rst, 'R'},
                   {tcp_flag::psh, 'P'}, {tcp_flag::ack, '.'}, {tcp_flag::urg, 'U'},
                   {tcp_flag::ece, 'E'}, {tcp_flag::cwr, 'W'}};
    std::string flags;
    for (const auto& flag : letters) {
        if ((tcp->flags & flag.bit) != 0) {
            flags += flag.letter;
        }
    }
    const std::size_t length = bytes.size() - tcp->header_bytes();
    std::string line =
        fmt::format("Flags [{}], seq {}", flags.empty() ? "none" : flags, tcp->sequence.host());
    if (length > 0) {
        line += fmt::format(":{}", tcp->sequence.host() + static_cast<std::uint32_t>(length));
    }
    if ((tcp->flags & tcp_flag::ack) != 0) {
        line += fmt::format(", ack {}", tcp->acknowledgment.host());
    }
    return line + fmt::format(", win {}, length {}", tcp->window.host(), length);
}

std::string format_icmp6(bytes_view bytes) {
    const auto icmp = take<icmp6_header>(bytes);
    if (!icmp) {
        return "ICMP6 [truncated]";
    }
    const auto nd = take<nd_message>(bytes);
    switch (icmp->kind()) {
    case icmp6_type::echo_request:
    case icmp6_type::echo_reply:
        return fmt::format(
            "ICMP6, echo {}, id {}, seq {}, length {}",
            icmp->kind() == icmp6_type::echo_request ? "request" : "reply", icmp->rest.host() >> 16,
            icmp->rest.host() & 0xffff, bytes.size());
    case icmp6_type::neighbor_solicitation:
    case icmp6_type::neighbor_advertisement:
        if (!nd) {
            return "ICMP6, neighbor discovery [truncated]";
        }
        return icmp->kind() == icmp6_type::neighbor_solicitation
                   ? fmt::format(
                         "ICMP6, neighbor solicitation, who has {}, length {}", format(nd->target),
                         bytes.size())
                   : fmt::format(
                         "ICMP6, neighbor advertisement, tgt is {}, length {}", format(nd->target),
                         bytes.size());
    case icmp6_type::packet_too_big:
        return fmt::format(
            "ICMP6, packet too big, mtu {}, length {}", icmp->rest.host(), bytes.size());
    default:
        return fmt::format(
            "ICMP6, type {}, code {}, length {}", icmp->type, icmp->code, bytes.size());
    }
}

// "addresses: what the transport says" for either family; addresses without ports for ICMP.
std::string format_transport(
    const char* family, const std::string& source, const std::string& destination,
    std::uint8_t protocol, bytes_view payload) {
    const auto ports = take<udp_header>(payload); // TCP has its ports in the same place
    const char dot = '.';
    switch (static_cast<ip_protocol>(protocol)) {
    case ip_protocol::udp:
        if (!ports) {
            return fmt::format("{} {} > {}: UDP [truncated]", family, source, destination);
        }
        return fmt::format(
            "{} {}{}{} > {}{}{}: UDP, length {}", family, source, dot, ports->source_port.host(),
            destination, dot, ports->destination_port.host(),
            std::max<int>(0, ports->length.host() - static_cast<int>(udp_header_bytes)));
    case ip_protocol::tcp:
        if (!ports) {
            return fmt::format("{} {} > {}: TCP [truncated]", family, source, destination);
        }
        return fmt::format(
            "{} {}{}{} > {}{}{}: {}", family, source, dot, ports->source_port.host(), destination,
            dot, ports->destination_port.host(), format_tcp(payload));
    case ip_protocol::icmp:
        return fmt::format("{} {} > {}: {}", family, source, destination, format_icmp4(payload));
    case ip_protocol::icmpv6:
        return fmt::format("{} {} > {}: {}", family, source, destination, format_icmp6(payload));
    default:
        return fmt::format(
            "{} {} > {}: ip-proto-{} {}", family, source, destination, protocol, payload.size());
    }
}

std::string format_ipv4(bytes_view bytes) {
    const auto ip = take<ipv4_header>(bytes);
    if (!ip || ip->header_bytes() < ipv4_header_min_bytes || ip->header_bytes() > bytes.size() ||
        ip->total_length.host() < ip->header_bytes()) {
        return "IP [truncated]";
    }
    const std::size_t end = std::min<std::size_t>(bytes.size(), ip->total_length.host());
    const bytes_view payload = bytes.subspan(ip->header_bytes(), end - ip->header_bytes());
    const std::string source = format(ip->source);
    const std::string destination = format(ip->destination);
    if (ip->fragment_offset_bytes() != 0) {
        return fmt::format(
            "IP {} > {}: ip-proto-{} (frag id {}, offset {}, length {}{})", source, destination,
            ip->protocol, ip->identification.host(), ip->fragment_offset_bytes(), payload.size(),
            ip->has_more_fragments() ? ", more" : "");
    }
    std::string line = format_transport("IP", source, destination, ip->protocol, payload);
    if (ip->has_more_fragments()) {
        line += fmt::format(
            " (frag id {}, offset 0, length {}, more)", ip->identification.host(), payload.size());
    }
    return line;
}

std::string format_ipv6(bytes_view bytes) {
    const auto ip = take<ipv6_header>(bytes);
    if (!ip) {
        return "IP6 [truncated]";
    }
    const std::size_t length =
        std::min<std::size_t>(bytes.size() - ipv6_header_bytes, ip->payload_length.host());
    return format_transport(
        "IP6", format(ip->source), format(ip->destination), ip->next_header,
        bytes.subspan(ipv6_header_bytes, length));
}

std::string format_arp(bytes_view bytes) {
    const auto arp = take<arp_packet>(bytes);
    if (!arp) {
        return "ARP [truncated]";
    }
    switch (static_cast<arp_operation>(arp->operation.host())) {
    case arp_operation::request:
        return fmt::format(
            "ARP, Request who-has {} tell {}, length {}", format(arp->target_protocol),
            format(arp->sender_protocol), sizeof(arp_packet));
    case arp_operation::reply:
        return fmt::format(
            "ARP, Reply {} is-at {}, length {}", format(arp->sender_protocol),
            format(arp->sender_hardware), sizeof(arp_packet));
    }
    return fmt::format("ARP, unknown operation {}", arp->operation.host());
}

} // namespace

std::string format(const mac_address& address) {
    const auto& b = address.bytes;
    return fmt::format(
        "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", b[0], b[1], b[2], b[3], b[4], b[5]);
}

std::string format(ipv4_address address) {
    const std::uint32_t a = address.host();
    return fmt::format("{}.{}.{}.{}", a >> 24, (a >> 16) & 255, (a >> 8) & 255, a & 255);
}

std::string format(const ipv6_address& address) {
    char text[INET6_ADDRSTRLEN] = "";
    inet_ntop(AF_INET6, address.bytes.data(), text, sizeof text);
    return text;
}

std::string format_packet(std::span<const std::uint8_t> packet) {
    if (packet.empty()) {
        return "IP [truncated]";
    }
    return (packet[0] >> 4) == 6 ? format_ipv6(packet) : format_ipv4(packet);
}

std::string format_frame(std::span<const std::uint8_t> frame) {
    const auto ethernet = take<ethernet_header>(frame);
    if (!ethernet) {
        return "Ethernet [truncated]";
    }
    ether_type type = ethernet->ether();
    bytes_view rest = frame.subspan(ethernet_header_bytes);
    std::string line =
        fmt::format("{} > {}, ", format(ethernet->source), format(ethernet->destination));
    if (type == ether_type::vlan) {
        const auto tag = take<vlan_tag>(rest);
        if (!tag) {
            return line + "vlan [truncated]";
        }
        line += fmt::format("vlan {}, ", tag->identifier());
        type = tag->ether();
        rest = rest.subspan(vlan_tag_bytes);
    }
    switch (type) {
    case ether_type::arp:
        return line + format_arp(rest);
    case ether_type::ipv4:
        return line + format_ipv4(rest);
    case ether_type::ipv6:
        return line + format_ipv6(rest);
    default:
        return line + fmt::format("ethertype 0x{:04x}", static_cast<unsigned>(type));
    }
}

} // namespace pantala::wire
