#pragma once

#include "bench/fib/data.hpp"
#include "stack/route/rib.hpp"

#include <rte_fib.h>

namespace pantala::bench {

// The full table in a RIB and one replica, made on first use.
struct pantala4 {
    route_log log;
    std::unique_ptr<rib> control;
    std::unique_ptr<route_replica> replica;
    std::vector<std::uint16_t> hop_of_id; // nexthop_id to the table's next hop
};
pantala4& pantala4_of(fib_data& data);

struct fib_variant {
    const char* name;
    rte_fib_lookup_type type;
    unsigned burst;
};

void register_lookup4(fib_data& data);
void register_flow_cache(fib_data& data);
void register_lookup6(fib_data& data);
void register_update4(fib_data& data);

} // namespace pantala::bench
