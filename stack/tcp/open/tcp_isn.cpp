#include "stack/tcp/open/tcp_isn.hpp"

#include <array>
#include <cstddef>

namespace pantala::tcp {

namespace {

// The values seen most (tunnels, Ethernet, jumbo frames), ascending: the largest that is not above
// the peer's is kept.
constexpr std::array<std::uint16_t, 8> cookie_mss = {216,   536,   1'220, 1'360,
                                                     1'440, 1'460, 4'312, 8'960};

constexpr std::uint32_t no_window_scale = 15; // a shift is at most 14
constexpr unsigned sack_bit = 4;
constexpr unsigned ecn_bit = 5;
constexpr std::uint32_t cookie_bits = 0x3f;

std::uint64_t sum_flow(siphash_key secret, const flow_key& key, std::uint64_t extra) {
    siphash24 sum(secret);
    sum.word(key.local.words[0]);
    sum.word(key.local.words[1]);
    sum.word(key.remote.words[0]);
    sum.word(key.remote.words[1]);
    sum.word(std::uint64_t{key.local_port.value.raw()} << 16 | key.remote_port.value.raw());
    sum.word(extra);
    return sum.finish(0, 48);
}

std::uint32_t cookie_sum(
    siphash_key secret, const flow_key& key, tcp_seq irs, std::uint32_t period, std::uint32_t mss) {
    const std::uint64_t extra = std::uint64_t{irs.value} << 32 | period << 3 | mss;
    return static_cast<std::uint32_t>(sum_flow(secret, key, extra)) & 0xffffff;
}

std::uint32_t period_at(instant now) {
    return static_cast<std::uint32_t>(now.ms() / cookie_period_ms);
}

} // namespace

tcp_seq initial_sequence(siphash_key secret, const flow_key& key, instant now) {
    const auto clock = static_cast<std::uint32_t>(now.ns >> 12); // 4.096 us
    return tcp_seq{clock + static_cast<std::uint32_t>(sum_flow(secret, key, 0))};
}

tcp_seq
initial_sequence_above(siphash_key secret, const flow_key& key, instant now, tcp_seq floor) {
    constexpr std::uint32_t clear_of_any_window = 65'537; // unscaled; Linux's
    const tcp_seq chosen = initial_sequence(secret, key, now);
    return chosen <= floor ? floor + clear_of_any_window : chosen;
}

tcp_seq
make_cookie(siphash_key secret, const flow_key& key, tcp_seq irs, std::uint16_t mss, instant now) {
    std::uint32_t index = 0;
    while (index + 1 < cookie_mss.size() && cookie_mss[index + 1] <= mss) {
        ++index;
    }
    const std::uint32_t period = period_at(now);
    return tcp_seq{(period & 31) << 27 | index << 24 | cookie_sum(secret, key, irs, period, index)};
}

std::optional<std::uint16_t>
check_cookie(siphash_key secret, const flow_key& key, tcp_seq irs, tcp_seq cookie, instant now) {
    const std::uint32_t index = cookie.value >> 24 & 7;
    const std::uint32_t now_period = period_at(now);
    for (std::uint32_t age = 0; age < cookie_periods_valid && age <= now_period; ++age) {
        const std::uint32_t period = now_period - age;
        if ((period & 31) == cookie.value >> 27 &&
            cookie_sum(secret, key, irs, period, index) == (cookie.value & 0xffffff)) {
            return cookie_mss[index];
        }
    }
    return std::nullopt;
}

std::uint32_t cookie_timestamp(const syn_cookie& options, std::uint32_t clock) {
    const std::uint32_t bits = (options.window_scale ? options.snd_wscale : no_window_scale) |
                               static_cast<std::uint32_t>(options.sack) << sack_bit |
                               static_cast<std::uint32_t>(options.ecn) << ecn_bit;
    const std::uint32_t value = (clock & ~cookie_bits) | bits;
    // Never ahead of the clock: a later TSval must not look older (RFC 7323 4.1).
    return static_cast<std::int32_t>(value - clock) > 0 ? value - (cookie_bits + 1) : value;
}

void read_cookie_timestamp(std::uint32_t echo, syn_cookie& options) {
    const std::uint32_t shift = echo & 15;
    options.window_scale = shift != no_window_scale;
    options.snd_wscale = static_cast<std::uint8_t>(options.window_scale ? shift : 0);
    options.sack = (echo >> sack_bit & 1) != 0;
    options.ecn = (echo >> ecn_bit & 1) != 0;
}

std::uint32_t port_offset(siphash_key secret, const flow_key& key) {
    flow_key without_port = key;
    without_port.local_port = {};
    return static_cast<std::uint32_t>(sum_flow(secret, without_port, 1));
}

} // namespace pantala::tcp
