// A bad network on purpose: a port's packets are lost, doubled or overtaken at a given rate, each
// way. For tests of what a host makes of it; a port without it pays nothing.
#pragma once

#include "engine/mbuf_burst.hpp"
#include "engine/port_queue.hpp"
#include "engine/random.hpp"
#include "engine/tx_port.hpp"

#include <array>
#include <cstdint>

struct rte_mempool;

namespace pantala {

// Shares of the packets, in millionths.
struct impair_settings {
    std::uint32_t lose = 0;
    std::uint32_t duplicate = 0;
    std::uint32_t reorder = 0; // held back until `reorder_distance` later ones have passed

    bool any() const { return lose != 0 || duplicate != 0 || reorder != 0; }
};

inline constexpr unsigned reorder_distance = 4;

// One queue of a port, one way. Owner: the worker that uses the queue.
class impairment {
  public:
    // `pool`: for copies. The same seed does the same to the same packets.
    impairment(const impair_settings& settings, std::uint64_t seed, rte_mempool* pool);
    ~impairment(); // frees what is held
    impairment(const impairment&) = delete;
    impairment& operator=(const impairment&) = delete;

    // Takes `count` packets, at most burst_max / 2; what comes of them is in `out`, which is empty
    // before.
    void pass(rte_mbuf* const* packets, unsigned count, mbuf_burst& out);

  private:
    bool happens(std::uint32_t millionths) {
        return millionths != 0 && random_.next() % 1'000'000 < millionths;
    }

    impair_settings settings_;
    random_source random_;
    rte_mempool* pool_;
    rte_mbuf* held_ = nullptr;
    unsigned passed_ = 0; // since it was held
};

// In front of a queue's functions (port_queue.hpp, tx_port.hpp).
struct impaired_rx {
    impaired_rx(
        rx_function to, void* of, const impair_settings& settings, std::uint64_t seed,
        rte_mempool* pool)
        : device(to), context(of), network(settings, seed, pool) {}
    rx_function device;
    void* context;
    impairment network;
    static std::uint16_t receive(void* self, rte_mbuf** packets, std::uint16_t room);
};
struct impaired_tx {
    impaired_tx(
        tx_function to, void* of, const impair_settings& settings, std::uint64_t seed,
        rte_mempool* pool)
        : device(to), context(of), network(settings, seed, pool) {}
    tx_function device;
    void* context;
    impairment network;
    static std::uint16_t send(void* self, rte_mbuf** packets, std::uint16_t count);
};

} // namespace pantala
