// What the control socket of a running router answers. Names and words are those of the commands
// in cli/net_commands.cpp.
#pragma once

#include "app/control/server.hpp"
#include "app/run/router.hpp"

namespace pantala::app {

// `stop` is set when a client asks for the end.
void add_requests(control_server& server, router& of, bool& stop);

// Those of routes, in a file of their own.
void add_route_requests(control_server& server, router& of);
void add_route_checks(control_server& server, router& of);
void add_monitor_request(control_server& server, router& of);

// The address family that a request is about: 4, 6, or 0 for both.
unsigned family_of(const control_request& request);

} // namespace pantala::app
