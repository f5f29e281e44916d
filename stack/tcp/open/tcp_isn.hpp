// Numbers that an outsider must not foresee: initial sequence numbers (RFC 6528), SYN cookies (RFC
// 4987 section 3.6), ephemeral ports (RFC 6056).
#pragma once

#include "engine/base/clock.hpp"
#include "engine/base/siphash.hpp"
#include "stack/wire/flow.hpp"
#include "stack/wire/tcp.hpp"

#include <cstdint>
#include <optional>

namespace pantala::tcp {

// RFC 6528 section 3: ISN = M + F(4-tuple, secret), M a clock of about 4 us.
tcp_seq initial_sequence(siphash_key secret, const flow_key& key, instant now);
// For a flow whose last connection sent up to `floor` (RFC 6191 2, RFC 9293 3.6.1 (2)): above it.
tcp_seq initial_sequence_above(siphash_key secret, const flow_key& key, instant now, tcp_seq floor);

// What a cookie remembers. MSS in the sequence number (one of eight); the rest in the low six bits
// of our timestamp, so it is lost with a peer that has none: then no scaling and no SACK.
struct syn_cookie {
    std::uint16_t mss = 536;
    std::uint8_t snd_wscale = 0;
    bool window_scale = false;
    bool sack = false;
    bool ecn = false;
};

inline constexpr std::uint32_t cookie_period_ms = 64'000;
inline constexpr std::uint32_t cookie_periods_valid = 2; // a cookie lives 64 to 128 s

// Layout: 5 bits of the period's number, 3 of the MSS, 24 of the keyed sum over flow, irs, period
// and MSS.
tcp_seq
make_cookie(siphash_key secret, const flow_key& key, tcp_seq irs, std::uint16_t mss, instant now);
// The MSS in a cookie that verifies.
std::optional<std::uint16_t>
check_cookie(siphash_key secret, const flow_key& key, tcp_seq irs, tcp_seq cookie, instant now);

// The options in the low bits of a TSval that is not later than `clock`.
std::uint32_t cookie_timestamp(const syn_cookie& options, std::uint32_t clock);
void read_cookie_timestamp(std::uint32_t echo, syn_cookie& options);

// RFC 6056 algorithm 3: where the search for a free port begins for this destination.
std::uint32_t port_offset(siphash_key secret, const flow_key& key);

} // namespace pantala::tcp
