#include "stack/ether/duties/address_prober.hpp"

#include "stack/ether/addresses6.hpp"
#include "stack/ether/duties/control_context.hpp"
#include "stack/ether/nd/nd_send.hpp"
#include "stack/ether/neighbor/neighbor_owner.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

namespace pantala {
namespace {

constexpr std::uint64_t again_ns = 1 * ns_per_s; // control had no room for the verdict

// At control. An address that was deleted meanwhile has no flags to change.
void write_verdict(netmsg& message, netmsg_endpoint& here) {
    auto& verdict = static_cast<address_verdict&>(message);
    rib& routes = *here.context<control_context>().routes;
    const neighbor_key& key = verdict.key;
    const result<void> done =
        key.is_ip4()
            ? routes.set_address_flags(key.iface, key.ip4().host(), verdict.flags)
            : routes.set_address_flags(key.iface, address6{key.high, key.low}, verdict.flags);
    const int code = done.ok() ? 0 : done.failure().code; // no room: it is tried again
    verdict.written = code != EAGAIN && code != ENOSPC && code != ENOMEM;
    here.reply(message);
}

void verdict_replied(netmsg& message, netmsg_endpoint&) {
    auto& verdict = static_cast<address_verdict&>(message);
    verdict.from->replied(verdict);
}

neighbor_key key_of(iface_id id, const iface_address4& mine) {
    return make_neighbor_key(id, mine.address);
}
neighbor_key key_of(iface_id id, const iface_address6& mine) {
    return make_neighbor_key(id, address_of(mine));
}

// The flags of an address that the interface has.
std::optional<std::uint8_t> flags_of(const iface& here, const neighbor_key& key) {
    if (!here.present) {
        return std::nullopt;
    }
    for (const iface_address4& mine : here.ip4()) {
        if (key_of(key.iface, mine) == key) {
            return mine.flags;
        }
    }
    for (const iface_address6& mine : here.ip6()) {
        if (key_of(key.iface, mine) == key) {
            return mine.flags;
        }
    }
    return std::nullopt;
}

bool is_asked_for(std::uint8_t flags) {
    return (flags & address_tentative) != 0 && (flags & address_duplicate) == 0;
}

wire::ipv6_address address6_of(const neighbor_key& key) {
    return wire::ipv6_address::from_halves(key.high, key.low);
}

struct target_and_nonce {
    wire::ipv6_address target;
    std::uint8_t type = static_cast<std::uint8_t>(wire::nd_option_type::nonce);
    std::uint8_t length = 1;
    wire::mac_address nonce;
};
static_assert(sizeof(target_and_nonce) == 24);

} // namespace

address_prober::address_prober(
    nd_context& nd, arp_counters& arp, const address_prober_settings& settings)
    : nd_(nd), arp_(arp), settings_(settings),
      slots_(std::make_unique<slot[]>(ifaces_max * slots_per_iface)),
      intervals6_(std::make_unique<std::uint64_t[]>(ifaces_max)) {
    const std::uint64_t random = nd.worker.random.next() | 1; // never zero
    std::memcpy(nonce_.bytes.data(), &random, nonce_.bytes.size());
}

address_prober::slot* address_prober::find(const neighbor_key& key) {
    const std::span<slot> all = slots(key.iface);
    const auto at =
        std::ranges::find_if(all, [&](const slot& one) { return one.used && one.key == key; });
    return at == all.end() ? nullptr : &*at;
}

// nullptr: the verdicts on addresses that are gone are still under way; the record that follows
// them comes by here.
address_prober::slot* address_prober::take(const neighbor_key& key) {
    if (slot* known = find(key); known != nullptr) {
        return known;
    }
    const std::span<slot> all = slots(key.iface);
    const auto at = std::ranges::find_if(
        all, [](const slot& one) { return !one.used && !one.verdict.under_way; });
    if (at == all.end()) {
        return nullptr;
    }
    at->used = true;
    at->verdict_due = false;
    at->asking = false;
    at->key = key;
    at->due = instant::never();
    at->defended = {};
    return &*at;
}

void address_prober::due_at(slot& one, instant at) {
    one.due = at;
    next_ = std::min(next_, at);
}

void address_prober::changed(iface_id id, instant now) {
    const iface& here = nd_.links[id];
    for (slot& one : slots(id)) {
        const auto flags = one.used ? flags_of(here, one.key) : std::nullopt;
        const bool asked = flags && here.up && is_asked_for(*flags);
        if (one.used && (!flags || (one.asking && !asked))) {
            one.asking = false;
            one.used = flags.has_value();
            one.due = instant::never();
        }
    }
    if (!here.present || !here.up) {
        return;
    }
    for (const iface_address4& mine : here.ip4()) {
        if (is_asked_for(mine.flags)) {
            begin(key_of(id, mine), now);
        }
    }
    for (const iface_address6& mine : here.ip6()) {
        if (is_asked_for(mine.flags)) {
            begin(key_of(id, mine), now);
        }
    }
}

void address_prober::begin(const neighbor_key& key, instant now) {
    slot* one = take(key);
    if (one == nullptr || one->asking || one->verdict.under_way) {
        return;
    }
    one->asking = true;
    one->left = key.is_ip4() ? settings_.probes4 : settings_.transmits6;
    one->asked = instant::never();
    const auto delay = static_cast<std::uint32_t>(settings_.delay_max_ns);
    due_at(*one, now + nd_.worker.random.below(delay));
}

void address_prober::heard(const neighbor_key& key, const wire::mac_address& nonce, instant now) {
    const iface& here = nd_.links[key.iface];
    const auto flags = flags_of(here, key);
    if (!flags || (*flags & address_duplicate) != 0 || nonce == nonce_) {
        return;
    }
    if ((*flags & address_tentative) == 0) {
        return key.is_ip4() ? defend(key, now) : void();
    }
    slot* one = find(key);
    if (one != nullptr && one->asking && !one->verdict.under_way) {
        counters.duplicates.add(1);
        conclude(*one, static_cast<std::uint8_t>(*flags | address_duplicate));
    }
}

// RFC 5227 2.4 (c): a router keeps its address, and says so once in ten seconds at most.
void address_prober::defend(const neighbor_key& key, instant now) {
    slot* one = take(key);
    if (one == nullptr ||
        (one->defended != instant{} && now < one->defended + settings_.defend_ns)) {
        return;
    }
    one->defended = now;
    counters.defended.add(1);
    arp_announce(nd_.worker, nd_.links, key.iface, key.ip4(), arp_);
}

void address_prober::conclude(slot& one, std::uint8_t flags) {
    one.asking = false;
    one.due = instant::never();
    one.verdict.handler = write_verdict;
    one.verdict.on_reply = verdict_replied;
    one.verdict.from = this;
    one.verdict.key = one.key;
    one.verdict.flags = flags;
    one.verdict.under_way = true;
    nd_.worker.messages.send(nd_.worker.workers, one.verdict);
}

void address_prober::replied(address_verdict& verdict) {
    verdict.under_way = false;
    slot* one = find(verdict.key);
    if (!verdict.written && one != nullptr) {
        one->verdict_due = true;
        due_at(*one, now_ + again_ns);
    }
}

void address_prober::ask(slot& one, instant now) {
    --one.left;
    counters.probes_out.add(1);
    if (one.key.is_ip4()) {
        arp_probe(nd_.worker, nd_.links, one.key.iface, one.key.ip4(), arp_);
        const auto spread =
            static_cast<std::uint32_t>(settings_.probe_max4_ns - settings_.probe_min4_ns);
        return due_at(
            one, now + (one.left == 0 ? settings_.announce_wait4_ns
                                      : settings_.probe_min4_ns + nd_.worker.random.below(spread)));
    }
    const wire::ipv6_address target = address6_of(one.key);
    target_and_nonce content;
    content.target = target;
    content.nonce = nonce_;
    nd_packet message;
    message.type = wire::icmp6_type::neighbor_solicitation;
    message.content = {reinterpret_cast<const std::uint8_t*>(&content), sizeof content};
    message.destination = wire::solicited_node(target);
    nd_.counters.solicitations_out.add(1);
    nd_send(nd_, one.key.iface, message);
    one.asked = now;
    due_at(one, now + interval6(one.key.iface));
}

std::uint64_t address_prober::interval6(iface_id id) const {
    return intervals6_[id.value] != 0 ? intervals6_[id.value] : settings_.interval6_ns;
}

void address_prober::set_interval6(iface_id id, std::uint64_t interval_ns) {
    intervals6_[id.value] =
        interval_ns != 0 ? std::clamp(interval_ns, retry_least_ns, retry_most_ns) : 0;
    for (slot& one : slots(id)) {
        if (one.used && one.asking && !one.key.is_ip4() && one.asked != instant::never()) {
            due_at(one, one.asked + interval6(id));
        }
    }
}

void address_prober::expire(instant now) {
    now_ = now;
    if (now < next_) {
        return;
    }
    next_ = instant::never();
    for (unsigned id = 0; id < nd_.links.end(); ++id) {
        for (slot& one : slots(iface_id{static_cast<std::uint16_t>(id)})) {
            if (one.due > now) {
                next_ = std::min(next_, one.due);
            } else if (one.verdict_due) {
                one.verdict_due = false;
                conclude(one, one.verdict.flags);
            } else if (one.left > 0) {
                ask(one, now);
            } else if (const auto flags = flags_of(nd_.links[one.key.iface], one.key); flags) {
                constexpr unsigned settled = ~unsigned{address_tentative};
                counters.settled.add(1);
                conclude(one, static_cast<std::uint8_t>(*flags & settled));
            }
        }
    }
}

} // namespace pantala
