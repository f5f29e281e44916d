// The stack of one worker: all its network state, and the order in which a packet meets the layers.
// Owner: its worker; nobody else even reads it, but for counters. It is what engine/worker.hpp
// calls a stack, and the context of its netmsg endpoint.
#pragma once

#include "engine/mbuf_burst.hpp"
#include "engine/worker_services.hpp"
#include "stack/ether/adjacencies.hpp"
#include "stack/ether/arp.hpp"
#include "stack/ether/duties/link_duties.hpp"
#include "stack/ether/l3_burst.hpp"
#include "stack/ether/link_counters.hpp"
#include "stack/ether/link_table.hpp"
#include "stack/ether/nd/nd_context.hpp"
#include "stack/ether/neighbor/neighbor_command.hpp"
#include "stack/ether/neighbor/neighbor_owner.hpp"
#include "stack/ether/neighbor/neighbor_table.hpp"
#include "stack/ip/fragment/ip4_reassembly.hpp"
#include "stack/ip/fragment/ip6_reassembly.hpp"
#include "stack/ip/icmp/echo_errors.hpp"
#include "stack/ip/ip4_context.hpp"
#include "stack/ip/ip4_local.hpp"
#include "stack/ip/ip6/ip6_context.hpp"
#include "stack/ip/ip6/ip6_local.hpp"
#include "stack/route/host_cache/host_cache.hpp"
#include "stack/route/replica.hpp"
#include "stack/socket/net_host.hpp"
#include "stack/wire/ip4_plain.hpp"

#include <memory>
#include <optional>

namespace pantala {

struct ether_sorted;

struct stack_settings {
    ip4_settings ip4;
    ip6_settings ip6;
    neighbor_settings neighbors; // worker 0's
    link_duties_settings duties; // worker 0's
    host_settings host;
    host_cache_settings hosts;
};

class stack {
  public:
    // `routes` is the worker's own replica; it may be ahead of nothing (empty) or a fresh image.
    // Both outlive the stack.
    stack(
        const worker_services& services, route_replica& routes,
        const stack_settings& settings = {});
    stack(const stack&) = delete;
    stack& operator=(const stack&) = delete;

    // A burst that came in by `port`; takes it. **The map.**
    void input(port_id port, mbuf_burst& burst, instant now);
    // Route log, reports about neighbours, timers; once a round, before input.
    void expire(instant now, unsigned budget);
    void end_of_round(instant now);
    // When expire has work, if nothing else happens.
    instant next_deadline() const;

    // --- counters: any thread ---
    const ip4_counters& ip4_counts() const { return ip4_.counters; }
    const ip6_counters& ip6_counts() const { return ip6_.counters; }
    const nd_counters& nd_counts() const { return nd_.counters; }
    const arp_counters& arp_counts() const { return arp_counts_; }
    const link_counters& link_counts() const { return link_counts_; }
    const host_cache_counters& host_cache_counts() const { return hosts_.counts(); }

    // --- the owner's own: tests, messages handled here ---
    route_replica& routes() { return routes_; }
    neighbor_table& neighbors() { return neighbors_; }
    neighbor_owner* neighbors_owner() { return owner_.get(); }  // worker 0 only, else nullptr
    const link_duties* duties() const { return duties_.get(); } // the same
    const adjacencies& next() const { return next_; }
    const link_table& links() const { return links_; }
    net_host& host() { return host_; }
    host_cache& hosts() { return hosts_; }

    // --- called while the route log is applied (route_observer) ---
    void nexthop_changed(nexthop_id id) { next_.set(id, routes_.hop(id)); }
    void iface_changed(iface_id id);

  private:
    friend struct neighbor_wiring;
    friend struct host_wiring;
    friend struct echo_wiring;
    friend void router_check_handler(netmsg& message, netmsg_endpoint& here);
    friend void drain_handler(netmsg& message, netmsg_endpoint& here);

    // Reports wait here for the round's instant. In order of arrival.
    struct report_queue {
        neighbor_report* first = nullptr;
        neighbor_report* last = nullptr;
        void push(neighbor_report& report);
        neighbor_report* pop();
    };

    void input4(ether_sorted& frames);
    void input6(ether_sorted& frames);
    void forward(std::uint8_t table, l3_burst& packets, const wire::ip4_plain& plain);
    template <class Delivered> // of either family
    void deliver(Delivered& packets);
    void forward6(std::uint8_t table, l3_burst& packets, const address6* destination);
    void give_up_late_fragments(instant now, unsigned budget);
    void refuse(mbuf_burst& packets, drop_reason reason);
    void keep_main_table(mbuf_burst& packets, bool tell);
    void take_own_packets();
    void drop_broadcasts(mbuf_burst& packets);
    void take_echo_errors(mbuf_burst& packets);
    void handle_reports();
    void solicit(const neighbor_key& key, const wire::mac_address* known);
    void run(neighbor_command& command);
    void run(struct router_check& check);

    worker_services worker_;
    route_replica& routes_;
    link_table links_;
    link_counters link_counts_;
    arp_counters arp_counts_;
    neighbor_table neighbors_;
    adjacencies next_;
    host_cache hosts_;
    ip4_context ip4_;
    ip4_reassembly reassembly_;
    ip6_context ip6_;
    ip6_reassembly reassembly6_;
    message_pool<echo_error> echo_errors_{echo_errors_max};
    nd_context nd_;
    wire::ip4_plain_function look_;
    net_host host_;
    instant now_{};
    netmsg* drain_ = nullptr;               // a memory alarm that is being answered
    std::unique_ptr<neighbor_owner> owner_; // worker 0 only
    arp_announcer announcer_;               // worker 0 only
    std::unique_ptr<link_duties> duties_;   // worker 0 only
    report_queue reports_;                  // worker 0 only
};

} // namespace pantala
