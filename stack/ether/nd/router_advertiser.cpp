#include "stack/ether/nd/router_advertiser.hpp"

#include "stack/ether/addresses6.hpp"
#include "stack/ether/nd/nd_send.hpp"
#include "stack/route/prefix6.hpp"
#include "stack/wire/icmp6.hpp"

#include <algorithm>
#include <cstring>

namespace pantala {
namespace {

bool has_duty(const iface& here, std::uint8_t duty) {
    return here.present && here.up && (here.duties & duty) != 0;
}

const iface_address6* link_local_of(const iface& here) {
    const auto mine = here.ip6();
    const auto at = std::ranges::find_if(
        mine, [](const iface_address6& each) { return each.is_link_local() && is_usable(each); });
    return at == mine.end() ? nullptr : &*at;
}

// The parts of an advertisement behind its header, end to end.
class content {
  public:
    template <class Part>
    void add(const Part& part) {
        static_assert(std::is_trivially_copyable_v<Part> && alignof(Part) == 1);
        std::memcpy(bytes_.data() + used_, &part, sizeof part);
        used_ += sizeof part;
    }
    std::span<const std::uint8_t> bytes() const { return {bytes_.data(), used_}; }

  private:
    static constexpr std::size_t most = sizeof(wire::nd_link_address_option) +
                                        sizeof(wire::nd_mtu_option) + 8 +
                                        iface_addresses_max * sizeof(wire::nd_prefix_option);
    std::array<std::uint8_t, most> bytes_;
    std::size_t used_ = 0;
};

void add_link_address(content& to, const iface& here) {
    wire::nd_link_address_option link;
    link.type = static_cast<std::uint8_t>(wire::nd_option_type::source_link_address);
    link.length = 1;
    link.address.bytes = here.mac;
    to.add(link);
}

bool same_prefix(const iface_address6& a, const iface_address6& b) {
    return a.prefix_length == b.prefix_length && a.on_link(b.address);
}

void add_prefixes(content& to, const iface& here, const router_advertiser_settings& settings) {
    const auto mine = here.ip6();
    for (std::size_t i = 0; i < mine.size(); ++i) {
        const bool again =
            std::any_of(mine.begin(), mine.begin() + static_cast<long>(i), [&](const auto& other) {
                return same_prefix(other, mine[i]);
            });
        if (again || mine[i].is_link_local() || mine[i].prefix_length == 128 ||
            (mine[i].flags & (address_automatic | address_duplicate)) != 0) {
            continue;
        }
        const prefix6 prefix =
            make_prefix6(address6::from_bytes(mine[i].address), mine[i].prefix_length);
        wire::nd_prefix_option option;
        option.prefix_length = prefix.length;
        option.flags = wire::nd_prefix_option::on_link;
        if (prefix.length == 64) {
            option.flags |= wire::nd_prefix_option::autonomous;
        }
        option.valid_s = be32::from(settings.valid_s);
        option.preferred_s = be32::from(settings.preferred_s);
        option.prefix.bytes = prefix.address.bytes();
        to.add(option);
    }
}

} // namespace

router_advertiser::router_advertiser(nd_context& nd, const router_advertiser_settings& settings)
    : nd_(nd), settings_(settings), states_(std::make_unique<std::array<state, ifaces_max>>()) {}

void router_advertiser::due_at(state& one, instant at) {
    one.due = at;
    next_ = std::min(next_, at);
}

void router_advertiser::changed(iface_id id, const iface& before, instant now) {
    const iface& after = nd_.links[id];
    state& one = (*states_)[id.value];
    const bool was = has_duty(before, iface_advertise);
    if (!has_duty(after, iface_advertise)) {
        if (was && after.present && after.up) { // RFC 4861 6.2.5
            send(id, 0);
        }
        one = {};
        return;
    }
    if (!was) {
        one = {};
        one.initial_left = settings_.initial;
    }
    if (before == after) {
        return;
    }
    const instant soonest = one.ever ? one.last + settings_.min_delay_ns : now;
    due_at(one, std::min(one.due, std::max(now, soonest)));
}

void router_advertiser::solicited(iface_id id, instant now) {
    state& one = (*states_)[id.value];
    if (!has_duty(nd_.links[id], iface_advertise)) {
        return;
    }
    const auto spread = static_cast<std::uint32_t>(settings_.response_max_ns);
    const instant wanted = now + nd_.worker.random.below(spread);
    const instant soonest = one.ever ? one.last + settings_.min_delay_ns : now;
    due_at(one, std::min(one.due, std::max(wanted, soonest)));
}

// Between a third and the whole of the longest (RFC 4861 6.2.1), the first ones sooner.
std::uint64_t router_advertiser::interval(iface_id id, state& one) {
    const std::uint64_t longest = nd_.links[id].ra_interval_s * ns_per_s;
    const std::uint64_t least = longest / 3;
    const std::uint64_t chosen = least + nd_.worker.random.next() % (longest - least + 1);
    if (one.initial_left > 0) {
        return std::min(chosen, settings_.initial_interval_ns);
    }
    return chosen;
}

void router_advertiser::expire(instant now) {
    if (now < next_) {
        return;
    }
    next_ = instant::never();
    for (unsigned i = 0; i < nd_.links.end(); ++i) {
        state& one = (*states_)[i];
        const iface_id id{static_cast<std::uint16_t>(i)};
        if (one.due <= now) {
            if (send(id, nd_.links[id].ra_lifetime_s)) {
                one.last = now;
                one.ever = true;
                one.initial_left -= one.initial_left > 0 ? 1 : 0;
                one.due = now + interval(id, one);
            } else {
                one.due = now + settings_.no_source_ns;
            }
        }
        next_ = std::min(next_, one.due);
    }
}

// False: there is no address yet that it may come from (RFC 4861 6.1.2: link-local).
bool router_advertiser::send(iface_id id, std::uint16_t lifetime_s) {
    const iface& here = nd_.links[id];
    const iface_address6* source = link_local_of(here);
    if (source == nullptr) {
        return false;
    }
    content rest;
    rest.add(be32{}); // reachable time and retransmission time are not ours to say
    rest.add(be32{});
    add_link_address(rest, here);
    wire::nd_mtu_option mtu;
    mtu.mtu = be32::from(here.mtu);
    rest.add(mtu);
    add_prefixes(rest, here, settings_);
    nd_packet message;
    message.type = wire::icmp6_type::router_advertisement;
    message.rest = std::uint32_t{settings_.hop_limit} << 24 | lifetime_s;
    message.content = rest.bytes();
    message.source = address_of(*source);
    message.destination = wire::ipv6_all_nodes;
    nd_.counters.router_advertisements_out.add(1);
    nd_send(nd_, id, message);
    return true;
}

void router_solicitor::changed(iface_id id, const iface& before, instant now) {
    const iface& after = nd_.links[id];
    state& one = (*states_)[id.value];
    if (!has_duty(after, iface_accept_ra)) {
        one = {};
    } else if (!has_duty(before, iface_accept_ra)) {
        one.left = solicitations;
        one.due = now + nd_.worker.random.below(delay_max_ns);
        next_ = std::min(next_, one.due);
    }
}

void router_solicitor::expire(instant now) {
    if (now < next_) {
        return;
    }
    next_ = instant::never();
    for (unsigned i = 0; i < nd_.links.end(); ++i) {
        state& one = (*states_)[i];
        if (one.due <= now) {
            one.due = instant::never();
            if (one.left > 0) {
                send(iface_id{static_cast<std::uint16_t>(i)});
                --one.left;
                one.due = one.left > 0 ? now + interval_ns : instant::never();
            }
        }
        next_ = std::min(next_, one.due);
    }
}

// From nobody while our own address is not sure: the link address is not said then (RFC 4861 4.1).
void router_solicitor::send(iface_id id) {
    const iface& here = nd_.links[id];
    const iface_address6* source = link_local_of(here);
    if (source != nullptr && address_on_trust(source->flags)) {
        source = nullptr;
    }
    content rest;
    nd_packet message;
    message.type = wire::icmp6_type::router_solicitation;
    message.destination = wire::ipv6_all_routers;
    if (source != nullptr) {
        message.source = address_of(*source);
        add_link_address(rest, here);
    }
    message.content = rest.bytes();
    nd_.counters.router_solicitations_out.add(1);
    nd_send(nd_, id, message);
}

} // namespace pantala
