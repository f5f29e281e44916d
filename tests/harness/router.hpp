// A whole router in one thread and in virtual time: RIB, route log, any number of workers with
// their stacks, and ports that are lists of frames. Nothing in it knows of a device or a clock.
#pragma once

#include "engine/worker.hpp"
#include "stack/ether/duties/control_context.hpp"
#include "stack/ether/nd/autoconf.hpp"
#include "stack/route/rib.hpp"
#include "stack/stack.hpp"
#include "tests/harness/mbuf_pool.hpp"
#include "tests/harness/packets.hpp"

#include <deque>
#include <memory>
#include <string_view>
#include <vector>

namespace pantala::test {

struct router_settings {
    unsigned ports = 2;
    unsigned workers = 1;
    std::uint64_t seed = 1;
    stack_settings stack;
    bool reachable_spread = false; // neighbours stay reachable for as long as is said
    instant start{1'000 * ns_per_s};
};

class router {
  public:
    explicit router(mbuf_pool& pool, const router_settings& settings = {});
    ~router();
    router(const router&) = delete;
    router& operator=(const router&) = delete;

    // --- control ---
    rib& routes() { return *rib_; }
    // An interface that is up, with these addresses ("10.0.0.1/24"). Its MAC: see mac_of().
    iface_id
    add_iface(unsigned port, std::vector<std::string_view> addresses, const iface& base = {});
    // "10.0.0.0/8" or "default", by way of these gateways (several: ECMP) or as `kind` says.
    void add_route(
        std::string_view prefix, std::vector<std::string_view> gateways,
        nexthop_kind kind = nexthop_kind::gateway, std::uint16_t mtu = 0);
    // The same for IPv6: an address ("2001:db8::1/64") and, if the interface has none yet, a
    // link-local one.
    void add_address6(iface_id id, std::string_view address, std::uint8_t flags = 0);
    void add_route6(
        std::string_view prefix, std::vector<std::string_view> gateways,
        nexthop_kind kind = nexthop_kind::gateway, std::uint16_t mtu = 0);
    void del_route6(std::string_view prefix);
    static wire::mac_address mac_of(unsigned port) {
        return mac(static_cast<std::uint8_t>(port + 1), 0xff);
    }
    // Makes a neighbour known and reachable as on the wire: it asks for us, then it answers us.
    void learn(iface_id id, wire::ipv4_address address, const wire::mac_address& at);
    void learn6(iface_id id, const wire::ipv6_address& address, const wire::mac_address& at);
    void forget6(iface_id id, const wire::ipv6_address& address);

    // --- the wire ---
    // A frame arrives; on the queue of one worker, where that matters.
    void receive(
        unsigned port, const bytes& frame, unsigned worker = 0,
        std::size_t segment = mbuf_pool::room);
    // What left by a port since it was last asked for.
    std::vector<bytes> sent(unsigned port);
    // The same, without ARP.
    std::vector<bytes> sent_ip(unsigned port);
    // The same, of IPv6, without neighbour and multicast listener discovery.
    std::vector<bytes> sent_ip6(unsigned port);
    // Says how many frames a port takes before it is full.
    void limit(unsigned port, unsigned count) { ports_[port].room = count; }

    // --- time ---
    // Rounds of all workers until nothing is left to do.
    void run();
    // Moves the clock, stopping at every deadline on the way.
    void advance(std::uint64_t ns);
    instant now() const { return now_; }

    // --- looking ---
    const autoconf& automatic() const { return *automatic_; }
    std::uint64_t dropped(drop_reason reason) const;
    std::uint64_t dropped_in_all() const;
    unsigned workers() const { return static_cast<unsigned>(stacks_.size()); }
    stack& worker_stack(unsigned worker = 0) { return *stacks_[worker]; }
    netmsg_endpoint& control() { return fabric_.control(); }

  private:
    struct port_state {
        std::vector<std::deque<rte_mbuf*>> arrived; // by worker
        std::vector<bytes> sent;
        unsigned room = ~0u;
    };
    struct queue_context {
        port_state* port;
        unsigned worker;
    };
    static std::uint16_t take(void* context, rte_mbuf** packets, std::uint16_t room);
    static std::uint16_t transmit(void* context, rte_mbuf** packets, std::uint16_t count);
    unsigned round();

    mbuf_pool& pool_;
    instant now_;
    std::vector<port_state> ports_;
    std::deque<queue_context> queues_;
    netmsg_fabric fabric_;
    control_context control_context_;
    std::unique_ptr<autoconf> automatic_;
    handoff_lanes lanes_;
    toeplitz sum_{rss_key_symmetric};
    route_log log_{4096};
    std::unique_ptr<rib> rib_;
    std::vector<std::unique_ptr<route_replica>> replicas_;
    std::deque<worker_rig> rigs_;
    std::vector<std::unique_ptr<stack>> stacks_;
    std::vector<std::unique_ptr<worker<stack>>> loops_;
};

} // namespace pantala::test
