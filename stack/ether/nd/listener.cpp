#include "stack/ether/nd/listener.hpp"

#include "stack/ether/addresses6.hpp"
#include "stack/ether/ether_output.hpp"
#include "stack/ether/nd/nd_send.hpp"
#include "stack/ether/packet_meta.hpp"
#include "stack/wire/checksum.hpp"
#include "stack/wire/ipv6.hpp"

#include <algorithm>
#include <cstring>

namespace pantala {
namespace {

constexpr wire::ipv6_address all_reporters = // RFC 3810 5.2.14
    wire::ipv6_address::of(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

// Hop-by-hop: a router alert (RFC 2711), padded. What it is in front of is ICMPv6.
constexpr std::array<std::uint8_t, 8> alert_header = {
    static_cast<std::uint8_t>(wire::ip_protocol::icmpv6),
    0,
    static_cast<std::uint8_t>(wire::ipv6_option::router_alert),
    2,
    0,
    0,
    static_cast<std::uint8_t>(wire::ipv6_option::padn),
    0};

// The groups that an interface listens to and says so; all nodes is never reported.
unsigned groups_of(
    const iface& here, std::array<wire::ipv6_address, multicast_listener::wanted_max>& groups) {
    unsigned count = 0;
    if (!here.present || !here.up || here.ip6().empty()) {
        return 0;
    }
    groups[count++] = wire::ipv6_all_routers;
    const auto join = [&](const wire::ipv6_address& address) {
        const wire::ipv6_address group = wire::solicited_node(address);
        if (std::find(groups.begin(), groups.begin() + count, group) == groups.begin() + count) {
            groups[count++] = group;
        }
    };
    for (const iface_address6& mine : here.ip6()) {
        join(address_of(mine));
        if (const auto anycast = router_anycast(here, mine)) {
            join(*anycast);
        }
    }
    return count;
}

// From nobody while there is no sure link-local address (RFC 3590).
wire::ipv6_address source_of(const iface& here) {
    for (const iface_address6& mine : here.ip6()) {
        if (mine.is_link_local() && is_usable(mine) && !address_on_trust(mine.flags)) {
            return address_of(mine);
        }
    }
    return {};
}

} // namespace

multicast_listener::membership*
multicast_listener::find(state& of, const wire::ipv6_address& group) {
    const auto at = std::ranges::find_if(
        of.groups, [&](const membership& each) { return each.group == group; });
    return at == of.groups.end() ? nullptr : &*at;
}

// No free place: all are groups being left; the record of their last report comes by here.
void multicast_listener::join(state& of, const wire::ipv6_address& group, instant now) {
    membership* known = find(of, group);
    if (known != nullptr && !known->leaving) {
        return;
    }
    membership* const place = known != nullptr ? known : find(of, {});
    if (place != nullptr) {
        *place = {group, robustness, false, false};
        of.change_due = now;
    }
}

void multicast_listener::changed(iface_id id, instant now) {
    state& mine = (*states_)[id.value];
    const iface& here = nd_.links[id];
    std::array<wire::ipv6_address, wanted_max> wanted;
    const unsigned count = groups_of(here, wanted);
    if (!here.present || !here.up) { // nobody hears that we leave
        mine = {};
        return;
    }
    for (membership& each : mine.groups) {
        const bool kept =
            std::find(wanted.begin(), wanted.begin() + count, each.group) != wanted.begin() + count;
        if (!each.group.is_unspecified() && !each.leaving && !kept) {
            each = {each.group, robustness, true, false};
            mine.change_due = now;
        }
    }
    for (unsigned i = 0; i < count; ++i) {
        join(mine, wanted[i], now);
    }
    next_ = std::min(next_, mine.change_due);
}

// One answer to all queries of a while (a simpler RFC 3810 6.2: the earliest time counts).
void multicast_listener::queried(iface_id id, const listener_query& query, instant now) {
    state& mine = (*states_)[id.value];
    if (query.version1) {
        mine.version1_until = now + version1_ns;
    }
    bool any = false;
    for (membership& each : mine.groups) {
        if (!each.group.is_unspecified() && !each.leaving &&
            (query.group.is_unspecified() || query.group == each.group)) {
            each.asked = any = true;
        }
    }
    if (any) {
        const std::uint64_t delay =
            std::uint64_t{nd_.worker.random.below(query.response_ms)} * ns_per_ms;
        mine.answer_due = std::min(mine.answer_due, now + delay);
        next_ = std::min(next_, mine.answer_due);
    }
}

void multicast_listener::expire(instant now) {
    if (now < next_) {
        return;
    }
    next_ = instant::never();
    for (unsigned i = 0; i < nd_.links.end(); ++i) {
        const iface_id id{static_cast<std::uint16_t>(i)};
        state& mine = (*states_)[i];
        if (mine.change_due <= now) {
            report_changes(id, mine, now);
        }
        if (mine.answer_due <= now) {
            answer(id, mine, now);
        }
        next_ = std::min({next_, mine.change_due, mine.answer_due});
    }
}

void multicast_listener::report_changes(iface_id id, state& of, instant now) {
    std::array<record, groups_max> records;
    unsigned count = 0;
    bool more = false;
    for (membership& each : of.groups) {
        if (each.left == 0) {
            continue;
        }
        using enum wire::mld_record_type;
        records[count++] = {each.leaving ? to_include : to_exclude, each.group};
        --each.left;
        more = more || each.left > 0;
        if (each.leaving && each.left == 0) {
            each = {};
        }
    }
    of.change_due = more ? now + 1 + nd_.worker.random.below(repeat_max_ns) : instant::never();
    send(id, of, {records.data(), count}, now);
}

void multicast_listener::answer(iface_id id, state& of, instant now) {
    std::array<record, groups_max> records;
    unsigned count = 0;
    for (membership& each : of.groups) {
        if (each.asked) {
            each.asked = false;
            records[count++] = {wire::mld_record_type::is_exclude, each.group};
        }
    }
    of.answer_due = instant::never();
    send(id, of, {records.data(), count}, now);
}

void multicast_listener::send(
    iface_id id, const state& of, std::span<const record> records, instant now) {
    if (records.empty()) {
        return;
    }
    if (now < of.version1_until) {
        for (const record& each : records) {
            const bool done = each.type == wire::mld_record_type::to_include;
            send_packet(
                id, done ? wire::ipv6_all_routers : each.group,
                done ? wire::icmp6_type::listener_done_v1 : wire::icmp6_type::listener_report_v1, 0,
                each.group.bytes);
        }
        return;
    }
    std::array<wire::mld_record, groups_max> content;
    for (std::size_t i = 0; i < records.size(); ++i) {
        content[i] = {};
        content[i].type = static_cast<std::uint8_t>(records[i].type);
        content[i].group = records[i].group;
    }
    send_packet(
        id, all_reporters, wire::icmp6_type::listener_report,
        static_cast<std::uint32_t>(records.size()),
        {reinterpret_cast<const std::uint8_t*>(content.data()),
         records.size() * sizeof(wire::mld_record)});
}

void multicast_listener::send_packet(
    iface_id id, const wire::ipv6_address& destination, wire::icmp6_type type, std::uint32_t rest,
    std::span<const std::uint8_t> content) {
    const iface& here = nd_.links[id];
    rte_mbuf* packet = rte_pktmbuf_alloc(nd_.worker.pool);
    if (packet == nullptr) {
        return nd_.worker.drops.count(drop_reason::no_mbuf);
    }
    set_meta(*packet, {});
    const std::size_t length = wire::icmp6_header_bytes + content.size();
    const std::size_t payload = alert_header.size() + length;
    char* at =
        rte_pktmbuf_append(packet, static_cast<std::uint16_t>(wire::ipv6_header_bytes + payload));
    if (at == nullptr) {
        return nd_.worker.drops.drop(packet, drop_reason::no_mbuf);
    }
    wire::ipv6_header ip;
    ip.version_class_flow = be32::from(6u << 28);
    ip.payload_length = be16::from(static_cast<std::uint16_t>(payload));
    ip.hop_limit = 1; // RFC 3810 5
    ip.source = source_of(here);
    ip.destination = destination;
    std::memcpy(at, &ip, sizeof ip);
    std::memcpy(at + sizeof ip, alert_header.data(), alert_header.size());
    write_icmp6(
        at + sizeof ip + alert_header.size(), ip, {.type = type, .rest = rest, .content = content});
    if (!ether_prepend(here, wire::multicast_mac(destination), wire::ether_type::ipv6, *packet)) {
        return nd_.worker.drops.drop(packet, drop_reason::no_mbuf);
    }
    nd_.counters.listener_reports_out.add(1);
    ether_send_frame(nd_.worker.tx, here.port, packet);
}

} // namespace pantala
