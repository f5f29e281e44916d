// What the IPv6 functions of one worker work on. Made once by the stack; passed by reference.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/counters.hpp"
#include "engine/drop.hpp"
#include "engine/worker_services.hpp"
#include "stack/ether/adjacencies.hpp"
#include "stack/ether/link_counters.hpp"
#include "stack/ether/link_table.hpp"
#include "stack/ether/neighbor/neighbor_table.hpp"
#include "stack/ip/icmp/echo_errors.hpp"
#include "stack/ip/token_bucket.hpp"
#include "stack/route/prefix6.hpp"
#include "stack/route/replica.hpp"
#include "stack/wire/address.hpp"

#include <cstdint>

namespace pantala {

class host_cache;

// Owner: one worker; control sums over the workers. The names that people see: ip6_counter_names.
struct ip6_counters {
    counter forwarded;
    counter delivered;  // to this host, fragments counted one by one
    counter originated; // packets of our own
    counter fragmented; // packets of our own that were cut
    counter fragments_made;
    counter fragments_in; // fragments for this host
    counter reassembled;  // packets made whole
    counter echo_replies;
    counter errors_sent; // ICMPv6
    counter redirects_sent;
};

struct ip6_counter_name {
    const char* name;
    counter ip6_counters::*member;
};
inline constexpr ip6_counter_name ip6_counter_names[] = {
    {"forwarded", &ip6_counters::forwarded},
    {"delivered", &ip6_counters::delivered},
    {"originated", &ip6_counters::originated},
    {"fragmented", &ip6_counters::fragmented},
    {"fragments_made", &ip6_counters::fragments_made},
    {"fragments_in", &ip6_counters::fragments_in},
    {"reassembled", &ip6_counters::reassembled},
    {"echo_replies", &ip6_counters::echo_replies},
    {"errors_sent", &ip6_counters::errors_sent},
    {"redirects_sent", &ip6_counters::redirects_sent},
};

struct ip6_settings {
    std::uint8_t hop_limit = 64;            // of packets of our own
    std::uint32_t icmp_errors_per_s = 1000; // a worker; RFC 4443 2.4 (f)
    std::uint32_t icmp_errors_burst = 100;
    std::uint32_t echo_replies_per_s = 100000; // a worker
    std::uint32_t echo_replies_burst = 1000;
    std::uint32_t redirects_per_s = 20; // a worker
    std::uint32_t redirects_burst = 20;
    std::uint32_t flow_seed = 0; // differs between routers in a row, or ECMP polarises
};

struct ip6_context {
    worker_services& worker;
    const link_table& links;
    const route_replica& routes;
    const adjacencies& next;
    neighbor_table& neighbors;
    link_counters& link_counts;
    host_cache& hosts;
    ip6_settings settings{};
    ip6_counters counters{};
    token_bucket error_budget{};
    token_bucket echo_budget{};
    token_bucket redirect_budget{};
    port_id input_port{}; // of the burst in hand
    instant now{};        // of this round
    mbuf_burst local{};   // for this host, data at the IPv6 header, trimmed
    echo_memory echoes{}; // large replies of ours in the main routing table
};

inline address6 halves_of(const wire::ipv6_address& address) {
    return {address.high(), address.low()};
}

} // namespace pantala
