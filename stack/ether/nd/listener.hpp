// Multicast listener reports (MLDv2, RFC 3810; version 1 where an older querier is heard): switches
// that snoop learn which groups we listen to, the solicited-node groups of our addresses above all.
// Owner: worker 0.
#pragma once

#include "engine/base/clock.hpp"
#include "stack/ether/nd/nd_context.hpp"
#include "stack/wire/icmp6.hpp"

#include <array>
#include <cstdint>
#include <memory>

namespace pantala {

struct listener_query {
    wire::ipv6_address group; // unspecified: all
    std::uint32_t response_ms = 0;
    bool version1 = false;
};

class multicast_listener {
  public:
    static constexpr unsigned robustness = 2;                     // [Robustness Variable]
    static constexpr std::uint32_t repeat_max_ns = 1'000'000'000; // [Unsolicited Report Interval]
    static constexpr std::uint64_t version1_ns = 260 * ns_per_s;  // RFC 3810 9.12
    // All routers, two of each address; and as many that we leave.
    static constexpr unsigned wanted_max = 1 + 2 * iface_addresses_max;
    static constexpr unsigned groups_max = 2 * wanted_max;

    explicit multicast_listener(nd_context& nd)
        : nd_(nd), states_(std::make_unique<std::array<state, ifaces_max>>()) {}

    // The interface's record was written: groups are joined and left with its addresses.
    void changed(iface_id id, instant now);
    void queried(iface_id id, const listener_query& query, instant now);
    void expire(instant now);
    instant next_deadline() const { return next_; }

  private:
    struct membership {
        wire::ipv6_address group; // unspecified: free
        std::uint8_t left = 0;    // changes still to be reported
        bool leaving = false;
        bool asked = false; // by a query
    };
    struct state {
        std::array<membership, groups_max> groups;
        instant change_due = instant::never();
        instant answer_due = instant::never();
        instant version1_until{};
    };
    struct record {
        wire::mld_record_type type{};
        wire::ipv6_address group;
    };

    static membership* find(state& of, const wire::ipv6_address& group);
    void join(state& of, const wire::ipv6_address& group, instant now);
    void report_changes(iface_id id, state& of, instant now);
    void answer(iface_id id, state& of, instant now);
    void send(iface_id id, const state& of, std::span<const record> records, instant now);
    void send_packet(
        iface_id id, const wire::ipv6_address& destination, wire::icmp6_type type,
        std::uint32_t rest, std::span<const std::uint8_t> content);

    nd_context& nd_;
    std::unique_ptr<std::array<state, ifaces_max>> states_;
    instant next_ = instant::never();
};

} // namespace pantala
