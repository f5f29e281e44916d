// What neighbour discovery of one worker works on. Made once by the stack; passed by reference.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/counters.hpp"
#include "engine/worker_services.hpp"
#include "stack/ether/link_table.hpp"
#include "stack/ether/nd/router_report.hpp"
#include "stack/ether/neighbor/neighbor_table.hpp"

namespace pantala {

// Owner: one worker; control sums over the workers.
struct nd_counters {
    counter solicitations_in;
    counter solicitations_out;
    counter advertisements_in;
    counter advertisements_out;
    counter router_solicitations_in;
    counter router_solicitations_out;
    counter router_advertisements_in;
    counter router_advertisements_out;
    counter listener_queries_in;
    counter listener_reports_out;
};

struct nd_counter_name {
    const char* name;
    counter nd_counters::*member;
};
inline constexpr nd_counter_name nd_counter_names[] = {
    {"nd_solicitations_in", &nd_counters::solicitations_in},
    {"nd_solicitations_out", &nd_counters::solicitations_out},
    {"nd_advertisements_in", &nd_counters::advertisements_in},
    {"nd_advertisements_out", &nd_counters::advertisements_out},
    {"nd_router_solicitations_in", &nd_counters::router_solicitations_in},
    {"nd_router_solicitations_out", &nd_counters::router_solicitations_out},
    {"nd_router_advertisements_in", &nd_counters::router_advertisements_in},
    {"nd_router_advertisements_out", &nd_counters::router_advertisements_out},
    {"mld_queries_in", &nd_counters::listener_queries_in},
    {"mld_reports_out", &nd_counters::listener_reports_out},
};

struct nd_context {
    worker_services& worker;
    const link_table& links;
    neighbor_table& neighbors;
    nd_counters counters{};
    message_pool<router_report> routers{router_reports_max};
};

} // namespace pantala
