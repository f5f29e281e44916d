// The Fast Open option of segments made and read by hand.
#pragma once

#include "tests/stack/tcp/scripted_peer.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace pantala::sim {

using option_bytes = std::vector<std::uint8_t>;

inline option_bytes with_cookie(const option_bytes& cookie) {
    option_bytes option = {34, static_cast<std::uint8_t>(2 + cookie.size())};
    option.insert(option.end(), cookie.begin(), cookie.end());
    return option;
}

// The cookie in a segment the host sent; nothing: no option. An empty one asks.
inline std::optional<option_bytes> cookie_in(const wire_segment& segment) {
    const wire::tcp_options options = wire::parse_tcp_options(segment.options);
    if (options.fast_open == nullptr) {
        return std::nullopt;
    }
    return option_bytes(options.fast_open, options.fast_open + options.fast_open_bytes);
}

} // namespace pantala::sim
