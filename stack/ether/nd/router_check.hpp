// What control and worker 0 say to each other about the routers that advertise themselves, once a
// second while there is something to say: control (autoconf) names them and what they said of the
// timers of their link, by which neighbours are looked after and addresses are asked for (RFC 4862
// 5.1); worker 0 answers with how it stands with each, and asks for those that do not answer, so
// that it is seen when they do again (RFC 4861 6.3.4, 6.3.6).
#pragma once

#include "engine/netmsg.hpp"
#include "stack/ether/neighbor/neighbor_owner.hpp"

#include <array>
#include <cstdint>

namespace pantala {

class autoconf;

// Reachable Time and Retrans Timer of a link; 0: not said.
struct link_timers {
    iface_id iface{};
    std::uint32_t reachable_ms = 0;
    std::uint32_t retransmit_ms = 0;
};

struct router_check : netmsg {
    static constexpr unsigned routers_max = 16;
    static constexpr unsigned links_max = 8;

    struct entry {
        neighbor_key key;
        neighbor_state state = neighbor_state::unknown; // in the answer
    };
    unsigned router_count = 0;
    std::array<entry, routers_max> routers{};
    unsigned link_count = 0;
    std::array<link_timers, links_max> links{};
    bool under_way = false;
    autoconf* from = nullptr;
};

void router_check_handler(netmsg& message, netmsg_endpoint& here); // at worker 0
void router_check_replied(netmsg& message, netmsg_endpoint& here); // at control

} // namespace pantala
