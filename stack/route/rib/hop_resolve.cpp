// What hops lead to: from targets, routes to gateways and interfaces to the records that workers
// see.
#include "stack/route/rib/hop_table.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace pantala {

namespace {

constexpr unsigned resolve_depth_max = 4;  // gateways behind gateways
constexpr unsigned refresh_rounds_max = 8; // a chain of hops settles in as many

void set_gateway(nexthop& record, const route_target& target) {
    record.via6 = target.gateway6.has_value();
    if (target.gateway6) {
        record.gateway6 = target.gateway6->bytes();
    } else {
        record.gateway4 = be32::from(target.gateway);
    }
}

} // namespace

// From what was asked for, not from records: those may be yet to be written. Of groups it wants to
// know only whether they are live.
nexthop hop_table::resolve_hop(nexthop_id id, unsigned depth) const {
    const entry& of = entries_[id.value];
    if (of.alias) {
        return of.follows ? resolve_hop(*of.follows, depth) : nexthop{};
    }
    if (of.choice) {
        for (const nexthop_id member : of.members) {
            const nexthop record = resolve_hop(member, depth);
            if (record.kind != nexthop_kind::none) {
                return record;
            }
        }
        return {};
    }
    if (!of.group()) {
        return resolve(of.what.targets.front(), of.what, depth);
    }
    nexthop record;
    if (of.live) {
        record.kind = nexthop_kind::group;
        record.mtu = of.what.mtu;
        record.group_first = of.first_bucket;
        record.group_count = static_cast<std::uint16_t>(of.owners.size());
    }
    return record;
}

nexthop hop_table::resolve(const route_target& target, const spec& what, unsigned depth) const {
    nexthop record;
    record.mtu = what.mtu;
    record.kind = target.kind;
    if (target.interface) {
        record.iface = *target.interface;
        const bool there = target.kind == nexthop_kind::local
                               ? records_.ifaces[target.interface->value].present
                               : iface_up(*target.interface);
        if (!there) {
            return {};
        }
    }
    if (target.kind != nexthop_kind::gateway) {
        return record;
    }
    set_gateway(record, target);
    return target.interface ? record : resolve_gateway(target, what, depth);
}

// By the longest route to the gateway that leads somewhere itself.
nexthop
hop_table::resolve_gateway(const route_target& target, const spec& what, unsigned depth) const {
    if (depth == resolve_depth_max) {
        return {};
    }
    nexthop record;
    constexpr unsigned longer_than_any = 129;
    std::optional<way> next = find_(what.table, target, longer_than_any);
    while (next && record.kind == nexthop_kind::none) {
        record = resolve_hop(next->hop, depth + 1);
        next = find_(what.table, target, next->length);
    }
    if (record.kind == nexthop_kind::connected) {
        record.kind = nexthop_kind::gateway;
        set_gateway(record, target);
    } else if (record.kind != nexthop_kind::gateway && record.kind != nexthop_kind::group) {
        return {};
    }
    record.mtu = what.mtu != 0 ? what.mtu : record.mtu;
    return record;
}

// Of a hop whose routes are of one family for certain.
nexthop hop_table::fallback(const entry& dead) const {
    if (dead.alias) {
        return {};
    }
    const spec& what = dead.choice ? entries_[dead.members.front().value].what : dead.what;
    const route_target& first = what.targets.front();
    if (first.kind != nexthop_kind::gateway) {
        return {};
    }
    const auto at = defaults_.find({what.table, first.gateway6.has_value()});
    return at != defaults_.end() ? resolve_hop(at->second, 0) : nexthop{};
}

bool hop_table::leads_somewhere(nexthop_id id) const {
    const entry& of = entries_[id.value];
    return of.group() ? std::any_of(
                            of.members.begin(), of.members.end(),
                            [this](nexthop_id member) { return live(member); })
                      : resolve_hop(id, 0).kind != nexthop_kind::none;
}

void hop_table::set_live(entry& of, bool live) {
    if (of.live != live && !of.alias) {
        dead_ += live ? -std::size_t{1} : 1;
    }
    of.live = live;
}

// True: some hop died or came to life.
bool hop_table::settle_lives() {
    bool turned = false;
    for (unsigned round = 0; round < refresh_rounds_max; ++round) {
        bool changed = false;
        for (std::size_t id = 0; id < entries_.size(); ++id) {
            entry& each = entries_[id];
            if (!each.used) {
                continue;
            }
            const bool live = leads_somewhere(nexthop_id{static_cast<std::uint16_t>(id)});
            changed = changed || live != each.live;
            set_live(each, live);
        }
        turned = turned || changed;
        if (!changed) {
            break;
        }
    }
    return turned;
}

void hop_table::settle_one(nexthop_id id) {
    entry& of = entries_[id.value];
    set_live(of, leads_somewhere(id));
    if (of.group() && of.live) {
        spread(of);
    }
    write(id.value, of.live ? resolve_hop(id, 0) : fallback(of));
    give_retired(); // of a group that nobody has yet
}

// What leads somewhere first, then what leads to that, what leads nowhere last.
void hop_table::write_records() {
    const auto write_those = [&](auto&& wanted) {
        for (std::size_t at = 0; at < entries_.size(); ++at) {
            const nexthop_id id{static_cast<std::uint16_t>(at)};
            const entry& each = entries_[at];
            if (each.used && wanted(each)) {
                write(id.value, each.live ? resolve_hop(id, 0) : fallback(each));
            }
        }
    };
    const auto plain = [](const entry& each) {
        return !each.alias && !each.choice && !each.group();
    };
    write_those([&](const entry& each) { return each.live && plain(each); });
    for (entry& each : entries_) {
        if (each.used && each.group() && each.live) {
            spread(each);
        }
    }
    write_those([&](const entry& each) { return each.live && !plain(each); });
    write_those([](const entry& each) { return !each.live; });
}

bool hop_table::refresh() {
    const bool turned = settle_lives();
    for (unsigned round = 0; round < refresh_rounds_max; ++round) {
        const std::uint64_t before = writer_.generation();
        write_records();
        if (writer_.generation() == before) { // buckets may lead to records that were yet to come
            break;
        }
    }
    give_retired();
    return turned;
}

void hop_table::write(std::uint16_t id, const nexthop& record) {
    nexthop& now = records_.hops[id];
    if (now == record) {
        return;
    }
    now = record;
    std::array<std::uint64_t, (sizeof(nexthop) + 7) / 8> body{};
    std::memcpy(body.data(), &record, sizeof record);
    writer_.write({body.size() + 1, route_op::nexthop_write, 0, id}, body.data());
}

} // namespace pantala
