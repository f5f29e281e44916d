// The state of a connection in the layout of Linux's TCP_INFO. What Pantala does not keep is zero.
#pragma once

#include "stack/tcp/tcp_host.hpp"

#include <linux/tcp.h>

namespace pantala {

// Linux's numbers of the states (net/tcp_states.h).
namespace linux_state {
inline constexpr std::uint8_t established = 1;
inline constexpr std::uint8_t syn_sent = 2;
inline constexpr std::uint8_t syn_recv = 3;
inline constexpr std::uint8_t fin_wait1 = 4;
inline constexpr std::uint8_t fin_wait2 = 5;
inline constexpr std::uint8_t time_wait = 6;
inline constexpr std::uint8_t close = 7;
inline constexpr std::uint8_t close_wait = 8;
inline constexpr std::uint8_t last_ack = 9;
inline constexpr std::uint8_t listen = 10;
inline constexpr std::uint8_t closing = 11;
} // namespace linux_state

::tcp_info make_tcp_info(const tcp::host& host, const tcp::conn& c);

} // namespace pantala
