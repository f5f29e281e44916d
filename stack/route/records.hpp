// The small tables of a replica: next hops, group buckets, interfaces. Control's master and every
// worker have one each; they are alike at the same generation. About 1.2 MiB of address space, of
// which only what is used is ever touched.
#pragma once

#include "stack/route/interface.hpp"
#include "stack/route/nexthop.hpp"

#include <array>
#include <cstdint>

namespace pantala {

struct route_records {
    std::array<nexthop, nexthops_max> hops{};
    std::array<nexthop_id, group_buckets_max> buckets{};
    std::array<iface, ifaces_max> ifaces{};

    bool operator==(const route_records&) const = default;
    // Equal for equal records.
    std::uint64_t hash() const;
};

} // namespace pantala
