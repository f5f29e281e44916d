// What an operator asks to be changed, in iproute2's words, as plain records. One grammar serves
// the command line, batch files, the configuration file and the control socket.
#pragma once

#include "app/address.hpp"
#include "app/words.hpp"
#include "engine/base/result.hpp"
#include "stack/route/nexthop.hpp"
#include "stack/route/prefix6.hpp"
#include "stack/route/rib.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace pantala::app {

enum class change_verb : std::uint8_t { add, del, replace, append };

std::optional<change_verb> verb_of(std::string_view word);

// Bounds on what one change may say.
inline constexpr unsigned change_words_max = 480; // seven for each of the next hops
inline constexpr unsigned route_hops_max = route_targets_max;

// A routing table, by its number or by the name of its VRF. Numbers are iproute2's: main is 254.
inline constexpr std::uint32_t main_table = 254;
struct table_word {
    std::uint32_t number = main_table; // where there is no name
    std::string name{};

    bool operator==(const table_word&) const = default;
};
// The word after `table` (a number, `main` or a name) or after `vrf` (a name).
result<void> set_table(std::string_view keyword, std::string_view word, table_word& table);

struct route_hop {
    std::uint32_t via = 0;          // gateway, host byte order; 0: none, the link itself
    std::string dev;                // interface name; empty: the one whose subnet has the gateway
    std::optional<address6> via6{}; // of an IPv6 route
    std::uint16_t weight = 1;       // 1..256: its share among several

    bool operator==(const route_hop&) const = default;
};

// `add|replace|append|del [KIND] PREFIX [via GW] [dev IF] [nexthop [via GW] [dev IF] [weight N]]...
//  [metric N] [proto P] [mtu BYTES] [table N | vrf NAME] [scope link|global]`
struct route_change {
    change_verb verb = change_verb::add;
    ip4_prefix to;
    std::optional<prefix6> to6; // an IPv6 route: then `to` says nothing
    nexthop_kind kind =
        nexthop_kind::gateway;             // gateway, connected, blackhole, unreachable, prohibit
    std::vector<route_hop> hops;           // one, or several for ECMP
    std::uint16_t mtu = 0;                 // 0: the interface's
    std::optional<std::uint32_t> metric{}; // none: metric_of(protocol); to del: the lowest
    std::optional<route_protocol> protocol{}; // none: static; to del: any
    table_word table{};
    bool aside = false; // where an address's own route has the place, it waits until that goes
};

// `FILE [via GATEWAY]... [table N | vrf NAME]`
struct load_change {
    std::string file;
    std::vector<std::uint32_t> via;
    std::vector<address6> via6;
    table_word table{};
};

// Whether an address is asked for before it is used (RFC 4862, RFC 5227), meanwhile, or not at all.
enum class dad_mode : std::uint8_t { strict, optimistic, off };

// `add ADDRESS/LENGTH dev IF [nodad|optimistic]`
struct addr_change {
    change_verb verb = change_verb::add;
    ip4_prefix address;
    std::string dev;
    std::optional<prefix6> six{}; // with its host bits; then `address` says nothing
    dad_mode dad = dad_mode::strict;
};

// `add ADDRESS lladdr MAC dev IF`
struct neigh_change {
    change_verb verb = change_verb::add;
    std::uint32_t address = 0;
    std::optional<mac_address> lladdr;
    std::string dev;
    std::optional<address6> six{}; // then `address` says nothing
};

// Router advertisements of an interface, and its reverse path check.
enum class ra_mode : std::uint8_t { off, send, accept };
enum class rpf_mode : std::uint8_t { off, strict, loose };
std::optional<ra_mode> ra_of(std::string_view word);
std::optional<rpf_mode> rpf_of(std::string_view word);

// `set IF up|down|mtu BYTES|address MAC|ra off|send|accept|rpf off|strict|loose|vrf NAME|table N|
// nomaster`, `add link PORT name IF type vlan id VLAN`, `add VRF type vrf table N`, `del IF|VRF`
struct link_change {
    enum class verbs : std::uint8_t { add, del, set } verb = verbs::set;
    std::string name;
    std::string port;                  // add: the port (or its interface) that carries the VLAN
    std::optional<std::uint16_t> vlan; // add
    std::optional<bool> up;
    std::optional<std::uint16_t> mtu;
    std::optional<mac_address> mac;
    std::optional<ra_mode> ra{};
    std::optional<rpf_mode> rpf{};
    std::optional<table_word> table{};          // set: where it goes; add: of the VRF that is made
    std::optional<std::uint16_t> ra_interval{}; // seconds; from the configuration
    std::optional<std::uint16_t> ra_lifetime{};
};

// Cuts a line at blanks; a `#` ends it. False if it has more words than `room`.
bool split_words(std::string_view line, std::span<std::string_view> room, unsigned& count);

// The words after `route`, `addr`, `neigh`, `link`. `change` is reused: its vector keeps its
// memory.
result<void> parse_route(words text, route_change& change);
result<void> parse_addr(words text, addr_change& change);
result<void> parse_neigh(words text, neigh_change& change);
result<void> parse_link(words text, link_change& change);
// Those after `route load`.
result<void> parse_load(words text, load_change& load);

// Addresses of either family as words, into their places. What was there before is forgotten.
result<void> set_destination(std::string_view text, route_change& change);
result<void> set_gateway(std::string_view text, route_hop& hop);
result<void> set_address(std::string_view text, addr_change& change);
result<void> set_address(std::string_view text, neigh_change& change);

// Destination, gateways and interface of a route that came otherwise than by the grammar.
result<void> set_next_hops(
    route_change& change, const std::string& to, const std::vector<std::string>& via,
    const std::string& dev);

// The checks behind the grammar, for a route that came otherwise: `kind` is unicast, blackhole,
// unreachable or prohibit; sets change.kind.
result<void> finish_route(route_change& change, std::string_view kind);

std::string_view kind_word(nexthop_kind kind);
std::string_view protocol_word(route_protocol protocol);
// Those that may be said: static, bgp, ospf, boot.
result<route_protocol> parse_protocol(std::string_view word);

} // namespace pantala::app
