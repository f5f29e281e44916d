// Transmitting: append the burst to the logs of its flows' lanes, publish each once, wake sleepers.
//
// Nothing in here writes to an mbuf's data: a copy by wide loads right behind a narrow store would
// wait for that store, and with it for every store to the log before it (a factor of three).
#include "pmd/bus_rxtx.hpp"

#include "pmd/flow_hash.hpp"
#include "pmd/os/bus_bell.hpp"

#include <algorithm>
#include <cstring>

#include <rte_branch_prediction.h>
#include <rte_cycles.h>
#include <rte_prefetch.h>

namespace pantala::bus {

namespace {

constexpr std::uint32_t prefetch_ahead = 4;     // frames; the header lines are what stalls
constexpr std::uint64_t patience_ms = 100;      // a live reader that stands still is given up
constexpr std::uint64_t death_check_per_ms = 1; // how often a waiting writer asks "is it dead?"
constexpr std::uint32_t free_batch_max = 64;
constexpr int clock_attempts = 4;

std::uint64_t tsc_per_ms() {
    return rte_get_tsc_hz() / 1000;
}

// Where `reader` says it is in our log.
std::uint64_t cursor_of(const tx_queue& queue, const peer_reader& reader, std::uint32_t lane) {
    const bus_node& self = *queue.port->node;
    const std::uint32_t log = queue.index * self.map().shape.lanes + lane;
    return self.map()
        .cursor(reader.slot, self.slot(), log)
        .value.load(std::memory_order_acquire); // with tell_cursor
}

// Position up to which a reader with this cursor has read our log, or 0 if it has not found it yet.
std::uint64_t credit_of(const tx_queue& queue, std::uint64_t cursor, std::uint32_t lane) {
    const bus_node& self = *queue.port->node;
    const std::uint32_t incarnation = self.entry().incarnation.load(std::memory_order_relaxed);
    if (cursor >> 48 != (incarnation & 0xffff)) {
        return 0;
    }
    const std::uint64_t position = queue.lanes[lane].position();
    const std::uint64_t behind = (position - cursor) & cursor_mask;
    return behind <= position ? position - behind : 0;
}

// True if this reader need not be waited for: it does not get on with our log, or its process is
// gone. Its heartbeat is no excuse: a reader that polls and does not read would stop us for good.
bool give_up(tx_queue& queue, peer_reader& reader, std::uint64_t cursor, std::uint32_t lane) {
    peer_reader::patience& patience = reader.lanes[lane];
    const std::uint64_t now = rte_rdtsc();
    if (!patience.waiting || cursor != patience.cursor) {
        patience = {cursor, now, true, false};
        return false;
    }
    if (patience.given_up) {
        return true;
    }
    const std::uint64_t waited = now - patience.since_tsc;
    const bool dead =
        waited > tsc_per_ms() / death_check_per_ms && !queue.port->node->file().alive(reader.slot);
    if (dead || waited > patience_ms * tsc_per_ms()) {
        patience.given_up = true;
        queue.counters.expelled.add(1);
    }
    return patience.given_up;
}

// Lossless: true once every reader that counts has read what the next chunk would spoil.
[[gnu::noinline]] bool has_credit(tx_queue& queue, std::uint32_t lane) {
    const log_writer& log = queue.lanes[lane];
    if (!log.spoils_anything()) {
        return true;
    }
    bool credit = true;
    for (peer_reader& reader : queue.readers) {
        const std::uint64_t cursor = cursor_of(queue, reader, lane);
        if (credit_of(queue, cursor, lane) >= log.spoils_below()) {
            reader.lanes[lane].waiting = false;
        } else if (!give_up(queue, reader, cursor, lane)) {
            credit = false;
        }
    }
    return credit;
}

// Takes note of a node that reads us, unless it is known already; what we waited for it so far
// goes on counting, however often others come and go.
void follow_reader(tx_queue& queue, std::uint32_t slot) {
    node_entry& entry = queue.port->node->map().node(slot);
    const std::uint32_t incarnation = entry.incarnation.load(std::memory_order_relaxed);
    const auto known =
        std::find_if(queue.readers.begin(), queue.readers.end(), [slot](const peer_reader& reader) {
            return reader.slot == slot;
        });
    if (known != queue.readers.end() && known->incarnation == incarnation) {
        return;
    }
    peer_reader& reader = known != queue.readers.end() ? *known : queue.readers.emplace_back();
    reader = {};
    reader.entry = &entry;
    reader.slot = slot;
    reader.incarnation = incarnation;
}

// Who reads, and how many lanes and hashes do they ask for? Once a membership change.
[[gnu::cold, gnu::noinline]] void refresh_tx(tx_queue& queue) {
    const bus_node& self = *queue.port->node;
    const bus_map& map = self.map();
    queue.epoch = map.header().epoch.load(std::memory_order_acquire);
    queue.lost = self.file().lost();
    queue.fence = queue.port->fence;
    queue.hashing = false;
    std::uint32_t lanes = 1;
    for (std::uint32_t slot = 0; slot < map.shape.nodes; ++slot) {
        const node_entry& entry = map.node(slot);
        const std::uint32_t rx_queues = entry.rx_queues.load(std::memory_order_relaxed);
        if (slot == self.slot() || rx_queues == 0 || rx_queues > map.shape.lanes ||
            entry.state.load(std::memory_order_acquire) !=
                static_cast<std::uint32_t>(node_state::started) ||
            !self.file().alive(slot)) {
            std::erase_if(
                queue.readers, [slot](const peer_reader& reader) { return reader.slot == slot; });
            continue;
        }
        const std::uint32_t wants = entry.wants.load(std::memory_order_relaxed);
        queue.fence |= (wants & wants_fence) != 0;
        queue.hashing |= (wants & wants_hash) != 0;
        // A number of queues that is no power of two is served best by all lanes.
        lanes = std::max(lanes, std::has_single_bit(rx_queues) ? rx_queues : map.shape.lanes);
        follow_reader(queue, slot);
    }
    queue.lane_mask = lanes - 1;
}

// Opens the next chunk of a lane; false if a lossless writer has to wait.
[[gnu::noinline]] bool enter_chunk(tx_queue& queue, std::uint32_t lane) {
    if (queue.port->lossless && !has_credit(queue, lane)) {
        return false;
    }
    queue.lanes[lane].enter_chunk();
    return true;
}

// Sleepers among the readers of the lanes just written.
inline void wake(tx_queue& queue, std::uint64_t lanes) {
    if (unlikely(queue.fence)) {
        std::atomic_thread_fence(std::memory_order_seq_cst);
    } else {
        std::atomic_signal_fence(std::memory_order_seq_cst); // the sleeper's barrier does the rest
    }
    for (peer_reader& reader : queue.readers) {
        const std::uint64_t sleeping = reader.entry->armed.load(std::memory_order_relaxed) & lanes;
        if (likely(sleeping == 0)) {
            continue;
        }
        const std::uint32_t arm_count = reader.entry->arm_count.load(std::memory_order_relaxed);
        if (arm_count != reader.arm_count) {
            reader.arm_count = arm_count;
            reader.rung_lanes = 0;
        }
        if ((sleeping & ~reader.rung_lanes) != 0) {
            reader.rung_lanes |= sleeping;
            ring(*reader.entry, sleeping);
            queue.counters.rings.add(1);
        }
    }
}

[[gnu::noinline]] void copy_chain(std::uint8_t* to, const rte_mbuf* segment, std::uint32_t bytes) {
    while (segment != nullptr && bytes != 0) {
        const std::uint32_t part = std::min<std::uint32_t>(segment->data_len, bytes);
        copy_frame(to, rte_pktmbuf_mtod(segment, const std::uint8_t*), part);
        to += part;
        bytes -= part;
        segment = segment->next;
    }
}

// Gives mbufs back to their pools, one call a run of equal pools.
void free_burst(rte_mbuf** packets, std::uint32_t count) {
    void* batch[free_batch_max];
    std::uint32_t batched = 0;
    rte_mempool* pool = nullptr;
    for (std::uint32_t i = 0; i < count; ++i) {
        if (unlikely(packets[i]->nb_segs != 1)) {
            rte_pktmbuf_free(packets[i]);
            continue;
        }
        rte_mbuf* const packet = rte_pktmbuf_prefree_seg(packets[i]);
        if (unlikely(packet == nullptr)) {
            continue;
        }
        if (packet->pool != pool || batched == free_batch_max) {
            if (batched != 0) {
                rte_mempool_put_bulk(pool, batch, batched);
            }
            pool = packet->pool;
            batched = 0;
        }
        batch[batched++] = packet;
    }
    if (batched != 0) {
        rte_mempool_put_bulk(pool, batch, batched);
    }
}

// Appends one frame to its lane; false if the lane has to wait.
inline bool
send_frame(tx_queue& queue, const rte_mbuf* packet, record_header& header, std::uint64_t& lanes) {
    header.length = packet->pkt_len;
    const auto* const frame = rte_pktmbuf_mtod(packet, const std::uint8_t*);
    if (queue.hashing) {
        header.hash = flow_hash(frame, packet->data_len);
    }
    const std::uint32_t lane = header.hash & queue.lane_mask;
    log_writer& log = queue.lanes[lane];
    if (unlikely(!log.fits(record_bytes(header.length))) && !enter_chunk(queue, lane)) {
        return false;
    }
    std::uint8_t* const to = log.append(header);
    if (likely(packet->nb_segs == 1)) {
        copy_frame(to, frame, header.length);
    } else {
        copy_chain(to, packet, header.length);
    }
    lanes |= std::uint64_t{1} << lane;
    return true;
}

void publish(tx_queue& queue, std::uint64_t lanes) {
    for (std::uint64_t left = lanes; left != 0; left &= left - 1) {
        queue.lanes[static_cast<std::uint32_t>(std::countr_zero(left))].publish();
    }
    wake(queue, lanes);
}

} // namespace

std::uint64_t burst_clock::now() {
    std::uint64_t tsc = rte_rdtsc();
    if (unlikely(tsc - base_tsc_ > tsc_hz_)) {
        adjust();
        tsc = rte_rdtsc();
    }
    // Less than 2^32 cycles since the base at any TSC rate there is: no overflow.
    return base_ns_ + ((tsc - base_tsc_) * ns_per_cycle_32_ >> 32);
}

[[gnu::cold, gnu::noinline]] void burst_clock::adjust() {
    tsc_hz_ = rte_get_tsc_hz();
    ns_per_cycle_32_ = (std::uint64_t{1'000'000'000} << 32) / tsc_hz_;
    // The thread may be put aside between the two readings: the narrowest of a few pairs counts.
    std::uint64_t narrowest = ~std::uint64_t{0};
    std::uint64_t tsc = rte_rdtsc();
    for (int attempt = 0; attempt < clock_attempts; ++attempt) {
        const std::uint64_t wall_ns = wall_clock_ns();
        const std::uint64_t after = rte_rdtsc();
        if (after - tsc < narrowest) {
            narrowest = after - tsc;
            base_ns_ = wall_ns;
            base_tsc_ = tsc + narrowest / 2;
        }
        tsc = after;
    }
}

void start_tx(tx_queue& queue, std::uint32_t incarnation) {
    const bus_node& self = *queue.port->node;
    const geometry& shape = self.map().shape;
    const std::uint64_t log_bytes = shape.log_bytes(queue.port->tx_queues);
    queue.lanes.resize(shape.lanes);
    queue.readers.clear();
    queue.readers.reserve(shape.nodes);
    for (std::uint32_t lane = 0; lane < shape.lanes; ++lane) {
        const std::uint32_t log = queue.index * shape.lanes + lane;
        queue.lanes[lane].start(
            self.map().control(self.slot(), log), self.map().data(self.slot()) + log_bytes * log,
            log_bytes, incarnation);
    }
    refresh_tx(queue);
}

std::uint16_t tx_burst_native(void* opaque, rte_mbuf** packets, std::uint16_t count) {
    tx_queue& queue = *static_cast<tx_queue*>(opaque);
    if (unlikely(
            queue.port->node->map().header().epoch.load(std::memory_order_acquire) !=
            queue.epoch)) {
        refresh_tx(queue);
    }
    if (unlikely(queue.lost)) {
        queue.counters.lost.add(count);
        free_burst(packets, count);
        return count;
    }
    record_header header{};
    header.time_ns = queue.clock.now();
    header.flags = queue.hashing ? record_flag::has_hash : std::uint16_t{0};
    std::uint64_t lanes = 0;
    std::uint64_t bytes = 0;
    std::uint32_t done = 0;
    std::uint32_t too_long = 0;
    const std::uint32_t longest = queue.port->frame_bytes_max.load(std::memory_order_relaxed);
    for (; done < count; ++done) {
        if (done + prefetch_ahead < count) {
            rte_prefetch0(rte_pktmbuf_mtod(packets[done + prefetch_ahead], void*));
        }
        if (unlikely(packets[done]->pkt_len > longest)) {
            ++too_long;
            continue;
        }
        if (unlikely(!send_frame(queue, packets[done], header, lanes))) {
            queue.counters.waited.add(1);
            break;
        }
        bytes += packets[done]->pkt_len;
    }
    if (lanes != 0) {
        publish(queue, lanes);
    }
    queue.counters.too_long.add(too_long);
    queue.counters.packets.add(done - too_long);
    queue.counters.bytes.add(bytes);
    free_burst(packets, done);
    return static_cast<std::uint16_t>(done);
}

} // namespace pantala::bus
