// Do the workers have what control has? Their replicas are read where they lie: while nothing waits
// in the log nobody writes to them, and what was written is seen through the cursors.
#include "stack/route/rib/rib_state.hpp"

namespace pantala {

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
