// Receiving: walk the logs of our lanes, copy frames into mbufs, check afterwards that the writer
// did not run over what was copied.
#include "pmd/bus_rxtx.hpp"

#include <algorithm>
#include <cstring>

#include <rte_branch_prediction.h>

namespace pantala::bus {

namespace {

std::uint64_t destination_of(const std::uint8_t* frame) {
    std::uint64_t word;
    std::memcpy(&word, frame, sizeof word);
    return word & 0xffff'ffff'ffff;
}

peer_log open_log(rx_queue& queue, std::uint32_t slot, std::uint32_t log, std::uint64_t log_bytes) {
    const bus_map& map = queue.port->node->map();
    peer_log peer;
    peer.reader = log_reader(
        map.control(slot, log), map.data(slot) + log_bytes * log, log_bytes, queue.known[slot]);
    peer.cursor = &map.cursor(queue.port->node->slot(), slot, log).value;
    peer.slot = slot;
    return peer;
}

void tell_cursor(peer_log& log) {
    log.cursor->store(
        cursor_word(log.reader.cursor(), log.reader.incarnation()),
        std::memory_order_release); // with credit_of: the slots below are free
}

// Reads a started peer's logs from their beginning (or, if `skip`, from now on).
void follow_peer(rx_queue& queue, std::uint32_t slot, std::uint32_t tx_queues, bool skip) {
    const geometry& shape = queue.port->node->map().shape;
    std::erase_if(queue.logs, [slot](const peer_log& log) { return log.slot == slot; });
    if (!queue.port->node->file().admit(slot)) {
        queue.known[slot] = 0;
        return;
    }
    const std::uint64_t log_bytes = shape.log_bytes(tx_queues);
    for (std::uint32_t log = 0; log < tx_queues * shape.lanes; ++log) {
        if (log % shape.lanes % queue.port->rx_queues != queue.index) {
            continue;
        }
        peer_log peer = open_log(queue, slot, log, log_bytes);
        if (skip) {
            peer.reader.skip_to_head();
        } else {
            peer.reader.from_beginning();
        }
        tell_cursor(peer);
        queue.logs.push_back(peer);
    }
}

// Looks at all node entries again: who is new? Once a membership change. Control in nature.
//
// A node that came, sent and went since we last looked is followed as well: its frames are there.
[[gnu::cold, gnu::noinline]] void refresh_rx(rx_queue& queue, bool starting) {
    const bus_node& self = *queue.port->node;
    const bus_map& map = self.map();
    queue.epoch = map.header().epoch.load(std::memory_order_acquire);
    if (self.file().lost()) {
        queue.logs.clear();
    }
    for (std::uint32_t slot = 0; slot < map.shape.nodes; ++slot) {
        const node_entry& entry = map.node(slot);
        const bool started = entry.state.load(std::memory_order_acquire) ==
                             static_cast<std::uint32_t>(node_state::started);
        const std::uint32_t incarnation = entry.incarnation.load(std::memory_order_acquire);
        const std::uint32_t tx_queues =
            entry.tx_queues.load(std::memory_order_acquire); // with begin_start
        if (slot == self.slot() || incarnation == queue.known[slot]) {
            continue;
        }
        queue.known[slot] = incarnation;
        if ((started || !starting) && tx_queues != 0 && tx_queues <= map.shape.tx_queues_max()) {
            follow_peer(queue, slot, tx_queues, starting);
        }
    }
    queue.turn = 0;
}

// Gets at least one mbuf into the stash, unless the pool is empty.
[[gnu::noinline]] bool refill(rx_queue& queue) {
    const std::uint32_t wanted = stash_max - queue.stashed;
    auto** const to = reinterpret_cast<void**>(&queue.stash[queue.stashed]);
    if (rte_mempool_get_bulk(queue.pool, to, wanted) == 0) {
        queue.stashed += wanted;
    } else if (queue.stashed == 0 && rte_mempool_get_bulk(queue.pool, to, 1) == 0) {
        queue.stashed = 1;
    }
    return queue.stashed != 0;
}

// The mbuf's fixed fields in one store, as every PMD does it; a mempool's mbufs have next == null.
inline void prepare(rte_mbuf* packet, const rx_queue& queue, const record_header& header) {
    std::memcpy(dpdk::rearm_at(packet), &queue.rearm, sizeof queue.rearm);
    const bool hashed = (header.flags & record_flag::has_hash) != 0;
    packet->ol_flags = hashed ? RTE_MBUF_F_RX_RSS_HASH : 0;
    packet->packet_type = 0;
    packet->pkt_len = header.length;
    packet->data_len = static_cast<std::uint16_t>(header.length);
    packet->vlan_tci = 0;
    packet->hash.rss = header.hash;
}

// Spreads a frame over a chain; false if there are not enough mbufs, it may not be spread, or it is
// longer than the port's MTU has it: who sends is not trusted to keep to ours.
[[gnu::cold, gnu::noinline]] bool fill_chain(
    rx_queue& queue, rte_mbuf* first, const record_header& header, const std::uint8_t* from) {
    const std::uint32_t longest = queue.port->frame_bytes_max.load(std::memory_order_relaxed);
    if (!queue.port->scatter || header.length > longest) {
        queue.counters.too_long.add(1);
        return false;
    }
    rte_mbuf* last = first;
    first->data_len = 0;
    for (std::uint32_t done = 0; done < header.length;) {
        if (done != 0) {
            rte_mbuf* const more = rte_pktmbuf_alloc(queue.pool);
            if (more == nullptr) {
                queue.counters.no_mbuf.add(1);
                rte_pktmbuf_free(first->next);
                first->next = nullptr;
                first->nb_segs = 1;
                return false;
            }
            last->next = more;
            last = more;
            ++first->nb_segs;
        }
        const std::uint32_t bytes = std::min(header.length - done, queue.room);
        copy_frame(rte_pktmbuf_mtod(last, std::uint8_t*), from + done, bytes);
        last->data_len = static_cast<std::uint16_t>(bytes);
        done += bytes;
    }
    return true;
}

// Records looked at in one burst from one log, delivered or not.
constexpr std::uint32_t records_max = 256;

// What one pass over a log saw beside what it delivers. Counted once it is known to be whole.
struct seen {
    std::uint32_t missed = 0;
    std::uint32_t garbled = 0;
    std::uint32_t filtered = 0;
    std::uint32_t multicast = 0;
};

// Takes one frame into `packet`; false if it is not delivered and the mbuf stays unused.
inline bool take_frame(
    rx_queue& queue, rte_mbuf* packet, const record_header& header, const std::uint8_t* frame,
    seen& so_far) {
    const bool strange = (header.flags & ~record_flag::known) != 0;
    if (unlikely(header.length < frame_bytes_min || strange)) {
        ++so_far.garbled;
        return false;
    }
    const std::uint64_t destination = destination_of(frame);
    if (!queue.port->filter.takes(destination)) {
        ++so_far.filtered;
        return false;
    }
    prepare(packet, queue, header);
    so_far.multicast += destination & 1;
    if (likely(header.length <= queue.room)) {
        copy_frame(rte_pktmbuf_mtod(packet, std::uint8_t*), frame, header.length);
        return true;
    }
    return fill_chain(queue, packet, header, frame);
}

[[gnu::cold, gnu::noinline]] void recover(rx_queue& queue, peer_log& log, bool garbage) {
    if (garbage && log.reader.same_incarnation()) {
        queue.counters.garbled.add(1);
    }
    log.reader.resume();
    tell_cursor(log);
}

// The writer ran over what was just copied: none of it counts, its sequence numbers included. What
// is missing shows with the next whole frame.
[[gnu::cold, gnu::noinline]] void
discard(peer_log& log, const log_reader::place& before, rte_mbuf** packets, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
        rte_pktmbuf_free(packets[i]);
    }
    log.reader.return_to(before);
    log.reader.resume();
    tell_cursor(log);
}

std::uint64_t bytes_in(rte_mbuf** packets, std::uint32_t count) {
    std::uint64_t bytes = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
        bytes += packets[i]->pkt_len;
    }
    return bytes;
}

