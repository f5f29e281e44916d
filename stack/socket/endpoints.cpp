#include "stack/socket/endpoints.hpp"

#include <charconv>

#include <arpa/inet.h>

namespace pantala {
namespace {

constexpr std::array<std::uint8_t, 12> mapped_prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool read_address(std::string_view text, bool bracketed, endpoint& out) {
    char room[INET6_ADDRSTRLEN] = {};
    if (text.size() >= sizeof room) {
        return false;
    }
    std::memcpy(room, text.data(), text.size());
    if (bracketed) {
        return inet_pton(AF_INET6, room, out.address.data()) == 1 && !out.is_ip4();
    }
    std::memcpy(out.address.data(), mapped_prefix.data(), mapped_prefix.size());
    return text == "*" || inet_pton(AF_INET, room, out.address.data() + 12) == 1;
}

} // namespace

bool endpoint::is_ip4() const {
    return std::memcmp(address.data(), mapped_prefix.data(), mapped_prefix.size()) == 0;
}

std::optional<endpoint> parse_endpoint(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) {
        return std::nullopt;
    }
    const std::string_view port = text.substr(colon + 1);
    std::string_view host = text.substr(0, colon);
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) {
        host = host.substr(1, host.size() - 2);
    }
    endpoint result;
    const char* end = port.data() + port.size();
    const auto [rest, code] = std::from_chars(port.data(), end, result.port);
    if (code != std::errc{} || rest != end || !read_address(host, bracketed, result)) {
        return std::nullopt;
    }
    return result;
}

std::string to_string(const endpoint& of) {
    char room[INET6_ADDRSTRLEN] = {};
    if (of.is_ip4()) {
        inet_ntop(AF_INET, of.address.data() + 12, room, sizeof room);
        return std::string(room) + ":" + std::to_string(of.port);
    }
    inet_ntop(AF_INET6, of.address.data(), room, sizeof room);
    return "[" + std::string(room) + "]:" + std::to_string(of.port);
}

} // namespace pantala
