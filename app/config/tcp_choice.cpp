#include "app/config/tcp_choice.hpp"

namespace pantala::app {
namespace {

tcp::mtu_probing mtu_probing_of(const std::string& word) {
    return word == "always"    ? tcp::mtu_probing::always
           : word == "reduced" ? tcp::mtu_probing::reduced
                               : tcp::mtu_probing::never;
}

} // namespace

void choose_tcp(const tcp_config& from, host_settings& to) {
    tcp::settings& tcp = to.tcp;
    tcp.congestion = tcp::congestion_named(from.congestion).value_or(tcp.congestion);
    tcp.ecn_request = tcp.congestion == tcp::congestion_kind::dctcp;
    tcp.pacing = from.pacing;
    tcp.pacing_ss_percent = static_cast<std::uint16_t>(from.pacing_slow_start);
    tcp.pacing_ca_percent = static_cast<std::uint16_t>(from.pacing_avoidance);
    tcp.pacing_rtt_min_ms = from.pacing_rtt_min;
    tcp.fast_open_client = from.fast_open_client;
    tcp.fast_open_server = from.fast_open_server;
    tcp.fast_open_period_ms = from.fast_open_period * 1'000;
    tcp.fast_open_pause_ms = from.fast_open_pause * 1'000;
    to.limits.fast_open_servers = from.fast_open_servers;
    tcp.mtu_probing = mtu_probing_of(from.mtu_probing);
    tcp.mtu_raise_ms = from.mtu_raise * 1'000;
}

} // namespace pantala::app
