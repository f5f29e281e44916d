// Ethernet output: adjacencies and the last step of every packet.
#pragma once

#include "engine/tx_port.hpp"
#include "stack/ether/link_table.hpp"
#include "stack/route/adjacency.hpp"
#include "stack/wire/address.hpp"
#include "stack/wire/ethernet.hpp"

#include <span>

namespace pantala {

// The adjacency of a station `to` on an interface: its rewrite ends with the type of IPv4.
adjacency make_adjacency(const iface& record, iface_id id, const wire::mac_address& to);

// The link header in front of a packet whose data begins at the network header; false: no room
// (the packet is untouched).
bool ether_prepend(
    const iface& record, const wire::mac_address& to, wire::ether_type type, rte_mbuf& packet);

// Sends a packet whose data begins at the network header. `out` is of kind forward; what version of
// IP the packet is it says itself. Takes the packet.
void ether_send(std::span<tx_port> tx, const adjacency& out, rte_mbuf* packet);

// Sends a frame whose data begins at the link header. Takes it.
void ether_send_frame(std::span<tx_port> tx, port_id port, rte_mbuf* frame);

} // namespace pantala
