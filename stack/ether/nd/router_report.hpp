// What a worker tells control of a router that it heard.
#pragma once

#include "engine/netmsg.hpp"
#include "stack/ether/neighbor/neighbor_messages.hpp"
#include "stack/wire/ip6/nd_options.hpp"

#include <array>
#include <cstdint>

namespace pantala {

// Checked as RFC 4861 6.1.2 says; `prefixes` as they came.
struct router_report : netmsg {
    iface_id iface{};
    wire::ipv6_address router;
    std::uint16_t lifetime_s = 0; // 0: no default router
    std::uint8_t hop_limit = 0;   // 0: not said
    std::uint32_t mtu = 0;        // 0: not said, as in all that follow
    std::uint32_t reachable_ms = 0;
    std::uint32_t retransmit_ms = 0;
    unsigned prefix_count = 0;
    std::array<wire::nd_prefix_option, wire::nd_prefixes_max> prefixes{};
    message_pool<router_report>* home = nullptr;
    router_report* next_free = nullptr;
};
inline constexpr unsigned router_reports_max = 16; // under way from a worker; more are not made

// Runs at control.
void router_report_handler(netmsg& message, netmsg_endpoint& here);
void router_report_replied(netmsg& message, netmsg_endpoint& here);

} // namespace pantala
