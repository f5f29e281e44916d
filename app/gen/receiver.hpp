// The sink's receiving lcore: judges every packet. Hot, apart from the change of streams.
#pragma once

#include "app/gen/arp_station.hpp"
#include "app/gen/histogram.hpp"
#include "app/gen/probe.hpp"
#include "app/gen/table/flows.hpp"
#include "engine/counters.hpp"
#include "engine/mbuf_burst.hpp"

#include <atomic>
#include <cstdint>
#include <vector>

namespace pantala::app {

class receiver {
  public:
    struct settings {
        std::uint16_t port = 0;
        std::uint16_t queues = 1;
        std::vector<wire::mac_address> gateways; // by the rule's number; empty: not judged
        bool routed = false;                     // the time to live must be one less than sent
        // Who is told of ARP: the station, where this lcore sends on the port; else the inbox of
        // the lcore that does; or nobody.
        arp_station* station = nullptr;
        arp_inbox* inbox = nullptr;
    };

    // Counters of one stream; any thread reads.
    struct tally {
        counter received; // different packets of the stream
        counter bytes;
        counter duplicate; // seen before
        counter reordered; // behind a later one of the same flow
        counter late;      // too far behind to tell whether it was seen before; not in received
        counter misrouted; // at another next hop than the slow table's
        counter corrupt;   // checksum, time to live, destination or length not as expected
        histogram latency_tsc;
    };

    receiver(const settings& how, flow_set& flows);

    // The lcore's function; returns after stop().
    void run();
    void stop() { stop_.store(true, std::memory_order_relaxed); }

    // Control: forget everything and judge packets of `stream` from now on. Others are `foreign`.
    // False if the lcore does not answer within a second.
    bool begin(std::uint8_t stream);
    const tally& counts() const { return tally_; }
    std::uint64_t foreign() const { return foreign_.read(); }

  private:
    static constexpr unsigned window_bits = 1U << 22; // sequence numbers remembered

    void take_order();
    unsigned poll();
    void judge(mbuf_burst& burst, std::uint64_t now);
    void take_other(const rte_mbuf& packet);
    void judge_probe(const probe_frame& frame, unsigned bytes, flow& one, std::uint64_t now);
    bool mark_seen(std::uint64_t sequence);
    bool sound(const probe_frame& frame, unsigned bytes) const;
    bool routed_right(const probe_frame& frame, const flow& one) const;

    const settings how_;
    flow_set& flows_;
    tally tally_;
    counter foreign_;
    std::vector<std::uint64_t> window_; // a bit a sequence number, as a ring
    std::uint64_t window_end_ = 0;      // one past the highest sequence number seen
    std::uint8_t stream_ = 0;
    std::atomic<unsigned> wanted_{0}; // stream + 1 that control asks for; 0: nothing
    std::atomic<bool> stop_{false};
};

} // namespace pantala::app
