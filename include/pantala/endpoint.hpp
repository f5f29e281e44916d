// An address and a port, of either family.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pantala {

struct endpoint {
    std::array<std::uint8_t, 16> address{}; // wire order; IPv4 as ::ffff:a.b.c.d
    std::uint16_t port = 0;                 // host order

    bool operator==(const endpoint&) const = default;
    bool is_ip4() const;
};

// `10.0.0.1:80`, `[2001:db8::1]:80`; `*:80` is every IPv4 address of ours, `[::]:80` every one.
std::optional<endpoint> parse_endpoint(std::string_view text);
std::string to_string(const endpoint& of);

} // namespace pantala
