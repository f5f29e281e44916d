// The state and the timers of every neighbour: worker 0's alone. In the manner of RFC 4861 7.3,
// for ARP (RFC 826) and neighbour discovery alike.
//
//                needed                answered
//     (unknown) --------> incomplete ----------> reachable --30 s--> stale --used--> delay
//         ^                   |                   ^     ^              |               | 5 s
//         |               3 requests              |     |              | 20 min        v
//         +---- 3 s ------ failed <---------------|-----|--------------|---------- probe
//                              3 unicast requests |     +--------------|-- answered --+
//         +------------------------------------------------------------+  (forgotten)
//
//     seen with its known address: nothing changes; with another: that one, stale
//     seen asking us, unknown: stale with that address
//     permanent: set by control; nothing that is heard changes it
//
// On a link each state has a fixed length, so the neighbours of a state stand in a list in the
// order of their time and expiry looks only at its front: no timer wheel, O(1) a transition. Links
// whose routers say other times (RFC 4861 6.3.4) have lists of their own, at most `paces_max - 1`
// links.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/base/intrusive_list.hpp"
#include "engine/netmsg.hpp"
#include "engine/random.hpp"
#include "stack/ether/neighbor/neighbor_map.hpp"
#include "stack/ether/neighbor/neighbor_messages.hpp"

#include <array>
#include <cstdint>
#include <optional>

namespace pantala {

enum class neighbor_state : std::uint8_t {
    unknown, // not in the table
    incomplete,
    reachable,
    stale,
    delay,
    probe,
    failed,
    permanent,
};
inline constexpr std::size_t neighbor_states = 8;
const char* name_of(neighbor_state state);

struct neighbor_settings {
    unsigned capacity = 8192;
    unsigned incomplete_max = 1024; // gateways excepted: what a scan of a large link can occupy
    unsigned gateways_kept = 64;    // of the capacity, at most half: for routes' gateways alone
    unsigned tries = 3;             // MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT
    std::uint64_t retry_ns = 1 * ns_per_s;      // RETRANS_TIMER
    std::uint64_t reachable_ns = 30 * ns_per_s; // REACHABLE_TIME: BaseReachableTime to begin with
    // ReachableTime is half to one and a half of it, drawn for each link (RFC 4861 6.3.2).
    bool reachable_spread = true;
    std::uint64_t delay_ns = 5 * ns_per_s;    // DELAY_FIRST_PROBE_TIME
    std::uint64_t stale_ns = 1200 * ns_per_s; // BSD's arpt_keep
    std::uint64_t failed_ns = 3 * ns_per_s;   // how long it is not asked for again
    std::uint64_t recycle_ns = 60 * ns_per_s; // stale for this long may make room for another
};

struct neighbor_record : list_hook<struct state_list_tag>, list_hook<struct dirty_list_tag> {
    neighbor_key key;
    std::uint32_t hash_next = 0;
    wire::mac_address mac;
    neighbor_state state = neighbor_state::unknown;
    std::uint8_t tries = 0;
    std::uint8_t pace = 0; // whose lists it is on
    bool router = false;   // RFC 4861 5.1: IsRouter
    bool gateway = false;  // some route's: makes no room for others
    instant since{};       // in this state, or since the last request
};

// What routers may say of the times of a link; what is beyond is taken as the bound.
inline constexpr std::uint64_t reachable_least_ns = 1 * ns_per_s;
inline constexpr std::uint64_t reachable_most_ns = 3600 * ns_per_s; // RFC 4861 6.2.1
// How often ReachableTime is drawn anew where the base stays as it is: "every few hours".
inline constexpr std::uint64_t reachable_drawn_ns = 7200 * ns_per_s;
inline constexpr std::uint64_t retry_least_ns = 100 * ns_per_ms;
inline constexpr std::uint64_t retry_most_ns = 10 * ns_per_s;

// Sends the request: to everybody, or to `known` alone where that is given.
struct neighbor_solicitor {
    void (*solicit)(void* context, const neighbor_key& key, const wire::mac_address* known) =
        nullptr;
    void* context = nullptr;
};

class neighbor_owner {
  public:
    neighbor_owner(
        netmsg_endpoint& messages, const neighbor_handlers& handlers, neighbor_solicitor solicitor,
        const neighbor_settings& settings, random_source& random);