void tally(rx_counters& counters, const seen& all) {
    counters.missed.add(all.missed);
    counters.garbled.add(all.garbled);
    counters.filtered.add(all.filtered);
    counters.multicast.add(all.multicast);
}

// Up to `room` frames from one log; as many as were delivered. What is behind records_max waits for
// the next burst, so that frames for others and a log full of nothing cost a bounded time.
std::uint32_t read_log(rx_queue& queue, peer_log& log, rte_mbuf** packets, std::uint32_t room) {
    const log_reader::place before = log.reader.here();
    if (unlikely(log.reader.lost())) {
        recover(queue, log, false);
        return 0;
    }
    record_header header;
    const std::uint8_t* frame = nullptr;
    std::uint32_t count = 0;
    seen all;
    next_record what = next_record::none;
    for (std::uint32_t looked = 0; count < room && looked < records_max; ++looked) {
        if (unlikely(queue.stashed == 0 && !refill(queue))) {
            queue.counters.no_mbuf.add(1);
            break;
        }
        what = log.reader.next(header, frame);
        if (what != next_record::frame) {
            break;
        }
        all.missed += log.reader.gap(header.sequence);
        rte_mbuf* const packet = queue.stash[queue.stashed - 1];
        if (likely(take_frame(queue, packet, header, frame, all))) {
            packets[count++] = packet;
            --queue.stashed;
        }
    }
    if (unlikely(!log.reader.intact(before.cursor))) {
        discard(log, before, packets, count);
        return 0;
    }
    if (unlikely((all.missed | all.garbled | all.filtered | all.multicast) != 0)) {
        tally(queue.counters, all);
    }
    if (unlikely(what == next_record::garbage)) {
        recover(queue, log, true);
    }
    tell_cursor(log);
    return count;
}

} // namespace

