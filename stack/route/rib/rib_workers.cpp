// Workers of the RIB: replicas made, images shipped, what they leave behind freed.
#include "stack/route/rib/rib_state.hpp"

#include <algorithm>

namespace pantala {

void rib_state::populate(unsigned number, std::uint32_t units, std::uint32_t words) {
    for (const worker& each : workers) {
        if (each.images[number] != nullptr) {
            each.images[number]->populate(units, words);
        }
    }
}

// All by one entry.
void rib_state::ship(unsigned number, image_set images) {
    if (workers.empty()) {
        return;
    }
    auto slots = std::make_unique<std::unique_ptr<fib4_image>[]>(workers_max);
    for (std::size_t i = 0; i < workers.size(); ++i) {
        worker& each = workers[i];
        images[i + 1]->assign(tables[number]->compiler->image());
        each.images[number] = images[i + 1].get();
        slots[each.reader] = std::move(images[i + 1]);
    }
    const auto body = reinterpret_cast<std::uint64_t>(slots.get());
    writer.write({2, route_op::fib4_swap, static_cast<std::uint8_t>(number), 0}, &body);
    shipments.push_back({writer.generation(), std::move(slots)});
}

std::uint64_t rib_state::slowest_generation() const {
    std::uint64_t least = writer.generation();
    for (const worker& each : workers) {
        least = std::min(least, log.generation(each.reader));
    }
    return least;
}

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
        if (!state.tables[number]) {
            continue;
        }
        const fib4_image& master = state.tables[number]->compiler->image();
        auto twin = fib4_image::make(master.shape().root_bits);
        if (!twin) {
            state.log.release(joined.reader);
            return twin.failure();
        }
        (*twin)->assign(master);
        joined.images[number] = twin->get();
        replica->fib4_[number] = std::move(*twin);
    }
    replica->fib4_main_ = replica->fib4_[0].get();
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
    const bool done = state_->writer.flush();
    const std::uint64_t slowest = state_->slowest_generation();
    while (!state_->shipments.empty() && state_->shipments.front().generation <= slowest) {
        state_->shipments.pop_front();
    }
    return done;
}

bool rib::settled() const {
    return state_->slowest_generation() == state_->writer.generation();
}

std::uint64_t rib::generation() const {
    return state_->writer.generation();
}

std::uint64_t rib::hash() const {
    std::array<const fib4_image*, tables_max> images{};
    for (unsigned number = 0; number < tables_max; ++number) {
        const auto& in = state_->tables[number];
        images[number] = in ? &in->compiler->image() : nullptr;
    }
    return route_hash(*state_->records, images);
}

rib_counts rib::counts() const {
    const rib_table4& main = *state_->tables[0];
    rib_counts counts;
    counts.routes4 = main.map.size();
    counts.hops = state_->hops.size();
    counts.replica_bytes4 = main.compiler->image().bytes();
    counts.authority_bytes = main.compiler->authority_bytes() + main.map.bytes();
    counts.generation = state_->writer.generation();
    counts.changes = state_->changes;
    return counts;
}

} // namespace pantala
