#include "app/gen/receiver.hpp"

#include <algorithm>
#include <cstring>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_prefetch.h>
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

namespace pantala::app {

namespace {

// Empty polls before the lcore sleeps, and for how long; a bus holds far more than arrives then.
constexpr unsigned empty_polls = 64;
constexpr long sleep_ns = 20'000;

} // namespace

receiver::receiver(const settings& how, flow_set& flows)
    : how_(how), flows_(flows), window_(window_bits / 64, 0) {}

bool receiver::begin(std::uint8_t stream) {
    wanted_.store(1U + stream, std::memory_order_release); // take_order's acquire
    for (unsigned ms = 0; ms < 1000; ++ms) {
        if (wanted_.load(std::memory_order_acquire) == 0) { // take_order's release
            return true;
        }
        const timespec wait{0, 1'000'000};
        nanosleep(&wait, nullptr);
    }
    return false;
}

void receiver::run() {
    prctl(PR_SET_TIMERSLACK, 1000UL, 0, 0, 0);
    unsigned quiet = 0;
    while (!stop_.load(std::memory_order_relaxed)) {
        take_order();
        quiet = poll() == 0 ? quiet + 1 : 0;
        if (quiet >= empty_polls) {
            const timespec wait{0, sleep_ns};
            nanosleep(&wait, nullptr);
        }
    }
}

void receiver::take_order() {
    const unsigned wanted = wanted_.load(std::memory_order_acquire); // begin's release
    if (wanted == 0) {
        return;
    }
    stream_ = static_cast<std::uint8_t>(wanted - 1);
    for (counter* c :
         {&tally_.received, &tally_.bytes, &tally_.duplicate, &tally_.reordered, &tally_.late,
          &tally_.misrouted, &tally_.corrupt}) {
        c->add(0 - c->read());
    }
    tally_.latency_tsc.reset();
    std::fill(window_.begin(), window_.end(), 0);
    window_end_ = 0;
    for (flow& one : flows_.flows) {
        one.stream = static_cast<std::uint8_t>(stream_ + 1); // nothing seen yet of this stream
    }
    wanted_.store(0, std::memory_order_release); // begin's acquire
}

unsigned receiver::poll() {
    unsigned got = 0;
    for (std::uint16_t queue = 0; queue < how_.queues; ++queue) {
        mbuf_burst burst;
        burst.count = rte_eth_rx_burst(how_.port, queue, burst.packets, burst_max);
        if (!burst.empty()) {
            got += burst.count;
            judge(burst, rte_rdtsc());
        }
    }
    return got;
}

// Consumes the burst.
void receiver::judge(mbuf_burst& burst, std::uint64_t now) {
    const probe_frame* frames[burst_max];
    flow* flows[burst_max];
    for (unsigned i = 0; i < burst.count; ++i) {
        rte_prefetch0(rte_pktmbuf_mtod(burst.packets[i], void*));
    }
    for (unsigned i = 0; i < burst.count; ++i) {
        const auto* frame = rte_pktmbuf_mtod(burst.packets[i], const probe_frame*);
        const bool ours = burst.packets[i]->data_len >= sizeof(probe_frame) &&
                          frame->ethernet.ether() == wire::ether_type::ipv4 &&
                          frame->ip.version_ihl == 0x45 &&
                          frame->udp.destination_port.host() == probe_l4_port &&
                          frame->payload.magic == probe::mark && frame->payload.stream == stream_ &&
                          frame->payload.flow < flows_.flows.size();
        frames[i] = ours ? frame : nullptr;
        flows[i] = ours ? &flows_.flows[frame->payload.flow] : nullptr;
        rte_prefetch0(flows[i]);
    }
    for (unsigned i = 0; i < burst.count; ++i) {
        if (frames[i] == nullptr) {
            take_other(*burst.packets[i]);
        } else {
            judge_probe(*frames[i], burst.packets[i]->pkt_len, *flows[i], now);
        }
    }
    rte_pktmbuf_free_bulk(burst.packets, burst.count);
    burst.clear();
}

// Not a probe of this trial.
void receiver::take_other(const rte_mbuf& packet) {
    const bool minds = how_.station != nullptr || how_.inbox != nullptr;
    const std::optional<arp_frame> arp = minds ? arp_of(packet) : std::nullopt;
    if (!arp) {
        foreign_.add(1);
    } else if (how_.station != nullptr) {
        how_.station->input(*arp);
    } else {
        how_.inbox->put(*arp);
    }
}

void receiver::judge_probe(const probe_frame& frame, unsigned bytes, flow& one, std::uint64_t now) {
    const std::uint64_t sequence = frame.payload.sequence;
    if (sequence + window_bits < window_end_) {
        tally_.late.add(1);
        return;
    }
    if (mark_seen(sequence)) {
        tally_.duplicate.add(1);
        return;
    }
    tally_.received.add(1);
    tally_.bytes.add(bytes);
    tally_.corrupt.add(!sound(frame, bytes) || frame.ip.destination.host() != one.destination);
    tally_.misrouted.add(!routed_right(frame, one));
    const auto low = static_cast<std::uint32_t>(sequence);
    if (one.stream == stream_ && static_cast<std::int32_t>(low - one.last) < 0) {
        tally_.reordered.add(1);
    } else {
        one.stream = stream_;
        one.last = low;
    }
    // A packet stamped after this burst's clock was read has taken no time that can be told.
    tally_.latency_tsc.record(now > frame.payload.sent_tsc ? now - frame.payload.sent_tsc : 0);
}

// Whether this sequence number was seen before; remembers it.
bool receiver::mark_seen(std::uint64_t sequence) {
    if (sequence >= window_end_) {
        const std::uint64_t ahead = sequence - window_end_;
        if (ahead >= window_bits) {
            std::fill(window_.begin(), window_.end(), 0);
        } else {
            for (std::uint64_t s = window_end_; s <= sequence; ++s) {
                window_[s % window_bits / 64] &= ~(std::uint64_t{1} << (s % 64));
            }
        }
        window_end_ = sequence + 1;
    }
    std::uint64_t& word = window_[sequence % window_bits / 64];
    const std::uint64_t bit = std::uint64_t{1} << (sequence % 64);
    const bool seen = (word & bit) != 0;
    word |= bit;
    return seen;
}

bool receiver::sound(const probe_frame& frame, unsigned bytes) const {
    return wire::checksum_valid(wire::sum_ipv4_header20(&frame.ip)) &&
           frame.ip.total_length.host() + wire::ethernet_header_bytes == bytes &&
           (!how_.routed || frame.ip.time_to_live == probe_ttl - 1);
}

bool receiver::routed_right(const probe_frame& frame, const flow& one) const {
    if (how_.gateways.empty() || one.gateway == flow_any) {
        return true;
    }
    return frame.ethernet.destination == how_.gateways[one.gateway] ||
           frame.ethernet.destination == how_.gateways[one.other];
}

} // namespace pantala::app
