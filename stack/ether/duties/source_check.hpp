// Reverse path check (RFC 3704): a packet is dropped on interfaces with the duty iface_rpf_strict
// unless the route to its source leaves by the interface it came in by, with iface_rpf_loose unless
// there is a route to it at all. Routes that drop, and those to ourselves, count as none.
#pragma once

#include "engine/drop.hpp"
#include "stack/ether/ether_input.hpp"
#include "stack/ether/link_table.hpp"
#include "stack/route/replica.hpp"

namespace pantala {

// Takes packets that fail out of the bursts. Called for bursts of ports where some interface has
// such a duty (port_link::checks_sources).
void check_sources(
    const link_table& links, const route_replica& routes, ether_sorted& frames, drop_sink& drops);

} // namespace pantala
