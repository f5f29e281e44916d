// Where the generated packets go: one destination a flow, drawn from a table. The generator and the
// sink make the same set from the same options, each by itself.
#pragma once

#include "app/gen/table/slow_table.hpp"
#include "stack/wire/address.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace pantala::app {

inline constexpr unsigned gateways_max = 250;

struct flow_request {
    std::string table;          // CIDR list; empty: only `to`
    std::uint64_t limit = 0;    // of the table's prefixes; 0: all
    std::vector<ip4_prefix> to; // instead of a table
    std::uint32_t flows = 1000000;
    std::uint64_t seed = 1;
    unsigned gateways = 0;        // >0: the sink expects the rule's gateway for each
    std::uint64_t churn_seed = 0; // not 0: a prefix's gateway may also be the one by this seed
};

struct flow {
    std::uint32_t destination = 0; // host byte order
    std::uint32_t last = 0;        // sink: sequence number seen last, of `stream`
    std::uint8_t gateway = 0;      // the slow table's answer; `flow_any`: not judged
    std::uint8_t other = 0;        // also right while routes change; else the same
    std::uint8_t stream = 0;
};
inline constexpr std::uint8_t flow_any = 0xff;
static_assert(sizeof(flow) == 12);

struct flow_set {
    std::vector<flow> flows;
    slow_table table;         // value: gateway by the rule
    std::size_t prefixes = 0; // that the destinations were drawn from
};

// `watch` may end it: EINTR.
result<flow_set> make_flows(const flow_request& request, const setup_watch& watch = {});

} // namespace pantala::app
