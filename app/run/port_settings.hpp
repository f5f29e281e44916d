// What an interface needs of the port that carries it: its station address, and room for its
// packets. Control only.
#pragma once

#include "app/address.hpp"
#include "engine/base/result.hpp"
#include "engine/ids.hpp"

#include <string>

struct rte_mempool;

namespace pantala::app {

// The address that frames to the port have now.
mac_address port_mac(port_id port);
// Errors: EINVAL (a group's address, or zero).
result<void> is_station_mac(const mac_address& mac);
// Errors: EINVAL (no station's address), ENOTSUP and the driver's own.
result<void> set_port_mac(port_id port, const std::string& name, const mac_address& mac);
// The port carries packets of `mtu` bytes, grown if it must be; it never shrinks. `pool`: of its
// receive buffers. Errors: EINVAL with the limit, and the driver's own.
result<void>
carry_mtu(port_id port, const std::string& name, std::uint16_t mtu, const rte_mempool& pool);

} // namespace pantala::app
