#include "app/gen/transmitter.hpp"

#include <algorithm>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

namespace pantala::app {

namespace {

constexpr unsigned send_max = 32; // packets a burst

// A sender that was kept from its CPU makes up for this long; what is older is not offered at all.
constexpr std::uint64_t catch_up_us = 2'000;
// Shorter waits are spent yielding, longer ones asleep.
constexpr std::uint64_t sleep_from_us = 20;

// How often the port is looked at for what others want of it.
constexpr std::uint64_t serve_interval_us = 200;

void sleep_us(std::uint64_t us) {
    const timespec wait{0, static_cast<long>(us * 1000)};
    nanosleep(&wait, nullptr);
}

} // namespace

transmitter::transmitter(const settings& how, const std::vector<flow>& flows)
    : how_(how), flows_(flows), frames_(how.source, how.next, how.source_address) {}

void transmitter::start(const transmit_order& order) {
    order_ = order;
    if (order_.sizes.empty()) {
        order_.sizes = how_.sizes;
    }
    sent_before_ = sent_.read();
    took_tsc_.store(0, std::memory_order_relaxed);
    cancelled_.store(false, std::memory_order_relaxed);
    state_.store(working, std::memory_order_release); // run()'s acquire
}

double transmitter::seconds() const {
    return static_cast<double>(took_tsc_.load(std::memory_order_relaxed)) /
           static_cast<double>(rte_get_tsc_hz());
}

void transmitter::run() {
    prctl(PR_SET_TIMERSLACK, 1000UL, 0, 0, 0); // ns; the default 50 us is a long time here
    while (!stop_.load(std::memory_order_relaxed)) {
        if (state_.load(std::memory_order_acquire) == working) { // start()'s release
            transmit();
            state_.store(idle, std::memory_order_release); // busy()'s acquire
        } else {
            serve(rte_rdtsc());
            sleep_us(500);
        }
    }
}

// ARP. A port of whose packets nobody else takes note is emptied: its bus may wait for readers.
void transmitter::serve(std::uint64_t now) {
    if (now < serve_tsc_) [[likely]] {
        return;
    }
    serve_tsc_ = now + rte_get_tsc_hz() * serve_interval_us / 1'000'000;
    if (how_.station == nullptr) {
        return;
    }
    how_.station->tick(now);
    if (how_.inbox == nullptr) {
        read_port();
        return;
    }
    arp_frame arp;
    for (unsigned i = 0; i < send_max && how_.inbox->take(arp); ++i) {
        how_.station->input(arp);
    }
}

void transmitter::read_port() {
    rte_mbuf* packets[send_max];
    const unsigned count = rte_eth_rx_burst(how_.port, 0, packets, send_max);
    for (unsigned i = 0; i < count; ++i) {
        if (const auto arp = arp_of(*packets[i])) {
            how_.station->input(*arp);
        }
    }
    if (count != 0) {
        rte_pktmbuf_free_bulk(packets, count);
    }
}

bool transmitter::over(std::uint64_t now) const {
    return now - began_tsc_ >= order_.duration_tsc || cancelled_.load(std::memory_order_relaxed) ||
           stop_.load(std::memory_order_relaxed) ||
           (order_.packets != 0 && sequence_ >= order_.packets);
}

// Lets others have the CPU until there is a burst to send.
bool transmitter::pause(std::uint64_t now, std::uint64_t next_due) {
    const std::uint64_t wait_us =
        next_due > now ? (next_due - now) * 1'000'000 / rte_get_tsc_hz() : 0;
    if (wait_us >= sleep_from_us) {
        sleep_us(std::min<std::uint64_t>(wait_us, 1000));
    } else {
        sched_yield();
    }
    return true;
}

void transmitter::transmit() {
    const double hz = static_cast<double>(rte_get_tsc_hz());
    const double gap =
        order_.packets_per_second == 0 ? 0.0 : hz / static_cast<double>(order_.packets_per_second);
    // At slow rates no less than what a burst waits for.
    const double catch_up = std::max(hz * static_cast<double>(catch_up_us) / 1e6, 2 * gap);
    sequence_ = 0;
    at_flow_ = 0;
    at_size_ = 0;
    began_tsc_ = rte_rdtsc();
    double due = 0; // TSC since the beginning at which the next packet is due
    for (std::uint64_t now = began_tsc_; !over(now); now = rte_rdtsc()) {
        serve(now);
        const double elapsed = static_cast<double>(now - began_tsc_);
        due = std::max(due, elapsed - catch_up);
        unsigned count = send_max;
        if (gap > 0) {
            const double ready = (elapsed - due) / gap;
            // Wait for a whole burst unless that would take longer than a sleep.
            const double burst = std::min<double>(send_max, 1 + hz * 50e-6 / gap);
            if (ready < burst) {
                pause(now, began_tsc_ + static_cast<std::uint64_t>(due + burst * gap));
                continue;
            }
            count = static_cast<unsigned>(std::min<double>(send_max, ready));
        }
        if (order_.packets != 0) {
            count =
                static_cast<unsigned>(std::min<std::uint64_t>(count, order_.packets - sequence_));
        }
        const unsigned taken = send_burst(count);
        due += gap * taken;
        if (taken < count) {
            port_full_.add(1);
            sched_yield();
        }
    }
    took_tsc_.store(rte_rdtsc() - began_tsc_, std::memory_order_relaxed);
}

// What the port does not take is not lost: its sequence numbers are used again.
unsigned transmitter::send_burst(unsigned count) {
    rte_mbuf* packets[send_max];
    if (rte_pktmbuf_alloc_bulk(how_.pool, packets, count) != 0) {
        return 0;
    }
    const std::uint64_t now = rte_rdtsc();
    std::uint32_t at_flow = at_flow_;
    std::uint32_t at_size = at_size_;
    for (unsigned i = 0; i < count; ++i) {
        const std::uint16_t bytes = order_.sizes[at_size];
        packets[i]->data_len = bytes;
        packets[i]->pkt_len = bytes;
        frames_.write(
            rte_pktmbuf_mtod(packets[i], void*), bytes, flows_[at_flow].destination, at_flow,
            sequence_ + i, order_.stream, now);
        at_flow = at_flow + 1 == flows_.size() ? 0 : at_flow + 1;
        at_size = at_size + 1 == order_.sizes.size() ? 0 : at_size + 1;
    }
    const unsigned taken =
        rte_eth_tx_burst(how_.port, 0, packets, static_cast<std::uint16_t>(count));
    if (taken < count) {
        rte_pktmbuf_free_bulk(packets + taken, count - taken);
    }
    sequence_ += taken;
    at_flow_ = static_cast<std::uint32_t>((at_flow_ + taken) % flows_.size());
    at_size_ = static_cast<std::uint32_t>((at_size_ + taken) % order_.sizes.size());
    sent_.add(taken);
    return taken;
}

} // namespace pantala::app
