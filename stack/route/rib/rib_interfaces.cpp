// Interfaces of the RIB.
#include "stack/route/rib/rib_state.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace pantala {

namespace {

constexpr unsigned mtu_min = 68; // RFC 791

// An address, or a route that names the interface.
bool has_six(rib_state& state, iface_id id) {
    bool any = state.records->ifaces[id.value].address6_count != 0;
    const auto goes_over_it = [&](const candidate& each) {
        return std::ranges::any_of(
            state.hops.of(each.hop).targets,
            [id](const route_target& target) { return target.interface == id; });
    };
    for (const auto& each : state.aside6) {
        any = any || goes_over_it(each.second);
    }
    for (const auto& table : state.tables6) {
        if (any || !table) {
            continue;
        }
        table->for_each([&](const rib_entry6& entry) {
            for (const candidate& each : any ? candidates{} : state.routes_of(*table, entry)) {
                any = any || goes_over_it(each);
            }
        });
    }
    return any;
}

} // namespace

result<iface*> rib_state::iface_at(iface_id id) {
    if (id.value >= ifaces_max || !records->ifaces[id.value].present) {
        return error{ENODEV, "there is no such interface"};
    }
    return &records->ifaces[id.value];
}

void rib_state::write_iface(iface_id id) {
    std::array<std::uint64_t, (sizeof(iface) + 7) / 8> body{};
    std::memcpy(body.data(), &records->ifaces[id.value], sizeof(iface));
    writer.write({body.size() + 1, route_op::iface_write, 0, id.value}, body.data());
    ++changes;
}

namespace {

// Somebody may have taken an address meanwhile, or given it up (RFC 4862 5.3, RFC 5227 2.1).
void ask_anew(iface& record) {
    const auto ask = [](auto& mine) {
        if ((mine.flags & address_probed) != 0) {
            mine.flags = static_cast<std::uint8_t>(
                (mine.flags | address_tentative) & ~unsigned{address_duplicate});
        }
    };
    std::for_each_n(record.addresses4.begin(), record.address4_count, ask);
    std::for_each_n(record.addresses6.begin(), record.address6_count, ask);
}

} // namespace

result<iface_id> rib::add_interface(const iface& made) {
    auto& ifaces = state_->records->ifaces;
    for (const iface& other : ifaces) {
        if (other.present && other.port == made.port && other.vlan == made.vlan) {
            return error{EEXIST, "this port and VLAN have an interface already"};
        }
    }
    if (made.vlan != vlan_none && (made.vlan == 0 || made.vlan > 4094)) {
        return error{EINVAL, "a VLAN is 1 to 4094"};
    }
    if (made.mtu < mtu_min) {
        return error{EINVAL, "the MTU is 68 to 65535 bytes"};
    }
    // What routes still name is no other interface's: theirs do not come alive on another link.
    const auto free = std::find_if(ifaces.begin(), ifaces.end(), [&](const iface& each) {
        return !each.present &&
               !state_->hops.names(iface_id{static_cast<std::uint16_t>(&each - ifaces.data())});
    });
    if (free == ifaces.end()) {
        return error{
            ENOSPC, "all 256 interfaces are in use, or named by routes that outlived theirs"};
    }
    if (result<void> there = state_->make_tables(made.table); !there) {
        return there.failure();
    }
    ++state_->interfaces_in[made.table];
    const iface_id id{static_cast<std::uint16_t>(free - ifaces.begin())};
    *free = made;
    free->present = true;
    free->address4_count = 0; // addresses come by add_address, with their routes
    free->address6_count = 0;
    state_->write_iface(id);
    state_->refresh();
    return id;
}

result<void> rib::del_interface(iface_id id) {
    result<iface*> record = state_->iface_at(id);
    if (!record) {
        return record.failure();
    }
    if (result<void> down = set_up(id, false); !down) {
        return down;
    }
    while ((*record)->address4_count > 0) {
        const iface_address4 address = (*record)->addresses4[0];
        if (result<void> gone = del_address(id, address.address.host(), address.prefix_length);
            !gone) {
            return gone;
        }
    }
    while ((*record)->address6_count > 0) {
        const iface_address6 address = (*record)->addresses6[0];
        if (result<void> gone =
                del_address(id, address6::from_bytes(address.address), address.prefix_length);
            !gone) {
            return gone;
        }
    }
    const std::uint8_t table = (*record)->table;
    **record = iface{};
    state_->write_iface(id);
    state_->refresh();
    --state_->interfaces_in[table];
    state_->drop_unused(table);
    return {};
}

result<void> rib::set_table(iface_id id, unsigned table) {
    result<iface*> record = state_->iface_at(id);
    return record ? set_table_and_up(id, table, (*record)->up) : record.failure();
}

result<void> rib::set_up(iface_id id, bool up) {
    result<iface*> record = state_->iface_at(id);
    return record ? set_table_and_up(id, (*record)->table, up) : record.failure();
}

