#include "stack/ether/adjacencies.hpp"

#include <algorithm>

namespace pantala {
namespace {

adjacency_kind kind_of(nexthop_kind kind) {
    switch (kind) {
    case nexthop_kind::gateway:
        return adjacency_kind::resolve;
    case nexthop_kind::connected:
        return adjacency_kind::connected;
    case nexthop_kind::local:
        return adjacency_kind::local;
    case nexthop_kind::broadcast:
        return adjacency_kind::broadcast;
    case nexthop_kind::multicast:
        return adjacency_kind::multicast;
    case nexthop_kind::blackhole:
        return adjacency_kind::blackhole;
    case nexthop_kind::unreachable:
        return adjacency_kind::unreachable;
    case nexthop_kind::prohibit:
        return adjacency_kind::prohibit;
    case nexthop_kind::group:
        return adjacency_kind::group;
    case nexthop_kind::none:
        break;
    }
    return adjacency_kind::none;
}

bool leaves_by_link(adjacency_kind kind) {
    return kind == adjacency_kind::forward || kind == adjacency_kind::resolve ||
           kind == adjacency_kind::connected || kind == adjacency_kind::down;
}

// The way to the gateway is `out`; everything else of `entry` stays.
void resolve(adjacency& entry, const adjacency& out) {
    entry.kind = out.kind;
    entry.rewrite_length = out.rewrite_length;
    entry.rewrite = out.rewrite;
}

} // namespace

neighbor_key adjacencies::gateway_of(const adjacency& entry) {
    wire::ipv6_address six;
    six.bytes = entry.gateway6;
    return six.is_unspecified() ? make_neighbor_key(entry.iface, entry.gateway4)
                                : make_neighbor_key(entry.iface, six);
}

void adjacencies::set(nexthop_id id, const nexthop& record) {
    adjacency& entry = table_[id];
    end_ = std::max(end_, id.value + 1u);
    entry = {};
    entry.kind = kind_of(record.kind);
    entry.iface = record.iface;
    entry.group_first = record.group_first;
    entry.group_count = record.group_count;
    if (!leaves_by_link(entry.kind)) {
        return;
    }
    const iface& link = links_[record.iface];
    entry.port = link.port;
    entry.mtu = record.mtu == 0 ? link.mtu : std::min(record.mtu, link.mtu);
    entry.mtu6 = record.mtu == 0 ? link.link_mtu6() : std::min(record.mtu, link.link_mtu6());
    if (!link.present || !link.up) {
        entry.kind = adjacency_kind::down;
        return;
    }
    if (entry.kind == adjacency_kind::resolve) {
        entry.gateway4 = record.gateway4;
        if (record.via6) {
            entry.gateway6 = record.gateway6;
        }
        neighbor* gateway = neighbors_.find(gateway_of(entry));
        if (gateway != nullptr) {
            neighbors_.keep_fresh(*gateway);
            resolve(entry, gateway->out);
        }
    }
}

void adjacencies::neighbor_changed(const neighbor_key& key) {
    neighbor* changed = neighbors_.find(key);
    for (unsigned i = 0; i < end_; ++i) {
        adjacency& entry = table_[nexthop_id{static_cast<std::uint16_t>(i)}];
        const bool by_gateway =
            entry.kind == adjacency_kind::forward || entry.kind == adjacency_kind::resolve;
        if (!by_gateway || entry.iface != key.iface || gateway_of(entry) != key) {
            continue;
        }
        if (changed != nullptr) {
            neighbors_.keep_fresh(*changed);
            resolve(entry, changed->out);
        } else {
            entry.kind = adjacency_kind::resolve;
        }
    }
}

} // namespace pantala
