// The route replica: all that a worker knows of routes, next hops and interfaces; its own copy.
// Between bursts the worker applies the route log to it, at most a budget of entries a round. The
// generation counts applied entries; replicas at the same generation are byte-identical. While a
// change is under way workers disagree for microseconds, and a prefix that spans many nodes changes
// node by node; each lookup sees one state of each node.
//
// Owner: its worker, once control has handed it over (rib::join).
#pragma once

#include "stack/route/fib/fib4_image.hpp"
#include "stack/route/fib/fib6_image.hpp"
#include "stack/route/interface.hpp"
#include "stack/route/nexthop.hpp"
#include "stack/route/records.hpp"
#include "stack/route/route_log.hpp"

#include <array>
#include <concepts>
#include <cstdint>
#include <memory>
#include <span>

namespace pantala {

inline constexpr unsigned tables_max = 64;          // routing tables (VRFs); 0 is the main one
inline constexpr unsigned route_patches_round = 64; // entries a worker applies a round

// Leads nowhere, ever: what a table that is not there answers.
inline constexpr nexthop_id nexthop_none{nexthops_max - 1};

// What a worker is told while entries are applied, in their order: it rebuilds adjacencies.
template <class T>
concept route_observer = requires(T& observer, nexthop_id hop, iface_id interface) {
    observer.nexthop_changed(hop);
    observer.iface_changed(interface);
};

// All that a replica holds, as of one place in the log.
struct route_image {
    std::uint64_t position = 0;
    std::uint64_t sequence = 0;
    std::uint64_t generation = 0;
    std::array<std::unique_ptr<fib4_image>, tables_max> fib4;
    std::array<std::unique_ptr<fib6_image>, tables_max> fib6;
    std::unique_ptr<route_records> records;
};

class route_replica {
  public:
    // Made by rib::join.
    route_replica(route_log& log, unsigned reader);
    route_replica(const route_replica&) = delete;
    route_replica& operator=(const route_replica&) = delete;

    // --- lookups ---

    // The main table's reader; take it anew each round.
    fib4_reader<> fib4() const { return fib4_main_->reader<fib4_root_bits_main>(); }
    fib6_reader fib6() const { return fib6_main_->reader(); }
    // Any table, one address; nexthop_none where there is no such table.
    nexthop_id lookup4(unsigned table, std::uint32_t address) const {
        const fib4_image* image = fib4_[table].get();
        return image != nullptr ? image->lookup(address) : nexthop_none;
    }
    nexthop_id lookup6(unsigned table, const address6& address) const {
        const fib6_image* image = fib6_[table].get();
        return image != nullptr ? image->lookup(address) : nexthop_none;
    }
    // The same of many addresses; `answers` is as long. The table is looked for once.
    void
    lookup4(unsigned table, std::span<const std::uint32_t> addresses, nexthop_id* answers) const;
    void lookup6(unsigned table, std::span<const address6> addresses, nexthop_id* answers) const;
    const nexthop& hop(nexthop_id id) const { return records_->hops[id.value]; }
    const iface& interface(iface_id id) const { return records_->ifaces[id.value]; }
    // The member of a group (a next hop of kind group) that a flow uses.
    nexthop_id member(const nexthop& group, std::uint32_t flow_hash) const {
        return records_->buckets[group_bucket(group.group_first, group.group_count, flow_hash)];
    }
    nexthop_id bucket(unsigned at) const { return records_->buckets[at]; }

    // --- the log ---

    // Applies up to `budget` entries; returns how many. With nothing to do it costs one read.
    template <route_observer Observer>
    unsigned apply(unsigned budget, Observer&& observer);
    unsigned apply(unsigned budget = route_patches_round);
    // It was given up for stuck and has asked for an image: whoever makes them should look.
    bool wants_image() const { return log_.state(reader_) == reader_state::returned; }
    // Entries are waiting in the log.
    bool behind() const { return log_.head() != position_; }

    std::uint64_t generation() const { return generation_; }
    unsigned reader() const { return reader_; }
    // Bytes in use by the main table of a family.
    std::size_t bytes4() const { return fib4_main_->bytes(); }
    std::size_t bytes6() const { return fib6_main_->bytes(); }
    // Of all content; equal for replicas at the same generation.
    std::uint64_t hash() const;

