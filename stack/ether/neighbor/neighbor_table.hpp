// The neighbours as one worker sees them: for each its adjacency, or the packets that wait for it.
// Changed by updates from worker 0 only; asks worker 0 by report. Owner: its worker.
#pragma once

#include "engine/base/cache_line.hpp"
#include "engine/drop.hpp"
#include "engine/worker_services.hpp"
#include "stack/ether/link_table.hpp"
#include "stack/ether/neighbor/neighbor_map.hpp"
#include "stack/ether/neighbor/neighbor_messages.hpp"
#include "stack/route/adjacency.hpp"

#include <cstdint>
#include <memory>
#include <optional>

namespace pantala {

inline constexpr unsigned neighbors_max = 8192;         // known at the same time
inline constexpr unsigned neighbors_waiting_max = 1024; // asked for at the same time, by a worker
inline constexpr unsigned neighbor_gateways_waiting_max = 256; // of these, besides
inline constexpr unsigned neighbor_queue_max = 16;    // packets that wait for one; the oldest goes
inline constexpr unsigned neighbor_slots_max = 2048;  // packets that wait on a worker altogether
inline constexpr unsigned neighbor_reports_max = 256; // under way from a worker
inline constexpr unsigned neighbor_reports_kept = 32; // of them for what waits for gateways

// The first line is what forwarding reads.
struct alignas(sharing_range_bytes) neighbor {
    adjacency out; // kind forward where the neighbour is valid or stale, else resolve
    neighbor_key key;
    std::uint32_t hash_next = 0;
    std::uint32_t queue_first = 0;
    std::uint32_t queue_last = 0;
    std::uint32_t untold_next = 0;
    std::uint16_t queue_count = 0;
    neighbor_view view = neighbor_view::unknown;
    bool gateway = false; // some next hop's: refreshed whether packets pass or not
    bool told = false;    // stale, and worker 0 was told that it is in use
    bool untold = false;  // a gateway that worker 0 is to be told of when a message is back
};
static_assert(sizeof(neighbor) == 128);

class neighbor_table {
  public:
    neighbor_table(
        worker_services& worker, const link_table& links, const neighbor_handlers& handlers,
        unsigned capacity = neighbors_max + neighbors_waiting_max + neighbor_gateways_waiting_max);
    ~neighbor_table();
    neighbor_table(const neighbor_table&) = delete;
    neighbor_table& operator=(const neighbor_table&) = delete;

    // Where to send for `key`: an adjacency of kind forward; nullptr if it is not known now (then
    // wait() takes the packet). Tells worker 0 of the use of a stale one. Cost: one bucket, one
    // entry.
    const adjacency* resolved(const neighbor_key& key) {
        neighbor* entry = map_.find(key);
        if (entry == nullptr || entry->out.kind != adjacency_kind::forward) {
            return nullptr;
        }
        if (entry->view == neighbor_view::stale && !entry->told) [[unlikely]] {
            tell_used(*entry);
        }
        return &entry->out;
    }

    // Takes a packet whose data begins at the network header: queues it and asks, or gives it to
    // `undeliverable` (the neighbour does not answer), or drops it. A `gateway` of a route is asked
    // for although a scan of a link has all else waiting.
    void wait(const neighbor_key& key, rte_mbuf* packet, bool gateway);

    // The neighbour if it is in the table at all.
    neighbor* find(const neighbor_key& key) { return map_.find(key); }

    // It is the gateway of some next hop: worker 0 keeps it fresh from now on.
    void keep_fresh(neighbor& entry);

    // Makes the state of `update` true here: waiting packets leave, or become undeliverable.
    // Returns whether a next hop that it is the gateway of may have to follow.
    bool apply(const neighbor_update& update);

    // The answer to a report of this worker came back.
    void replied(neighbor_report& report);

    // Tells worker 0 of something that was heard; false: no message free. The last of them are for
    // what is heard of gateways, and of addresses of ours that others have.
    bool report(neighbor_event event, const neighbor_key& key, const wire::mac_address& mac);
    bool report_query(const neighbor_key& group, std::uint32_t response_ms, bool version1);
    bool report_advertised(
        const neighbor_key& key, const std::optional<wire::mac_address>& mac,
        neighbor_advertisement what);

    // Builds anew what is sent to neighbours on `id` after its record changed.
    void iface_changed(iface_id id);

    // Packets that nobody took in time, data at the network header, for the layer above to answer
    // and drop (drop_reason::neighbor_failed). It empties the burst at the end of a round at least.
    mbuf_burst undeliverable;

    unsigned size() const { return map_.size(); }
    unsigned waiting() const { return waiting_entries_; }
    unsigned queued() const { return slots_used_; }

  private:
    struct slot {
        rte_mbuf* packet = nullptr;
        std::uint32_t next = 0;
    };
    static constexpr std::uint32_t none = 0xffffffff;

    neighbor* begin_waiting(const neighbor_key& key, bool gateway);
    void enqueue(neighbor& entry, rte_mbuf* packet);
    rte_mbuf* dequeue(neighbor& entry);
    void release(neighbor& entry);
    void deliver(const neighbor& entry, rte_mbuf* packet);
    void give_up(neighbor& entry, drop_reason reason);
    void forget(neighbor& entry);
    void set_view(neighbor& entry, neighbor_view view);
    neighbor_report* message(neighbor_event event, const neighbor_key& key);
    void tell_used(neighbor& entry);
    void tell_later(neighbor& entry);
    void tell_untold();
    void drop_untold(const neighbor& gone);
    void send_report(neighbor_report& report);

    worker_services& worker_;
    const link_table& links_;
    neighbor_handlers handlers_;
    neighbor_map<neighbor> map_;
    message_pool<neighbor_report> reports_;
    std::unique_ptr<slot[]> slots_;
    std::uint32_t free_slot_ = none;
    unsigned slots_used_ = 0;
    unsigned waiting_entries_ = 0;
    std::uint32_t untold_first_ = none;
    std::uint32_t untold_last_ = none;
};

} // namespace pantala
