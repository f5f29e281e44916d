// The search for a larger path MTU: packetization layer path MTU discovery (RFC 4821, in the steps
// of RFC 8899 section 5). It begins where a connection sends less than its handshake allows: behind
// a black hole at once, behind an ICMP error ten minutes later (RFC 8201 section 4), or, where the
// setting says so, always.
//
// A probe is new data in one larger segment, smaller ones right behind it, so that a loss shows by
// what they bring back and costs no timeout. The agreed size goes first, since what made the path
// narrow has mostly gone as a whole; then the gap is halved until it is not worth a probe. A size
// is given up after three losses (MAX_PROBES), of which each is repaired in segments that pass and
// is no sign of congestion (RFC 4821 7.6.1) where nothing else was lost. Then ten minutes' rest.
//
// Owner: the connection's worker. A connection that searches nothing pays a comparison an output
// and one an ACK.
#pragma once

#include "stack/tcp/tcp_conn.hpp"

#include <cstdint>

namespace pantala::tcp {

class host;

// The handshake has set snd_mss: the search goes no further.
void mtu_search_begin(const host& h, conn& c);
// snd_mss was cut because larger segments seem to vanish; or that was a mistake and it is restored.
void mtu_search_from_here(const host& h, conn& c);
void mtu_search_needless(const host& h, conn& c);
// An ICMP error was believed: segments of `fits` bytes pass.
void mtu_search_told(const host& h, conn& c, std::uint32_t fits);

// The largest packet that may be under way: a probe is larger than c.path_mtu.
unsigned mtu_under_way(const conn& c);

// What becomes of this output's new data.
enum class mtu_answer : std::uint8_t {
    nothing, // as if nobody searched
    sent,    // a probe left
    wait,    // it stays until the window has room for the probe: an ACK is on its way
};
mtu_answer mtu_search_output(host& h, conn& c);

// Everything up to the probe's end is acknowledged, and it was never sent again.
void mtu_probe_arrived(host& h, conn& c);
// The record that ends at `end` leaves again, cut: if it was the probe, it was lost.
void mtu_probe_repeated(host& h, conn& c, tcp_seq end);
// Losses were found. True: the probe is all of it, and that is dealt with.
bool mtu_probe_alone_lost(host& h, conn& c);

} // namespace pantala::tcp
