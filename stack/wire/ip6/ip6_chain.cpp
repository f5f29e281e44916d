#include "stack/wire/ip6/ip6_chain.hpp"

#include <cstring>

namespace pantala::wire {
namespace {

template <class Header>
Header read(std::span<const std::uint8_t> packet, std::size_t at) {
    Header header;
    std::memcpy(&header, packet.data() + at, sizeof header);
    return header;
}

constexpr std::uint8_t number(ip_protocol protocol) {
    return static_cast<std::uint8_t>(protocol);
}

void problem(ip6_chain& chain, icmp6_parameter code, std::size_t pointer) {
    chain.fault = ip6_fault::problem;
    chain.code = code;
    chain.pointer = static_cast<std::uint16_t>(pointer);
}

// An option whose type is not known (RFC 8200 4.2). True: the walk goes on.
bool skip_unknown(ip6_chain& chain, std::uint8_t type, std::size_t at) {
    switch (action_of(type)) {
    case ipv6_option_action::skip:
        return true;
    case ipv6_option_action::discard:
        chain.fault = ip6_fault::discard;
        return false;
    case ipv6_option_action::tell_unless_multicast:
        chain.unless_multicast = true;
        break;
    case ipv6_option_action::tell:
        break;
    }
    problem(chain, icmp6_parameter::option, at);
    return false;
}

// The options of a header that lies in [at, end). False: at fault.
bool judge_options(
    ip6_chain& chain, std::span<const std::uint8_t> packet, std::size_t at, std::size_t end) {
    unsigned options = 0;
    unsigned padding = 0;
    for (at += sizeof(ipv6_extension_header); at < end;) {
        const std::uint8_t type = packet[at];
        if (type == static_cast<std::uint8_t>(ipv6_option::pad1)) {
            ++at;
            if (++padding > ip6_chain_padding_max) {
                chain.fault = ip6_fault::limit;
                return false;
            }
            continue;
        }
        if (at + 2 > end || at + 2 + packet[at + 1] > end) {
            problem(chain, icmp6_parameter::header_field, at + 2 > end ? at : at + 1);
            return false;
        }
        const unsigned length = 2u + packet[at + 1];
        if (type == static_cast<std::uint8_t>(ipv6_option::padn)) {
            padding += length;
        } else {
            padding = 0;
            if (++options > ip6_chain_options_max) {
                chain.fault = ip6_fault::limit;
                return false;
            }
            if (type == static_cast<std::uint8_t>(ipv6_option::router_alert)) {
                chain.router_alert = true;
            } else if (
                type != static_cast<std::uint8_t>(ipv6_option::tunnel_limit) &&
                !skip_unknown(chain, type, at)) {
                return false;
            }
        }
        if (padding > ip6_chain_padding_max) {
            chain.fault = ip6_fault::limit;
            return false;
        }
        at += length;
    }
    return true;
}

enum class judge : std::uint8_t { host, router, nobody };

// One header more; false: the walk ends, with or without a fault.
bool step(ip6_chain& chain, std::span<const std::uint8_t> packet, judge who) {
    const bool options = chain.upper == number(ip_protocol::hop_by_hop) ||
                         chain.upper == number(ip_protocol::destination_options);
    const bool routing = chain.upper == number(ip_protocol::routing);
    const bool fragment = chain.upper == number(ip_protocol::fragment);
    if (!options && !routing && !fragment) {
        return false;
    }
    if (chain.upper == number(ip_protocol::hop_by_hop) && chain.offset != ipv6_header_bytes) {
        if (who != judge::nobody) {
            problem(chain, icmp6_parameter::next_header, chain.named_at); // RFC 8200 4
        }
        return false;
    }
    if (chain.offset + ipv6_fragment_header_bytes > packet.size()) {
        chain.fault = ip6_fault::truncated;
        return false;
    }
    const auto header = read<ipv6_extension_header>(packet, chain.offset);
    const std::size_t end = chain.offset + (fragment ? ipv6_fragment_header_bytes : header.bytes());
    if (fragment) {
        chain.fragment = chain.offset;
        if (who == judge::host) {
            return false;
        }
    }
    if (end > packet.size()) {
        chain.fault = ip6_fault::truncated;
        return false;
    }
    if (who != judge::nobody && options && !judge_options(chain, packet, chain.offset, end)) {
        return false;
    }
    if (who == judge::host && routing && packet[chain.offset + 3u] != 0) {
        problem(chain, icmp6_parameter::header_field, chain.offset + 2u); // the routing type
        return false;
    }
    const bool later = fragment && read<ipv6_fragment_header>(packet, chain.offset).offset_bytes();
    chain.named_at = chain.offset;
    chain.upper = header.next_header;
    chain.offset = static_cast<std::uint16_t>(end);
    return !later;
}

ip6_chain start(std::span<const std::uint8_t> packet) {
    ip6_chain chain;
    chain.upper = read<ipv6_header>(packet, 0).next_header;
    chain.offset = ipv6_header_bytes;
    chain.named_at = offsetof(ipv6_header, next_header);
    return chain;
}

ip6_chain walk(std::span<const std::uint8_t> packet, judge who) {
    ip6_chain chain = start(packet);
    for (unsigned i = 0; i < ip6_chain_headers_max; ++i) {
        if (!step(chain, packet, who)) {
            return chain;
        }
    }
    chain.fault = ip6_fault::limit;
    return chain;
}

} // namespace

ip6_chain ip6_walk(std::span<const std::uint8_t> packet) {
    return walk(packet, judge::host);
}

ip6_chain ip6_walk_hop_by_hop(std::span<const std::uint8_t> packet) {
    ip6_chain chain = start(packet);
    if (chain.upper == number(ip_protocol::hop_by_hop)) {
        step(chain, packet, judge::router);
    }
    return chain;
}

ip6_chain ip6_find_upper(std::span<const std::uint8_t> packet) {
    return walk(packet, judge::nobody);
}

} // namespace pantala::wire
