#include "stack/stack.hpp"

#include "stack/ether/addresses6.hpp"
#include "stack/ether/duties/source_check.hpp"
#include "stack/ether/ether_input.hpp"
#include "stack/ether/nd/nd_input.hpp"
#include "stack/ether/nd/nd_send.hpp"
#include "stack/ether/packet_meta.hpp"
#include "stack/ip/icmp/icmp4_error.hpp"
#include "stack/ip/icmp/icmp4_input.hpp"
#include "stack/ip/icmp/icmp6_error.hpp"
#include "stack/ip/icmp/icmp6_input.hpp"
#include "stack/ip/ip4_forward.hpp"
#include "stack/ip/ip4_input.hpp"
#include "stack/ip/ip4_output.hpp"
#include "stack/ip/ip4_single.hpp"
#include "stack/ip/ip6/ip6_forward.hpp"
#include "stack/ip/ip6/ip6_input.hpp"
#include "stack/ip/ip6/ip6_output.hpp"
#include "stack/ip/ip6/ip6_single.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

namespace pantala {
namespace {

// Of a whole packet, data at its IP header.
bool is_ip6(const rte_mbuf& packet) {
    return *rte_pktmbuf_mtod(&packet, const std::uint8_t*) >> 4 == 6;
}

} // namespace

// ---------------------------------------------------------------------------------------------
// The map: what happens to a burst, in this order.

void stack::input(port_id port, mbuf_burst& burst, instant now) {
    ether_sorted frames;
    ip4_.now = now;
    ip4_.input_port = port;
    ip6_.input_port = port;
    ip6_.now = now;

    ether_input(links_, port, burst, frames, link_counts_, worker_.drops, routes_.fib4());
    if (links_.port(port).checks_sources) [[unlikely]] {
        check_sources(links_, routes_, frames, worker_.drops);
    }
    if (!frames.arp.empty()) {
        arp_input(worker_, links_, neighbors_, frames.arp, arp_counts_);
    }
    input4(frames);
    if (!frames.ip6.empty() || !frames.ip6_single.empty()) {
        input6(frames);
    }
}

void stack::input4(ether_sorted& frames) {
    if (!frames.ip4.empty()) {
        wire::ip4_plain plain;
        ip4_input(frames.ip4, plain, frames.ip4_single, look_, routes_.fib4());
        forward(frames.table, frames.ip4, plain);
    }
    if (!frames.ip4_single.empty()) {
        ip4_single(ip4_, frames.ip4_single);
    }
    if (!ip4_.local.empty()) {
        ip4_delivered local;
        ip4_local(ip4_, reassembly_, local);
        icmp4_input(ip4_, local.icmp, local.errors);
        deliver(local);
    }
}

void stack::input6(ether_sorted& frames) {
    if (!frames.ip6.empty()) {
        address6 destination[burst_max];
        ip6_input(frames.ip6, destination, frames.ip6_single);
        forward6(frames.table, frames.ip6, destination);
    }
    if (!frames.ip6_single.empty()) {
        ip6_single(ip6_, frames.ip6_single);
    }
    if (!ip6_.local.empty()) {
        ip6_delivered local;
        ip6_local(ip6_, reassembly6_, local);
        icmp6_input(ip6_, local);
        nd_input(nd_, local.discovery);
        deliver(local);
    }
}

void stack::expire(instant now, unsigned budget) {
    now_ = now;
    ip4_.now = now;
    ip6_.now = now;
    routes_.apply(route_patches_round, *this);
    if (routes_.wants_image()) [[unlikely]] {
        worker_.messages.touch(worker_.workers);
    }
    take_own_packets();
    host_.expire(now, budget);
    hosts_.expire(now, budget);
    if (drain_ != nullptr && !hosts_.draining()) [[unlikely]] {
        worker_.messages.reply(*std::exchange(drain_, nullptr));
    }
    if (owner_ != nullptr) {
        handle_reports();
        owner_->expire(now, budget);
        announcer_.expire(worker_, links_, arp_counts_, now);
        duties_->expire(now);
    }
    give_up_late_fragments(now, budget);
}

void stack::end_of_round(instant now) {
    ip4_.now = now;
    ip6_.now = now;
    host_.end_of_round(now);
    if (neighbors_.undeliverable.empty()) [[likely]] {
        return;
    }
    // An error may itself have nowhere to go: what that leaves behind is for the next round.
    mbuf_burst undeliverable = neighbors_.undeliverable;
    neighbors_.undeliverable.clear();
    for (rte_mbuf* packet : undeliverable) {
        if (is_ip6(*packet)) {
            icmp6_unreachable(ip6_, *packet, wire::icmp6_unreachable::address);
        } else {
            icmp4_unreachable(ip4_, *packet, wire::icmp4_unreachable::host);
        }
        worker_.drops.drop(packet, drop_reason::neighbor_failed);
    }
}

instant stack::next_deadline() const {
    if (routes_.behind() || reports_.first != nullptr || !neighbors_.undeliverable.empty() ||
        !ip4_.local.empty() || !ip6_.local.empty()) {
        return now_;
    }
    const instant common = std::min(
        {reassembly_.next_deadline(), reassembly6_.next_deadline(), host_.next_deadline(),
         hosts_.next_deadline()});
    return owner_ == nullptr ? common
                             : std::min(
                                   {common, owner_->next_deadline(), announcer_.next_deadline(),
                                    duties_->next_deadline()});
}

// ---------------------------------------------------------------------------------------------

// Lookup and the way out. A burst is of one routing table.
void stack::forward(std::uint8_t table, l3_burst& packets, const wire::ip4_plain& plain) {
    if (table == 0) [[likely]] {
        return ip4_forward(ip4_, packets, plain);
    }
    nexthop_id hops[burst_max];
    routes_.lookup4(table, {plain.destination, packets.count}, hops);
    ip4_forward(ip4_, packets, plain, hops);
}

template <class Delivered>
void stack::deliver(Delivered& packets) {
    if (links_.several_tables()) [[unlikely]] {
        keep_main_table(packets.udp, true);
        keep_main_table(packets.tcp, true);
        keep_main_table(packets.errors, false);
    }
    if (!packets.udp.empty()) {
        host_.udp_input(packets.udp, ip4_.now);
    }
    if constexpr (std::is_same_v<Delivered, ip6_delivered>) {
        take_echo_errors(packets.errors);
    }
    if (!packets.errors.empty()) {
        host_.error_input(packets.errors, ip4_.now);
    }
    if (!packets.tcp.empty()) {
        if constexpr (std::is_same_v<Delivered, ip4_delivered>) {
            drop_broadcasts(packets.tcp);
        }
        host_.tcp_input(packets.tcp, ip4_.now);
    }
}

// What we sent to addresses of our own in the last round.
void stack::take_own_packets() {
    if (!ip4_.local.empty()) {
        ip4_delivered local;
        ip4_local(ip4_, reassembly_, local);
        icmp4_input(ip4_, local.icmp, local.errors);
        deliver(local);
    }
    if (!ip6_.local.empty()) {
        ip6_delivered local;
        ip6_local(ip6_, reassembly6_, local);
        icmp6_input(ip6_, local);
        nd_input(nd_, local.discovery);
        deliver(local);
    }
}

// TCP speaks with one host at a time (RFC 9293 3.9.2.3, MUST-57).
void stack::drop_broadcasts(mbuf_burst& packets) {
    std::uint16_t kept = 0;
    for (rte_mbuf* packet : packets) {
        be32 destination;
        std::memcpy(
            &destination, rte_pktmbuf_mtod_offset(packet, const std::uint8_t*, 16),
            sizeof destination);
        if (meta_of(*packet).link_group || links_.is_broadcast(destination, 0)) [[unlikely]] {
            worker_.drops.drop(packet, drop_reason::host_broadcast);
        } else {
            packets.packets[kept++] = packet;
        }
    }
    packets.count = kept;
}

// Sockets are of the main table: to what comes in another nobody listens.
void stack::keep_main_table(mbuf_burst& packets, bool tell) {
    mbuf_burst others;
    std::uint16_t kept = 0;
    for (rte_mbuf* packet : packets) {
        if (links_[meta_of(*packet).iface].table == 0) {
            packets.packets[kept++] = packet;
        } else if (tell) {
            others.push(packet);
        } else {
            worker_.drops.drop(packet, drop_reason::host_table);
        }
    }
    packets.count = kept;
    refuse(others, drop_reason::host_table);
}

// Tells the sources of packets that nobody is there.
void stack::refuse(mbuf_burst& packets, drop_reason reason) {
    for (rte_mbuf* packet : packets) {
        if (is_ip6(*packet)) {
            icmp6_unreachable(ip6_, *packet, wire::icmp6_unreachable::port); // RFC 4443 3.1
        } else {
            icmp4_unreachable(ip4_, *packet, wire::icmp4_unreachable::port); // RFC 1122 4.1.3.1
        }
        worker_.drops.drop(packet, reason);
    }
    packets.clear();
}

void stack::forward6(std::uint8_t table, l3_burst& packets, const address6* destination) {
    nexthop_id hops[burst_max];
    if (table == 0) [[likely]] {
        routes_.fib6().lookup({destination, packets.count}, hops);
    } else {
        routes_.lookup6(table, {destination, packets.count}, hops);
    }
    ip6_forward(ip6_, packets, hops);
}

void stack::give_up_late_fragments(instant now, unsigned budget) {
    mbuf_burst late;
    reassembly_.expire(now, std::min(budget, burst_max), late);
    for (rte_mbuf* packet : late) {
        icmp4_time_exceeded(ip4_, *packet, wire::icmp4_time_exceeded::in_reassembly);
        worker_.drops.drop(packet, drop_reason::ip4_reassembly_timeout);
    }
    late.clear();
    reassembly6_.expire(now, std::min(budget, burst_max), late);
    for (rte_mbuf* packet : late) {
        icmp6_time_exceeded(ip6_, *packet, wire::icmp6_time_exceeded::in_reassembly);
        worker_.drops.drop(packet, drop_reason::ip6_reassembly_timeout);
    }
}

// ---------------------------------------------------------------------------------------------
// Neighbour messages: where they arrive.

struct neighbor_wiring {
    static void report(netmsg& message, netmsg_endpoint& here) {
        here.context<stack>().reports_.push(static_cast<neighbor_report&>(message));
    }
    static void report_replied(netmsg& message, netmsg_endpoint& here) {
        here.context<stack>().neighbors_.replied(static_cast<neighbor_report&>(message));
    }
    static void visit(netmsg_chain& message, netmsg_endpoint& here) {
        stack& mine = here.context<stack>();
        const auto& update = static_cast<const neighbor_update&>(message);
        if (mine.neighbors_.apply(update)) {
            mine.next_.neighbor_changed(update.key);
        }
    }
    static void update_replied(netmsg& message, netmsg_endpoint& here) {
        here.context<stack>().owner_->on_update_replied(static_cast<neighbor_update&>(message));
    }
    static void command(netmsg& message, netmsg_endpoint& here) {
        here.context<stack>().run(static_cast<neighbor_command&>(message));
        here.reply(message);
    }
    static void solicit(void* context, const neighbor_key& key, const wire::mac_address* known) {
        static_cast<stack*>(context)->solicit(key, known);
    }
    static constexpr neighbor_handlers handlers{report, report_replied, visit, update_replied};
};

void neighbor_command_handler(netmsg& message, netmsg_endpoint& here) {
    neighbor_wiring::command(message, here);
}

void stack::report_queue::push(neighbor_report& report) {
    report.next_free = nullptr;
    (first == nullptr ? first : last->next_free) = &report;
    last = &report;
}

neighbor_report* stack::report_queue::pop() {
    neighbor_report* report = first;
    if (report != nullptr) {
        first = report->next_free;
    }
    return report;
}

void stack::handle_reports() {
    while (neighbor_report* report = reports_.pop()) {
        if (!duties_->take(*report, now_)) {
            owner_->on_report(*report, now_);
            if (report->router_gone) [[unlikely]] {
                nd_router_gone(nd_, report->key);
            }
        }
        worker_.messages.reply(*report);
    }
}

void stack::solicit(const neighbor_key& key, const wire::mac_address* known) {
    if (key.is_ip4()) {
        arp_request(worker_, links_, key.iface, key.ip4(), known, arp_counts_);
    } else {
        nd_solicit(nd_, key.iface, wire::ipv6_address::from_halves(key.high, key.low), known);
    }
}

void stack::run(neighbor_command& command) {
    command.count = 0;
    switch (command.operation) {
    case neighbor_operation::add:
        command.done = links_.valid(command.key.iface) &&
                       owner_->set_permanent(command.key, command.mac, now_);
        return;
    case neighbor_operation::remove:
        command.done = owner_->remove(command.key);
        return;
    case neighbor_operation::flush:
        owner_->flush(command.key.iface);
        command.done = true;
        return;
    case neighbor_operation::list:
        command.done = false;
        while (command.count < neighbor_command::rows_max && !command.done) {
            const auto row = owner_->list(command.cursor, now_);
            if (row) {
                command.rows[command.count++] = *row;
            } else {
                command.done = true;
            }
        }
        return;
    }
}

// ---------------------------------------------------------------------------------------------
// What the host asks of IP.

struct host_wiring {
    static stack& of(void* context) { return *static_cast<stack*>(context); }

