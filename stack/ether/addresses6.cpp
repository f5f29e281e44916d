#include "stack/ether/addresses6.hpp"

#include "stack/route/prefix6.hpp"

#include <algorithm>
#include <bit>

namespace pantala {
namespace {

using wire::ipv6_address;

// Labels of the default policy table (RFC 6724 2.1), for the prefixes that differ in them.
unsigned label_of(const ipv6_address& address) {
    const std::uint64_t high = address.high();
    if (address.is_loopback()) {
        return 0;
    }
    if (address.is_v4_mapped()) {
        return 4;
    }
    if (high >> 48 == 0x2002) {
        return 2;
    }
    if (high >> 32 == 0x2001'0000) {
        return 5;
    }
    if (address.is_unique_local()) {
        return 13;
    }
    return 1;
}

// Leading bits that two addresses share, within the prefix of the first (RFC 6724 2.2).
unsigned common_prefix(const iface_address6& mine, const ipv6_address& other) {
    const ipv6_address address = address_of(mine);
    const std::uint64_t high = address.high() ^ other.high();
    const std::uint64_t low = address.low() ^ other.low();
    const auto bits =
        static_cast<unsigned>(high != 0 ? std::countl_zero(high) : 64 + std::countl_zero(low));
    return std::min<unsigned>(bits, mine.prefix_length);
}

struct candidate {
    const iface_address6* record;
    bool outgoing; // of the interface that the packet leaves by
};

// Is `a` a better source than `b` (RFC 6724 5)? Rules 4, 5.5 and 7 do not apply here: no mobile
// addresses, no memory of routers, no temporary addresses.
bool better(const candidate& a, const candidate& b, const ipv6_address& destination) {
    const ipv6_address left = address_of(*a.record);
    const ipv6_address right = address_of(*b.record);
    if (left == destination || right == destination) { // rule 1
        return left == destination;
    }
    if (const auto l = scope_of(left), r = scope_of(right); l != r) { // rule 2
        return l < r ? l >= scope_of(destination) : r < scope_of(destination);
    }
    const auto avoided = [](const iface_address6& one) { // rule 3, RFC 4429 3.1
        return (one.flags & address_deprecated) != 0 || address_on_trust(one.flags);
    };
    if (avoided(*a.record) != avoided(*b.record)) {
        return avoided(*b.record);
    }
    if (a.outgoing != b.outgoing) { // rule 5
        return a.outgoing;
    }
    const bool left_label = label_of(left) == label_of(destination); // rule 6
    const bool right_label = label_of(right) == label_of(destination);
    if (left_label != right_label) {
        return left_label;
    }
    return common_prefix(*a.record, destination) > common_prefix(*b.record, destination); // rule 8
}

} // namespace

const iface_address6* find_address(const iface& here, const ipv6_address& address) {
    for (const iface_address6& mine : here.ip6()) {
        if (mine.address == address.bytes) {
            return &mine;
        }
    }
    return nullptr;
}

std::optional<iface_id>
owner_of(const link_table& links, const ipv6_address& address, unsigned table) {
    for (unsigned id = 0; id < links.end(); ++id) {
        const iface_id here{static_cast<std::uint16_t>(id)};
        const bool there = links.valid(here) && links[here].table == table;
        const iface_address6* mine = there ? find_address(links[here], address) : nullptr;
        if (mine != nullptr && is_usable(*mine)) {
            return here;
        }
    }
    return std::nullopt;
}

std::optional<ipv6_address> router_anycast(const iface& here, const iface_address6& mine) {
    const ipv6_address own = address_of(mine);
    const address6 first = make_prefix6({own.high(), own.low()}, mine.prefix_length).address;
    const auto anycast = ipv6_address::from_halves(first.high, first.low);
    if (!is_usable(mine) || mine.is_link_local() || mine.prefix_length >= 127 || anycast == own ||
        (here.duties & iface_accept_ra) != 0) {
        return std::nullopt;
    }
    return anycast;
}

const iface_address6* find_router_anycast(const iface& here, const ipv6_address& anycast) {
    const auto all = here.ip6();
    const auto at = std::ranges::find_if(
        all, [&](const iface_address6& mine) { return router_anycast(here, mine) == anycast; });
    return at != all.end() ? &*at : nullptr;
}

bool has_joined(const iface& here, const ipv6_address& group) {
    if (group == wire::ipv6_all_nodes || group == wire::ipv6_all_routers) {
        return true;
    }
    return std::ranges::any_of(here.ip6(), [&](const iface_address6& mine) {
        const auto anycast = router_anycast(here, mine);
        return wire::solicited_node(address_of(mine)) == group ||
               (anycast && wire::solicited_node(*anycast) == group);
    });
}

bool is_on_link(const iface& here, const ipv6_address& address) {
    return address.is_link_local() || here.on_link(address.bytes) != nullptr;
}

std::optional<ipv6_address>
select_source(const link_table& links, iface_id out, const ipv6_address& destination) {
    candidate best{nullptr, false};
    for (unsigned id = 0; id < links.end(); ++id) {
        const iface_id here{static_cast<std::uint16_t>(id)};
        if (!links.valid(here) || links[here].table != links[out].table) {
            continue;
        }
        for (const iface_address6& mine : links[here].ip6()) {
            // A link-local address means nothing on another link.
            if (!is_usable(mine) || (here != out && mine.is_link_local())) {
                continue;
            }
            const candidate next{&mine, here == out};
            if (best.record == nullptr || better(next, best, destination)) {
                best = next;
            }
        }
    }
    if (best.record == nullptr) {
        return std::nullopt;
    }
    const bool reaches = scope_of(address_of(*best.record)) >= wire::ipv6_scope::global ||
                         scope_of(destination) <= wire::ipv6_scope::link;
    return reaches ? std::optional(address_of(*best.record)) : std::nullopt;
}

} // namespace pantala
