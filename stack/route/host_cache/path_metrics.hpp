// What a connection learns of the path to its peer, and the next one begins with (RFC 9040); and
// where that is kept.
#pragma once

#include <cstdint>

namespace pantala {

// 0: not known.
struct path_metrics {
    std::uint32_t srtt_us = 0;
    std::uint32_t rttvar_us = 0; // mean deviation
    std::uint32_t ssthresh = 0;  // bytes
    std::uint32_t cwnd = 0;      // bytes, a hint

    bool any() const { return (srtt_us | ssthresh | cwnd) != 0; }
};

// Who goes by a path MTU. What only quotes a datagram proves little; what quotes a sequence number
// under way is believed by all.
enum class mtu_for : std::uint8_t { all, datagrams };

// A connection's place in the host cache; it tells an entry from the same one with a new beginning.
struct host_place {
    std::uint32_t value = 0xffff'ffff; // nowhere
    bool is_somewhere() const { return value != 0xffff'ffff; }
};

} // namespace pantala
