// Router advertisements of ours (RFC 4861 6.2), on interfaces with the duty iface_advertise: every
// ra_interval seconds at most, three times soon after the start, and when a host asks; a last one
// with lifetime 0 when the duty ends. Owner: worker 0.
//
// What they say is the interface's record: its MTU, its link address, and the prefixes of its IPv6
// addresses, those made from others' advertisements excepted; hosts may make addresses of prefixes
// of 64 bits.
#pragma once

#include "engine/base/clock.hpp"
#include "stack/ether/nd/nd_context.hpp"

#include <array>
#include <cstdint>
#include <memory>

namespace pantala {

// RFC 4861 6.2.1 and 10. Which are of the interface's record: see interface.hpp.
struct router_advertiser_settings {
    std::uint64_t initial_interval_ns = 16 * ns_per_s; // MAX_INITIAL_RTR_ADVERT_INTERVAL
    std::uint64_t min_delay_ns = 3 * ns_per_s;         // MIN_DELAY_BETWEEN_RAS
    std::uint64_t response_max_ns = 500 * ns_per_ms;   // MAX_RA_DELAY_TIME
    std::uint64_t no_source_ns = 1 * ns_per_s;         // the link-local address is not usable yet
    unsigned initial = 3;                              // MAX_INITIAL_RTR_ADVERTISEMENTS
    std::uint32_t valid_s = 2'592'000;                 // AdvValidLifetime
    std::uint32_t preferred_s = 604'800;               // AdvPreferredLifetime
    std::uint8_t hop_limit = 64;
};

class router_advertiser {
  public:
    explicit router_advertiser(nd_context& nd, const router_advertiser_settings& settings = {});

    // The interface's record was written.
    void changed(iface_id id, const iface& before, instant now);
    // A host asked (RFC 4861 6.2.6): all are answered together.
    void solicited(iface_id id, instant now);
    void expire(instant now);
    instant next_deadline() const { return next_; }

  private:
    struct state {
        instant due = instant::never();
        instant last{};
        bool ever = false; // `last` says something
        unsigned initial_left = 0;
    };
    bool send(iface_id id, std::uint16_t lifetime_s);
    void due_at(state& one, instant at);
    std::uint64_t interval(iface_id id, state& one);

    nd_context& nd_;
    router_advertiser_settings settings_;
    std::unique_ptr<std::array<state, ifaces_max>> states_;
    instant next_ = instant::never();
};

// Asks routers for their advertisements on interfaces with the duty iface_accept_ra that come up
// (RFC 4861 6.3.7): three times, until one is heard. Owner: worker 0.
class router_solicitor {
  public:
    static constexpr unsigned solicitations = 3;                 // MAX_RTR_SOLICITATIONS
    static constexpr std::uint64_t interval_ns = 4 * ns_per_s;   // RTR_SOLICITATION_INTERVAL
    static constexpr std::uint32_t delay_max_ns = 1'000'000'000; // MAX_RTR_SOLICITATION_DELAY

    explicit router_solicitor(nd_context& nd)
        : nd_(nd), states_(std::make_unique<std::array<state, ifaces_max>>()) {}

    void changed(iface_id id, const iface& before, instant now);
    // A router spoke.
    void heard(iface_id id) { (*states_)[id.value].left = 0; }
    void expire(instant now);
    instant next_deadline() const { return next_; }

  private:
    struct state {
        unsigned left = 0;
        instant due = instant::never();
    };
    void send(iface_id id);

    nd_context& nd_;
    std::unique_ptr<std::array<state, ifaces_max>> states_;
    instant next_ = instant::never();
};

} // namespace pantala
