// The engine's ids. Each indexes arrays of its own kind only.
#pragma once

#include "engine/base/strong_index.hpp"

#include <cstdint>

namespace pantala {

// Dense, 0..workers-1: the order of message chains. (EAL's lcore_id is sparse and stays in launch.)
using worker_id = strong_index<struct worker_tag, std::uint16_t>;
// DPDK's ethdev port number. (A TCP or UDP port is an l4_port.)
using port_id = strong_index<struct port_tag, std::uint16_t>;

inline constexpr unsigned workers_max = 64;
inline constexpr unsigned ports_max = 32;

} // namespace pantala
