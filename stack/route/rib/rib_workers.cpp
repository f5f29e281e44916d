// Workers of the RIB: replicas made, images shipped, what they leave behind freed; whether they
// have what control has.
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
        if (!log.attached(each.reader)) {
            continue; // it takes all tables anew when it comes back
        }
        images[i + 1]->assign(in.master());
        each.images(in)[in.number] = images[i + 1].get();
        slots[each.reader] = std::move(images[i + 1]);
    }
    send_images(in, std::move(slots));
}

// An entry with nothing for anybody: the images come back in its place.
template <class Table>
void rib_state::withdraw_images(Table& in) {
    if (workers.empty()) {
        return;
    }
    for (worker& each : workers) {
        each.images(in)[in.number] = nullptr;
    }
    send_images(in, std::make_unique<std::unique_ptr<typename Table::image>[]>(workers_max));
}

template <class Table>
void rib_state::send_images(
    Table& in, std::unique_ptr<std::unique_ptr<typename Table::image>[]> slots) {
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
template void rib_state::withdraw_images(rib_table4&);
template void rib_state::withdraw_images(rib_table6&);

std::uint64_t rib_state::slowest_generation() const {
    std::uint64_t least = writer.generation();
    for (const worker& each : workers) {
        if (log.attached(each.reader)) {
            const std::uint64_t image = each.image ? each.image->generation : 0;
            least = std::min(least, std::max(image, log.generation(each.reader)));
        }
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

result<std::unique_ptr<route_image>> rib_state::image_for(worker& to) const {
    auto made = std::make_unique<route_image>();
    made->records = std::make_unique<route_records>(*records);
    for (unsigned number = 0; number < tables_max; ++number) {
        auto twin4 = twin_of(tables4[number].get(), to);
        auto twin6 = twin_of(tables6[number].get(), to);
        if (!twin4 || !twin6) {
            to.images4.fill(nullptr);
            to.images6.fill(nullptr);
            return twin4 ? twin6.failure() : twin4.failure();
        }
        made->fib4[number] = std::move(*twin4);
        made->fib6[number] = std::move(*twin6);
    }
    made->position = log.words_written();
    made->sequence = log.entries();
    made->generation = writer.generation();
    return made;
}

result<std::unique_ptr<route_replica>> rib::join() {
    rib_state& state = *state_;
    rib_state::worker joined;
    const int reader = state.log.attach();
    if (reader < 0) {
        return error{ENOSPC, "at most 64 workers can follow the routes"};
    }
    joined.reader = static_cast<unsigned>(reader);
    auto image = state.image_for(joined);
    if (!image) {
        state.log.release(joined.reader);
        return image.failure();
    }
    auto replica = std::make_unique<route_replica>(state.log, joined.reader);
    replica->take(**image);
    state.log.cursor(joined.reader).generation.store(replica->generation_);
    joined.replica = replica.get();
    state.workers.push_back(std::move(joined));
    return replica;
}

// ---------------------------------------------------------------------------------------------
// Workers that are stuck, and come back.

void rib::mind_workers(instant now, std::uint64_t stuck_ns) {
    for (rib_state::worker& each : state_->workers) {
        state_->mind(each, now, stuck_ns);
    }
}

// It is in the way only if something waits for room and it is the last one in the log.
void rib_state::mind(worker& each, instant now, std::uint64_t stuck_ns) {
    const reader_state state = log.state(each.reader);
    if (state == reader_state::returned) {
        return bring_back(each, now);
    }
    if (state == reader_state::detached) {
        return;
    }
    if (each.image && log.generation(each.reader) >= each.image->generation) {
        each.image.reset(); // taken, and all told: what the worker had before is in it
    }
    const std::uint64_t words = log.cursor(each.reader).words.load(std::memory_order_acquire);
    if (words != each.words || !writer.waiting() || words != log.slowest()) {
        each.words = words;
        each.since = now;
    } else if (now - each.since >= stuck_ns) {
        give_up(each);
    }
}

// Not in the middle of reading: there it is waited for.
void rib_state::give_up(worker& stuck) {
    if (log.detach_at_rest(stuck.reader)) {
        stuck.images4.fill(nullptr); // its own now; nothing is made ready in them
        stuck.images6.fill(nullptr);
        stuck.image.reset();
        ++given_up;
    }
}

// Without memory it stays where it is, and is looked at again.
void rib_state::bring_back(worker& returned, instant now) {
    auto made = image_for(returned);
    if (made) {
        returned.image = std::move(*made);
        returned.words = log.words_written();
        returned.since = now;
        log.reattach(returned.reader, *returned.image);
    }
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
    return state_->walked() && std::ranges::all_of(state_->workers, [&](const auto& each) {
               return state_->log.generation(each.reader) == state_->writer.generation();
           });
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

table_counts rib::counts_of(unsigned table) const {
    table_counts counts;
    if (const auto* in = state_->table_if<prefix4>(table); in != nullptr) {
        counts.there = true;
        counts.routes4 = in->size();
        counts.replica_bytes4 = in->master().resident_bytes();
        counts.authority_bytes += in->compiler->authority_bytes() + in->map.bytes();
    }
    if (const auto* in = state_->table_if<prefix6>(table); in != nullptr) {
        counts.there = true;
        counts.routes6 = in->size();
        counts.replica_bytes6 = in->master().resident_bytes();
        counts.authority_bytes += in->trie.bytes();
    }
    counts.interfaces = table < tables_max ? state_->interfaces_in[table] : 0;
    return counts;
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
    counts.given_up = state_->given_up;
    return counts;
}

// --- do they have what control has? ---
//
// Their replicas are read where they lie: while nothing waits in the log nobody writes to them, and
// what was written is seen through the cursors.

std::vector<replica_state> rib::replicas() const {
    std::vector<replica_state> states;
    for (const rib_state::worker& each : state_->workers) {
        replica_state made;
        made.reader = each.reader;
        made.generation = state_->log.generation(each.reader);
        made.behind = state_->writer.generation() - made.generation;
        made.given_up = !state_->log.attached(each.reader);
        states.push_back(made);
    }
    return states;
}

result<std::vector<replica_state>> rib::hash_replicas() const {
    if (!settled()) {
        return error{EAGAIN, "workers are applying changes, or one is stuck"};
    }
    const std::uint64_t mine = hash();
    std::vector<replica_state> states = replicas();
    for (std::size_t i = 0; i < states.size(); ++i) {
        states[i].hash = state_->workers[i].replica->hash();
        states[i].alike = states[i].hash == mine;
    }
    return states;
}

namespace {

// The longest prefix that covers an address and that workers should have, by the RIB's own maps and
// none of the compiler's.
template <class Table>
const typename Table::entry* longest(const Table& in, const typename Table::address& address) {
    const auto* found = in.longest(address);
    while (found != nullptr && found->out) {
        found = in.cover(found->prefix());
    }
    return found;
}

template <class Prefix>
verified<Prefix> verify_some(
    rib_state& state, unsigned number, const Prefix& from, std::size_t count,
    const std::function<void(const wrong_answer&)>& each) {
    verified<Prefix> done;
    const auto* in = state.table_if<Prefix>(number);
    if (in == nullptr) {
        return done;
    }
    std::vector<Prefix> prefixes;
    done.next = in->walk(from, count, prefixes);
    for (const Prefix& prefix : prefixes) {
        for (const auto& address : {prefix.address, prefix.last()}) {
            const auto* entry = longest(*in, address);
            const nexthop_id expected = entry != nullptr ? entry->hop : in->default_id;
            for (rib_state::worker& worker : state.workers) {
                const auto* image = worker.images(*in)[number];
                const nexthop_id got = image->lookup(address);
                if (got != expected) {
                    each({worker.reader, format(prefix), got, expected});
                }
            }
            ++done.addresses;
        }
    }
    return done;
}

} // namespace

result<verified<prefix4>> rib::verify(
    unsigned table, const prefix4& from, std::size_t count,
    const std::function<void(const wrong_answer&)>& each) const {
    if (!settled()) {
        return error{EAGAIN, "workers are applying changes, or one is stuck"};
    }
    return verify_some(*state_, table, from, count, each);
}

result<verified<prefix6>> rib::verify(
    unsigned table, const prefix6& from, std::size_t count,
    const std::function<void(const wrong_answer&)>& each) const {
    if (!settled()) {
        return error{EAGAIN, "workers are applying changes, or one is stuck"};
    }
    return verify_some(*state_, table, from, count, each);
}

} // namespace pantala
