// From the configuration's [tcp] to what the workers' TCP is told, at start and while it runs.
#pragma once

#include "app/config/config.hpp"
#include "stack/socket/net_host.hpp"

#include <string_view>

namespace pantala::app {

// Of a configuration that was checked. With dctcp connections also ask for ECN, without which it is
// NewReno (RFC 8257 section 3.1).
void choose_tcp(const tcp_config& from, host_settings& to);

// May this key be changed while the workers run?
bool may_change(std::string_view key);

// Sets one key as a text says, with the checks of the file. Errors: EINVAL, with a sentence.
result<void> set_tcp_key(tcp_config& of, std::string_view name, std::string_view value);

} // namespace pantala::app
