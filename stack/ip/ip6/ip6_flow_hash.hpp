// The hash that chooses among equal paths: of addresses and flow label (RFC 6438), or of addresses
// and ports where a sender sets no label and the ports are at hand. Fragments of a datagram go one
// way: they have the same label, and none has ports.
#pragma once

#include "stack/wire/ipv6.hpp"

#include <cstdint>
#include <cstring>

namespace pantala {

// `available` contiguous bytes from the header on, 40 at least. `seed` differs from router to
// router. Every bit of the result depends on every bit of the input.
inline std::uint32_t
ip6_flow_hash(const std::uint8_t* header, std::uint32_t available, std::uint32_t seed) {
    wire::ipv6_header ip;
    std::memcpy(&ip, header, sizeof ip);
    std::uint32_t flow = ip.flow_label();
    const auto protocol = static_cast<wire::ip_protocol>(ip.next_header);
    const bool has_ports = protocol == wire::ip_protocol::tcp || protocol == wire::ip_protocol::udp;
    if (flow == 0 && has_ports && available >= wire::ipv6_header_bytes + 4) {
        std::memcpy(&flow, header + wire::ipv6_header_bytes, sizeof flow);
    }
    std::uint64_t words[4];
    std::memcpy(words, header + 8, sizeof words);
    constexpr std::uint64_t first = 0x9e3779b97f4a7c15U;
    constexpr std::uint64_t second = 0xd6e8feb86659fd93U;
    std::uint64_t mixed = (words[0] ^ seed) * first;
    mixed = (mixed ^ mixed >> 32 ^ words[1]) * second;
    mixed = (mixed ^ mixed >> 32 ^ words[2]) * first;
    mixed = (mixed ^ mixed >> 32 ^ words[3]) * second;
    mixed = (mixed ^ mixed >> 32 ^ flow) * first;
    return static_cast<std::uint32_t>(mixed >> 32);
}

} // namespace pantala
