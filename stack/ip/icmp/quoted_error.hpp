// What an ICMP error says about a packet of ours, the same for both families. Whoever sent it is
// not to be trusted: the transport checks what is quoted against what it sent (RFC 5927).
#pragma once

#include "stack/wire/flow.hpp"
#include "stack/wire/ipv4.hpp"

#include <cstdint>
#include <optional>

struct rte_mbuf;

namespace pantala {

enum class error_meaning : std::uint8_t {
    soft,    // may pass: no route, host down, time exceeded (RFC 1122 4.2.3.9, RFC 5461)
    hard,    // protocol or port unreachable
    too_big, // `mtu` is what the next hop carries
};

struct quoted_error {
    flow_key key; // as this host sees it: local sent the packet that is quoted
    wire::ip_protocol protocol{};
    error_meaning meaning = error_meaning::soft;
    std::uint16_t mtu = 0;      // of too_big
    std::uint32_t sequence = 0; // what follows the ports: of TCP, the sequence number
};

// `packet`: a checked ICMP or ICMPv6 error, data at the IP header, l3_len its length with all
// options and extension headers. Nothing: it quotes no TCP or UDP, too little of it, a fragment
// without ports, or says nothing to act on (redirect, source quench).
std::optional<quoted_error> read_quoted_error(const rte_mbuf& packet);

} // namespace pantala
