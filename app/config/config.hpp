// What `pantala run` is to do: filled from a TOML file and from options. Every key is a line of
// the tables in schema.hpp, which give the parser, the errors and the reference alike.
#pragma once

#include "app/address.hpp"
#include "engine/base/result.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace pantala::app {

struct engine_config {
    std::uint32_t workers = 1;
    std::string idle = "adaptive";
    std::string dispatch = "direct";
    std::string lcores;
    std::uint32_t memory_mib = 0;
    std::uint32_t mbufs = 0;
    std::vector<std::string> eal;
};

struct ip4_config {
    bool send_redirects = true;
    std::uint32_t errors_per_second = 1000;
};

struct ip6_config {
    std::string stable_secret; // of the addresses that are made of advertised prefixes
};

struct hostcache_config {
    std::uint32_t expire = 3'600;
    std::uint32_t min_expire = 10;
    std::uint32_t sweep = 600;
    std::uint32_t max_cache = 4'096;
    std::uint32_t entries = 65'536;
    std::uint32_t path_mtu = 600;
    bool seed_connections = true;
};

// Milliseconds, seconds and percent as schema.hpp says; the defaults are those of tcp::settings.
struct tcp_config {
    std::string congestion = "cubic";
    bool pacing = false;
    std::uint32_t pacing_slow_start = 200;
    std::uint32_t pacing_avoidance = 120;
    std::uint32_t pacing_rtt_min = 4;
    bool fast_open_client = true;
    bool fast_open_server = true;
    std::uint32_t fast_open_period = 3'600;
    std::uint32_t fast_open_pause = 60;
    std::uint32_t fast_open_servers = 4'096;
    std::string mtu_probing = "reduced";
    std::uint32_t mtu_raise = 600;
#define TCP_NUMBER(name, usual, least, most, when, meaning) std::uint32_t name = usual;
#define TCP_LIMIT(name, usual, least, most, when, meaning) std::uint32_t name = usual;
#define TCP_FLAG(name, usual, when, meaning) bool name = usual;
#include "app/config/tcp_keys.def"
#undef TCP_NUMBER
#undef TCP_LIMIT
#undef TCP_FLAG
};

struct control_config {
    std::string socket;
};

struct port_config {
    std::string name;
    std::string device;
    std::uint32_t queues = 0;
    std::uint32_t mtu = 1500;
    std::string mac;
    std::uint32_t rx_descriptors = 1024;
    std::uint32_t tx_descriptors = 1024;
    bool promiscuous = false;
    std::uint32_t lose_ppm = 0;
    std::uint32_t duplicate_ppm = 0;
    std::uint32_t reorder_ppm = 0;
    std::uint32_t line = 0; // of its table in the file; 0: from an option
};

struct vrf_config {
    std::string name;
    std::uint32_t table = 0;
    std::uint32_t line = 0;
};

struct link_config {
    std::string name;
    std::string port;
    std::uint32_t vlan = 0;
    std::uint32_t mtu = 0;
    bool up = true;
    std::uint32_t line = 0;
};

struct addr_config {
    std::string address;
    std::string dev;
    std::string dad = "optimistic";
    std::uint32_t line = 0;
};

struct iface_config {
    std::string dev;
    std::string ra = "off";
    std::uint32_t ra_interval = 600;
    std::uint32_t ra_lifetime = 1800;
    std::string rpf = "off";
    std::string vrf;
    std::uint32_t table = 0;
    std::uint32_t line = 0;
};

struct neigh_config {
    std::string address;
    std::string lladdr;
    std::string dev;
    std::uint32_t line = 0;
};

struct route_config {
    std::string to;
    std::string kind = "unicast";
    std::vector<std::string> via;
    std::string dev;
    std::uint32_t mtu = 0;
    std::string vrf;
    std::uint32_t table = 0;
    std::uint32_t line = 0;
};

struct table_config {
    std::string file;
    std::vector<std::string> via;
    std::uint32_t limit = 0;
    std::string vrf;
    std::uint32_t table = 0;
    std::uint32_t line = 0;
};

struct config {
    std::string file; // where it came from; empty: options only
    engine_config engine;
    ip4_config ip4;
    ip6_config ip6;
    hostcache_config hostcache;
    tcp_config tcp;
    control_config control;
    std::vector<port_config> ports;
    std::vector<vrf_config> vrfs;
    std::vector<link_config> links;
    std::vector<addr_config> addrs;
    std::vector<iface_config> ifaces;
    std::vector<neigh_config> neighs;
    std::vector<route_config> routes;
    std::vector<table_config> tables;
};

// Reads and checks a file. An unknown key, a wrong type or a bad value is an error that names file
// and line.
result<config> read_config(const std::string& path);
// The same for text that is at hand; `name` stands in errors where the file name would.
result<config> parse_config(std::string_view text, const std::string& name);

// An error of a record of a configuration, with its place.
error at_line(const config& from, std::uint32_t line, const error& failure);

// A text as a TOML string: quoted, with what must be escaped escaped.
std::string toml_string(std::string_view text);

// Every section and key with its type, default and meaning, as people read it.
std::string config_reference();

} // namespace pantala::app