    // A report of any worker; sets `refused` if there is no room for what is needed, `router_gone`
    // if a router says that it is none (RFC 4861 7.2.5). A gateway
    // finds room in a full table: what is kept for them, else the place of the host that failed,
    // was last heard of or has waited the longest.
    void on_report(neighbor_report& report, instant now);
    // An update came back from the last worker.
    void on_update_replied(neighbor_update& update);

    // At most `budget` timers.
    void expire(instant now, unsigned budget);
    instant next_deadline() const;

    // Control's wishes, run here by message.
    bool set_permanent(const neighbor_key& key, const wire::mac_address& mac, instant now);
    bool remove(const neighbor_key& key);
    // How it stands with a gateway; asks for it where that is not known or not sure.
    neighbor_state check_gateway(const neighbor_key& key, instant now);
    // Of the neighbours of `id`, from their next change of state on; 0: as the settings say.
    void set_times(iface_id id, std::uint64_t reachable_ns, std::uint64_t retry_ns);
    // The interface went down or lost its addresses: forget its neighbours, but for permanent ones;
    // or it is no more: forget them all.
    enum class flush_of { heard, all };
    void flush(iface_id id, flush_of which = flush_of::heard);

    struct row {
        neighbor_key key;
        wire::mac_address mac;
        neighbor_state state;
        std::uint64_t age_ns; // since the state was entered or the last request made
    };
    // The first neighbour at or after `cursor`, which then stands behind it.
    std::optional<row> list(std::uint32_t& cursor, instant now);

    neighbor_state state_of(const neighbor_key& key) {
        neighbor_record* record = map_.find(key);
        return record == nullptr ? neighbor_state::unknown : record->state;
    }
    unsigned size() const { return map_.size(); }

  private:
    using state_list = intrusive_list<neighbor_record, struct state_list_tag>;

    void needed(neighbor_report& report, instant now);
    void used(const neighbor_report& report, instant now);
    void heard(const neighbor_report& report, instant now);
    void advertised(neighbor_report& report, instant now);
    neighbor_record* create(const neighbor_key& key, instant now, bool gateway = false);
    bool make_room(instant now, bool gateway);
    neighbor_record* oldest_host(neighbor_state state);
    void enter(neighbor_record& record, neighbor_state state, instant now);
    void request(neighbor_record& record);
    bool due(neighbor_record& record, instant now);
    void publish(neighbor_record& record);
    bool forget(neighbor_record& record);
    // The times of a link, and its neighbours by state.
    struct pace {
        bool taken = false;
        iface_id iface{};
        std::uint64_t base_ns = 0;      // BaseReachableTime
        std::uint64_t reachable_ns = 0; // as drawn
        std::uint64_t retry_ns = 0;
        std::array<state_list, neighbor_states> lists;
    };
    static constexpr std::uint8_t paces_max = 9; // the first is everybody's

    std::uint8_t pace_of(iface_id id) const;
    std::uint64_t draw(std::uint64_t base_ns);
    void draw_all(instant now);
    std::uint64_t length_ns(neighbor_state state, const pace& of) const;
    static state_list& list_of(pace& of, neighbor_state state) {
        return of.lists[static_cast<std::size_t>(state)];
    }

    netmsg_endpoint& messages_;
    neighbor_handlers handlers_;
    neighbor_solicitor solicitor_;
    neighbor_settings settings_;
    random_source& random_;
    instant draw_at_{};
    neighbor_map<neighbor_record> map_;
    message_pool<neighbor_update> updates_;
    std::array<pace, paces_max> paces_;
    std::uint8_t paces_used_ = 1; // those at and above were never taken
    std::array<unsigned, neighbor_states> counts_{};
    intrusive_list<neighbor_record, struct dirty_list_tag> dirty_; // changed, update not yet sent
};

} // namespace pantala
