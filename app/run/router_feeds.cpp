// Many routes over few gateways: table files, feeds, churn.
#include "app/monitor/router_watch.hpp"
#include "app/next_hop_rule.hpp"
#include "app/run/router.hpp"
#include "stack/route/feed/prefix_file.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace pantala::app {

namespace {

// Gives back what routes no longer have where the next one finds no room.
template <class Gateway>
result<nexthop_id> feed_hop_of(feed_hops& from, rib& of, const Gateway& gateway, unsigned slot) {
    from.tidy(of);
    auto hop = from.hop(of, gateway, slot);
    if (!hop && hop.failure().code == ENOSPC) {
        from.tidy(of, true);
        hop = from.hop(of, gateway, slot);
    }
    return hop;
}

} // namespace

result<void> router::announce(const prefix4& to, std::uint32_t gateway, const feed_place& in) {
    const auto hop = feed_hop_of(feed_hops_, *rib_, gateway, in.slot);
    const auto make = [&] { return rib_->announce(feed_route{to, *hop}, in.protocol, in.slot); };
    return hop ? watched_change(in.slot, to, make) : result<void>(hop.failure());
}
result<void> router::announce(const prefix6& to, const address6& gateway, const feed_place& in) {
    const auto hop = feed_hop_of(feed_hops_, *rib_, gateway, in.slot);
    const auto make = [&] { return rib_->announce(feed_route6{to, *hop}, in.protocol, in.slot); };
    return hop ? watched_change(in.slot, to, make) : result<void>(hop.failure());
}

result<void> router::flush(const feed_place& from, std::size_t& deleted) {
    std::size_t gone = 0;
    if (changes_.watched()) {
        changes_.compare_aside(list_aside()); // what came about before
    }
    const auto done = rib_->flush(from.protocol, gone, from.slot);
    if (changes_.watched()) {
        changes_.learn_aside(list_aside());
    }
    deleted += gone;
    if (!done) {
        return done;
    }
    json event = {{"protocol", protocol_word(from.protocol)}, {"deleted", gone}};
    if (from.slot != 0) {
        event["table"] = tables_.number_at(from.slot);
    }
    changes_.tell("route", "flush", std::move(event));
    feed_hops_.tidy(*rib_, true);
    return {};
}

void router::look_for_changes() {
    changes_.compare("link", list_links());
    changes_.compare("addr", list_addrs());
    if (const auto neighs = list_neighs(); neighs) {
        changes_.compare("neigh", *neighs);
    }
    changes_.compare_aside(list_aside());
}

namespace {

struct hop_choice {
    std::span<const std::uint32_t> via4;
    std::span<const address6> via6;
    bool own; // the file's gateways count
    unsigned slot;

    std::uint32_t of(const table_route& one) const {
        if (one.via != 0 && own) {
            return one.via;
        }
        return via4.empty() ? 0 : via4[skewed_choice(one.to, static_cast<unsigned>(via4.size()))];
    }
    address6 of(const table_route6& one) const {
        if (one.via != address6{} && own) {
            return one.via;
        }
        return via6.empty() ? address6{}
                            : via6[hop_by_rule(one.to, static_cast<unsigned>(via6.size()))];
    }
};

prefix4 prefix_of(const table_route& one) {
    return {one.to.address, one.to.length};
}
prefix6 prefix_of(const table_route6& one) {
    return one.to;
}

// A family's routes with their hops; what has no gateway is counted where `may_pass`.
template <class Feed, class Table>
result<std::vector<Feed>> feed_of(
    const std::function<result<nexthop_id>(decltype(Table::value_type::via))>& hop_of,
    const Table& table, const hop_choice& choice, bool may_pass, std::uint64_t& passed) {
    std::vector<Feed> routes;
    routes.reserve(table.size());
    for (const auto& one : table) {
        const auto gateway = choice.of(one);
        if (gateway == decltype(gateway){} && !may_pass) {
            return error{
                EINVAL, fmt::format(
                            "{} has no gateway of its own; say 'via GATEWAY', "
                            "once or several times",
                            format(prefix_of(one)))};
        }
        if (gateway == decltype(gateway){}) {
            ++passed;
            continue;
        }
        auto hop = hop_of(gateway);
        if (!hop) {
            return hop.failure();
        }
        routes.push_back({prefix_of(one), *hop});
    }
    return routes;
}

} // namespace

// What was asked for and no route has in the end is given back.
result<load_counts> router::load(const table_contents& table, const load_change& how) {
    const auto slot = table_for(how.table);
    if (!slot) {
        return slot.failure();
    }
    feed_hops_.tidy(*rib_);
    auto counts = load_into(*slot, table, how);
    if (!counts) {
        feed_hops_.tidy(*rib_, true);
    }
    return counts;
}

