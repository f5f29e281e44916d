// IPv6 addresses of ours: which are whose, which may be used, and with which to speak (RFC 6724).
// Slow paths; all functions look at the interfaces' records in turn.
#pragma once

#include "stack/ether/link_table.hpp"
#include "stack/wire/address.hpp"

#include <optional>

namespace pantala {

inline wire::ipv6_address address_of(const iface_address6& mine) {
    wire::ipv6_address address;
    address.bytes = mine.address;
    return address;
}

constexpr bool is_usable(const iface_address6& mine) {
    return address_usable(mine.flags);
}

// The record of `address` on an interface, usable or not; nullptr: the interface does not have it.
const iface_address6* find_address(const iface& here, const wire::ipv6_address& address);

// The interface of a routing table that has this usable address, if any. Link-local ones are of a
// link: find_address.
std::optional<iface_id>
owner_of(const link_table& links, const wire::ipv6_address& address, unsigned table);

// The subnet's router anycast address of an address of this interface (RFC 4291 2.6.1), where that
// is usable. None of a link-local address, of a link of two (RFC 6164), and where others' router
// advertisements are believed: there we are a host.
std::optional<wire::ipv6_address> router_anycast(const iface& here, const iface_address6& mine);

// The address of this interface that `anycast` is the subnet's router anycast address of; nullptr:
// it is none.
const iface_address6* find_router_anycast(const iface& here, const wire::ipv6_address& anycast);

// Does the interface listen to this group: all nodes, all routers, the solicited-node groups of its
// addresses and of the router anycast addresses of their subnets (RFC 4291 2.8)?
bool has_joined(const iface& here, const wire::ipv6_address& group);

// Is it on the link of an address of this interface? Link-local addresses always are.
bool is_on_link(const iface& here, const wire::ipv6_address& address);

// The usable address to send to `destination` with by interface `out` (RFC 6724 5): of that
// interface if it has one that reaches as far, else of any of its routing table. Nothing: there is
// none.
std::optional<wire::ipv6_address>
select_source(const link_table& links, iface_id out, const wire::ipv6_address& destination);

} // namespace pantala
