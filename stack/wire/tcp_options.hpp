// TCP options: checked and parsed once into a view; written in the order of a persona. MSS (RFC
// 9293 3.7.1), window scale and timestamps (RFC 7323), SACK (RFC 2018), Fast Open (RFC 7413).
#pragma once

#include "stack/wire/tcp.hpp"

#include <array>
#include <cstdint>
#include <span>

namespace pantala::wire {

inline constexpr std::uint8_t tcp_option_end = 0;
inline constexpr std::uint8_t tcp_option_nop = 1;
inline constexpr std::uint8_t tcp_option_mss = 2;
inline constexpr std::uint8_t tcp_option_window_scale = 3;
inline constexpr std::uint8_t tcp_option_sack_permitted = 4;
inline constexpr std::uint8_t tcp_option_sack = 5;
inline constexpr std::uint8_t tcp_option_timestamp = 8;
inline constexpr std::uint8_t tcp_option_fast_open = 34;

inline constexpr unsigned tcp_options_bytes_max = 40;
inline constexpr unsigned tcp_window_scale_max = 14;   // RFC 7323 2.3
inline constexpr unsigned tcp_sack_blocks_max = 4;     // 2 + 4 * 8 bytes fill the 40
inline constexpr unsigned tcp_fast_open_bytes_min = 4; // RFC 7413 4.1.1: 4 to 16, even
inline constexpr unsigned tcp_fast_open_bytes_max = 16;

// Bytes [left, right) that the receiver holds (RFC 2018 section 3).
struct sack_block {
    tcp_seq left;
    tcp_seq right;
    constexpr bool operator==(const sack_block&) const = default;
};

struct tcp_options {
    bool has_mss = false;
    bool has_window_scale = false;
    bool sack_permitted = false;
    bool has_timestamp = false;
    bool malformed = false; // parsing stopped at a length that cannot be; what came before counts
    std::uint8_t window_scale = 0; // as sent, not yet limited to 14
    std::uint8_t sack_count = 0;
    std::uint8_t fast_open_bytes = 0; // of the cookie; 0: it is asked for
    std::uint16_t mss = 0;
    std::uint32_t ts_value = 0;
    std::uint32_t ts_echo = 0;
    const std::uint8_t* fast_open = nullptr; // the cookie, in the parsed bytes; nullptr: no option
    std::array<sack_block, tcp_sack_blocks_max> sack{};
};

// Parses the bytes after the fixed header. Never reads outside them. An unknown kind is skipped by
// its length (RFC 9293 MUST-6); a known kind of a wrong length is ignored; an illegal length ends
// the parse (MUST-7) and sets `malformed`.
tcp_options parse_tcp_options(std::span<const std::uint8_t> bytes);
// The same into a fresh `result`: for hot code, where a copy of what was just written in small
// pieces would wait for all of them to reach the cache.
void parse_tcp_options(std::span<const std::uint8_t> bytes, tcp_options& result);

// The order in which a SYN carries its options: fingerprints differ by it, receivers do not care.
enum class tcp_option_order : std::uint8_t {
    linux_like,   // MSS, SACK permitted, timestamp, window scale
    freebsd_like, // MSS, window scale, SACK permitted, timestamp
};

// Writes the options of a SYN or SYN-ACK (`options.sack` is not sent on these; a Fast Open cookie
// is left out where it does not fit) and returns their length in bytes, a multiple of 4.
unsigned write_tcp_syn_options(
    std::span<std::uint8_t, tcp_options_bytes_max> out, const tcp_options& options,
    tcp_option_order order);

// Writes timestamp and SACK blocks, as many as fit, each aligned by two NOPs (RFC 7323 appendix A);
// returns the length in bytes, a multiple of 4.
unsigned
write_tcp_options(std::span<std::uint8_t, tcp_options_bytes_max> out, const tcp_options& options);

} // namespace pantala::wire
