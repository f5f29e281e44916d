#include "stack/ether/duties/source_check.hpp"

#include "stack/ether/packet_meta.hpp"
#include "stack/wire/ipv4.hpp"
#include "stack/wire/ipv6.hpp"

#include <cstring>

namespace pantala {
namespace {

bool leaves_by(const route_replica& routes, const nexthop& hop, iface_id id) {
    if (hop.kind != nexthop_kind::group) {
        return hop.iface == id;
    }
    for (unsigned i = 0; i < hop.group_count; ++i) { // 1,024 at most
        const unsigned at = hop.group_first + i;
        if (routes.hop(routes.bucket(at)).iface == id) {
            return true;
        }
    }
    return false;
}

bool is_sound(const route_replica& routes, const nexthop& hop, iface_id id, bool strict) {
    const bool leads_somewhere = hop.kind == nexthop_kind::gateway ||
                                 hop.kind == nexthop_kind::connected ||
                                 hop.kind == nexthop_kind::group;
    return leads_somewhere && (!strict || leaves_by(routes, hop, id));
}

// A host that has no address yet may ask for one (RFC 2131); what else such a packet may not do is
// checked later.
bool is_sound4(
    const route_replica& routes, const iface& here, iface_id id, const std::uint8_t* header) {
    be32 source;
    std::memcpy(&source, header + offsetof(wire::ipv4_header, source), sizeof source);
    const nexthop& hop = routes.hop(routes.lookup4(here.table, source.host()));
    return source == be32{} || is_sound(routes, hop, id, (here.duties & iface_rpf_strict) != 0);
}

// Link-local sources are of this link, and nobody's question (RFC 4862) has none.
bool is_sound6(
    const route_replica& routes, const iface& here, iface_id id, const std::uint8_t* header) {
    wire::ipv6_address source;
    std::memcpy(&source, header + offsetof(wire::ipv6_header, source), sizeof source);
    if (source.is_link_local() || source.is_unspecified()) {
        return true;
    }
    const nexthop& hop = routes.hop(routes.lookup6(here.table, {source.high(), source.low()}));
    return is_sound(routes, hop, id, (here.duties & iface_rpf_strict) != 0);
}

template <class Check>
void filter(
    const link_table& links, l3_burst& packets, drop_sink& drops, drop_reason reason,
    Check&& sound) {
    packets.mark(); // what is dropped here leaves the fast path
    unsigned kept = 0;
    for (unsigned i = 0; i < packets.count; ++i) {
        const iface_id id = meta_of(*packets.packets[i]).iface;
        const iface& here = links[id];
        const bool checked = (here.duties & (iface_rpf_strict | iface_rpf_loose)) != 0;
        if (checked && !sound(here, id, packets.header[i])) {
            drops.drop(packets.packets[i], reason);
            continue;
        }
        packets.packets[kept] = packets.packets[i];
        packets.header[kept] = packets.header[i];
        packets.bytes[kept] = packets.bytes[i];
        ++kept;
    }
    packets.count = static_cast<std::uint16_t>(kept);
}

} // namespace

void check_sources(
    const link_table& links, const route_replica& routes, ether_sorted& frames, drop_sink& drops) {
    const auto sound4 = [&](const iface& here, iface_id id, const std::uint8_t* header) {
        return is_sound4(routes, here, id, header);
    };
    const auto sound6 = [&](const iface& here, iface_id id, const std::uint8_t* header) {
        return is_sound6(routes, here, id, header);
    };
    filter(links, frames.ip4, drops, drop_reason::ip4_reverse_path, sound4);
    filter(links, frames.ip4_single, drops, drop_reason::ip4_reverse_path, sound4);
    filter(links, frames.ip6, drops, drop_reason::ip6_reverse_path, sound6);
    filter(links, frames.ip6_single, drops, drop_reason::ip6_reverse_path, sound6);
}

} // namespace pantala
