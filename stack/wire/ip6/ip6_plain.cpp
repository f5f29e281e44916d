#include "stack/wire/ip6/ip6_plain.hpp"

#include <cstring>

namespace pantala::wire {
namespace {

std::uint64_t load(const std::uint8_t* from) {
    std::uint64_t value = 0;
    std::memcpy(&value, from, sizeof value);
    return value;
}

// First byte of an address: 2000::/3 or fc00::/7.
constexpr unsigned routable(unsigned first) {
    return static_cast<unsigned>((first >> 5) == 1) | static_cast<unsigned>((first >> 1) == 0x7e);
}

} // namespace

std::uint64_t ip6_look(
    const std::uint8_t* const* header, const std::uint32_t* bytes, unsigned count, ip6_plain& out) {
    std::uint64_t mask = 0;
    for (unsigned i = 0; i < count; ++i) {
        const std::uint64_t first = load(header[i]);
        const std::uint64_t source = load(header[i] + 8);
        const std::uint64_t high = load(header[i] + 24);
        out.high[i] = __builtin_bswap64(high);
        out.low[i] = __builtin_bswap64(load(header[i] + 32));
        const auto payload =
            static_cast<std::uint32_t>(__builtin_bswap16(static_cast<std::uint16_t>(first >> 32)));
        // All of it, without a branch for each.
        const unsigned plain = static_cast<unsigned>((first & 0xf0) == 0x60) &
                               static_cast<unsigned>(payload + 40 <= bytes[i]) &
                               static_cast<unsigned>((first >> 48 & 0xff) != 0) &
                               routable(static_cast<unsigned>(source & 0xff)) &
                               routable(static_cast<unsigned>(high & 0xff));
        mask |= std::uint64_t{plain} << i;
    }
    return mask;
}

} // namespace pantala::wire
