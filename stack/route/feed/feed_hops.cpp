#include "stack/route/feed/feed_hops.hpp"

namespace pantala {

template <class Key, class Known>
result<nexthop_id>
feed_hops::find(rib& of, const Key& key, const route_target& target, unsigned table, Known& known) {
    const auto found = known.find(key);
    const bool is_new = found == known.end();
    result<nexthop_id> hop =
        is_new ? of.hop(std::span(&target, 1), 0, table) : result<nexthop_id>(found->second);
    if (!hop) {
        return hop;
    }
    if (!of.live(*hop)) { // as rib::add has it
        of.release(*hop);
        if (!is_new) {
            known.erase(found);
        }
        return error{
            ENETUNREACH, "no way to the gateway " +
                             (target.gateway6 ? format_address6(*target.gateway6)
                                              : format_address4(target.gateway)) +
                             ": add a route to it, or set its interface up"};
    }
    if (is_new) {
        known.emplace(key, *hop);
    }
    return hop;
}

result<nexthop_id> feed_hops::hop(rib& of, std::uint32_t gateway, unsigned table) {
    return find(of, std::uint64_t{table} << 32 | gateway, {.gateway = gateway}, table, hops4_);
}

result<nexthop_id> feed_hops::hop(rib& of, const address6& gateway, unsigned table) {
    return find(of, std::pair(table, gateway), {.gateway6 = gateway}, table, hops6_);
}

void feed_hops::tidy(rib& of, bool all) {
    if (!all && size() < left_ + idle_max) {
        return;
    }
    const auto give_back = [&of](const auto& each) {
        const bool idle = of.idle(each.second);
        if (idle) {
            of.release(each.second);
        }
        return idle;
    };
    std::erase_if(hops4_, give_back);
    std::erase_if(hops6_, give_back);
    left_ = size();
}

} // namespace pantala
