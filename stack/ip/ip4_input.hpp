// IPv4 input: every check of RFC 1122 3.2.1 and RFC 1812 5.2.2, 5.3.
#pragma once

#include "engine/drop.hpp"
#include "stack/ether/l3_burst.hpp"
#include "stack/wire/ip4_plain.hpp"

#include <cstdint>

namespace pantala {

// Leaves in `packets`, in order, those that are plain (wire/ip4_plain.hpp): every check passed, no
// options, source and destination that may be routed; what is known of them stands in `plain` at
// the same places. All others, bad or only unusual, go to `single`, which has room for them all
// (ip4_single.hpp).
//
// The fib4 nodes of the destinations are asked for meanwhile: packets.node.
void ip4_input(
    l3_burst& packets, wire::ip4_plain& plain, l3_burst& single, wire::ip4_plain_function look,
    fib4_reader<> routes);

// All checks for one packet, in order, with the reason of the first that fails; drop_reason::none:
// it is sound. `bytes` are those from the header to the end of the frame, `contiguous` of them lie
// in the header's segment; both are 20 at least.
drop_reason ip4_check(const std::uint8_t* header, std::uint32_t bytes, std::uint32_t contiguous);

// Takes Ethernet's padding off a packet whose data begins at the header. The datagram is not longer
// than the packet.
void ip4_trim(rte_mbuf& packet, std::uint32_t total);

// May this address be a packet's source on any link (RFC 1812 5.3.7, 4.2.2.11)? Not 0/8, 127/8, a
// group or 240/4.
constexpr bool ip4_routable(std::uint32_t host_order) {
    const std::uint32_t net = host_order >> 24;
    return net - 1 < 223 && net != 127;
}

} // namespace pantala
