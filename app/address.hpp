// Addresses as people write them. Control code.
#pragma once

#include "engine/base/result.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace pantala::app {

// An IPv4 prefix or an address with its prefix length; host byte order.
struct ip4_prefix {
    std::uint32_t address = 0;
    std::uint8_t length = 32;

    bool operator==(const ip4_prefix&) const = default;
};

using mac_address = std::array<std::uint8_t, 6>;

constexpr std::uint32_t prefix_mask(unsigned length) {
    return length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
}

// `a.b.c.d`, nothing before or after. Host byte order. About 10 ns: batch mode calls it per route.
bool read_ip4(std::string_view text, std::uint32_t& address);
// `a.b.c.d/n`, or `a.b.c.d` for /32, or `default` for 0.0.0.0/0.
bool read_prefix(std::string_view text, ip4_prefix& prefix);

result<std::uint32_t> parse_ip4(std::string_view text);
// A route's destination: bits beyond the length are an error that names the right prefix.
result<ip4_prefix> parse_destination(std::string_view text);
// An interface's address with its prefix length; host bits are kept.
result<ip4_prefix> parse_interface_address(std::string_view text);
result<mac_address> parse_mac(std::string_view text);

std::string format_ip4(std::uint32_t address);
std::string format_prefix(ip4_prefix prefix);
std::string format_mac(const mac_address& mac);

} // namespace pantala::app
