#include "stack/route/prefix4.hpp"

#include <charconv>

namespace pantala {

namespace {

// A decimal number of at most `most`, without leading zeros; moves `text` on. False: none there.
bool take_number(std::string_view& text, unsigned most, unsigned& value) {
    const char* end = text.data() + text.size();
    const auto [stop, status] = std::from_chars(text.data(), end, value);
    const auto digits = static_cast<std::size_t>(stop - text.data());
    if (status != std::errc{} || value > most || (digits > 1 && text.front() == '0')) {
        return false;
    }
    text.remove_prefix(digits);
    return true;
}

bool take_char(std::string_view& text, char expected) {
    if (text.empty() || text.front() != expected) {
        return false;
    }
    text.remove_prefix(1);
    return true;
}

bool take_address(std::string_view& text, std::uint32_t& address) {
    address = 0;
    for (unsigned part = 0; part < 4; ++part) {
        unsigned value = 0;
        if ((part != 0 && !take_char(text, '.')) || !take_number(text, 255, value)) {
            return false;
        }
        address = address << 8 | value;
    }
    return true;
}

} // namespace

result<std::uint32_t> parse_address4(std::string_view text) {
    std::uint32_t address = 0;
    std::string_view rest = text;
    if (!take_address(rest, address) || !rest.empty()) {
        return error{EINVAL, "'" + std::string(text) + "' is not an IPv4 address (a.b.c.d)"};
    }
    return address;
}

result<prefix4> parse_prefix4(std::string_view text) {
    if (text == "default") {
        return prefix4{};
    }
    std::uint32_t address = 0;
    unsigned length = 32;
    std::string_view rest = text;
    const bool good = take_address(rest, address) &&
                      (rest.empty() || (take_char(rest, '/') && take_number(rest, 32, length)));
    if (!good || !rest.empty()) {
        return error{EINVAL, "'" + std::string(text) + "' is not an IPv4 prefix (a.b.c.d/length)"};
    }
    const prefix4 prefix = make_prefix4(address, length);
    if (prefix.address != address) {
        return error{
            EINVAL, "'" + std::string(text) + "' has bits beyond its length; did you mean " +
                        format(prefix) + "?"};
    }
    return prefix;
}

std::string format_address4(std::uint32_t host) {
    return std::to_string(host >> 24) + "." + std::to_string(host >> 16 & 255) + "." +
           std::to_string(host >> 8 & 255) + "." + std::to_string(host & 255);
}

std::string format(const prefix4& prefix) {
    return format_address4(prefix.address) + "/" + std::to_string(prefix.length);
}

} // namespace pantala
