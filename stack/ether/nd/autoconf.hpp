// Addresses and default routes from router advertisements (RFC 4862 5.5, RFC 4861 6.3), on
// interfaces with the duty iface_accept_ra. Workers check what they hear and report it; the records
// and routes are control's, so this is control's too.
//
// An address is the advertised prefix of 64 bits with an identifier that is the same whenever the
// interface meets the prefix, another with each other prefix, and tells nothing of the MAC (RFC
// 7217). It is asked for before it is used, and another is tried if somebody has it; deprecated
// when its preferred lifetime is over, and deleted with its valid one. A router is a default route
// until its lifetime is over; while it does not answer worker 0's questions and another does, it is
// none (RFC 4861 6.3.6), and it is asked until it answers again.
//
// A prefix that is on the link and that no address was made of has a route to the link, whatever
// its length, for as long as the advertisement says (RFC 4861 6.3.4).
//
// The MTU that an advertisement names is that of IPv6 packets on the interface from then on (RFC
// 4861 6.3.4), as long as advertisements are believed there. It is 1280 bytes to the interface's
// own MTU; anything else is passed over. The hop limit that it names is that of our own packets
// there. A change of either is a new record of the interface, for which every worker looks through
// its next hops and neighbours, so it is made at most every ten seconds: what is heard meanwhile
// waits, and the last of it counts.
// The times that it names for neighbours are told to worker 0, which takes them within bounds
// (neighbor_owner.hpp).
#pragma once

#include "engine/base/clock.hpp"
#include "engine/base/siphash.hpp"
#include "stack/ether/nd/router_check.hpp"
#include "stack/ether/nd/router_report.hpp"
#include "stack/route/rib.hpp"

#include <cstdint>
#include <vector>

namespace pantala {

class autoconf {
  public:
    // Of routers' advertisements; lower is better (iproute2's number for them).
    static constexpr std::uint32_t metric = 1024;
    static constexpr unsigned routers_max = router_check::routers_max;
    static constexpr unsigned prefixes_max = 8; // on the link of an interface, without an address
    static constexpr std::uint64_t check_ns = 1 * ns_per_s;
    static constexpr unsigned addresses_max = 4; // of an interface
    static constexpr std::uint32_t two_hours_s = 7200;
    static constexpr std::uint64_t limits_pause_ns = 10 * ns_per_s;

    static constexpr unsigned attempts_max = 4; // addresses of a prefix (RFC 7217 5: 3 retries)

    // `secret`: this host's own; addresses stay the same for as long as it does.
    autoconf(rib& routes, siphash_key secret) : routes_(routes), secret_(secret) {}

    void heard(const router_report& report);
    // Takes `now` as the time from here on, and does what is due: at least once a second.
    void tick(instant now, netmsg_endpoint* control = nullptr);
    // Worker 0's answer.
    void checked(router_check& check);

    std::size_t routers() const { return routers_.size(); }
    std::size_t addresses() const { return addresses_.size(); }
    // Advertisements whose MTU or hop limit had to wait, since the start.
    std::uint64_t limits_put_off() const { return limits_put_off_; }
    std::size_t prefixes() const { return prefixes_.size(); }

  private:
    struct router {
        iface_id iface{};
        address6 gateway;
        instant until{};
        std::uint8_t table = 0; // that its route is in
        bool in_use = true;     // there is a route by it
        bool silent = false;    // it did not answer
    };
    struct link_prefix {
        iface_id iface{};
        prefix6 prefix;
        instant until{};
        std::uint8_t table = 0;
    };
    struct address {
        iface_id iface{};
        prefix6 made; // with its host bits
        instant preferred_until{};
        instant valid_until{};
        unsigned attempt = 0; // others had the addresses of those before
    };

    // What the last advertisements named; 0: nothing.
    struct link_limits {
        iface_id iface{};
        std::uint16_t mtu = 0;
        std::uint8_t hop_limit = 0;
        instant next{}; // from then on they may be changed
    };

    void take_router(const router_report& report);
    void take_limits(const router_report& report);
    bool set_limits(link_limits& of);
    void take_timers(const router_report& report);
    void take_link_prefix(iface_id id, const wire::nd_prefix_option& option);
    bool has_address_of(iface_id id, const prefix6& prefix) const;
    void choose_routers();
    void check_routers(netmsg_endpoint& control);
    void take_prefix(iface_id id, const wire::nd_prefix_option& option);
    void add(iface_id id, const wire::nd_prefix_option& option);
    // RFC 7217 5; counts `attempt` on past identifiers that are not to be had.
    address6 make(iface_id id, std::uint64_t prefix, unsigned& attempt) const;
    void try_another(address& one);
    void refresh(address& one, const wire::nd_prefix_option& option);
    bool drop(const router& gone); // false: it is to be tried again
    bool accepts(iface_id id) const;
    instant after(std::uint32_t seconds) const;

    rib& routes_;
    siphash_key secret_;
    instant now_{};
    std::vector<router> routers_;
    std::vector<address> addresses_;
    std::vector<link_limits> limits_; // of interfaces where one was advertised
    std::uint64_t limits_put_off_ = 0;
    std::vector<link_prefix> prefixes_;
    std::vector<link_timers> timed_; // with advertised times; those of no duty wait to be told
    bool timers_due_ = false;
    instant check_at_{};
    router_check check_;
};

} // namespace pantala
