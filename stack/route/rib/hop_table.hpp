// The hops of the RIB: targets interned to ids, counted by use, resolved to the records that
// workers see. A gateway without an interface is resolved through the table, recursively, so a
// change of the way to it rewrites records only. A set of targets is a group of buckets
// (fib/bucket_shares.hpp): a member that dies or is taken away gives up its own, one that comes
// takes its share, and the rest stay where they are (resilient ECMP). A member that is reached over
// a group has its buckets shared out among that one's hops, by their shares of it: weights
// multiply. Groups of the same targets that came to be in different ways may differ in their
// buckets; up to 16 such are kept apart. A choice is the hops of one prefix's routes in the order
// of their metrics: its record is that of the first live one, so that the next metric takes over
// without a table being touched.
//
// A hop is live if it leads somewhere. The record of a dead one is that of its table's default
// route, which most of its prefixes would fall back to (rib_fallback.cpp sees to the others).
//
// Records are written in such an order that nothing in use leads to what is not there yet, or not
// any more. Owner: control.
#pragma once

#include "engine/base/result.hpp"
#include "stack/route/fib/bucket_space.hpp"
#include "stack/route/records.hpp"
#include "stack/route/rib.hpp"
#include "stack/route/rib/route_writer.hpp"

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

namespace pantala {

// The gateway as text, of either family.
std::string format_gateway(const route_target& target);

class hop_table {
  public:
    struct way {
        nexthop_id hop;
        unsigned length; // of its prefix
    };
    // The longest route of less than `below` bits, the default excepted, to a target's gateway.
    using route_finder = std::function<std::optional<way>(
        unsigned table, const route_target& gateway, unsigned below)>;

    hop_table(route_records& records, route_writer& writer, route_finder finder);

    struct spec {
        std::vector<route_target> targets; // one, or the members of a group
        std::uint16_t mtu = 0;
        std::uint8_t table = 0; // where gateways are looked up

        bool operator==(const spec&) const = default;
    };

    // The id of a hop with one more use. `like`: the hop that it takes the place of, whose flows
    // stay with their members. Errors: EINVAL, ENOSPC.
    result<nexthop_id> take(const spec& wanted, std::optional<nexthop_id> like = std::nullopt);
    // The choice among hops, best first, two or more; it has a use of each. Errors: ENOSPC.
    result<nexthop_id> take_choice(std::span<const nexthop_id> hops);
    bool is_choice(nexthop_id id) const { return entries_[id.value].choice; }
    void use(nexthop_id id) { ++entries_[id.value].uses; }
    void release(nexthop_id id);
    // Hops that lose their last use from hold() on stay as they are until let_go(): the tables that
    // workers read lead to them for so long. Their ids are taken meanwhile.
    void hold() { holding_ = true; }
    void let_go();
    std::uint32_t uses(nexthop_id id) const { return entries_[id.value].uses; }
    const spec& of(nexthop_id id) const { return entries_[id.value].what; }
    bool live(nexthop_id id) const { return entries_[id.value].live; }
    bool any_dead() const { return dead_ != 0; }
    bool in_use(nexthop_id id) const {
        return id.value < entries_.size() && entries_[id.value].used;
    }
    std::size_t size() const { return ids_.size(); }
    // Whether an id that there is, or that the next change takes, may need two bytes in a table.
    bool may_be_wide() const { return entries_.size() + route_targets_max + 8 >= fib4_more; }
    // Whether some hop leaves by it. Cost: a look at every hop.
    bool names(iface_id id) const;

    // An id whose record follows another's (the default route), or leads nowhere.
    result<nexthop_id> take_alias(unsigned table, bool is6);
    void point_alias(nexthop_id alias, std::optional<nexthop_id> at);
    // Of a table that is no more.
    void drop_alias(unsigned table, bool is6);

