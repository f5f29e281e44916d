// The configuration's keys as data: one table a section, and the list of sections. read_config.cpp
// applies them; the checks of texts are in checks.cpp.
#pragma once

#include "app/config/config.hpp"
#include "app/config/key.hpp"

#include <cstdint>
#include <limits>
#include <span>

namespace pantala::app {

// Checks of texts: is it one of the words, an address, ...? (checks.cpp)
result<void> is_idle(const std::string& value);
result<void> is_dispatch(const std::string& value);
result<void> is_kind(const std::string& value);
result<void> is_dad(const std::string& value);
result<void> is_ra(const std::string& value);
result<void> is_rpf(const std::string& value);
result<void> is_congestion(const std::string& value);
result<void> is_mtu_probing(const std::string& value);
result<void> is_mac(const std::string& value);
result<void> is_address(const std::string& value);
result<void> is_destination(const std::string& value);
result<void> is_interface_address(const std::string& value);
result<void> is_name(const std::string& value);
result<void> is_vrf(const std::string& value);

// What keys of [tcp] say of each other.
result<void> check_tcp(const tcp_config& from);
result<void> check_hostcache(const hostcache_config& from);

inline constexpr std::uint32_t any_number = std::numeric_limits<std::uint32_t>::max();

inline constexpr key<engine_config> engine_keys[] = {
    {"workers", number_key<engine_config>{&engine_config::workers, 1, 64}, "how many workers"},
    {"idle", text_key<engine_config>{&engine_config::idle, is_idle},
     "adaptive: sleep when there is nothing to do; busy: never"},
    {"dispatch", text_key<engine_config>{&engine_config::dispatch, is_dispatch},
     "direct: a packet of another worker's flow goes to it; deferred: queued there in any case"},
    {"lcores", text_key<engine_config>{&engine_config::lcores},
     "EAL's --lcores, control's and one a worker; floating: all over the allowed CPUs; empty: a "
     "CPU for each worker"},
    {"memory_mib", number_key<engine_config>{&engine_config::memory_mib, 0, 1 << 20},
     "memory without hugepages, MiB; 0: by need"},
    {"mbufs", number_key<engine_config>{&engine_config::mbufs, 0, 1 << 24},
     "packet buffers; 0: by the number of ports and queues"},
    {"eal", list_key<engine_config>{&engine_config::eal}, "more options for EAL"},
};

inline constexpr key<ip4_config> ip4_keys[] = {
    {"send_redirects", flag_key<ip4_config>{&ip4_config::send_redirects},
     "tell hosts of a gateway on their own link (ICMP redirect)"},
    {"errors_per_second", number_key<ip4_config>{&ip4_config::errors_per_second, 1, 1'000'000},
     "ICMP errors that a worker sends at most"},
};

inline constexpr key<ip6_config> ip6_keys[] = {
    {"stable_secret", text_key<ip6_config>{&ip6_config::stable_secret},
     "what addresses of advertised prefixes are made from (RFC 7217); empty: the machine's "
     "identity"},
};

inline constexpr key<hostcache_config> hostcache_keys[] = {
    {"expire", number_key<hostcache_config>{&hostcache_config::expire, 1, 86'400},
     "seconds that what is remembered of a destination outlives its last connection; not under "
     "min_expire"},
    {"min_expire", number_key<hostcache_config>{&hostcache_config::min_expire, 1, 86'400},
     "seconds under which a full cache does not bring that down"},
    {"sweep", number_key<hostcache_config>{&hostcache_config::sweep, 1, 86'400},
     "seconds between sweeps, at most; as often may 'expire' become two thirds of itself"},
    {"max_cache", number_key<hostcache_config>{&hostcache_config::max_cache, 0, 1'000'000},
     "a worker's destinations without a connection above which it does"},
    {"entries", number_key<hostcache_config>{&hostcache_config::entries, 1, 1'000'000},
     "destinations that a worker remembers at most"},
    {"path_mtu", number_key<hostcache_config>{&hostcache_config::path_mtu, 60, 86'400},
     "seconds that a path MTU is believed"},
    {"seed_connections", flag_key<hostcache_config>{&hostcache_config::seed_connections},
     "TCP begins with the round trip and the windows that were found before"},
};

inline constexpr key<tcp_config> tcp_keys[] = {
    {"congestion", text_key<tcp_config>{&tcp_config::congestion, is_congestion},
     "congestion control: cubic, reno or dctcp"},
    {"pacing", flag_key<tcp_config>{&tcp_config::pacing},
     "segments leave spread over the round trip"},
    {"pacing_slow_start", number_key<tcp_config>{&tcp_config::pacing_slow_start, 100, 1'000},
     "percent of the window that may leave in a round trip of slow start"},
    {"pacing_avoidance", number_key<tcp_config>{&tcp_config::pacing_avoidance, 100, 1'000},
     "the same behind slow start"},
    {"pacing_rtt_min", number_key<tcp_config>{&tcp_config::pacing_rtt_min, 1, 1'000},
     "milliseconds of a round trip under which nothing is paced"},
    {"fast_open_client", flag_key<tcp_config>{&tcp_config::fast_open_client},
     "sockets that ask for Fast Open may send data with their SYN"},
    {"fast_open_server", flag_key<tcp_config>{&tcp_config::fast_open_server},
     "listeners that ask for Fast Open may take it"},
    {"fast_open_period", number_key<tcp_config>{&tcp_config::fast_open_period, 60, 86'400},
     "seconds after which a server makes other cookies; one lives for up to two of them"},
    {"fast_open_pause", number_key<tcp_config>{&tcp_config::fast_open_pause, 1, 2'000},
     "seconds for which a client leaves a server alone where it failed, doubled each time"},
    {"fast_open_servers", number_key<tcp_config>{&tcp_config::fast_open_servers, 8, 1'000'000},
     "servers whose cookies a worker keeps"},
    {"mtu_probing", text_key<tcp_config>{&tcp_config::mtu_probing, is_mtu_probing},
     "search for a larger path MTU: never; reduced: where segments had to become smaller; always: "
     "every connection, from small ones on"},
    {"mtu_raise", number_key<tcp_config>{&tcp_config::mtu_raise, 60, 86'400},
     "seconds between two such searches of a connection"},
#define TCP_NUMBER(name, usual, least, most, when, meaning)                                        \
    {#name, number_key<tcp_config>{&tcp_config::name, least, most}, meaning},
#define TCP_LIMIT(name, usual, least, most, when, meaning)                                         \
    {#name, number_key<tcp_config>{&tcp_config::name, least, most}, meaning},
#define TCP_FLAG(name, usual, when, meaning)                                                       \
    {#name, flag_key<tcp_config>{&tcp_config::name}, meaning},
#include "app/config/tcp_keys.def"
#undef TCP_NUMBER
#undef TCP_LIMIT
#undef TCP_FLAG
};

inline constexpr key<control_config> control_keys[] = {
    {"socket", text_key<control_config>{&control_config::socket},
     "path of the control socket; empty: in the user's runtime directory"},
};

inline constexpr key<port_config> port_keys[] = {
    {"name", text_key<port_config>{&port_config::name, is_name}, "its name", true},
    {"device", text_key<port_config>{&port_config::device},
     "bus:PATH[,ARGS], a PCI address, or a DPDK vdev with its arguments", true},
    {"queues", number_key<port_config>{&port_config::queues, 0, 64},
     "receive queues; 0: one a worker, or what the port has"},
    {"mtu", number_key<port_config>{&port_config::mtu, 68, 65535}, "bytes of IP"},
    {"mac", text_key<port_config>{&port_config::mac, is_mac}, "Ethernet address; else the port's"},
    {"rx_descriptors", number_key<port_config>{&port_config::rx_descriptors, 64, 32768},
     "a receive queue's length"},
    {"tx_descriptors", number_key<port_config>{&port_config::tx_descriptors, 64, 32768},
     "a transmit queue's length"},
    {"promiscuous", flag_key<port_config>{&port_config::promiscuous}, "take every frame"},
    {"lose_ppm", number_key<port_config>{&port_config::lose_ppm, 0, 1'000'000},
     "for tests: packets lost each way, in a million"},
    {"duplicate_ppm", number_key<port_config>{&port_config::duplicate_ppm, 0, 1'000'000},
     "for tests: packets doubled"},
    {"reorder_ppm", number_key<port_config>{&port_config::reorder_ppm, 0, 1'000'000},
     "for tests: packets overtaken by the next four"},
};

inline constexpr key<vrf_config> vrf_keys[] = {
    {"name", text_key<vrf_config>{&vrf_config::name, is_vrf}, "what its routing table is called",
     true},
    {"table", number_key<vrf_config>{&vrf_config::table, 1, any_number},
     "the table's number, as iproute2 has them; 254 is the main one", true},
};

// Which routing table, for records that have `vrf` and `table`.
template <class T>
inline constexpr key<T> in_vrf{
    "vrf", text_key<T>{&T::vrf, is_vrf}, "routing table, by its name; without: the main one"};
template <class T>
inline constexpr key<T> in_table{
    "table", number_key<T>{&T::table, 0, any_number}, "or by its number; 0: the main one, 254"};

inline constexpr key<link_config> link_keys[] = {
    {"name", text_key<link_config>{&link_config::name, is_name}, "the interface's name", true},
    {"port", text_key<link_config>{&link_config::port, is_name}, "the port that carries it", true},
    {"vlan", number_key<link_config>{&link_config::vlan, 1, 4094}, "802.1Q tag", true},
    {"mtu", number_key<link_config>{&link_config::mtu, 0, 65535}, "bytes of IP; 0: the port's"},
    {"up", flag_key<link_config>{&link_config::up}, "up from the start"},
};

inline constexpr key<addr_config> addr_keys[] = {
    {"address", text_key<addr_config>{&addr_config::address, is_interface_address},
     "ADDRESS/LENGTH", true},
    {"dev", text_key<addr_config>{&addr_config::dev, is_name}, "interface", true},
    {"dad", text_key<addr_config>{&addr_config::dad, is_dad},
     "whether somebody else has it is asked meanwhile (optimistic), before it is used (strict), or "
     "not at all (off)"},
};

inline constexpr key<iface_config> iface_keys[] = {
    {"dev", text_key<iface_config>{&iface_config::dev, is_name}, "interface", true},
    {"ra", text_key<iface_config>{&iface_config::ra, is_ra},
     "router advertisements (IPv6): send them, accept others' (addresses and a default route are "
     "made of them), or off"},
    {"ra_interval", number_key<iface_config>{&iface_config::ra_interval, 4, 1800},
     "seconds between those sent, at most"},
    {"ra_lifetime", number_key<iface_config>{&iface_config::ra_lifetime, 0, 9000},
     "seconds that hosts use this router by default; 0: not at all"},
    {"rpf", text_key<iface_config>{&iface_config::rpf, is_rpf},
     "reverse path check of sources: strict, loose or off"},
    in_vrf<iface_config>,
    in_table<iface_config>,
};

inline constexpr key<neigh_config> neigh_keys[] = {
    {"address", text_key<neigh_config>{&neigh_config::address, is_address}, "IPv4 or IPv6 address",
     true},
    {"lladdr", text_key<neigh_config>{&neigh_config::lladdr, is_mac}, "Ethernet address", true},
    {"dev", text_key<neigh_config>{&neigh_config::dev, is_name}, "interface", true},
};

inline constexpr key<route_config> route_keys[] = {
    {"to", text_key<route_config>{&route_config::to, is_destination}, "prefix or 'default'", true},
    {"kind", text_key<route_config>{&route_config::kind, is_kind},
     "unicast, or what to do instead of forwarding"},
    {"via", list_key<route_config>{&route_config::via, is_address},
     "gateway, or a list of them (ECMP)"},
    {"dev", text_key<route_config>{&route_config::dev, is_name},
     "interface; else that of the gateway's subnet"},
    {"mtu", number_key<route_config>{&route_config::mtu, 0, 65535}, "bytes of IP; 0: the link's"},
    in_vrf<route_config>,
    in_table<route_config>,
};

inline constexpr key<table_config> table_keys[] = {
    {"file", text_key<table_config>{&table_config::file},
     "CIDR list, one a line, or MRT dump (TABLE_DUMP_V2); '.gz' or not; relative to this file",
     true},
    {"via", list_key<table_config>{&table_config::via, is_address},
     "gateways; prefixes without one of their own are spread over them by the skewed rule", true},
    {"limit", number_key<table_config>{&table_config::limit, 0, any_number},
     "only so many; 0: all"},
    in_vrf<table_config>,
    in_table<table_config>,
};

template <class T, std::size_t n>
std::span<const key<T>> all_keys(const key<T> (&keys)[n]) {
    return keys;
}

// The one list of sections: `visit(name, keys, member of config)` for each.
template <class Visit>
result<void> each_section(Visit&& visit) {
    const auto all = [&](auto&&... one) {
        result<void> good;
        ((good = one(), good.ok()) && ...);
        return good;
    };
    return all(
        [&] { return visit("engine", all_keys(engine_keys), &config::engine); },
        [&] { return visit("ip4", all_keys(ip4_keys), &config::ip4); },
        [&] { return visit("ip6", all_keys(ip6_keys), &config::ip6); },
        [&] { return visit("hostcache", all_keys(hostcache_keys), &config::hostcache); },
        [&] { return visit("tcp", all_keys(tcp_keys), &config::tcp); },
        [&] { return visit("control", all_keys(control_keys), &config::control); },
        [&] { return visit("port", all_keys(port_keys), &config::ports); },
        [&] { return visit("vrf", all_keys(vrf_keys), &config::vrfs); },
        [&] { return visit("link", all_keys(link_keys), &config::links); },
        [&] { return visit("addr", all_keys(addr_keys), &config::addrs); },
        [&] { return visit("iface", all_keys(iface_keys), &config::ifaces); },
        [&] { return visit("neigh", all_keys(neigh_keys), &config::neighs); },
        [&] { return visit("route", all_keys(route_keys), &config::routes); },
        [&] { return visit("table", all_keys(table_keys), &config::tables); });
}

} // namespace pantala::app
