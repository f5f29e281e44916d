#include "engine/handoff/netisr.hpp"

#include "engine/base/check.hpp"
#include "engine/handoff/flow_hash.hpp"

#include <algorithm>

#include <rte_prefetch.h>

namespace pantala {

namespace {

// A word of a lane: the mbuf's address, which ends in six zeros, with the protocol above bit 0.
constexpr unsigned protocol_shift = 1;
constexpr mailbox_word protocol_mask = mailbox_word{protocols_max - 1} << protocol_shift;
static_assert((protocol_mask | 1) < cache_line_bytes);
static_assert(alignof(rte_mbuf) >= cache_line_bytes);

constexpr unsigned prefetch_ahead = 4; // packets; frames fresh from a device are rarely in L1

mailbox_word to_word(rte_mbuf* packet, protocol_id protocol) {
    return reinterpret_cast<mailbox_word>(packet) | mailbox_word{protocol.value} << protocol_shift;
}
rte_mbuf* packet_of(mailbox_word word) {
    return reinterpret_cast<rte_mbuf*>(word & ~protocol_mask);
}
protocol_id protocol_of(mailbox_word word) {
    return protocol_id{static_cast<std::uint8_t>((word & protocol_mask) >> protocol_shift)};
}

std::uint32_t hash_of(const toeplitz& sum, rte_mbuf* packet) {
    if ((packet->ol_flags & RTE_MBUF_F_RX_RSS_HASH) == 0) {
        packet->hash.rss =
            flow_hash(sum, {rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len});
        packet->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
    }
    return packet->hash.rss;
}

} // namespace

handoff_lanes::handoff_lanes(unsigned workers, unsigned capacity) : workers_(workers) {
    for (unsigned i = 0; i < workers * workers; ++i) {
        lanes_.push_back(std::make_unique<mailbox_lane>(capacity));
    }
}

netisr::netisr(
    handoff_lanes& lanes, const toeplitz& sum, netmsg_endpoint& messages, drop_sink& drops)
    : lanes_(lanes), sum_(sum), messages_(messages), drops_(drops), self_(messages.number()),
      workers_(messages.workers()) {
    PANTALA_ASSERT(lanes.workers() == workers_);
    for (unsigned i = 0; i < workers_; ++i) {
        sorted_[i] = std::make_unique<mbuf_burst>();
    }
}

netisr::~netisr() {
    mailbox_word word = 0;
    for (unsigned from = 0; from < workers_; ++from) {
        while (lanes_.lane(from, self_).pop({&word, 1}) != 0) {
            rte_pktmbuf_free(packet_of(word));
        }
    }
}

void netisr::add(protocol_id protocol, const char* name, netisr_handler handler, void* context) {
    PANTALA_ASSERT(protocol.value < protocols_max && handler != nullptr);
    handler_entry& entry = handlers_[protocol.value];
    entry.run = handler;
    entry.context = context;
    entry.name = name;
}

void netisr::drop_all(mbuf_burst& burst, drop_reason reason) {
    for (rte_mbuf* packet : burst) {
        drops_.drop(packet, reason);
    }
    burst.clear();
}

void netisr::dispatch(protocol_id protocol, port_id port, mbuf_burst& burst, instant now) {
    handler_entry& entry = handlers_[protocol.value];
    entry.counts.came.add(burst.count);
    if (entry.run == nullptr) [[unlikely]] {
        entry.counts.unhandled.add(burst.count);
        drop_all(burst, drop_reason::netisr_unhandled);
    } else if (policy_ == dispatch_policy::direct && own_queued_ == 0) {
        entry.counts.direct.add(burst.count);
        entry.run(entry.context, port, burst, now);
    } else {
        for (rte_mbuf* packet : burst) {
            packet->port = port.value;
        }
        put(protocol, worker_id{self_}, burst);
    }
}

void netisr::steer(protocol_id protocol, port_id port, mbuf_burst& burst, instant now) {
    if (workers_ == 1) {
        return dispatch(protocol, port, burst, now);
    }
    mbuf_burst ours;
    for (unsigned i = 0; i < burst.count; ++i) {
        if (i + prefetch_ahead < burst.count) {
            rte_prefetch0(rte_pktmbuf_mtod(burst.packets[i + prefetch_ahead], void*));
        }
        rte_mbuf* packet = burst.packets[i];
        const worker_id owner = owner_of(hash_of(sum_, packet), workers_);
        (owner.value == self_ ? ours : *sorted_[owner.value]).push(packet);
        packet->port = port.value;
    }
    burst.clear();
    for (std::uint16_t to = 0; to < workers_; ++to) {
        if (!sorted_[to]->empty()) {
            queue(protocol, worker_id{to}, *sorted_[to]);
        }
    }
    if (!ours.empty()) {
        dispatch(protocol, port, ours, now);
    }
}

void netisr::queue(protocol_id protocol, worker_id to, mbuf_burst& burst) {
    handlers_[protocol.value].counts.came.add(burst.count);
    put(protocol, to, burst);
}

unsigned
netisr::try_queue(protocol_id protocol, worker_id to, rte_mbuf* const* packets, unsigned count) {
    std::array<mailbox_word, burst_max> words;
    PANTALA_DCHECK(count <= burst_max);
    for (unsigned i = 0; i < count; ++i) {
        words[i] = to_word(packets[i], protocol);
    }
    const unsigned taken = lanes_.lane(self_, to.value).push({words.data(), count});
    if (taken != 0) {
        messages_.touch(to.value);
    }
    if (to.value == self_) {
        own_queued_ += taken;
    }
    return taken;
}

// Into the lane; what does not fit dies. mbuf.port is set.
void netisr::put(protocol_id protocol, worker_id to, mbuf_burst& burst) {
    netisr_counters& counts = handlers_[protocol.value].counts;
    const unsigned taken = try_queue(protocol, to, burst.packets, burst.count);
    (to.value == self_ ? counts.deferred : counts.queued).add(taken);
    counts.dropped.add(burst.count - taken);
    for (unsigned i = taken; i < burst.count; ++i) {
        drops_.drop(burst.packets[i], drop_reason::handoff_full);
    }
    burst.clear();
}

void netisr::handle(protocol_id protocol, port_id port, mbuf_burst& burst, instant now) {
    handler_entry& entry = handlers_[protocol.value];
    if (entry.run == nullptr) [[unlikely]] {
        entry.counts.unhandled.add(burst.count);
        drop_all(burst, drop_reason::netisr_unhandled);
        return;
    }
    entry.counts.handled.add(burst.count);
    entry.counts.runs.add(1);
    entry.run(entry.context, port, burst, now);
}

// Gathers neighbours of one protocol and port into bursts again.
unsigned netisr::run_lane(unsigned from, instant now) {
    mailbox_lane& lane = lanes_.lane(from, self_);
    unsigned done = 0;
    std::array<mailbox_word, burst_max> words;
    unsigned count = 0;
    do {
        count = lane.pop(words);
        if (from == self_) {
            own_queued_ -= count;
        }
        for (unsigned i = 0; i < count; ++i) {
            rte_prefetch0(packet_of(words[i]));
        }
        mbuf_burst burst;
        for (unsigned i = 0; i < count; ++i) {
            rte_mbuf* packet = packet_of(words[i]);
            burst.push(packet);
            const bool ends = i + 1 == count ||
                              protocol_of(words[i + 1]) != protocol_of(words[i]) ||
                              packet_of(words[i + 1])->port != packet->port;
            if (ends) {
                handle(protocol_of(words[i]), port_id{packet->port}, burst, now);
                burst.clear();
            }
        }
        done += count;
    } while (count == words.size() && done < netisr_round_max);
    return done;
}

unsigned netisr::run(instant now) {
    unsigned done = 0;
    for (unsigned from = 0; from < workers_; ++from) {
        const bool empty = from == self_ ? own_queued_ == 0 : lanes_.lane(from, self_).empty();
        if (!empty) [[unlikely]] {
            done += run_lane(from, now);
        }
    }
    return done;
}

bool netisr::has_packets() const {
    for (unsigned from = 0; from < workers_; ++from) {
        if (!lanes_.lane(from, self_).empty()) {
            return true;
        }
    }
    return false;
}

} // namespace pantala
