#include "stack/ether/arp.hpp"

#include "stack/ether/ether_output.hpp"
#include "stack/ether/packet_meta.hpp"
#include "stack/wire/arp.hpp"

#include <algorithm>
#include <cstring>

namespace pantala {
namespace {

wire::arp_packet read(const rte_mbuf& packet) {
    wire::arp_packet arp;
    std::memcpy(&arp, rte_pktmbuf_mtod(&packet, const void*), sizeof arp);
    return arp;
}

bool well_formed(const wire::arp_packet& arp) {
    const auto operation = static_cast<wire::arp_operation>(arp.operation.host());
    return arp.hardware.host() == wire::arp_hardware_ethernet &&
           arp.protocol.host() == static_cast<std::uint16_t>(wire::ether_type::ipv4) &&
           arp.hardware_length == 6 && arp.protocol_length == 4 &&
           (operation == wire::arp_operation::request || operation == wire::arp_operation::reply);
}

bool is_ours(const iface& here, be32 address) {
    return std::ranges::any_of(here.ip4(), [&](const iface_address4& mine) {
        return mine.address == address && address_usable(mine.flags);
    });
}

// Ours, or to be ours if nobody has it.
bool is_claimed(const iface& here, be32 address) {
    return std::ranges::any_of(here.ip4(), [&](const iface_address4& mine) {
        return mine.address == address && (mine.flags & address_duplicate) == 0;
    });
}

bool is_asked_for(const iface& here, be32 address) {
    return std::ranges::any_of(here.ip4(), [&](const iface_address4& mine) {
        return mine.address == address && (mine.flags & address_tentative) != 0;
    });
}

// A sender that may be believed: a station, with a host's address of this link.
bool credible(const iface& here, const wire::arp_packet& arp) {
    const iface_address4* link = here.on_link(arp.sender_protocol.value);
    const std::uint32_t host = arp.sender_protocol.host();
    return !arp.sender_hardware.is_group() && !arp.sender_hardware.is_zero() && link != nullptr &&
           !link->is_broadcast(arp.sender_protocol.value) &&
           (link->prefix_length >= 31 || (host & ~link->mask()) != 0);
}

struct arp_message {
    wire::arp_operation operation;
    wire::mac_address link_destination;
    wire::mac_address target_hardware;
    be32 sender;
    be32 target;
};

void send(worker_services& worker, const iface& here, const arp_message& message, counter& sent) {
    rte_mbuf* packet = rte_pktmbuf_alloc(worker.pool);
    if (packet == nullptr) {
        return worker.drops.count(drop_reason::no_mbuf);
    }
    wire::arp_packet arp;
    arp.hardware = be16::from(wire::arp_hardware_ethernet);
    arp.protocol = be16::from(static_cast<std::uint16_t>(wire::ether_type::ipv4));
    arp.hardware_length = 6;
    arp.protocol_length = 4;
    arp.operation = be16::from(static_cast<std::uint16_t>(message.operation));
    arp.sender_hardware.bytes = here.mac;
    arp.sender_protocol.value = message.sender;
    arp.target_hardware = message.target_hardware;
    arp.target_protocol.value = message.target;
    std::memcpy(rte_pktmbuf_append(packet, sizeof arp), &arp, sizeof arp);
    if (!ether_prepend(here, message.link_destination, wire::ether_type::arp, *packet)) {
        return worker.drops.drop(packet, drop_reason::no_mbuf);
    }
    sent.add(1);
    ether_send_frame(worker.tx, here.port, packet);
}

neighbor_event event_of(const iface& here, const wire::arp_packet& arp) {
    if (!is_ours(here, arp.target_protocol.value)) {
        return neighbor_event::seen;
    }
    return arp.operation.host() == static_cast<std::uint16_t>(wire::arp_operation::reply)
               ? neighbor_event::answered
               : neighbor_event::seen_asking;
}

// Why the packet is done with; what it says has taken effect then.
drop_reason consume(
    worker_services& worker, const link_table& links, neighbor_table& neighbors,
    const rte_mbuf& packet, arp_counters& counters) {
    const wire::arp_packet arp = read(packet);
    if (!well_formed(arp)) {
        return drop_reason::arp_format;
    }
    const iface_id id = meta_of(packet).iface;
    const iface& here = links[id];
    const bool request =
        arp.operation.host() == static_cast<std::uint16_t>(wire::arp_operation::request);
    (request ? counters.requests_in : counters.replies_in).add(1);
    const bool probe = request && arp.sender_protocol.is_zero();
    if (!probe) {
        if (is_claimed(here, arp.sender_protocol.value)) {
            if (arp.sender_hardware.bytes != here.mac) {
                counters.conflicts.add(1);
                neighbors.report(
                    neighbor_event::conflicted, make_neighbor_key(id, arp.sender_protocol.value),
                    {});
            }
            return drop_reason::arp_source;
        }
        if (!credible(here, arp)) {
            return drop_reason::arp_source;
        }
        neighbors.report(
            event_of(here, arp), make_neighbor_key(id, arp.sender_protocol.value),
            arp.sender_hardware);
    } else if (arp.sender_hardware.is_group() || arp.sender_hardware.is_zero()) {
        return drop_reason::arp_source;
    } else if (
        is_asked_for(here, arp.target_protocol.value) && arp.sender_hardware.bytes != here.mac) {
        neighbors.report(
            neighbor_event::conflicted, make_neighbor_key(id, arp.target_protocol.value), {});
        return drop_reason::arp_done; // who asks for the same (RFC 5227 2.1.1)
    }
    if (request && is_ours(here, arp.target_protocol.value)) {
        send(
            worker, here,
            {wire::arp_operation::reply, arp.sender_hardware, arp.sender_hardware,
             arp.target_protocol.value, arp.sender_protocol.value},
            counters.replies_out);
    }
    return drop_reason::arp_done;
}

} // namespace

void arp_input(
    worker_services& worker, const link_table& links, neighbor_table& neighbors,
    mbuf_burst& packets, arp_counters& counters) {
    for (rte_mbuf* packet : packets) {
        worker.drops.drop(packet, consume(worker, links, neighbors, *packet, counters));
    }
    packets.clear();
}

void arp_request(
    worker_services& worker, const link_table& links, iface_id id, be32 target,
    const wire::mac_address* known, arp_counters& counters) {
    const iface& here = links[id];
    const iface_address4* mine = here.source4(target);
    if (!here.present || !here.up || mine == nullptr) {
        return;
    }
    send(
        worker, here,
        {wire::arp_operation::request,
         known != nullptr ? *known : wire::mac_broadcast,
         {},
         mine->address,
         target},
        counters.requests_out);
}

void arp_probe(
    worker_services& worker, const link_table& links, iface_id id, be32 address,
    arp_counters& counters) {
    send(
        worker, links[id], {wire::arp_operation::request, wire::mac_broadcast, {}, {}, address},
        counters.requests_out);
}

void arp_announce(
    worker_services& worker, const link_table& links, iface_id id, be32 address,
    arp_counters& counters) {
    send(
        worker, links[id],
        {wire::arp_operation::request, wire::mac_broadcast, {}, address, address},
        counters.requests_out);
}

void arp_announcer::changed(iface_id id, const iface& before, const iface& after, instant now) {
    pending& wanted = pending_[id.value];
    const bool anew = !before.present || !before.up || before.mac != after.mac ||
                      before.port != after.port || before.vlan != after.vlan;
    const pending old = wanted;
    wanted = {};
    if (!after.present || !after.up) {
        return;
    }
    for (std::size_t i = 0; i < after.ip4().size(); ++i) {
        const iface_address4& mine = after.ip4()[i];
        if ((mine.flags & (address_tentative | address_duplicate)) != 0) {
            continue;
        }
        const auto known = std::ranges::find(before.ip4(), mine);
        if (anew || known == before.ip4().end()) {
            wanted.left[i] = announcements;
            wanted.due = now;
        } else if (const auto was = known - before.ip4().begin(); old.left[was] > 0) {
            wanted.left[i] = old.left[was];
            wanted.due = std::min(wanted.due, old.due);
        }
    }
    next_ = std::min(next_, wanted.due);
}

void arp_announcer::expire(
    worker_services& worker, const link_table& links, arp_counters& counters, instant now) {
    if (now < next_) {
        return;
    }
    next_ = instant::never();
    for (unsigned id = 0; id < links.end(); ++id) {
        pending& wanted = pending_[id];
        if (wanted.due <= now) {
            const iface_id here{static_cast<std::uint16_t>(id)};
            bool more = false;
            for (std::size_t i = 0; i < links[here].ip4().size(); ++i) {
                if (wanted.left[i] > 0) {
                    arp_announce(worker, links, here, links[here].ip4()[i].address, counters);
                    more = --wanted.left[i] > 0 || more;
                }
            }
            wanted.due = more ? now + interval_ns : instant::never();
        }
        next_ = std::min(next_, wanted.due);
    }
}

} // namespace pantala