result<void> rib::set_table_and_up(iface_id id, unsigned table, bool up) {
    result<iface*> found = state_->iface_at(id);
    if (!found) {
        return found.failure();
    }
    iface& record = **found;
    const std::uint8_t before = record.table;
    iface wanted = record;
    wanted.table = static_cast<std::uint8_t>(table);
    wanted.up = up;
    if (up && !record.up) {
        ask_anew(wanted);
    }
    const bool comes = before != table || (up && !record.up);
    result<void> done = before != table ? state_->may_join(record, table) : result<void>();
    done = done ? state_->make_tables(table) : done;
    auto own = done && comes ? state_->take_own(id, wanted) : rib_state::taken_own{};
    if (!done || !own) {
        state_->drop_unused(table);
        return done ? own.failure() : done.failure();
    }
    if (record.up && !up) {
        state_->turn_down(id);
    }
    if (before != table) {
        state_->move(id, wanted, *own);
    } else if (comes) {
        record = wanted;
        state_->write_iface(id);
        state_->refresh(); // every route through it, by its hops' records
        state_->drop_own(id);
        state_->put_own(table, *own);
    }
    return {};
}

// Routes through it lead elsewhere before it is down.
void rib_state::turn_down(iface_id id) {
    records->ifaces[id.value].up = false;
    refresh();
    write_iface(id);
    drop_own(id);
}

// The routes of its addresses are in the new table before the interface is, and leave the old one
// after it.
void rib_state::move(iface_id id, const iface& wanted, const taken_own& own) {
    iface& record = records->ifaces[id.value];
    const std::uint8_t before = record.table;
    put_own(wanted.table, own);
    record = wanted;
    write_iface(id);
    take_own_away(before, id);
    --interfaces_in[before];
    ++interfaces_in[wanted.table];
    refresh();
    drop_unused(before);
}

result<void> rib::set_mtu(iface_id id, std::uint16_t mtu) {
    result<iface*> record = state_->iface_at(id);
    if (!record) {
        return record.failure();
    }
    if (mtu < mtu_min) {
        return error{EINVAL, "the MTU is 68 to 65535 bytes"};
    }
    if (mtu < mtu6_min && has_six(*state_, id)) {
        return error{
            EINVAL,
            "IPv6 goes over no link of less than 1280 bytes (RFC 8200 5): the interface has "
            "an IPv6 address or route, which must go first"};
    }
    (*record)->mtu = mtu;
    state_->write_iface(id);
    return {};
}

result<void> rib::set_mtu6(iface_id id, std::uint16_t mtu) {
    result<iface*> record = state_->iface_at(id);
    if (!record) {
        return record.failure();
    }
    if (mtu != 0 && (mtu < mtu6_min || mtu > (*record)->mtu)) {
        return error{EINVAL, "the MTU of IPv6 is 1280 bytes to the interface's own"};
    }
    if ((*record)->mtu6 != mtu) {
        (*record)->mtu6 = mtu;
        state_->write_iface(id);
    }
    return {};
}

result<void> rib::set_hop_limit6(iface_id id, std::uint8_t limit) {
    result<iface*> record = state_->iface_at(id);
    if (!record) {
        return record.failure();
    }
    if ((*record)->hop_limit6 != limit) {
        (*record)->hop_limit6 = limit;
        state_->write_iface(id);
    }
    return {};
}

result<void> rib::set_duties(
    iface_id id, std::uint8_t duties, std::uint16_t ra_interval_s, std::uint16_t ra_lifetime_s) {
    result<iface*> record = state_->iface_at(id);
    if (!record) {
        return record.failure();
    }
    constexpr std::uint8_t ra_both = iface_advertise | iface_accept_ra;
    constexpr std::uint8_t rpf_both = iface_rpf_strict | iface_rpf_loose;
    if ((duties & ra_both) == ra_both || (duties & rpf_both) == rpf_both) {
        return error{EINVAL, "an interface does one of the two, not both"};
    }
    if (ra_interval_s < 4 || ra_interval_s > 1800) {
        return error{EINVAL, "router advertisements are 4 to 1800 seconds apart"};
    }
    if (ra_lifetime_s != 0 && (ra_lifetime_s < ra_interval_s || ra_lifetime_s > 9000)) {
        return error{
            EINVAL, "a default router lives for 0 seconds, or from the interval of its "
                    "advertisements to 9000"};
    }
    (*record)->duties = duties;
    (*record)->ra_interval_s = ra_interval_s;
    (*record)->ra_lifetime_s = ra_lifetime_s;
    state_->write_iface(id);
    return {};
}

result<void> rib::set_mac(iface_id id, std::array<std::uint8_t, 6> mac) {
    result<iface*> record = state_->iface_at(id);
    if (!record) {
        return record.failure();
    }
    if ((mac[0] & 1) != 0) {
        return error{EINVAL, "a group address is no station's MAC"};
    }
    (*record)->mac = mac;
    state_->write_iface(id);
    return {};
}

const iface& rib::interface(iface_id id) const {
    return state_->records->ifaces[id.value];
}

} // namespace pantala
