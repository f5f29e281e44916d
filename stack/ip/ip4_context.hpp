// What the IPv4 functions of one worker work on. Made once by the stack; passed by reference.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/counters.hpp"
#include "engine/drop.hpp"
#include "engine/worker_services.hpp"
#include "stack/ether/adjacencies.hpp"
#include "stack/ether/link_counters.hpp"
#include "stack/ether/link_table.hpp"
#include "stack/ether/neighbor/neighbor_table.hpp"
#include "stack/ip/ip4_ids.hpp"
#include "stack/ip/token_bucket.hpp"
#include "stack/route/replica.hpp"

#include <cstdint>

namespace pantala {

// Owner: one worker; control sums over the workers. The names that people see: ip4_counter_names.
struct ip4_counters {
    counter forwarded;
    counter delivered;  // to this host, fragments counted one by one
    counter originated; // packets of our own
    counter fragmented; // packets that were cut
    counter fragments_made;
    counter fragments_in; // fragments for this host
    counter reassembled;  // packets made whole
    counter echo_replies;
    counter errors_sent; // ICMP
};

struct ip4_counter_name {
    const char* name;
    counter ip4_counters::*member;
};
inline constexpr ip4_counter_name ip4_counter_names[] = {
    {"forwarded", &ip4_counters::forwarded},
    {"delivered", &ip4_counters::delivered},
    {"originated", &ip4_counters::originated},
    {"fragmented", &ip4_counters::fragmented},
    {"fragments_made", &ip4_counters::fragments_made},
    {"fragments_in", &ip4_counters::fragments_in},
    {"reassembled", &ip4_counters::reassembled},
    {"echo_replies", &ip4_counters::echo_replies},
    {"errors_sent", &ip4_counters::errors_sent},
};

struct ip4_settings {
    std::uint8_t time_to_live = 64;         // of packets of our own (RFC 1700)
    std::uint32_t icmp_errors_per_s = 1000; // a worker; RFC 1812 4.3.2.8
    std::uint32_t icmp_errors_burst = 100;
    std::uint32_t echo_replies_per_s = 100000; // a worker
    std::uint32_t echo_replies_burst = 1000;
    bool send_redirects = true;         // RFC 1812 5.2.7.2
    std::uint32_t redirects_per_s = 20; // a worker
    std::uint32_t redirects_burst = 20;
    std::uint32_t flow_seed = 0; // differs between routers in a row, or ECMP polarises
};

struct ip4_context {
    worker_services& worker;
    const link_table& links;
    const route_replica& routes;
    const adjacencies& next;
    neighbor_table& neighbors;
    link_counters& link_counts;
    ip4_settings settings{};
    ip4_counters counters{};
    token_bucket error_budget{};
    token_bucket echo_budget{};
    token_bucket redirect_budget{};
    port_id input_port{}; // of the burst in hand
    ip4_ids ids{};        // of our own packets
    instant now{};        // of this round
    mbuf_burst local{};   // for this host, data at the IPv4 header, trimmed
};

} // namespace pantala
