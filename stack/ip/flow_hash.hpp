// The hash that chooses among equal paths: of the five-tuple, or of addresses and protocol alone
// where the packet is a fragment (all fragments of a datagram go one way, and only the first has
// ports).
#pragma once

#include "stack/wire/ipv4.hpp"
#include "stack/wire/udp.hpp"

#include <cstdint>
#include <cstring>

namespace pantala {

// `available` contiguous bytes from the header on, 20 at least. `seed` differs from router to
// router. Every bit of the result depends on every bit of the input.
inline std::uint32_t
ip4_flow_hash(const std::uint8_t* header, std::uint32_t available, std::uint32_t seed) {
    wire::ipv4_header ip;
    std::memcpy(&ip, header, sizeof ip);
    std::uint32_t ports = 0;
    const auto protocol = static_cast<wire::ip_protocol>(ip.protocol);
    const bool has_ports = protocol == wire::ip_protocol::tcp || protocol == wire::ip_protocol::udp;
    if (has_ports && !ip.is_fragment() && ip.header_bytes() + 4 <= available) {
        std::memcpy(&ports, header + ip.header_bytes(), sizeof ports);
    }
    const std::uint64_t addresses =
        std::uint64_t{ip.source.value.raw()} << 32 | ip.destination.value.raw();
    std::uint64_t mixed = (addresses ^ seed) * 0x9e3779b97f4a7c15U;
    mixed ^= mixed >> 32;
    mixed = (mixed ^ (std::uint64_t{ports} << 8) ^ ip.protocol) * 0xd6e8feb86659fd93U;
    return static_cast<std::uint32_t>(mixed >> 32);
}

} // namespace pantala
