// What slow paths still need to know of a packet's arrival after its link header is gone. Kept in
// the mbuf's first cache line (`vlan_tci_outer`, which the engine does not use otherwise: QinQ is
// not supported), written only when a packet leaves the fast path.
#pragma once

#include "stack/route/interface.hpp"

#include <cstdint>

#include <rte_mbuf.h>

namespace pantala {

struct packet_meta {
    iface_id iface{};        // where it came in
    bool link_group = false; // in a frame to a group address (RFC 1122 3.2.2: no errors about it)
    bool fragmented = false; // it came in pieces (or as one) of IPv6: discovery never does
};

static_assert(ifaces_max <= 256);

inline void set_meta(rte_mbuf& packet, packet_meta meta) {
    packet.vlan_tci_outer = static_cast<std::uint16_t>(
        meta.iface.value | (meta.link_group ? 0x100u : 0u) | (meta.fragmented ? 0x200u : 0u));
}
inline packet_meta meta_of(const rte_mbuf& packet) {
    return {
        iface_id{static_cast<std::uint16_t>(packet.vlan_tci_outer & 0xff)},
        (packet.vlan_tci_outer & 0x100) != 0, (packet.vlan_tci_outer & 0x200) != 0};
}

} // namespace pantala
