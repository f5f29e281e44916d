#include "app/gen/table/flows.hpp"

#include "app/next_hop_rule.hpp"

#include <fmt/format.h>

namespace pantala::app {

namespace {

// Longest-prefix match by two rules at once: the value is both choices.
std::uint16_t both_choices(ip4_prefix prefix, const flow_request& request) {
    const unsigned first = skewed_choice(prefix, request.gateways);
    const unsigned second = request.churn_seed == 0
                                ? first
                                : skewed_choice(prefix, request.gateways, request.churn_seed);
    return static_cast<std::uint16_t>(first << 8 | second);
}

bool go_on(const setup_watch& watch, const char* what, std::size_t done, std::size_t of) {
    return !watch || done % watch_every != 0 || watch(what, done, of);
}

} // namespace

result<flow_set> make_flows(const flow_request& request, const setup_watch& watch) {
    flow_set set;
    std::vector<ip4_prefix> prefixes = request.to;
    if (!request.table.empty()) {
        auto read = read_prefix_list(request.table, request.limit, watch);
        if (!read) {
            return read.failure();
        }
        prefixes = std::move(*read);
    }
    if (prefixes.empty() || request.flows == 0) {
        return error{EINVAL, "no destinations: give a --table that has IPv4 prefixes, or --to"};
    }
    if (request.gateways > gateways_max) {
        return error{EINVAL, fmt::format("at most {} gateways", gateways_max)};
    }
    set.prefixes = prefixes.size();
    for (std::size_t i = 0; request.gateways > 0 && i < prefixes.size(); ++i) {
        if (!go_on(watch, "making the sink's own table", i, prefixes.size())) {
            return error{EINTR, "interrupted"};
        }
        set.table.add(prefixes[i], both_choices(prefixes[i], request));
    }
    set.flows.resize(request.flows);
    std::uint64_t random = mix64(request.seed);
    std::size_t drawn = 0;
    for (flow& one : set.flows) {
        if (!go_on(watch, "drawing destinations", drawn++, set.flows.size())) {
            return error{EINTR, "interrupted"};
        }
        random = mix64(random);
        const ip4_prefix& prefix = prefixes[(random >> 32) * prefixes.size() >> 32];
        one.destination =
            prefix.address | (static_cast<std::uint32_t>(random) & ~prefix_mask(prefix.length));
        const std::uint16_t choices =
            request.gateways > 0 ? set.table.lookup(one.destination) : slow_table::no_route;
        one.gateway = static_cast<std::uint8_t>(choices >> 8);
        one.other = static_cast<std::uint8_t>(choices);
    }
    return set;
}

} // namespace pantala::app
