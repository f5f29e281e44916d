#include "app/address.hpp"

#include <charconv>

#include <fmt/format.h>

namespace pantala::app {

namespace {

// A decimal number up to `most`, moving `text` past it; no sign, no leading zeros beyond "0".
bool take_number(std::string_view& text, unsigned most, unsigned& number) {
    if (text.empty() || (text[0] == '0' && text.size() > 1 && text[1] >= '0' && text[1] <= '9')) {
        return false;
    }
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failed != std::errc{} || number > most) {
        return false;
    }
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return true;
}

bool take_ip4(std::string_view& text, std::uint32_t& address) {
    address = 0;
    for (unsigned part = 0; part < 4; ++part) {
        unsigned number = 0;
        if (part > 0) {
            if (text.empty() || text[0] != '.') {
                return false;
            }
            text.remove_prefix(1);
        }
        if (!take_number(text, 255, number)) {
            return false;
        }
        address = address << 8 | number;
    }
    return true;
}

error wrong(std::string_view text, std::string_view wanted) {
    return error{EINVAL, fmt::format("'{}' is not {}", text, wanted)};
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

} // namespace

bool read_ip4(std::string_view text, std::uint32_t& address) {
    return take_ip4(text, address) && text.empty();
}

bool read_prefix(std::string_view text, ip4_prefix& prefix) {
    if (text == "default") {
        prefix = {0, 0};
        return true;
    }
    if (!take_ip4(text, prefix.address)) {
        return false;
    }
    unsigned length = 32;
    if (!text.empty()) {
        if (text[0] != '/') {
            return false;
        }
        text.remove_prefix(1);
        if (!take_number(text, 32, length) || !text.empty()) {
            return false;
        }
    }
    prefix.length = static_cast<std::uint8_t>(length);
    return true;
}

result<std::uint32_t> parse_ip4(std::string_view text) {
    std::uint32_t address = 0;
    if (!read_ip4(text, address)) {
        return wrong(text, "an IPv4 address such as 192.0.2.1");
    }
    return address;
}

result<ip4_prefix> parse_destination(std::string_view text) {
    ip4_prefix prefix;
    if (!read_prefix(text, prefix)) {
        return wrong(text, "an IPv4 prefix such as 192.0.2.0/24, or 'default'");
    }
    const ip4_prefix clean{prefix.address & prefix_mask(prefix.length), prefix.length};
    if (clean != prefix) {
        return error{
            EINVAL,
            fmt::format(
                "'{}' has bits beyond its length; did you mean {}?", text, format_prefix(clean))};
    }
    return prefix;
}

result<ip4_prefix> parse_interface_address(std::string_view text) {
    ip4_prefix prefix;
    if (text == "default" || !read_prefix(text, prefix) || prefix.length == 0) {
        return wrong(text, "an IPv4 address with its prefix length, such as 192.0.2.1/24");
    }
    return prefix;
}

result<mac_address> parse_mac(std::string_view text) {
    mac_address mac;
    bool good = text.size() == 17;
    for (std::size_t i = 0; good && i < mac.size(); ++i) {
        const int high = hex_digit(text[3 * i]);
        const int low = hex_digit(text[3 * i + 1]);
        good = high >= 0 && low >= 0 && (i == 5 || text[3 * i + 2] == ':');
        mac[i] = static_cast<std::uint8_t>(high * 16 + low);
    }
    if (!good) {
        return wrong(text, "an Ethernet address such as 02:00:00:00:00:01");
    }
    return mac;
}

std::string format_ip4(std::uint32_t address) {
    return fmt::format(
        "{}.{}.{}.{}", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

std::string format_prefix(ip4_prefix prefix) {
    return fmt::format("{}/{}", format_ip4(prefix.address), prefix.length);
}

std::string format_mac(const mac_address& mac) {
    return fmt::format(
        "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3], mac[4],
        mac[5]);
}

} // namespace pantala::app
