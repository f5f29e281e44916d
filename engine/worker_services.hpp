// What the engine gives to the stack of one worker, at its construction. Everything named here
// belongs to that worker and outlives its stack. A test or a simulation fills one by hand, without
// any device.
#pragma once

#include "engine/drop.hpp"
#include "engine/handoff/netisr.hpp"
#include "engine/ids.hpp"
#include "engine/netmsg.hpp"
#include "engine/random.hpp"
#include "engine/tx_port.hpp"

#include <cstdint>
#include <span>

struct rte_mempool;

namespace pantala {

struct worker_services {
    worker_id self;
    std::uint16_t workers; // how many there are
    drop_sink& drops;      // where packets die
    std::span<tx_port> tx; // indexed by port_id; a port that does not exist is not bound()
    rte_mempool* pool;     // for packets of our own
    netmsg_endpoint& messages;
    netisr& packets; // to run packets elsewhere or later
    random_source& random;
};

} // namespace pantala
