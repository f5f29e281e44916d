#include "stack/ip/icmp/quoted_error.hpp"

#include "stack/ip/icmp/echo_errors.hpp"
#include "stack/wire/icmp4.hpp"
#include "stack/wire/icmp6.hpp"
#include "stack/wire/ipv6.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <rte_mbuf.h>

namespace pantala {
namespace {

// Enough for the largest IPv4 header or an IPv6 header, and eight bytes of transport.
constexpr std::size_t quote_bytes_max = wire::ipv4_header_max_bytes + 8;

struct quote {
    std::array<std::uint8_t, quote_bytes_max> bytes{};
    std::size_t count = 0;
};

quote read_quote(const rte_mbuf& packet, std::uint32_t at) {
    quote result;
    if (packet.pkt_len <= at) {
        return result;
    }
    const std::uint32_t count =
        std::min<std::uint32_t>(packet.pkt_len - at, static_cast<std::uint32_t>(quote_bytes_max));
    const void* found = rte_pktmbuf_read(&packet, at, count, result.bytes.data());
    if (found != nullptr) {
        if (found != result.bytes.data()) {
            std::memcpy(result.bytes.data(), found, count);
        }
        result.count = count;
    }
    return result;
}

// Ports and what follows them, which lie at `at` in the quote.
bool read_transport(const quote& from, std::size_t at, std::uint8_t protocol, quoted_error& out) {
    out.protocol = static_cast<wire::ip_protocol>(protocol);
    const bool known =
        out.protocol == wire::ip_protocol::tcp || out.protocol == wire::ip_protocol::udp;
    if (!known || from.count < at + 8) {
        return false;
    }
    be32 sequence;
    std::memcpy(&out.key.local_port, from.bytes.data() + at, 2);
    std::memcpy(&out.key.remote_port, from.bytes.data() + at + 2, 2);
    std::memcpy(&sequence, from.bytes.data() + at + 4, 4);
    out.sequence = sequence.host();
    return true;
}

// RFC 1191 7: a router that tells no MTU. The next lower one in use.
std::uint16_t plateau_below(std::uint16_t length) {
    constexpr std::array<std::uint16_t, 10> plateaus = {32'000, 17'914, 8'166, 4'352, 2'002,
                                                        1'492,  1'006,  508,   296,   68};
    for (const std::uint16_t plateau : plateaus) {
        if (plateau < length) {
            return plateau;
        }
    }
    return plateaus.back();
}

bool meaning_of4(const wire::icmp4_header& icmp, std::uint16_t quoted_length, quoted_error& out) {
    switch (icmp.kind()) {
    case wire::icmp4_type::destination_unreachable:
        switch (static_cast<wire::icmp4_unreachable>(icmp.code)) {
        case wire::icmp4_unreachable::protocol:
        case wire::icmp4_unreachable::port:
            out.meaning = error_meaning::hard;
            break;
        case wire::icmp4_unreachable::fragmentation_needed:
            out.meaning = error_meaning::too_big;
            out.mtu =
                icmp.rest_low.host() != 0 ? icmp.rest_low.host() : plateau_below(quoted_length);
            break;
        default:
            out.meaning = error_meaning::soft;
        }
        return true;
    case wire::icmp4_type::time_exceeded:
    case wire::icmp4_type::parameter_problem:
        out.meaning = error_meaning::soft;
        return true;
    default:
        return false; // RFC 6633: source quench is ignored
    }
}

bool read4(const rte_mbuf& packet, quoted_error& out) {
    wire::icmp4_header icmp;
    if (packet.data_len < packet.l3_len + sizeof icmp) {
        return false;
    }
    std::memcpy(&icmp, rte_pktmbuf_mtod_offset(&packet, const void*, packet.l3_len), sizeof icmp);
    const quote about = read_quote(packet, packet.l3_len + std::uint32_t{sizeof icmp});
    wire::ipv4_header ip;
    if (about.count < sizeof ip) {
        return false;
    }
    std::memcpy(&ip, about.bytes.data(), sizeof ip);
    if (ip.version() != 4 || ip.header_bytes() < sizeof ip || ip.fragment_offset_bytes() != 0) {
        return false;
    }
    out.key.local = ip_address::from(ip.source);
    out.key.remote = ip_address::from(ip.destination);
    return meaning_of4(icmp, ip.total_length.host(), out) &&
           read_transport(about, ip.header_bytes(), ip.protocol, out);
}

bool meaning_of6(const wire::icmp6_header& icmp, quoted_error& out) {
    switch (icmp.kind()) {
    case wire::icmp6_type::destination_unreachable:
        out.meaning =
            static_cast<wire::icmp6_unreachable>(icmp.code) == wire::icmp6_unreachable::port
                ? error_meaning::hard
                : error_meaning::soft;
        return true;
    case wire::icmp6_type::packet_too_big:
        out.meaning = error_meaning::too_big;
        out.mtu = static_cast<std::uint16_t>(std::min(icmp.rest.host(), 0xffffU));
        return true;
    case wire::icmp6_type::time_exceeded:
        out.meaning = error_meaning::soft;
        return true;
    case wire::icmp6_type::parameter_problem: // code 1: next header unknown (RFC 5461 2.2)
        out.meaning = icmp.code == 1 ? error_meaning::hard : error_meaning::soft;
        return true;
    default:
        return false;
    }
}

// Where the transport lies in a quoted IPv6 packet of ours, and which it is. Our own carry no other
// extension header than that of the first fragment; 0: anything else.
std::size_t transport_at6(const quote& about, std::uint8_t& next_header) {
    if (next_header != static_cast<std::uint8_t>(wire::ip_protocol::fragment)) {
        return sizeof(wire::ipv6_header);
    }
    wire::ipv6_fragment_header fragment;
    if (about.count < sizeof(wire::ipv6_header) + sizeof fragment) {
        return 0;
    }
    std::memcpy(&fragment, about.bytes.data() + sizeof(wire::ipv6_header), sizeof fragment);
    next_header = fragment.next_header;
    return fragment.offset_bytes() == 0 ? sizeof(wire::ipv6_header) + sizeof fragment : 0;
}

bool read6(const rte_mbuf& packet, quoted_error& out) {
    wire::icmp6_header icmp;
    if (packet.data_len < packet.l3_len + sizeof icmp) {
        return false;
    }
    std::memcpy(&icmp, rte_pktmbuf_mtod_offset(&packet, const void*, packet.l3_len), sizeof icmp);
    const quote about = read_quote(packet, packet.l3_len + std::uint32_t{sizeof icmp});
    wire::ipv6_header ip;
    if (about.count < sizeof ip) {
        return false;
    }
    std::memcpy(&ip, about.bytes.data(), sizeof ip);
    if (ip.version() != 6) {
        return false;
    }
    out.key.local = ip_address::from(ip.source);
    out.key.remote = ip_address::from(ip.destination);
    const std::size_t at = transport_at6(about, ip.next_header);
    return at != 0 && !out.key.local.is_v4() && !out.key.remote.is_v4() && meaning_of6(icmp, out) &&
           read_transport(about, at, ip.next_header, out);
}

} // namespace

std::optional<quoted_echo6> read_quoted_echo6(const rte_mbuf& packet) {
    wire::icmp6_header error;
    wire::icmp6_header echo;
    wire::ipv6_header ip;
    if (packet.data_len < packet.l3_len + sizeof error) {
        return std::nullopt;
    }
    std::memcpy(&error, rte_pktmbuf_mtod_offset(&packet, const void*, packet.l3_len), sizeof error);
    const std::uint32_t mtu = error.rest.host();
    const quote about = read_quote(packet, packet.l3_len + std::uint32_t{sizeof error});
    if (error.kind() != wire::icmp6_type::packet_too_big || mtu > 0xffff ||
        mtu < wire::ipv6_minimum_mtu_bytes || about.count < sizeof ip) {
        return std::nullopt;
    }
    std::memcpy(&ip, about.bytes.data(), sizeof ip);
    const std::size_t at = ip.version() == 6 ? transport_at6(about, ip.next_header) : 0;
    if (at == 0 || ip.next_header != static_cast<std::uint8_t>(wire::ip_protocol::icmpv6) ||
        about.count < at + sizeof echo) {
        return std::nullopt;
    }
    std::memcpy(&echo, about.bytes.data() + at, sizeof echo);
    if (echo.kind() != wire::icmp6_type::echo_reply) {
        return std::nullopt;
    }
    return quoted_echo6{{ip.source, ip.destination, echo.rest}, static_cast<std::uint16_t>(mtu)};
}

std::optional<quoted_error> read_quoted_error(const rte_mbuf& packet) {
    quoted_error error;
    const bool v4 = *rte_pktmbuf_mtod(&packet, const std::uint8_t*) >> 4 == 4;
    if (v4 ? read4(packet, error) : read6(packet, error)) {
        return error;
    }
    return std::nullopt;
}

} // namespace pantala