bool mac_filter::takes(std::uint64_t destination) const {
    constexpr std::uint64_t broadcast = 0xffff'ffff'ffff;
    if (promiscuous.load(std::memory_order_relaxed) || destination == broadcast) {
        return true;
    }
    const auto among = [destination](const auto& list, std::uint32_t count) {
        const auto end = list.begin() + std::min<std::size_t>(count, list.size());
        return std::any_of(list.begin(), end, [destination](const auto& one) {
            return one.load(std::memory_order_relaxed) == destination;
        });
    };
    if ((destination & 1) != 0) {
        return all_multicast.load(std::memory_order_relaxed) ||
               among(multicast, multicasts.load(std::memory_order_relaxed));
    }
    return among(address, addresses.load(std::memory_order_relaxed));
}

std::uint64_t lanes_of(std::uint32_t index, std::uint32_t queues, std::uint32_t lanes) {
    std::uint64_t mask = 0;
    for (std::uint32_t lane = index; lane < lanes; lane += queues) {
        mask |= std::uint64_t{1} << lane;
    }
    return mask;
}

void start_rx(rx_queue& queue) {
    const bus_node& self = *queue.port->node;
    queue.logs.clear();
    queue.logs.reserve(std::size_t{self.map().shape.nodes} * self.map().shape.logs);
    queue.known.fill(0);
    refresh_rx(queue, true);
}

void drain_rx(rx_queue& queue) {
    if (queue.stashed != 0) {
        rte_mempool_put_bulk(
            queue.pool, reinterpret_cast<void**>(queue.stash.data()), queue.stashed);
        queue.stashed = 0;
    }
}

bool rx_pending(rx_queue& queue) {
    const bus_map& map = queue.port->node->map();
    return queue.epoch != map.header().epoch.load(std::memory_order_acquire) ||
           std::any_of(queue.logs.begin(), queue.logs.end(), [](peer_log& log) {
               return log.reader.look();
           });
}

std::uint64_t rx_waiting_bytes(rx_queue& queue) {
    std::uint64_t bytes = 0;
    for (peer_log& log : queue.logs) {
        log.reader.look();
        bytes += std::min(log.reader.head() - log.reader.cursor(), log.reader.log_bytes());
    }
    return bytes;
}

std::uint16_t rx_burst_native(void* opaque, rte_mbuf** packets, std::uint16_t count) {
    rx_queue& queue = *static_cast<rx_queue*>(opaque);
    const bus_map& map = queue.port->node->map();
    if (unlikely(map.header().epoch.load(std::memory_order_acquire) != queue.epoch)) {
        refresh_rx(queue, false);
    }
    const auto logs = static_cast<std::uint32_t>(queue.logs.size());
    std::uint32_t received = 0;
    for (std::uint32_t i = 0, at = queue.turn; i < logs; ++i) {
        if (queue.logs[at].reader.look()) {
            received += read_log(queue, queue.logs[at], packets + received, count - received);
            if (received == count) {
                queue.turn = at + 1 < logs ? at + 1 : 0; // the next burst begins behind this log
                break;
            }
        }
        at = at + 1 < logs ? at + 1 : 0;
    }
    if (received != 0) {
        queue.counters.packets.add(received);
        queue.counters.bytes.add(bytes_in(packets, received));
    }
    return static_cast<std::uint16_t>(received);
}

} // namespace pantala::bus
