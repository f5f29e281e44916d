// A worker's receive side of one port queue. The device is a function and a context, so that a test
// or a simulation takes its place (as in tx_port.hpp); ethdev's are bound by port.hpp.
#pragma once

#include "engine/counters.hpp"
#include "engine/ids.hpp"
#include "engine/mbuf_burst.hpp"

#include <cstdint>

namespace pantala {

// Fills `packets` with up to `room` mbufs, which are the caller's from then on; returns how many.
using rx_function = std::uint16_t (*)(void* context, rte_mbuf** packets, std::uint16_t room);

class rx_queue {
  public:
    // `steered`: packets of any flow arrive here, so each is handed to its flow's owner.
    rx_queue(port_id from, rx_function device, void* context, bool steered = false)
        : receive_(device), context_(context), port_(from), steered_(steered) {}

    port_id port() const { return port_; }
    bool steered() const { return steered_; }

    // Appends what has arrived, as far as the burst has room; returns how many.
    unsigned receive(mbuf_burst& burst) {
        const std::uint16_t got =
            receive_(context_, burst.end(), static_cast<std::uint16_t>(burst_max - burst.count));
        burst.count = static_cast<std::uint16_t>(burst.count + got);
        if (got != 0) {
            received_.add(got);
        }
        return got;
    }

    std::uint64_t received() const { return received_.read(); } // any thread

  private:
    rx_function receive_;
    void* context_;
    port_id port_;
    bool steered_;
    counter received_;
};

} // namespace pantala
