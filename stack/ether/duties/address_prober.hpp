// Is an address of ours taken? Duplicate address detection (RFC 4862 5.4) and the same for IPv4
// (RFC 5227): a tentative address is asked for; control, which owns the interfaces' records, is
// told of the outcome and writes it for all workers. Later, an IPv4 address that somebody else
// speaks with is defended.
//
//     tentative --(random delay, questions, silence)--> ours
//         |
//         +--(somebody answers, asks for the same, or speaks with it)--> duplicate: not used until
//                                            it is deleted or its interface comes up again
//
// Owner: worker 0.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/counters.hpp"
#include "engine/netmsg.hpp"
#include "engine/worker_services.hpp"
#include "stack/ether/arp.hpp"
#include "stack/ether/nd/nd_context.hpp"
#include "stack/ether/neighbor/neighbor_key.hpp"
#include "stack/route/rib.hpp"

#include <cstdint>
#include <memory>
#include <span>

namespace pantala {

// Worker 0 to control: these are the flags of the address now.
struct address_verdict : netmsg {
    neighbor_key key; // interface and address
    std::uint8_t flags = 0;
    bool under_way = false;
    bool written = false; // in the reply; false: ask again later
    class address_prober* from = nullptr;
};

struct address_prober_settings {
    std::uint64_t delay_max_ns = 1 * ns_per_s; // both: before the first question, not all at once
    unsigned transmits6 = 1;                   // DupAddrDetectTransmits
    std::uint64_t interval6_ns = 1 * ns_per_s; // RETRANS_TIMER
    unsigned probes4 = 3;                      // PROBE_NUM
    std::uint64_t probe_min4_ns = 1 * ns_per_s;
    std::uint64_t probe_max4_ns = 2 * ns_per_s;
    std::uint64_t announce_wait4_ns = 2 * ns_per_s;
    std::uint64_t defend_ns = 10 * ns_per_s; // DEFEND_INTERVAL
};

struct address_prober_counters {
    counter probes_out;
    counter settled;    // nobody else has it
    counter duplicates; // somebody has
    counter defended;   // IPv4: announced because somebody spoke with it
};

struct address_prober_counter_name {
    const char* name;
    counter address_prober_counters::*member;
};
inline constexpr address_prober_counter_name address_prober_counter_names[] = {
    {"address_probes_out", &address_prober_counters::probes_out},
    {"addresses_settled", &address_prober_counters::settled},
    {"addresses_duplicate", &address_prober_counters::duplicates},
    {"addresses_defended", &address_prober_counters::defended},
};

class address_prober {
  public:
    address_prober(nd_context& nd, arp_counters& arp, const address_prober_settings& settings = {});

    // The interface's record was written: what is tentative on it and new is asked for; what is
    // gone or settled is not.
    void changed(iface_id id, instant now);
    // Somebody else has, wants or speaks with this address. `nonce`: of an IPv6 solicitation, zero
    // if it had none; our own is an echo of what we asked (RFC 7527).
    void heard(const neighbor_key& key, const wire::mac_address& nonce, instant now);
    // The time between questions on a link and after the last (RFC 4862 5.1), as its routers say,
    // within the bounds of neighbor_owner.hpp; 0: as the settings say. For what is being asked,
    // too.
    void set_interval6(iface_id id, std::uint64_t interval_ns);
    void expire(instant now);
    instant next_deadline() const { return next_; }
    // The answer to a verdict came back.
    void replied(address_verdict& verdict);

    address_prober_counters counters;

  private:
    static constexpr unsigned slots_per_iface = 2 * iface_addresses_max;

    struct slot {
        neighbor_key key;
        bool used = false;
        bool verdict_due = false; // control could not write it then
        bool asking = false;      // tentative; else it is ours, and the slot remembers a defence
        unsigned left = 0;        // questions to ask
        instant due = instant::never();
        instant asked = instant::never(); // the last question; never: there was none yet
        instant defended{};
        address_verdict verdict;
    };

    std::span<slot> slots(iface_id id) {
        return {&slots_[id.value * slots_per_iface], slots_per_iface};
    }
    slot* find(const neighbor_key& key);
    slot* take(const neighbor_key& key);
    void begin(const neighbor_key& key, instant now);
    void ask(slot& one, instant now);
    void defend(const neighbor_key& key, instant now);
    void conclude(slot& one, std::uint8_t flags);
    void due_at(slot& one, instant at);
    std::uint64_t interval6(iface_id id) const;

    nd_context& nd_;
    arp_counters& arp_;
    address_prober_settings settings_;
    std::unique_ptr<slot[]> slots_;
    std::unique_ptr<std::uint64_t[]> intervals6_; // by interface; 0: not said
    wire::mac_address nonce_;                     // of our questions
    instant next_ = instant::never();
    instant now_{}; // of the last round
};

} // namespace pantala
