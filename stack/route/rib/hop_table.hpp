// The hops of the RIB: targets interned to ids, counted by use, resolved to the records that
// workers see. A gateway without an interface is resolved through the table, recursively, so a
// change of the way to it rewrites records only. A set of targets is a group of buckets; when a
// member dies or comes back only the buckets that must move are rewritten (resilient ECMP).
// Owner: control.
#pragma once

#include "engine/base/result.hpp"
#include "stack/route/records.hpp"
#include "stack/route/rib.hpp"
#include "stack/route/rib/bucket_space.hpp"
#include "stack/route/rib/route_writer.hpp"

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

namespace pantala {

// The gateway as text, of either family.
std::string format_gateway(const route_target& target);

class hop_table {
  public:
    // The hop of the longest route, the default excepted, to a target's gateway in a table.
    using route_finder =
        std::function<std::optional<nexthop_id>(unsigned table, const route_target& gateway)>;

    hop_table(route_records& records, route_writer& writer, route_finder finder);

    struct spec {
        std::vector<route_target> targets; // one, or the members of a group
        std::uint16_t mtu = 0;
        std::uint8_t table = 0; // where gateways are looked up

        bool operator==(const spec&) const = default;
    };

    // The id of a hop with one more use. `like`: a group whose flows should stay where they are.
    // Errors: EINVAL, ENOSPC.
    result<nexthop_id> take(const spec& wanted, std::optional<nexthop_id> like = std::nullopt);
    void use(nexthop_id id) { ++entries_[id.value].uses; }
    void release(nexthop_id id);
    const spec& of(nexthop_id id) const { return entries_[id.value].what; }
    bool live(nexthop_id id) const { return records_.hops[id.value].kind != nexthop_kind::none; }
    bool in_use(nexthop_id id) const {
        return id.value < entries_.size() && entries_[id.value].used;
    }
    std::size_t size() const { return ids_.size(); }

    // An id whose record follows another's (the default route), or leads nowhere.
    result<nexthop_id> take_alias();
    void point_alias(nexthop_id alias, std::optional<nexthop_id> at);

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
        std::vector<nexthop_id> members;   // of a group, one a target
        std::vector<std::uint16_t> owners; // which member has each bucket
        std::uint16_t first_bucket = 0;
        std::optional<nexthop_id> follows; // of an alias
        bool alias = false;
        bool used = false;
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
    result<void> check(const spec& wanted) const;
    std::optional<std::uint16_t> free_id();
    result<void> make_group(entry& made, std::optional<nexthop_id> like);
    void drop_group(entry& gone);
    // Gives dead members' buckets, and what live ones lack, to those that should have more.
    void spread(entry& group);
    nexthop evaluate(entry& made);
    nexthop resolve(const route_target& target, const spec& what, unsigned depth) const;
    nexthop resolve_gateway(const route_target& target, const spec& what, unsigned depth) const;
    bool iface_up(iface_id id) const { return records_.ifaces[id.value].up; }
    bool write(std::uint16_t id, const nexthop& record);
    void write_buckets(const entry& group);
    void note_gateway(const entry& made, std::uint16_t id, bool there);

    route_records& records_;
    route_writer& writer_;
    route_finder find_;
    bucket_space space_;
    std::vector<entry> entries_; // by id
    std::vector<std::uint16_t> free_;
    std::map<key, std::uint16_t> ids_;
    std::set<lookup> gateways_;
};

} // namespace pantala
