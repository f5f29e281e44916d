// What the generating port and the program that measures it share: a small file, mapped by both.
// The port writes its counters there; the measurer reads them and switches checking on and off, so
// that one running forwarder is checked and timed without being restarted.
//
// The file is one gen_control; the measurer makes it (zeroed, of this size, magic set) and names it
// in the vdev's argument `control=FILE`. scripts/lib/gen_port.py knows the same offsets.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace pantala::gen {

inline constexpr std::uint64_t control_magic = 0x3130'4e45'474e'4150; // "PANGEN01"

// Written by the port's worker with relaxed stores, read by anybody. They only grow.
struct control_counters {
    std::atomic<std::uint64_t> generated; // frames handed to the forwarder
    std::atomic<std::uint64_t> sent;      // frames the forwarder gave to this port
    std::atomic<std::uint64_t> no_mbuf;   // rx bursts that found the pool empty
    std::atomic<std::uint64_t> checked;   // of `sent`: looked at, because `check` was set
    std::atomic<std::uint64_t> good;      // of `checked`: nothing wrong
    // Of `checked`, by the first thing wrong:
    std::atomic<std::uint64_t> bad_frame;    // not a frame of ours, or a byte changed that may not
    std::atomic<std::uint64_t> bad_port;     // sent back out of the port it came from
    std::atomic<std::uint64_t> bad_mac;      // Ethernet addresses not those of its next hop
    std::atomic<std::uint64_t> bad_ttl;      // not exactly one less
    std::atomic<std::uint64_t> bad_checksum; // IPv4 header checksum wrong
    // While `check` was set: the forwarder's own ARP and Neighbor Discovery, not in `checked`.
    std::atomic<std::uint64_t> own;
};

struct control {
    std::uint64_t magic;
    std::atomic<std::uint64_t> check; // written by the measurer: verify what is sent
    std::uint64_t tsc_hz;             // written by the port when it starts
    alignas(64) control_counters counters;
};
static_assert(offsetof(control, check) == 8 && offsetof(control, tsc_hz) == 16);
static_assert(
    offsetof(control, counters) == 64 && sizeof(control_counters) == 88 && sizeof(control) == 192);

} // namespace pantala::gen
