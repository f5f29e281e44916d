// Ethernet input: a burst of frames sorted by the protocol they carry.
#pragma once

#include "engine/drop.hpp"
#include "engine/ids.hpp"
#include "engine/mbuf_burst.hpp"
#include "stack/ether/l3_burst.hpp"
#include "stack/ether/link_counters.hpp"
#include "stack/ether/link_table.hpp"
#include "stack/route/fib4.hpp"

namespace pantala {

struct ether_sorted {
    l3_burst ip4;           // to us alone, in one segment, all of the routing table `table`
    l3_burst ip4_single;    // to a group address, in several segments, of another routing table
    l3_burst ip6;           // as ip4
    l3_burst ip6_single;    // as ip4_single
    mbuf_burst arp;         // data begins at the ARP packet
    std::uint8_t table = 0; // the port's where a plain packet came, else the first packet's
};

// Takes all of `frames` from `port` and empties it. Bursts of `sorted` must be empty. Frames that
// are truncated, not for us, from a group address, of an unknown VLAN or protocol, or for an
// interface that is down are dropped. In the sorted bursts at least the minimal header of the
// protocol lies in the first segment, and packet_meta is set, but for the plain packets that
// sorted.ip4.unmarked and sorted.ip6.unmarked count.
//
// `directory`: of the routes that plain packets will be looked up in. Its lines are asked for here,
// where the destination first is at hand, and arrive while the rest is sorted.
//
// Plain packets (untagged IPv4 or IPv6 to the port's own address, in one segment) come first in
// sorted.ip4 and sorted.ip6; the others, which are looked at one by one, follow in their order.
void ether_input(
    const link_table& links, port_id port, mbuf_burst& frames, ether_sorted& sorted,
    link_counters& counters, drop_sink& drops, fib4_reader<> directory);

} // namespace pantala
