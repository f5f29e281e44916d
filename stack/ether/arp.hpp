// ARP (RFC 826) with address conflict detection and announcements (RFC 5227).
#pragma once

#include "engine/base/clock.hpp"
#include "engine/counters.hpp"
#include "engine/drop.hpp"
#include "engine/worker_services.hpp"
#include "stack/ether/link_table.hpp"
#include "stack/ether/neighbor/neighbor_table.hpp"

#include <array>
#include <cstdint>

namespace pantala {

struct arp_counters {
    counter requests_in;
    counter replies_in;
    counter requests_out;
    counter replies_out;
    counter conflicts; // somebody else speaks with an address of ours
};

struct arp_counter_name {
    const char* name;
    counter arp_counters::*member;
};
inline constexpr arp_counter_name arp_counter_names[] = {
    {"arp_requests_in", &arp_counters::requests_in},
    {"arp_replies_in", &arp_counters::replies_in},
    {"arp_requests_out", &arp_counters::requests_out},
    {"arp_replies_out", &arp_counters::replies_out},
    {"arp_conflicts", &arp_counters::conflicts},
};

// Takes a burst whose data begins at the ARP packet. Answers requests for our addresses (also
// probes, RFC 5227 2.1.1) and reports to worker 0 who spoke. Every packet is consumed.
void arp_input(
    worker_services& worker, const link_table& links, neighbor_table& neighbors,
    mbuf_burst& packets, arp_counters& counters);

// Asks for `target` on an interface: everybody, or `known` alone. Nothing is sent while we have no
// usable address there to ask with.
void arp_request(
    worker_services& worker, const link_table& links, iface_id id, be32 target,
    const wire::mac_address* known, arp_counters& counters);

// Tells the link that `address` is ours: an ARP announcement (RFC 5227 2.3), a broadcast request
// with our address as sender and target.
void arp_announce(
    worker_services& worker, const link_table& links, iface_id id, be32 address,
    arp_counters& counters);

// Asks whether somebody has `address`, which is not ours yet: an ARP probe (RFC 5227 2.1.1).
void arp_probe(
    worker_services& worker, const link_table& links, iface_id id, be32 address,
    arp_counters& counters);

// Announces the addresses of interfaces that come up, once they are ours, twice (ANNOUNCE_NUM), two
// seconds apart (ANNOUNCE_INTERVAL). Owner: worker 0.
class arp_announcer {
  public:
    // The interface's record was written: announce what is new on it.
    void changed(iface_id id, const iface& before, const iface& after, instant now);
    void
    expire(worker_services& worker, const link_table& links, arp_counters& counters, instant now);
    instant next_deadline() const { return next_; }

  private:
    static constexpr std::uint64_t interval_ns = 2 * ns_per_s;
    static constexpr std::uint8_t announcements = 2;

    struct pending {
        std::array<std::uint8_t, iface_addresses_max> left{}; // announcements to make, by address
        instant due = instant::never();
    };
    std::array<pending, ifaces_max> pending_{};
    instant next_ = instant::never();
};

} // namespace pantala