    const fib4_image* image4(unsigned table) const { return fib4_[table].get(); }
    const fib6_image* image6(unsigned table) const { return fib6_[table].get(); }

  private:
    friend class rib; // join() fills a new one

    bool come_back(route_cursor& cursor, reader_state state);
    void take(route_image& with);
    template <route_observer Observer>
    void tell_differences(const route_records& before, Observer& observer) const;
    void prefetch(const std::uint64_t* entry, const route_entry_header& header) const;
    void apply_entry(const route_entry_header& header, const std::uint64_t* body);
    template <class Image>
    void swap_image(std::unique_ptr<Image>& mine, const std::uint64_t* body) const;

    route_log& log_;
    unsigned reader_;
    std::uint64_t position_ = 0;   // words read
    std::uint64_t sequence_ = 0;   // the log's entry count at position_
    std::uint64_t generation_ = 0; // entries up to this one are in the state below
    fib4_image* fib4_main_ = nullptr;
    fib6_image* fib6_main_ = nullptr;
    std::array<std::unique_ptr<fib4_image>, tables_max> fib4_;
    std::array<std::unique_ptr<fib6_image>, tables_max> fib6_;
    std::unique_ptr<route_records> records_;
};

// The hash of a replica, or of control's master; tables that are not there are nullptr.
std::uint64_t route_hash(
    const route_records& records, std::span<const fib4_image* const, tables_max> tables4,
    std::span<const fib6_image* const, tables_max> tables6);

template <route_observer Observer>
void route_replica::tell_differences(const route_records& before, Observer& observer) const {
    for (std::uint16_t id = 0; id < ifaces_max; ++id) {
        if (!(before.ifaces[id] == records_->ifaces[id])) {
            observer.iface_changed(iface_id{id});
        }
    }
    for (std::uint16_t id = 0; id < nexthops_max; ++id) {
        if (!(before.hops[id] == records_->hops[id])) {
            observer.nexthop_changed(nexthop_id{id});
        }
    }
}

template <route_observer Observer>
unsigned route_replica::apply(unsigned budget, Observer&& observer) {
    std::uint64_t head = log_.head(); // acquire; partner: route_log::publish
    if (head == position_) [[likely]] {
        return 0;
    }
    route_cursor& cursor = log_.cursor(reader_);
    reader_state state = reader_state::at_rest;
    if (!cursor.state.compare_exchange_strong(
            state, reader_state::reading, std::memory_order_acq_rel, std::memory_order_acquire))
        [[unlikely]] {
        if (!come_back(cursor, state)) {
            return 0;
        }
        tell_differences(*cursor.image->records, observer);
        head = log_.head();
    }
    unsigned applied = 0;
    std::uint64_t ahead = position_;
    constexpr unsigned prefetch_entries = 8; // lines of later patches, under way meanwhile
    unsigned fetched = 0;
    while (position_ != head && applied < budget) {
        for (; ahead != head && fetched < applied + prefetch_entries; ++fetched) {
            const route_entry_header header = header_of(log_.at(ahead));
            prefetch(log_.at(ahead), header);
            ahead += header.words;
        }
        const std::uint64_t* entry = log_.at(position_);
        const route_entry_header header = header_of(entry);
        position_ += header.words;
        ++applied;
        if (header.op == route_op::pad || ++sequence_ <= generation_) {
            continue; // a fresh image is ahead of the log: it has this entry already
        }
        generation_ = sequence_;
        apply_entry(header, entry + 1);
        if (header.op == route_op::nexthop_write) {
            observer.nexthop_changed(nexthop_id{static_cast<std::uint16_t>(header.index)});
        } else if (header.op == route_op::iface_write) {
            observer.iface_changed(iface_id{static_cast<std::uint16_t>(header.index)});
        }
    }
    cursor.generation.store(generation_, std::memory_order_release);
    cursor.words.store(position_, std::memory_order_release); // partner: route_log::slowest
    cursor.state.store(reader_state::at_rest, std::memory_order_release);
    return applied;
}

} // namespace pantala