    // Resolves all anew after a change of interfaces or of routes to gateways, and writes the
    // records and buckets that differ. True: some hop died or came to life.
    bool refresh();
    // Whether a change of `prefix` of this table can move a gateway.
    bool concerns(unsigned table, const prefix4& prefix) const;
    bool concerns(unsigned table, const prefix6& prefix) const;

  private:
    struct entry {
        spec what;
        std::uint32_t uses = 0;
        std::vector<nexthop_id> members;   // of a group, one a target; or what a choice is among
        std::vector<std::uint16_t> owners; // which member has each bucket
        std::vector<bool> served;          // by member: it was alive when buckets were spread last
        std::vector<nexthop_id> leads;     // the hop that each bucket leads to
        std::vector<std::uint32_t> inner;  // by member: the group it was reached over last, or none
        std::uint16_t first_bucket = 0;
        std::optional<nexthop_id> follows; // of an alias
        bool alias = false;
        bool choice = false;
        bool used = false;
        bool live = false;

        bool group() const { return !members.empty() && !choice; }
    };
    using key = std::pair<std::uint64_t, std::vector<std::uint64_t>>;
    // A gateway that is looked up: IPv4 addresses are the low half of theirs.
    struct lookup {
        unsigned table = 0;
        bool is6 = false;
        address6 gateway;
        std::uint16_t id = 0;

        auto operator<=>(const lookup&) const = default;
    };

    static key key_of(const spec& wanted);
    static key key_of(std::span<const nexthop_id> choice);
    result<nexthop_id> keep(entry made, key made_key);
    result<void> check(const spec& wanted) const;
    std::optional<std::uint16_t> free_id();
    result<nexthop_id>
    make(const spec& wanted, const key& wanted_key, std::optional<nexthop_id> like);
    void forget_key(const key& of, nexthop_id id);
    // --- groups ---
    result<void> make_group(entry& made, std::optional<nexthop_id> like);
    void drop_group(entry& gone);
    static void lay_out(entry& made, const entry& like);
    // Whether no flow that `before` has with a member of `now` is with another of them there.
    static bool goes_on(const entry& before, const entry& now);
    // Gives the dead members' buckets to those that lack most, and their share to those who came.
    void spread(entry& group);
    // What a group has only to spread more evenly leaves a quarter to groups that need theirs.
    bool may_grow(unsigned count) const { return space_.left() >= count + group_buckets_max / 4; }
    unsigned buckets_for(const entry& group, bool nested) const;
    void grow(entry& group);
    void share_inner(entry& group, std::uint16_t member, const nexthop& over);
    void give_retired();
    // --- hop_resolve.cpp ---
    nexthop resolve_hop(nexthop_id id, unsigned depth) const;
    nexthop resolve(const route_target& target, const spec& what, unsigned depth) const;
    nexthop resolve_gateway(const route_target& target, const spec& what, unsigned depth) const;
    nexthop fallback(const entry& dead) const;
    bool leads_somewhere(nexthop_id id) const;
    void set_live(entry& of, bool live);
    bool settle_lives();
    void settle_one(nexthop_id id);
    void write_records();
    bool iface_up(iface_id id) const { return records_.ifaces[id.value].up; }
    void write(std::uint16_t id, const nexthop& record);
    void write_buckets(entry& group);
    void note_gateway(const entry& made, std::uint16_t id, bool there);

    route_records& records_;
    route_writer& writer_;
    route_finder find_;
    bucket_space space_;
    std::vector<std::pair<std::uint16_t, unsigned>> retired_; // runs that records may still name
    std::vector<entry> entries_;                              // by id
    std::vector<std::uint16_t> free_;
    std::multimap<key, std::uint16_t> ids_;
    std::set<lookup> gateways_;
    std::map<std::pair<unsigned, bool>, nexthop_id> defaults_; // by table and whether IPv6
    std::size_t dead_ = 0;                                     // in use, but leading nowhere
    std::vector<nexthop_id> held_;                             // each with its last use
    bool holding_ = false;
};

} // namespace pantala
