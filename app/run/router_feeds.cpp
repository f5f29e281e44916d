// Many routes over few gateways: table files, feeds, churn.
#include "app/monitor/router_watch.hpp"
#include "app/next_hop_rule.hpp"
#include "app/run/router.hpp"
#include "stack/route/feed/prefix_file.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace pantala::app {

template <class Key, class Known>
result<nexthop_id> router::keep_hop(const Key& key, const route_target& target, Known& known) {
    const auto found = known.find(key);
    auto hop =
        found != known.end() ? result<nexthop_id>(found->second) : rib_->hop(std::span(&target, 1));
    if (hop && found == known.end()) {
        known.emplace(key, *hop);
    }
    if (hop && !rib_->live(*hop)) { // as rib::add has it
        return error{
            ENETUNREACH,
            fmt::format(
                "no way to the gateway {}: add a route to it, or set its interface up",
                target.gateway6 ? format_address6(*target.gateway6) : format_ip4(target.gateway))};
    }
    return hop;
}

result<nexthop_id> router::feed_hop(std::uint32_t gateway) {
    return keep_hop(gateway, {.gateway = gateway}, feed_hops_);
}
result<nexthop_id> router::feed_hop(const address6& gateway) {
    return keep_hop(gateway, {.gateway6 = gateway}, feed_hops6_);
}

result<void> router::announce(const prefix4& to, std::uint32_t gateway, route_protocol protocol) {
    const auto hop = feed_hop(gateway);
    return hop ? watched_change(
                     to,
                     [&] {
                         return rib_->announce(feed_route{to, *hop}, protocol);
                     })
               : result<void>(hop.failure());
}
result<void> router::announce(const prefix6& to, const address6& gateway, route_protocol protocol) {
    const auto hop = feed_hop(gateway);
    return hop ? watched_change(
                     to,
                     [&] {
                         return rib_->announce(feed_route6{to, *hop}, protocol);
                     })
               : result<void>(hop.failure());
}

result<void> router::flush(route_protocol protocol, std::size_t& deleted) {
    if (auto done = rib_->flush(protocol, deleted); !done) {
        return done;
    }
    changes_.tell("route", "flush", {{"protocol", protocol_word(protocol)}, {"deleted", deleted}});
    return {};
}

void router::look_for_changes() {
    changes_.compare("link", list_links());
    changes_.compare("addr", list_addrs());
    changes_.compare("neigh", list_neighs());
}

namespace {

struct hop_choice {
    std::span<const std::uint32_t> via4;
    std::span<const address6> via6;
    bool own; // the file's gateways count

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
    router& of, const Table& table, const hop_choice& choice, bool may_pass,
    std::uint64_t& passed) {
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
        auto hop = of.feed_hop(gateway);
        if (!hop) {
            return hop.failure();
        }
        routes.push_back({prefix_of(one), *hop});
    }
    return routes;
}

} // namespace

result<load_counts> router::load(const table_contents& table, const load_change& how) {
    const bool any = !how.via.empty() || !how.via6.empty();
    const hop_choice choice{how.via, how.via6, !(table.from_mrt && any)};
    load_counts counts;
    const auto four = feed_of<feed_route>(
        *this, table.routes, choice, any && how.via.empty(), counts.passed_over);
    if (!four) {
        return four.failure();
    }
    const auto six = feed_of<feed_route6>(
        *this, table.routes6, choice, any && how.via6.empty(), counts.passed_over);
    if (!six) {
        return six.failure();
    }
    const std::size_t before = rib_->counts().routes4;
    auto loaded = rib_->load(std::span<const feed_route>(*four));
    loaded = loaded ? rib_->load(std::span<const feed_route6>(*six)) : loaded;
    if (!loaded) {
        return loaded.failure();
    }
    rule_gateways_ = how.via;
    loaded_ += rib_->counts().routes4 - before;
    counts.routes4 = four->size();
    counts.routes6 = six->size();
    changes_.tell("route", "load", {{"routes", counts.routes4}, {"ip6_routes", counts.routes6}});
    return counts;
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
    const auto gateways = static_cast<unsigned>(rule_gateways_.size());
    std::vector<churn::member> members;
    result<void> good;
    for (std::optional<prefix4> from = prefix4{}; from && good;) {
        from = rib_->visit(0, *from, 65536, [&](const route& one) {
            if (!good || one.protocol != route_protocol::bgp) {
                return;
            }
            const ip4_prefix prefix{one.prefix.address, one.prefix.length};
            auto usual = feed_hop(rule_gateways_[skewed_choice(prefix, gateways)]);
            auto other = feed_hop(rule_gateways_[skewed_choice(prefix, gateways, seed)]);
            if (!usual || !other) {
                good = usual ? other.failure() : usual.failure();
            } else if (*usual != *other) {
                members.push_back({one.prefix, *usual, *other});
            }
        });
    }
    if (!good) {
        return good;
    }
    if (members.empty()) {
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
            churn_.reset();
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
