// How people write the size of a bus: `16M`. Control.
#pragma once

#include <charconv>
#include <cstdint>
#include <string_view>
#include <system_error>

namespace pantala::bus {

// A whole number of bytes, with K, M or G (or k, m, g) behind it: of 2^10, 2^20 or 2^30. False:
// anything else, or more than 64 bits hold.
inline bool parse_bus_size(std::string_view text, std::uint64_t& bytes) {
    unsigned shift = 0;
    if (!text.empty() && (text.back() & 0x40) != 0) { // a letter
        const std::size_t unit =
            std::string_view("KMG").find(static_cast<char>(text.back() & ~0x20));
        if (unit == std::string_view::npos) {
            return false;
        }
        shift = 10 * (static_cast<unsigned>(unit) + 1);
        text.remove_suffix(1);
    }
    std::uint64_t count = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (code != std::errc{} || end != text.data() + text.size() || count > UINT64_MAX >> shift) {
        return false;
    }
    bytes = count << shift;
    return true;
}

} // namespace pantala::bus
