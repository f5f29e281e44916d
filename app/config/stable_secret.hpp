// The secret of this host that its IPv6 addresses are made from (RFC 7217 5, "secret_key").
#pragma once

#include "engine/base/siphash.hpp"

#include <string>

namespace pantala::app {

// Of `given` where it is not empty, else of the machine's identity (/etc/machine-id), which stays
// the same from start to start; else a random one. Nobody can tell what it was made of.
siphash_key stable_secret(const std::string& given);

} // namespace pantala::app
