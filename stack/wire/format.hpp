// Packets in words, one line each, in the manner of `tcpdump -n`. Control and tests only.
#pragma once

#include "stack/wire/address.hpp"

#include <cstdint>
#include <span>
#include <string>

namespace pantala::wire {

std::string format(const mac_address& address);
std::string format(ipv4_address address);
// The shortest form of RFC 5952.
std::string format(const ipv6_address& address);

// One line about an Ethernet frame; never fails: what is truncated or unknown is said so.
std::string format_frame(std::span<const std::uint8_t> frame);
// The same from the IPv4 or IPv6 header on.
std::string format_packet(std::span<const std::uint8_t> packet);

} // namespace pantala::wire
