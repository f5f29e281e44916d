// From the configuration's [tcp] to what the workers' TCP is told.
#pragma once

#include "app/config/config.hpp"
#include "stack/socket/net_host.hpp"

namespace pantala::app {

// Of a configuration that was checked. With dctcp connections also ask for ECN, without which it is
// NewReno (RFC 8257 section 3.1).
void choose_tcp(const tcp_config& from, host_settings& to);

} // namespace pantala::app
