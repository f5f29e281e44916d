// Workers of the RIB: replicas made, images shipped, what they leave behind freed.
#include "stack/route/rib/rib_state.hpp"

#include <algorithm>

namespace pantala {

template <class Table>
void rib_state::populate(const Table& in, std::uint32_t units, std::uint32_t words) {
    for (worker& each : workers) {
        if (auto* image = each.images(in)[in.number]; image != nullptr) {
            image->populate(units, words);
        }
    }
}

// All by one entry.
template <class Table>
void rib_state::ship(Table& in, typename Table::image_set images) {
    using image = typename Table::image;
    if (workers.empty()) {
        return;
    }
    auto slots = std::make_unique<std::unique_ptr<image>[]>(workers_max);
    for (std::size_t i = 0; i < workers.size(); ++i) {
        worker& each = workers[i];
        images[i + 1]->assign(in.master());
        each.images(in)[in.number] = images[i + 1].get();
        slots[each.reader] = std::move(images[i + 1]);
    }
    const auto body = reinterpret_cast<std::uint64_t>(slots.get());
    constexpr bool is4 = std::is_same_v<Table, rib_table4>;
    const route_op op = is4 ? route_op::fib4_swap : route_op::fib6_swap;
    writer.write({2, op, static_cast<std::uint8_t>(in.number), 0}, &body);
    shipment& sent = shipments.emplace_back();
    sent.generation = writer.generation();
    if constexpr (is4) {
        sent.images4 = std::move(slots);
    } else {
        sent.images6 = std::move(slots);
    }
}

template void rib_state::populate(const rib_table4&, std::uint32_t, std::uint32_t);
template void rib_state::populate(const rib_table6&, std::uint32_t, std::uint32_t);
template void rib_state::ship(rib_table4&, rib_table4::image_set);
template void rib_state::ship(rib_table6&, rib_table6::image_set);

std::uint64_t rib_state::slowest_generation() const {
    std::uint64_t least = writer.generation();
    for (const worker& each : workers) {
        least = std::min(least, log.generation(each.reader));
    }
    return least;
}

namespace {

// A copy of a table's image for a worker; nullptr where there is no table.
template <class Table>
result<std::unique_ptr<typename Table::image>> twin_of(const Table* in, rib_state::worker& worker) {
    if (in == nullptr) {
        return std::unique_ptr<typename Table::image>{};
    }
    auto twin = in->make_image();
    if (twin) {
        (*twin)->assign(in->master());
        worker.images(*in)[in->number] = twin->get();
    }
    return twin;
}

} // namespace

result<std::unique_ptr<route_replica>> rib::join() {
    rib_state& state = *state_;
    rib_state::worker joined;
    const int reader = state.log.attach();
    if (reader < 0) {
        return error{ENOSPC, "at most 64 workers can follow the routes"};
    }
    joined.reader = static_cast<unsigned>(reader);
    auto replica = std::make_unique<route_replica>(state.log, joined.reader);
    *replica->records_ = *state.records;
    for (unsigned number = 0; number < tables_max; ++number) {
        auto twin4 = twin_of(state.tables4[number].get(), joined);
        auto twin6 = twin_of(state.tables6[number].get(), joined);
        if (!twin4 || !twin6) {
            state.log.release(joined.reader);
            return twin4 ? twin6.failure() : twin4.failure();
        }
        replica->fib4_[number] = std::move(*twin4);
        replica->fib6_[number] = std::move(*twin6);
    }
    replica->fib4_main_ = replica->fib4_[0].get();
    replica->fib6_main_ = replica->fib6_[0].get();
    replica->position_ = state.log.words_written();
    replica->sequence_ = state.log.entries();
    replica->generation_ = state.writer.generation();
    state.log.cursor(joined.reader).generation.store(replica->generation_);
    joined.replica = replica.get();
    state.workers.push_back(joined);
    return replica;
}

void rib::leave(route_replica& replica) {
    std::erase_if(
        state_->workers, [&](const rib_state::worker& each) { return each.replica == &replica; });
    state_->log.release(replica.reader());
}

bool rib::pump() {
    const bool walked = state_->walk_on();
    const bool done = state_->writer.flush() && walked;
    const std::uint64_t slowest = state_->slowest_generation();
    while (!state_->shipments.empty() && state_->shipments.front().generation <= slowest) {
        state_->shipments.pop_front();
    }
    return done;
}

bool rib::settled() const {
    return state_->walked() && state_->slowest_generation() == state_->writer.generation();
}

std::uint64_t rib::generation() const {
    return state_->writer.generation();
}

std::uint64_t rib::hash() const {
    std::array<const fib4_image*, tables_max> images4{};
    std::array<const fib6_image*, tables_max> images6{};
    for (unsigned number = 0; number < tables_max; ++number) {
        const auto& in4 = state_->tables4[number];
        const auto& in6 = state_->tables6[number];
        images4[number] = in4 ? &in4->master() : nullptr;
        images6[number] = in6 ? &in6->master() : nullptr;
    }
    return route_hash(*state_->records, images4, images6);
}

rib_counts rib::counts() const {
    const rib_table4& main = *state_->tables4[0];
    const rib_table6& main6 = *state_->tables6[0];
    rib_counts counts;
    counts.routes4 = main.size();
    counts.routes6 = main6.size();
    counts.hops = state_->hops.size();
    counts.replica_bytes4 = main.master().bytes();
    counts.replica_bytes6 = main6.master().bytes();
    counts.authority_bytes =
        main.compiler->authority_bytes() + main.map.bytes() + main6.trie.bytes();
    counts.generation = state_->writer.generation();
    counts.changes = state_->changes;
    counts.revised = state_->revised;
    return counts;
}

} // namespace pantala
