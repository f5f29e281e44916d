// One worker of churn_bench: a whole stack, a port that makes frames to destinations all over the
// table and two that check where they leave and free them.
#pragma once

#include "engine/worker.hpp"
#include "stack/route/rib.hpp"
#include "stack/stack.hpp"

#include <array>
#include <atomic>
#include <memory>
#include <vector>

namespace pantala::bench {

// What one worker did; written by it, read by control between runs.
struct forwarded {
    std::uint64_t received = 0;
    std::uint64_t sent = 0;
    std::uint64_t misrouted = 0;
    std::uint64_t longest = 0;                // TSC cycles of a round
    std::array<std::uint32_t, 4096> rounds{}; // by 64 cycles; the last: longer

    double percentile(double share) const; // TSC cycles
    void add(const forwarded& other);
    std::uint64_t lost() const { return received - sent; }
};

struct destination {
    be32 address;
    std::uint16_t index; // of the next hop that the table gives it
};

// What all workers of a bench share.
struct churn_setting {
    netmsg_fabric& fabric;
    handoff_lanes& lanes;
    const toeplitz& sum;
    unsigned recursive;                           // next hops up to this index go by a way
    const std::vector<destination>* destinations; // not changed while workers run
    bool shares_cpu;                              // gives way to others after each round
};

// The addresses of next hops. A neighbour's MAC is 02:00 and its address.
inline constexpr std::uint32_t churn_links[] = {0x0a000001, 0x0a010001, 0x0a020001}; // 10.n.0.1
inline constexpr std::uint32_t churn_ways[] = {0x0a010301, 0x0a020301};              // 10.n.3.1
inline constexpr std::uint32_t churn_peer = 0x0a010100; // 10.1.1.0 + index
inline constexpr std::uint32_t churn_twin = 0x0a010200; // 10.1.2.0 + index: its other place

class churn_worker {
  public:
    // `number` of the workers; joins `routes`.
    churn_worker(const churn_setting& setting, unsigned number, rib& routes);
    ~churn_worker();

    // --- control ---
    void start_count();
    forwarded stop_count();
    void stop() { rig_->stop = true; }
    const route_replica& replica() const { return *replica_; }
    const stack& state() const { return *stack_; }
    const worker_rig& rig() const { return *rig_; }
    // TSC: the end of the last round in which a change arrived, and when the last frame left by
    // each way.
    std::uint64_t changed_at() const { return changed_at_.load(std::memory_order_acquire); }
    std::uint64_t last_by(unsigned way) const {
        return last_by_[way].load(std::memory_order_acquire);
    }

    // --- its own thread ---
    void run();

  private:
    static std::uint16_t make(void* self, rte_mbuf** packets, std::uint16_t room);
    template <unsigned Port>
    static std::uint16_t check(void* self, rte_mbuf** packets, std::uint16_t count);
    static std::uint16_t discard(void* self, rte_mbuf** packets, std::uint16_t count);
    bool right(const std::uint8_t* frame, unsigned port);
    void write_frame(std::uint8_t* frame, const destination& to) const;
    void take_orders();
    void count_round(std::uint64_t cycles);

    const churn_setting& setting_;
    rib& routes_;
    rte_mempool* pool_;
    std::unique_ptr<route_replica> replica_;
    std::unique_ptr<worker_rig> rig_;
    std::unique_ptr<stack> stack_;
    std::unique_ptr<worker<stack>> loop_;
    std::size_t next_ = 0;
    std::array<std::uint8_t, 64> frame_{};
    std::uint32_t frame_sum_ = 0; // of the IPv4 header but for the destination
    forwarded counts_;
    bool counting_ = false;
    bool by_way_[2] = {}; // frames that left by it in this round
    enum class order : int { none, begin, end, done };
    std::atomic<order> order_{order::none};
    std::atomic<std::uint64_t> changed_at_{0};
    std::atomic<std::uint64_t> last_by_[2] = {};
};

} // namespace pantala::bench
