#include "stack/route/prefix6.hpp"

#include <charconv>
#include <cstring>

#include <arpa/inet.h>

namespace pantala {

result<address6> parse_address6(std::string_view text) {
    std::array<char, INET6_ADDRSTRLEN> copy{};
    std::array<std::uint8_t, 16> bytes{};
    if (text.size() < copy.size()) {
        std::memcpy(copy.data(), text.data(), text.size());
        if (inet_pton(AF_INET6, copy.data(), bytes.data()) == 1) {
            return address6::from_bytes(bytes);
        }
    }
    return error{EINVAL, "'" + std::string(text) + "' is not an IPv6 address"};
}

result<prefix6> parse_prefix6(std::string_view text) {
    const error wrong{EINVAL, "'" + std::string(text) + "' is not an IPv6 prefix (address/length)"};
    const std::size_t slash = text.find('/');
    result<address6> address = parse_address6(text.substr(0, slash));
    if (!address) {
        return wrong;
    }
    unsigned length = 128;
    if (slash != std::string_view::npos) {
        const std::string_view digits = text.substr(slash + 1);
        const char* end = digits.data() + digits.size();
        const auto [stop, status] = std::from_chars(digits.data(), end, length);
        if (status != std::errc{} || stop != end || length > 128) {
            return wrong;
        }
    }
    const prefix6 prefix = make_prefix6(*address, length);
    if (prefix.address != *address) {
        return error{
            EINVAL, "'" + std::string(text) + "' has bits beyond its length; did you mean " +
                        format(prefix) + "?"};
    }
    return prefix;
}

std::string format_address6(const address6& address) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(AF_INET6, address.bytes().data(), text.data(), text.size());
    return text.data();
}

std::string format(const prefix6& prefix) {
    return format_address6(prefix.address) + "/" + std::to_string(prefix.length);
}

} // namespace pantala