    // TCP and UDP gather packets of both families.
    static void output(void* context, mbuf_burst& packets) {
        mbuf_burst six;
        std::uint16_t kept = 0;
        for (rte_mbuf* packet : packets) {
            if (is_ip6(*packet)) {
                six.push(packet);
            } else {
                packets.packets[kept++] = packet;
            }
        }
        packets.count = kept;
        if (!six.empty()) {
            ip6_output_finished(of(context).ip6_, six);
        }
        ip4_output_finished(of(context).ip4_, packets);
    }
    static std::uint16_t path_mtu(void* context, const ip_address& remote) {
        stack& self = of(context);
        return remote.is_v4() ? std::min(
                                    ip4_path_mtu(self.ip4_, remote.v4()),
                                    self.hosts_.find_mtu(remote, self.ip4_.now))
                              : ip6_path_mtu(self.ip6_, remote.v6());
    }
    static void
    learn_mtu(void* context, const ip_address& remote, std::uint16_t mtu, mtu_for whom) {
        of(context).hosts_.learn_mtu(remote, mtu, of(context).ip4_.now, whom);
    }
    static ip_address source_for(void* context, const ip_address& remote) {
        stack& self = of(context);
        if (remote.is_v4()) {
            return ip_address::from(ip4_source_for(self.ip4_, remote.v4()));
        }
        const auto source = ip6_source_for(self.ip6_, remote.v6());
        return source ? ip_address::from(*source) : ip_address{};
    }
    static bool is_ours(void* context, const ip_address& address) {
        const link_table& links = of(context).links_;
        return address.is_v4() ? links.owner_of(address.v4().value, 0).has_value()
                               : owner_of(links, address.v6(), 0).has_value();
    }
    static void refuse(void* context, mbuf_burst& packets) {
        of(context).refuse(packets, drop_reason::udp_port);
    }
    static ip_services services(stack& self) {
        return {&self, output, path_mtu, learn_mtu, source_for, is_ours, refuse, &self.hosts_};
    }
};

// ---------------------------------------------------------------------------------------------
// Control's changes.

stack::stack(const worker_services& services, route_replica& routes, const stack_settings& settings)
    : worker_(services), routes_(routes), neighbors_(worker_, links_, neighbor_wiring::handlers),
      next_(links_, neighbors_),
      hosts_({worker_.random.next(), worker_.random.next()}, routes, settings.hosts),
      ip4_{worker_, links_, routes_, next_, neighbors_, link_counts_},
      reassembly_(worker_.drops), ip6_{worker_,    links_,       routes_, next_,
                                       neighbors_, link_counts_, hosts_},
      reassembly6_(worker_.drops), nd_{worker_, links_, neighbors_},
      look_(wire::choose_ip4_plain()), host_(worker_, settings.host, host_wiring::services(*this)) {
    ip4_.settings = settings.ip4;
    ip4_.error_budget = {settings.ip4.icmp_errors_per_s, settings.ip4.icmp_errors_burst};
    ip4_.echo_budget = {settings.ip4.echo_replies_per_s, settings.ip4.echo_replies_burst};
    ip4_.redirect_budget = {settings.ip4.redirects_per_s, settings.ip4.redirects_burst};
    ip6_.settings = settings.ip6;
    ip6_.error_budget = {settings.ip6.icmp_errors_per_s, settings.ip6.icmp_errors_burst};
    ip6_.redirect_budget = {settings.ip6.redirects_per_s, settings.ip6.redirects_burst};
    ip6_.echo_budget = {settings.ip6.echo_replies_per_s, settings.ip6.echo_replies_burst};
    ip4_.ids = ip4_ids({worker_.random.next(), worker_.random.next()});
    if (worker_.self == worker_id{0}) {
        owner_ = std::make_unique<neighbor_owner>(
            worker_.messages, neighbor_wiring::handlers,
            neighbor_solicitor{neighbor_wiring::solicit, this}, settings.neighbors, worker_.random);
        duties_ = std::make_unique<link_duties>(nd_, arp_counts_, settings.duties);
    }
    for (std::uint16_t id = 0; id < ifaces_max; ++id) {
        if (routes_.interface(iface_id{id}).present) {
            iface_changed(iface_id{id});
        }
    }
    for (std::uint16_t id = 0; id < nexthops_max; ++id) {
        if (routes_.hop(nexthop_id{id}).kind != nexthop_kind::none) {
            nexthop_changed(nexthop_id{id});
        }
    }
}

void stack::iface_changed(iface_id id) {
    const iface before = links_[id];
    iface after = routes_.interface(id);
    // A record may be ahead of its port, or outlive it: nothing is sent where nothing takes it.
    after.up =
        after.up && after.port.value < worker_.tx.size() && worker_.tx[after.port.value].bound();
    links_.set(id, after);
    neighbors_.iface_changed(id);
    next_.iface_changed(id, [&](nexthop_id hop) { return routes_.hop(hop); });
    if (owner_ != nullptr) {
        const bool other = before.port != after.port || before.vlan != after.vlan;
        if (before.present && (!after.present || other)) {
            owner_->flush(id, neighbor_owner::flush_of::all);
        } else if (before.up && !after.up) {
            owner_->flush(id);
        }
        announcer_.changed(id, before, after, now_);
        duties_->changed(id, before, now_);
    }
}

} // namespace pantala
