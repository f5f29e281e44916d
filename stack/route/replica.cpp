#include "stack/route/replica.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace pantala {

namespace {

struct no_observer {
    void nexthop_changed(nexthop_id) {}
    void iface_changed(iface_id) {}
};

} // namespace

route_replica::route_replica(route_log& log, unsigned reader)
    : log_(log), reader_(reader), records_(std::make_unique<route_records>()) {}

void route_replica::lookup4(
    unsigned table, std::span<const std::uint32_t> addresses, nexthop_id* answers) const {
    if (const fib4_image* image = fib4_[table].get(); image != nullptr) {
        image->lookup(addresses, answers);
    } else {
        std::fill_n(answers, addresses.size(), nexthop_none);
    }
}

void route_replica::lookup6(
    unsigned table, std::span<const address6> addresses, nexthop_id* answers) const {
    if (const fib6_image* image = fib6_[table].get(); image != nullptr) {
        image->reader().lookup(addresses, answers);
    } else {
        std::fill_n(answers, addresses.size(), nexthop_none);
    }
}

unsigned route_replica::apply(unsigned budget) {
    return apply(budget, no_observer{});
}

// Given up for stuck: asks for an image, and takes it once it is there. True: it has, and reads.
bool route_replica::come_back(route_cursor& cursor, reader_state state) {
    if (state == reader_state::detached) {
        cursor.state.store(reader_state::returned, std::memory_order_release);
        return false;
    }
    if (state != reader_state::imaged ||
        !cursor.state.compare_exchange_strong(
            state, reader_state::reading, std::memory_order_acq_rel, std::memory_order_relaxed)) {
        return false; // control is at it, or has given up again
    }
    take(*cursor.image);
    return true;
}

// What it had is left in `with`.
void route_replica::take(route_image& with) {
    std::swap(records_, with.records);
    std::swap(fib4_, with.fib4);
    std::swap(fib6_, with.fib6);
    fib4_main_ = fib4_[0].get();
    fib6_main_ = fib6_[0].get();
    position_ = with.position;
    sequence_ = with.sequence;
    generation_ = with.generation;
}

void route_replica::prefetch(const std::uint64_t* entry, const route_entry_header& header) const {
    if (header.op == route_op::fib4_node || header.op == route_op::fib4_dir) {
        if (const fib4_image* image = fib4_[header.table].get(); image != nullptr) {
            image->prefetch_write(header.index, static_cast<std::uint32_t>(entry[1]));
        }
    } else if (header.op == route_op::fib6_lines) {
        if (const fib6_image* image = fib6_[header.table].get(); image != nullptr) {
            image->prefetch_lines(header.index);
        }
    }
}

void route_replica::apply_entry(const route_entry_header& header, const std::uint64_t* body) {
    switch (header.op) {
    case route_op::fib4_node:
        fib4_[header.table]->write_node(
            header.index, static_cast<std::uint32_t>(body[0]), body + 1, header.words - 2U);
        break;
    case route_op::fib4_dir:
        fib4_[header.table]->write_word(header.index, static_cast<std::uint32_t>(body[0]));
        break;
    case route_op::fib4_swap:
        swap_image(fib4_[header.table], body);
        fib4_main_ = fib4_[0].get();
        break;
    case route_op::fib6_lines:
        fib6_[header.table]->write_lines(header.index, body, (header.words - 1U) / 8);
        break;
    case route_op::fib6_word:
        fib6_[header.table]->write_word(header.index, static_cast<std::uint32_t>(body[0]));
        break;
    case route_op::fib6_swap:
        swap_image(fib6_[header.table], body);
        fib6_main_ = fib6_[0].get();
        break;
    case route_op::nexthop_write:
        std::memcpy(static_cast<void*>(&records_->hops[header.index]), body, sizeof(nexthop));
        break;
    case route_op::group_write:
        std::memcpy(
            static_cast<void*>(&records_->buckets[header.index]), body + 1,
            body[0] * sizeof(nexthop_id));
        break;
    case route_op::iface_write:
        std::memcpy(static_cast<void*>(&records_->ifaces[header.index]), body, sizeof(iface));
        break;
    case route_op::mark:
    case route_op::pad:
        break;
    }
}

// The body holds the address of control's array of images, one a reader: the worker takes its own,
// or nothing where the table is no more, and leaves the old one there for control to free.
template <class Image>
void route_replica::swap_image(std::unique_ptr<Image>& mine, const std::uint64_t* body) const {
    std::swap(mine, reinterpret_cast<std::unique_ptr<Image>*>(body[0])[reader_]);
}

std::uint64_t route_replica::hash() const {
    std::array<const fib4_image*, tables_max> tables4{};
    std::array<const fib6_image*, tables_max> tables6{};
    for (unsigned table = 0; table < tables_max; ++table) {
        tables4[table] = fib4_[table].get();
        tables6[table] = fib6_[table].get();
    }
    return route_hash(*records_, tables4, tables6);
}

std::uint64_t route_hash(
    const route_records& records, std::span<const fib4_image* const, tables_max> tables4,
    std::span<const fib6_image* const, tables_max> tables6) {
    std::uint64_t hash = records.hash();
    const auto add = [&hash](const auto* table) {
        hash = hash * 0x9e3779b97f4a7c15ULL + (table != nullptr ? table->hash() : 1);
    };
    for (const fib4_image* table : tables4) {
        add(table);
    }
    for (const fib6_image* table : tables6) {
        add(table);
    }
    return hash;
}

} // namespace pantala
