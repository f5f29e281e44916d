#include "stack/ether/link_table.hpp"

#include <algorithm>

namespace pantala {

link_table::link_table() : by_vlan_(std::make_unique<std::uint16_t[]>(ports_max * vlans)) {
    std::fill_n(by_vlan_.get(), ports_max * vlans, none);
}

void link_table::set(iface_id id, const iface& record) {
    PANTALA_ASSERT(id.value < ifaces_max && record.port.value < ports_max);
    iface& mine = records_[id.value];
    const port_id before = mine.port;
    if (mine.present && slot(mine.port, mine.vlan) == id.value) {
        slot(mine.port, mine.vlan) = none;
    }
    mine = record;
    end_ = std::max(end_, id.value + 1u);
    if (record.present) {
        slot(record.port, record.vlan) = id.value;
    }
    refresh_port(before);
    refresh_port(record.port);
    several_tables_ = std::any_of(records_.begin(), records_.begin() + end_, [](const iface& each) {
        return each.present && each.table != 0;
    });
}

void link_table::refresh_port(port_id port) {
    port_link& link = ports_[port.value];
    link = {};
    if (const std::uint16_t id = slot(port, vlan_none); id != none) {
        const iface& record = records_[id];
        link.untagged = iface_id{id};
        link.table = record.table;
        link.match = record.up ? mac_bits(record.mac) : mac_match_nothing;
    }
    link.checks_sources =
        std::any_of(records_.begin(), records_.begin() + end_, [&](const iface& each) {
            return each.present && each.port == port &&
                   (each.duties & (iface_rpf_strict | iface_rpf_loose)) != 0;
        });
}

std::optional<iface_id> link_table::find(port_id port, std::uint16_t vlan) const {
    if (port.value >= ports_max) {
        return std::nullopt;
    }
    const std::uint16_t id = slot(port, vlan);
    return id == none ? std::nullopt : std::optional(iface_id{id});
}

std::optional<iface_id> link_table::owner_of(be32 address, unsigned table) const {
    for (unsigned id = 0; id < end_; ++id) {
        if (!is_in(id, table)) {
            continue;
        }
        for (const iface_address4& mine : records_[id].ip4()) {
            if (mine.address == address && address_usable(mine.flags)) {
                return iface_id{static_cast<std::uint16_t>(id)};
            }
        }
    }
    return std::nullopt;
}

bool link_table::is_broadcast(be32 address, unsigned table) const {
    for (unsigned id = 0; id < end_; ++id) {
        if (!is_in(id, table)) {
            continue;
        }
        for (const iface_address4& mine : records_[id].ip4()) {
            if (mine.is_broadcast(address)) {
                return true;
            }
        }
    }
    return false;
}

be32 link_table::source_for(iface_id id, be32 towards) const {
    if (const iface_address4* mine = records_[id.value].source4(towards); mine != nullptr) {
        return mine->address;
    }
    for (unsigned other = 0; other < end_; ++other) {
        const iface_address4* mine =
            is_in(other, records_[id.value].table) ? records_[other].source4(towards) : nullptr;
        if (mine != nullptr) {
            return mine->address;
        }
    }
    return {};
}

} // namespace pantala
