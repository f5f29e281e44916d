#include "stack/ether/nd/autoconf.hpp"

#include "stack/ether/duties/control_context.hpp"
#include "stack/wire/ipv6.hpp"

#include <algorithm>

namespace pantala {

void router_report_handler(netmsg& message, netmsg_endpoint& here) {
    if (autoconf* automatic = here.context<control_context>().automatic; automatic != nullptr) {
        automatic->heard(static_cast<const router_report&>(message));
    }
    here.reply(message);
}

void router_report_replied(netmsg& message, netmsg_endpoint&) {
    auto& report = static_cast<router_report&>(message);
    report.home->put(report);
}

void router_check_replied(netmsg& message, netmsg_endpoint&) {
    auto& check = static_cast<router_check&>(message);
    check.from->checked(check);
}

namespace {

route6 link_route(iface_id id, const prefix6& prefix, std::uint8_t table) {
    route6 made;
    made.prefix = prefix;
    made.table = table;
    made.metric = autoconf::metric;
    made.protocol = route_protocol::other;
    made.targets.push_back({.kind = nexthop_kind::connected, .interface = id});
    return made;
}

// In the routing table of the interface.
route6 default_route(iface_id id, const address6& gateway, std::uint8_t table) {
    route6 made;
    made.table = table;
    made.metric = autoconf::metric;
    made.protocol = route_protocol::other;
    made.targets.push_back({.interface = id, .gateway6 = gateway});
    return made;
}

// What an operator deleted meanwhile is gone, too; where control has no room it is tried again.
bool is_gone(const result<void>& deleted) {
    return deleted.ok() || deleted.failure().code != EAGAIN;
}

// Of subnets' router and other anycast addresses (RFC 5453).
bool is_reserved(std::uint64_t identifier) {
    return identifier == 0 || (identifier | 0x7f) == 0xfdffffffffffffff;
}

constexpr std::uint8_t made_flags = address_automatic | address_probed | address_tentative;

} // namespace

// An interface is its port and VLAN: those stay when the MAC does not.
address6 autoconf::make(iface_id id, std::uint64_t prefix, unsigned& attempt) const {
    const iface& here = routes_.interface(id);
    for (;; ++attempt) {
        const std::uint64_t message[] = {
            prefix,
            here.port.value | std::uint64_t{here.vlan} << 16 | std::uint64_t{attempt} << 32};
        const std::uint64_t identifier = siphash24::of(secret_, message, sizeof message);
        if (!is_reserved(identifier)) {
            return {prefix, identifier};
        }
    }
}

bool autoconf::accepts(iface_id id) const {
    const iface& here = routes_.interface(id);
    return here.present && (here.duties & iface_accept_ra) != 0;
}

instant autoconf::after(std::uint32_t seconds) const {
    return seconds == wire::nd_lifetime_infinite ? instant::never() : now_ + seconds * ns_per_s;
}

void autoconf::heard(const router_report& report) {
    if (!accepts(report.iface)) {
        return;
    }
    take_router(report);
    take_limits(report);
    take_timers(report);
    for (unsigned i = 0; i < report.prefix_count; ++i) {
        take_prefix(report.iface, report.prefixes[i]);
        take_link_prefix(report.iface, report.prefixes[i]);
    }
}

void autoconf::take_router(const router_report& report) {
    const address6 gateway{report.router.high(), report.router.low()};
    const auto known = std::ranges::find_if(routers_, [&](const router& each) {
        return each.iface == report.iface && each.gateway == gateway;
    });
    if (known != routers_.end()) {
        known->until = after(report.lifetime_s);
        if (report.lifetime_s == 0) {
            known->until = now_; // tick tries again where control has no room now
            if (drop(*known)) {
                routers_.erase(known);
            }
        }
        return;
    }
    if (report.lifetime_s == 0 || routers_.size() == routers_max) {
        return;
    }
    const std::uint8_t table = routes_.interface(report.iface).table;
    if (routes_.append(default_route(report.iface, gateway, table)).ok()) {
        routers_.push_back({report.iface, gateway, after(report.lifetime_s), table});
    }
}

// An MTU that an interface cannot carry is nobody's to promise, and less than IPv6 needs is no
// link's. What is not said stays as it was (RFC 4861 6.3.4).
void autoconf::take_limits(const router_report& report) {
    const bool sound = report.mtu >= wire::ipv6_minimum_mtu_bytes &&
                       report.mtu <= routes_.interface(report.iface).mtu;
    if (!sound && report.hop_limit == 0) {
        return;
    }
    const auto known = std::ranges::find(limits_, report.iface, &link_limits::iface);
    link_limits& of = known == limits_.end() ? limits_.emplace_back() : *known;
    of.iface = report.iface;
    of.mtu = sound ? static_cast<std::uint16_t>(report.mtu) : of.mtu;
    of.hop_limit = report.hop_limit != 0 ? report.hop_limit : of.hop_limit;
    limits_put_off_ += set_limits(of) ? 0 : 1;
}

// False: the last change is too young.
bool autoconf::set_limits(link_limits& of) {
    const iface& here = routes_.interface(of.iface);
    const bool other_mtu = of.mtu != 0 && of.mtu != here.mtu6;
    const bool other_hops = of.hop_limit != 0 && of.hop_limit != here.hop_limit6;
    if (!other_mtu && !other_hops) {
        return true;
    }
    if (now_ < of.next) {
        return false;
    }
    const bool narrower = other_mtu && routes_.set_mtu6(of.iface, of.mtu).ok();
    const bool shorter = other_hops && routes_.set_hop_limit6(of.iface, of.hop_limit).ok();
    if (narrower || shorter) {
        of.next = now_ + limits_pause_ns;
    }
    return true;
}

// RFC 4861 6.3.4: what is not said stays as it was.
void autoconf::take_timers(const router_report& report) {
    if (report.reachable_ms == 0 && report.retransmit_ms == 0) {
        return;
    }
    auto known = std::ranges::find(timed_, report.iface, &link_timers::iface);
    if (known == timed_.end()) {
        if (timed_.size() == router_check::links_max) {
            return;
        }
        timed_.push_back({report.iface});
        known = timed_.end() - 1;
    }
    const link_timers before = *known;
    known->reachable_ms = report.reachable_ms != 0 ? report.reachable_ms : before.reachable_ms;
    known->retransmit_ms = report.retransmit_ms != 0 ? report.retransmit_ms : before.retransmit_ms;
    timers_due_ = timers_due_ || known->reachable_ms != before.reachable_ms ||
                  known->retransmit_ms != before.retransmit_ms;
}

bool autoconf::drop(const router& gone) {
    return !gone.in_use ||
           is_gone(routes_.del(default_route(gone.iface, gone.gateway, gone.table)));
}

// RFC 4862 5.5.3.
void autoconf::take_prefix(iface_id id, const wire::nd_prefix_option& option) {
    const bool autonomous = (option.flags & wire::nd_prefix_option::autonomous) != 0;
    if (!autonomous || option.prefix.is_link_local() || option.prefix.is_multicast() ||
        option.preferred_s.host() > option.valid_s.host() || option.prefix_length != 64) {
        return;
    }
    const auto known = std::ranges::find_if(addresses_, [&](const address& each) {
        return each.iface == id && each.made.address.high == option.prefix.high();
    });
    if (known != addresses_.end()) {
        refresh(*known, option);
    } else if (option.valid_s.host() != 0) {
        add(id, option);
    }
}

bool autoconf::has_address_of(iface_id id, const prefix6& prefix) const {
    return std::ranges::any_of(addresses_, [&](const address& each) {
        return each.iface == id && each.made.length == prefix.length &&
               each.made.address.high == prefix.address.high;
    });
}

// RFC 4861 6.3.4. Without the flag nothing is said of the link. What an address was made of is on
// the link as long as the address is there. All addresses at once are no link.
void autoconf::take_link_prefix(iface_id id, const wire::nd_prefix_option& option) {
    const bool on_link = (option.flags & wire::nd_prefix_option::on_link) != 0;
    if (!on_link || option.prefix.is_link_local() || option.prefix.is_multicast() ||
        option.prefix_length == 0 || option.prefix_length > 128) {
        return;
    }
    const prefix6 prefix =
        make_prefix6({option.prefix.high(), option.prefix.low()}, option.prefix_length);
    const auto known = std::ranges::find_if(prefixes_, [&](const link_prefix& each) {
        return each.iface == id && each.prefix == prefix;
    });
    const instant until = after(option.valid_s.host());
    if (known != prefixes_.end()) {
        known->until = until; // at once, if it is over: tick sees to it
        return;
    }
    const auto here = std::ranges::count(prefixes_, id, &link_prefix::iface);
    const std::uint8_t table = routes_.interface(id).table;
    if (option.valid_s.host() == 0 || has_address_of(id, prefix) || here == prefixes_max ||
        !routes_.add(link_route(id, prefix, table)).ok()) {
        return;
    }
    prefixes_.push_back({id, prefix, until, table});
}

void autoconf::add(iface_id id, const wire::nd_prefix_option& option) {
    const auto here =
        std::ranges::count_if(addresses_, [&](const address& each) { return each.iface == id; });
    if (here == addresses_max) {
        return;
    }
    const bool on_link = (option.flags & wire::nd_prefix_option::on_link) != 0;
    const std::uint8_t length = on_link ? 64 : 128;
    unsigned attempt = 0;
    const address6 made = make(id, option.prefix.high(), attempt);
    if (routes_.add_address(id, made, length, made_flags).ok()) {
        addresses_.push_back(
            {id, prefix6{made, length}, after(option.preferred_s.host()),
             after(option.valid_s.host()), attempt});
    }
}

// Somebody has the address: the next of the prefix (RFC 7217 6). After the last the interface is
// left with what it cannot use, for everybody to see.
void autoconf::try_another(address& one) {
    if (one.attempt + 1 >= attempts_max ||
        !routes_.del_address(one.iface, one.made.address, one.made.length).ok()) {
        return;
    }
    ++one.attempt;
    one.made.address = make(one.iface, one.made.address.high, one.attempt);
    static_cast<void>(
        routes_.add_address(one.iface, one.made.address, one.made.length, made_flags));
}

// A lifetime is shortened to two hours at least: nobody on the link can take addresses away at once
// (RFC 4862 5.5.3 e).
void autoconf::refresh(address& one, const wire::nd_prefix_option& option) {
    one.preferred_until = after(option.preferred_s.host());
    const std::uint32_t valid_s = option.valid_s.host();
    const instant wanted = after(valid_s);
    const instant floor = after(two_hours_s);
    if (valid_s > two_hours_s || wanted > one.valid_until) {
        one.valid_until = wanted;
    } else if (one.valid_until > floor) {
        one.valid_until = floor;
    }
}

// RFC 4861 6.3.6: who is known to be silent is passed over while somebody else of the routing table
// is not; if all are, any is as good as another.
void autoconf::choose_routers() {
    for (router& each : routers_) {
        const bool other = std::ranges::any_of(
            routers_, [&](const router& one) { return one.table == each.table && !one.silent; });
        const bool wanted = !each.silent || !other;
        if (wanted == each.in_use) {
            continue;
        }
        const route6 route = default_route(each.iface, each.gateway, each.table);
        const result<void> done = wanted ? routes_.append(route) : routes_.del(route);
        // What finds no room is tried again.
        each.in_use = done.ok() || (!wanted && is_gone(done)) ? wanted : each.in_use;
    }
}

void autoconf::check_routers(netmsg_endpoint& control) {
    const bool several = routers_.size() > 1;
    if (check_.under_way || now_ < check_at_ || (!several && !timers_due_)) {
        return;
    }
    check_at_ = now_ + check_ns;
    check_.router_count = 0;
    for (const router& each : routers_) {
        if (several) {
            check_.routers[check_.router_count++].key = {
                each.gateway.high, each.gateway.low, each.iface};
        }
    }
    check_.link_count = 0;
    for (const link_timers& each : timed_) {
        check_.links[check_.link_count++] = each;
    }
    std::erase_if(timed_, [](const link_timers& each) {
        return each.reachable_ms == 0 && each.retransmit_ms == 0;
    });
    timers_due_ = false;
    check_.handler = router_check_handler;
    check_.on_reply = router_check_replied;
    check_.from = this;
    check_.under_way = true;
    control.send(0, check_);
}

void autoconf::checked(router_check& check) {
    check.under_way = false;
    for (unsigned i = 0; i < check.router_count; ++i) {
        const router_check::entry& answer = check.routers[i];
        const auto known = std::ranges::find_if(routers_, [&](const router& each) {
            return each.iface == answer.key.iface && each.gateway.high == answer.key.high &&
                   each.gateway.low == answer.key.low;
        });
        if (known == routers_.end()) {
            continue;
        }
        // In between it is not known: what was stands.
        if (answer.state == neighbor_state::failed) {
            known->silent = true;
        } else if (
            answer.state == neighbor_state::reachable ||
            answer.state == neighbor_state::permanent) {
            known->silent = false;
        }
    }
}

void autoconf::tick(instant now, netmsg_endpoint* control) {
    now_ = now;
    std::erase_if(routers_, [&](const router& each) {
        const bool moved = routes_.interface(each.iface).table != each.table;
        const bool gone = each.until <= now || !accepts(each.iface) || moved;
        return gone && drop(each);
    });
    std::erase_if(prefixes_, [&](const link_prefix& each) {
        const bool moved = routes_.interface(each.iface).table != each.table;
        const bool gone = each.until <= now || !accepts(each.iface) || moved;
        return gone && is_gone(routes_.del(link_route(each.iface, each.prefix, each.table)));
    });
    for (link_timers& each : timed_) {
        if (!accepts(each.iface) && (each.reachable_ms != 0 || each.retransmit_ms != 0)) {
            each = {each.iface};
            timers_due_ = true;
        }
    }
    choose_routers();
    if (control != nullptr) {
        check_routers(*control);
    }
    std::erase_if(limits_, [&](link_limits& each) {
        if (accepts(each.iface)) {
            set_limits(each);
            return false;
        }
        static_cast<void>(routes_.set_mtu6(each.iface, 0));
        static_cast<void>(routes_.set_hop_limit6(each.iface, 0));
        return true;
    });
    std::erase_if(addresses_, [&](address& each) {
        const auto mine = routes_.interface(each.iface).ip6();
        const auto at = std::ranges::find_if(mine, [&](const iface_address6& one) {
            return address6::from_bytes(one.address) == each.made.address;
        });
        if (at == mine.end()) {
            return true; // an operator deleted it
        }
        if (each.valid_until <= now || !accepts(each.iface)) {
            return routes_.del_address(each.iface, each.made.address, each.made.length).ok();
        }
        if ((at->flags & address_duplicate) != 0) {
            try_another(each);
            return false;
        }
        const auto flags = static_cast<std::uint8_t>(
            each.preferred_until <= now ? at->flags | address_deprecated
                                        : at->flags & ~unsigned{address_deprecated});
        if (flags != at->flags) {
            static_cast<void>(routes_.set_address_flags(each.iface, each.made.address, flags));
        }
        return false;
    });
}

} // namespace pantala
