#include "stack/route/records.hpp"

#include <span>

namespace pantala {

namespace {

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
    return hash ^ hash >> 32;
}

std::uint64_t mix_bytes(std::uint64_t hash, std::span<const std::uint8_t> bytes) {
    for (const std::uint8_t byte : bytes) {
        hash = mix(hash, byte);
    }
    return hash;
}

std::uint64_t mix_iface(std::uint64_t hash, const iface& record) {
    hash = mix(hash, record.port.value | std::uint64_t{record.vlan} << 16);
    hash =
        mix(hash, record.mtu | std::uint64_t{record.up} << 16 | std::uint64_t{record.table} << 24 |
                      std::uint64_t{record.mtu6} << 32);
    hash = mix_bytes(hash, record.mac);
    hash =
        mix(hash, record.duties | std::uint64_t{record.ra_interval_s} << 8 |
                      std::uint64_t{record.ra_lifetime_s} << 24);
    for (const iface_address4& address : record.ip4()) {
        hash =
            mix(hash, address.address.raw() | std::uint64_t{address.prefix_length} << 32 |
                          std::uint64_t{address.flags} << 40);
    }
    for (const iface_address6& address : record.ip6()) {
        hash =
            mix(mix_bytes(hash, address.address),
                address.prefix_length | std::uint64_t{address.flags} << 8);
    }
    return hash;
}

} // namespace

std::uint64_t route_records::hash() const {
    std::uint64_t hash = 0;
    for (const nexthop& hop : hops) {
        hash =
            mix(hash, static_cast<std::uint64_t>(hop.kind) | std::uint64_t{hop.iface.value} << 8);
        hash = mix(hash, hop.gateway4.raw() | std::uint64_t{hop.mtu} << 32);
        hash = mix(hash, hop.group_first | std::uint64_t{hop.group_count} << 16);
        hash = hop.via6 ? mix_bytes(hash, hop.gateway6) : hash;
    }
    for (const nexthop_id member : buckets) {
        hash = mix(hash, member.value);
    }
    for (const iface& record : ifaces) {
        hash = record.present ? mix_iface(hash, record) : mix(hash, 0);
    }
    return hash;
}

} // namespace pantala
