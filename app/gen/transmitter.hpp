// The generator's sending lcore: paced probes of one stream after another. Hot, apart from the
// commands, which control gives through atomics and the lcore takes between bursts.
#pragma once

#include "app/gen/arp_station.hpp"
#include "app/gen/probe.hpp"
#include "app/gen/table/flows.hpp"
#include "engine/counters.hpp"
#include "engine/mbuf_burst.hpp"

#include <atomic>
#include <cstdint>
#include <vector>

struct rte_mempool;

namespace pantala::app {

struct transmit_order {
    std::uint8_t stream = 0;
    std::uint64_t packets_per_second = 0; // 0: as fast as the port takes them
    std::uint64_t duration_tsc = 0;
    std::uint64_t packets = 0;        // stops after so many; 0: by time alone
    std::vector<std::uint16_t> sizes; // in place of the settings'; empty: those
};

class transmitter {
  public:
    struct settings {
        std::uint16_t port = 0;
        rte_mempool* pool = nullptr;
        wire::mac_address source;
        wire::mac_address next; // the router's
        std::uint32_t source_address = 0;
        std::vector<std::uint16_t> sizes; // taken in turn; as the port carries them, without FCS
        arp_station* station = nullptr;   // served by this lcore; may be none
        arp_inbox* inbox = nullptr; // of what arrived for it; else the port's receive queue is read
    };

    transmitter(const settings& how, const std::vector<flow>& flows);

    // The lcore's function; returns after stop().
    void run();

    // Control, while nothing is sent: whom to send to.
    void set_next(const wire::mac_address& next) {
        frames_ = probe_template(how_.source, next, how_.source_address);
    }

    // Control: one order at a time. `start` returns at once; `busy` until it is done.
    void start(const transmit_order& order);
    bool busy() const {
        return state_.load(std::memory_order_acquire) == working;
    } // run()'s release
    void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
    void stop() { stop_.store(true, std::memory_order_relaxed); }

    // Of the order under way or the last one. Any thread.
    std::uint64_t sent() const { return sent_.read() - sent_before_; }
    std::uint64_t port_full() const { return port_full_.read(); } // bursts the port did not take
    double seconds() const;                                       // that it took

  private:
    static constexpr unsigned idle = 0;
    static constexpr unsigned working = 1;

    void transmit();
    unsigned send_burst(unsigned count);
    bool pause(std::uint64_t now, std::uint64_t next_due);
    bool over(std::uint64_t now) const;
    void serve(std::uint64_t now);
    void read_port();

    const settings how_;
    const std::vector<flow>& flows_;
    probe_template frames_;
    transmit_order order_;
    std::uint64_t serve_tsc_ = 0; // when others than probes are due
    std::uint64_t sequence_ = 0;
    std::uint32_t at_flow_ = 0;
    std::uint32_t at_size_ = 0;
    std::uint64_t sent_before_ = 0; // control's
    std::uint64_t began_tsc_ = 0;
    std::atomic<std::uint64_t> took_tsc_{0};
    counter sent_;
    counter port_full_;
    std::atomic<unsigned> state_{idle};
    std::atomic<bool> cancelled_{false};
    std::atomic<bool> stop_{false};
};

} // namespace pantala::app
