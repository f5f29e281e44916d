// Addresses of either family as words: see changes.hpp.
#include "app/changes.hpp"

#include <charconv>

#include <fmt/format.h>

namespace pantala::app {

result<void> set_address(std::string_view text, addr_change& change) {
    change.six.reset();
    if (text.find(':') == std::string_view::npos) {
        auto four = parse_interface_address(text);
        if (four) {
            change.address = *four;
        }
        return four ? result<void>() : four.failure();
    }
    const std::size_t slash = text.find('/');
    auto six = parse_address6(text.substr(0, slash));
    unsigned length = 0;
    const std::string_view digits =
        slash == std::string_view::npos ? std::string_view{} : text.substr(slash + 1);
    const auto [end, failed] =
        std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (!six || failed != std::errc{} || end != digits.data() + digits.size() || length == 0 ||
        length > 128) {
        return error{
            EINVAL,
            fmt::format(
                "'{}' is not an IPv6 address with its prefix length, such as 2001:db8::1/64",
                text)};
    }
    change.six = prefix6{*six, static_cast<std::uint8_t>(length)};
    return {};
}

result<void> set_address(std::string_view text, neigh_change& change) {
    change.six.reset();
    if (text.find(':') == std::string_view::npos) {
        auto four = parse_ip4(text);
        if (four) {
            change.address = *four;
        }
        return four ? result<void>() : four.failure();
    }
    auto six = parse_address6(text);
    if (six) {
        change.six = *six;
    }
    return six ? result<void>() : six.failure();
}

} // namespace pantala::app
