// Control changes the settings of a worker's TCP, by netmsg call.
#pragma once

#include "engine/netmsg.hpp"
#include "stack/tcp/tcp_settings.hpp"

#include <cstdint>

namespace pantala {

// The stack's.
void tcp_command_handler(netmsg& message, netmsg_endpoint& here);

// It holds for connections that begin from now on; intervals also for timers that are set from now
// on, and for what waits in TIME-WAIT. What the two ends of a handshake agree on (timestamps, sack,
// window_scale, rcv_buffer_max, whence the shift) must stay as it was.
struct tcp_command : netmsg {
    tcp_command() { handler = tcp_command_handler; }

    tcp::settings settings;
    std::uint32_t peer_conns = 0; // of tcp::limits
    std::uint32_t listeners_backlog_max = 0;
};

} // namespace pantala
