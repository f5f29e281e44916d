// Neighbour discovery: the messages that we send (RFC 4861 4). All leave with hop limit 255.
#pragma once

#include "stack/ether/nd/nd_context.hpp"
#include "stack/wire/icmp6.hpp"
#include "stack/wire/ipv6.hpp"

#include <cstdint>
#include <span>

namespace pantala {

// A message to be: ICMPv6 `type` with `rest` in its first words and `content` behind.
struct nd_packet {
    wire::icmp6_type type{};
    std::uint32_t rest = 0;
    std::span<const std::uint8_t> content;
    wire::ipv6_address source;
    wire::ipv6_address destination;
};

// Writes an ICMPv6 message with its checksum where its IPv6 packet has it.
void write_icmp6(char* at, const wire::ipv6_header& ip, const nd_packet& message);

// Sends it on the link of `id`: to a group by its Ethernet address, else to `to` where that is
// known, else as the neighbour table knows (waiting for it, if need be).
void nd_send(
    nd_context& context, iface_id id, const nd_packet& message,
    const wire::mac_address* to = nullptr);

// Asks for `target`: everybody who may have it, or `known` alone (RFC 4861 7.2.2). Nothing is sent
// while we have no address there to ask with.
void nd_solicit(
    nd_context& context, iface_id id, const wire::ipv6_address& target,
    const wire::mac_address* known);

struct nd_answer {
    wire::ipv6_address target;      // ours
    wire::ipv6_address destination; // all nodes: unsolicited
    bool solicited = false;
    bool override_known = true;
    wire::ipv6_address source{}; // unspecified: the target
};
// Says that `target` is here (RFC 4861 7.2.4); `to`: the asker's address on the link, if it said
// so.
void nd_advertise(
    nd_context& context, iface_id id, const nd_answer& answer,
    const wire::mac_address* to = nullptr);

} // namespace pantala
