// Addresses of the RIB's interfaces.
#include "stack/route/rib/rib_state.hpp"

#include <algorithm>

namespace pantala {

namespace {

// The address at `at` and its routes are the interface's no more.
template <class Address>
void drop_address(rib_state& state, iface_id id, Address* all, std::uint8_t& count, Address* at) {
    const Address gone = *at;
    std::move(at + 1, all + count, at);
    all[--count] = {};
    state.write_iface(id);
    const iface& record = state.records->ifaces[id.value];
    for (const auto& own : rib_state::routes_of(gone, record.up)) {
        if (!state.still_owned(id, own)) {
            state.del_own(record.table, id, own);
        }
    }
}

// Puts the address behind the others, with its routes; all of it or nothing.
template <class Prefix, class Address>
result<void>
put_address(rib_state& state, iface_id id, Address* all, std::uint8_t& count, const Address& made) {
    const iface& record = state.records->ifaces[id.value];
    result<rib_table<Prefix>*> in = state.table<Prefix>(record.table);
    if (!in) {
        return in.failure();
    }
    rib_state::taken_routes<Prefix> taken;
    const auto routes = rib_state::routes_of(made, record.up);
    if (auto done = state.take_own(record.table, id, routes, taken); !done) {
        return done;
    }
    all[count++] = made;
    state.write_iface(id);
    for (const auto& each : taken) {
        state.put_own(record.table, each.prefix, each.hop);
    }
    return {};
}

// A station's own address: neither "this network", loopback, multicast nor reserved, nor the first
// and last of its link (RFC 1122 3.2.1.3), which a link of two has as stations (RFC 3021).
bool may_be_ours(std::uint32_t address, unsigned prefix_length) {
    const std::uint32_t first = address >> 24;
    if (prefix_length == 0 || prefix_length > 32 || first == 0 || first == 127 || first >= 224) {
        return false;
    }
    const prefix4 link = make_prefix4(address, prefix_length);
    return prefix_length >= 31 || (address != link.address && address != link.last());
}

} // namespace

result<void>
rib_state::may_have(const iface& of, unsigned number, const iface_address4& made) const {
    const std::uint32_t host = made.address.host();
    for (const iface& other : records->ifaces) {
        for (const iface_address4& taken : other.ip4()) {
            if (other.table == number && taken.address == made.address) {
                return error{EEXIST, format_address4(host) + " is an address of ours already"};
            }
            if (&other != &of && other.table == number && made.prefix_length < 32 &&
                taken.prefix_length == made.prefix_length && taken.on_link(made.address)) {
                return error{
                    EEXIST, "another interface is on the link " +
                                format(make_prefix4(host, made.prefix_length))};
            }
        }
    }
    return {};
}

result<void>
rib::add_address(iface_id id, std::uint32_t address, unsigned prefix_length, std::uint8_t flags) {
    result<iface*> found = state_->iface_at(id);
    if (!found) {
        return found.failure();
    }
    iface& record = **found;
    if (!may_be_ours(address, prefix_length)) {
        return error{
            EINVAL, format_address4(address) + "/" + std::to_string(prefix_length) +
                        " is not an address an interface can have"};
    }
    const iface_address4 made{be32::from(address), static_cast<std::uint8_t>(prefix_length), flags};
    if (result<void> free = state_->may_have(record, record.table, made); !free) {
        return free;
    }
    if (record.address4_count == iface_addresses_max) {
        return error{ENOSPC, "an interface has at most 8 IPv4 addresses"};
    }
    return put_address<prefix4>(*state_, id, record.addresses4.data(), record.address4_count, made);
}

result<void> rib::del_address(iface_id id, std::uint32_t address, unsigned prefix_length) {
    result<iface*> found = state_->iface_at(id);
    if (!found) {
        return found.failure();
    }
    iface& record = **found;
    auto* const end = record.addresses4.begin() + record.address4_count;
    auto* const at = std::find_if(record.addresses4.begin(), end, [&](const iface_address4& each) {
        return each.address == be32::from(address) && each.prefix_length == prefix_length;
    });
    if (at == end) {
        return error{
            EADDRNOTAVAIL, "the interface does not have " + format_address4(address) + "/" +
                               std::to_string(prefix_length)};
    }
    drop_address(*state_, id, record.addresses4.data(), record.address4_count, at);
    return {};
}

// --- IPv6 ---

namespace {

std::string text_of(const address6& address, unsigned prefix_length) {
    return format_address6(address) + "/" + std::to_string(prefix_length);
}

// Not unspecified, loopback or multicast (RFC 4291 2.5, 2.7).
bool may_be_ours(const address6& address) {
    return (address.high != 0 || address.low > 1) && address.high >> 56 != 0xff;
}

iface_address6* find_address(iface& record, const address6& address) {
    auto* const end = record.addresses6.begin() + record.address6_count;
    auto* const at = std::find_if(record.addresses6.begin(), end, [&](const auto& each) {
        return address6::from_bytes(each.address) == address;
    });
    return at == end ? nullptr : at;
}

} // namespace

// Link-local ones are each link's own affair.
result<void>
rib_state::may_have(const iface& of, unsigned number, const iface_address6& made) const {
    const bool taken = std::ranges::any_of(records->ifaces, [&](const iface& other) {
        if (other.table != number || (made.is_link_local() && &other != &of)) {
            return false;
        }
        return std::ranges::any_of(
            other.ip6(), [&](const auto& each) { return each.address == made.address; });
    });
    return taken
               ? error{EEXIST, format_address6(address6::from_bytes(made.address)) + " is an address of ours already"}
               : result<void>{};
}

result<void> rib_state::may_join(const iface& of, unsigned number) const {
    if (number >= tables_max) {
        return error{EINVAL, "tables are numbered 0 to 63"};
    }
    for (const iface_address4& mine : of.ip4()) {
        if (result<void> free = may_have(of, number, mine); !free) {
            return free;
        }
    }
    for (const iface_address6& mine : of.ip6()) {
        if (result<void> free = may_have(of, number, mine); !free) {
            return free;
        }
    }
    return {};
}

result<void>
rib::add_address(iface_id id, const address6& address, unsigned prefix_length, std::uint8_t flags) {
    result<iface*> found = state_->iface_at(id);
    if (!found) {
        return found.failure();
    }
    iface& record = **found;
    if (prefix_length == 0 || prefix_length > 128 || !may_be_ours(address)) {
        return error{
            EINVAL, text_of(address, prefix_length) + " is not an address an interface can have"};
    }
    if (record.mtu < mtu6_min) {
        return error{
            EINVAL, text_of(address, prefix_length) +
                        ": IPv6 goes over no link of less than 1280 bytes (RFC 8200 5): the MTU of "
                        "the interface is " +
                        std::to_string(record.mtu)};
    }
    const iface_address6 made{address.bytes(), static_cast<std::uint8_t>(prefix_length), flags};
    if (result<void> free = state_->may_have(record, record.table, made); !free) {
        return free;
    }
    if (record.address6_count == iface_addresses_max) {
        return error{ENOSPC, "an interface has at most 8 IPv6 addresses"};
    }
    return put_address<prefix6>(*state_, id, record.addresses6.data(), record.address6_count, made);
}

result<void> rib::del_address(iface_id id, const address6& address, unsigned prefix_length) {
    result<iface*> found = state_->iface_at(id);
    if (!found) {
        return found.failure();
    }
    iface& record = **found;
    iface_address6* const at = find_address(record, address);
    if (at == nullptr || at->prefix_length != prefix_length) {
        return error{
            EADDRNOTAVAIL, "the interface does not have " + text_of(address, prefix_length)};
    }
    drop_address(*state_, id, record.addresses6.data(), record.address6_count, at);
    return {};
}

result<void> rib::set_address_flags(iface_id id, const address6& address, std::uint8_t flags) {
    result<iface*> found = state_->iface_at(id);
    if (!found) {
        return found.failure();
    }
    iface_address6* const at = find_address(**found, address);
    if (at == nullptr) {
        return error{EADDRNOTAVAIL, "the interface does not have " + format_address6(address)};
    }
    return state_->set_flags(id, *at, flags);
}

result<void> rib::set_address_flags(iface_id id, std::uint32_t address, std::uint8_t flags) {
    result<iface*> found = state_->iface_at(id);
    if (!found) {
        return found.failure();
    }
    iface& record = **found;
    auto* const end = record.addresses4.begin() + record.address4_count;
    auto* const at = std::find_if(record.addresses4.begin(), end, [&](const iface_address4& each) {
        return each.address == be32::from(address);
    });
    if (at == end) {
        return error{EADDRNOTAVAIL, "the interface does not have " + format_address4(address)};
    }
    return state_->set_flags(id, *at, flags);
}

} // namespace pantala