result<load_counts>
router::load_into(unsigned slot, const table_contents& table, const load_change& how) {
    const bool any = !how.via.empty() || !how.via6.empty();
    const hop_choice choice{how.via, how.via6, !(table.from_mrt && any), slot};
    const auto hop_of = [&](const auto& gateway) { return feed_hops_.hop(*rib_, gateway, slot); };
    load_counts counts;
    const auto four = feed_of<feed_route>(
        hop_of, table.routes, choice, any && how.via.empty(), counts.passed_over);
    if (!four) {
        return four.failure();
    }
    const auto six = feed_of<feed_route6>(
        hop_of, table.routes6, choice, any && how.via6.empty(), counts.passed_over);
    if (!six) {
        return six.failure();
    }
    const std::size_t before = rib_->counts().routes4;
    constexpr route_protocol protocol = route_protocol::bgp;
    auto loaded = rib_->load(std::span<const feed_route>(*four), protocol, slot);
    loaded = loaded ? rib_->load(std::span<const feed_route6>(*six), protocol, slot) : loaded;
    if (!loaded) {
        return loaded.failure();
    }
    counts.routes4 = four->size();
    counts.routes6 = six->size();
    json event = {{"routes", counts.routes4}, {"ip6_routes", counts.routes6}};
    if (slot == 0) { // what may churn
        rule_gateways_ = how.via;
        loaded_ += rib_->counts().routes4 - before;
    } else {
        event["table"] = tables_.number_at(slot);
    }
    changes_.tell("route", "load", std::move(event));
    return counts;
}

// Those of the rule's gateways, for as long as there is churn: routes leave them and come back.
result<void> router::take_churn_hops() {
    for (const std::uint32_t gateway : rule_gateways_) {
        const route_target target{.gateway = gateway};
        result<nexthop_id> hop = rib_->hop(std::span(&target, 1));
        if (hop) {
            churn_hops_.push_back(*hop);
        }
        if (!hop || !rib_->live(*hop)) {
            end_churn();
            return hop ? error{ENETUNREACH, fmt::format("no way to the gateway {}: set its interface up", format_ip4(gateway))}
                       : hop.failure();
        }
    }
    return {};
}

void router::end_churn() {
    churn_.reset();
    for (const nexthop_id hop : churn_hops_) {
        rib_->release(hop);
    }
    churn_hops_.clear();
}

result<void> router::start_churn(std::uint64_t rate, std::uint64_t seed, const std::string& spare) {
    if (churn_) {
        return error{EBUSY, "routes are churning already"};
    }
    std::optional<iface_id> flapping;
    if (!spare.empty()) {
        auto found = links_.find(spare);
        if (!found) {
            return found.failure();
        }
        flapping = found->id;
    }
    if (rule_gateways_.empty()) {
        return error{ENOENT, "no routes to churn: load a table over several gateways first"};
    }
    if (auto taken = take_churn_hops(); !taken) {
        return taken;
    }
    const auto gateways = static_cast<unsigned>(churn_hops_.size());
    std::vector<churn::member> members;
    for (std::optional<prefix4> from = prefix4{}; from;) {
        from = rib_->visit(0, *from, 65536, [&](const route& one) {
            if (one.protocol != route_protocol::bgp) {
                return;
            }
            const ip4_prefix prefix{one.prefix.address, one.prefix.length};
            const nexthop_id usual = churn_hops_[skewed_choice(prefix, gateways)];
            const nexthop_id other = churn_hops_[skewed_choice(prefix, gateways, seed)];
            if (usual != other) {
                members.push_back({one.prefix, usual, other});
            }
        });
    }
    if (members.empty()) {
        end_churn();
        return error{ENOENT, "no routes to churn: load a table over several gateways first"};
    }
    for (churn::member& one : members) {
        const bool short_enough = one.prefix.length < 24 ||
                                  (one.prefix.length < 32 && mix64(one.prefix.address) % 64 == 0);
        const prefix4 half{one.prefix.address, static_cast<std::uint8_t>(one.prefix.length + 1)};
        one.may_halve = short_enough && rib_->find(half).empty();
    }
    // Neighbours in the table do not change one after another.
    std::sort(members.begin(), members.end(), [](const auto& a, const auto& b) {
        return mix64(a.prefix.address) < mix64(b.prefix.address);
    });
    churn_failure_.clear();
    restoring_ = false;
    churn_.emplace(*rib_, std::move(members), rate, flapping);
    return {};
}

std::optional<json> router::stop_churn() {
    if (!churn_) {
        return std::nullopt;
    }
    restoring_ = true;
    json report = churn_->report();
    if (!churn_failure_.empty()) {
        report["failure"] = churn_failure_;
    }
    return report;
}

// True: there is more to do soon.
bool router::turn_churn() {
    if (!churn_) {
        return false;
    }
    if (restoring_) {
        auto done = churn_->restore();
        if (!done || *done) {
            end_churn();
        }
        return churning();
    }
    if (churn_failure_.empty()) {
        if (auto done = churn_->turn(); !done) {
            churn_failure_ = done.failure().text;
        }
    }
    return true;
}

} // namespace pantala::app
