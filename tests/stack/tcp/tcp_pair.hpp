// Two hosts, a wire, one connection between two streams: the fixture of most TCP tests.
#pragma once

#include "tests/sim/network.hpp"
#include "tests/sim/stream.hpp"

#include <memory>
#include <optional>

namespace pantala::sim {

struct pair_settings {
    std::uint64_t seed = 1;
    link_settings forth;
    link_settings back;
    tcp::settings client;
    tcp::settings server;
    tcp::limits sizes{
        .conns = 64,
        .sent_segments = 16'384,
        .time_waits = 64,
        .syn_entries = 64,
        .syn_bucket = 8,
        .listeners = 4,
        .listeners_backlog_max = 64};
    stream_settings client_stream;
    stream_settings server_stream;
    std::uint16_t mtu = 1'500;
    bool v6 = false;
    bool fast_open = false; // the client has the server's cookie
};

class tcp_pair {
  public:
    explicit tcp_pair(const pair_settings& how);

    // Opens; the server accepts by itself and runs its stream.
    void connect();
    // Both streams are complete, let go, and nothing is left of either connection.
    bool finished() const;
    // Ends TIME-WAIT and everything else; what is then left over, in words, or empty.
    std::string leftovers();
    bool run_to_end(std::uint64_t seconds) {
        return net.run_until([&] { return finished(); }, net.now() + seconds * ns_per_s);
    }

    pair_settings how;
    network net;
    node client;
    node server;
    std::uint32_t listener = tcp::no_id;
    std::optional<stream> client_end;
    std::optional<stream> server_end;
    ip_address client_address;
    ip_address server_address;

  private:
    void give_cookie();
    void run_client();
    void run_server();
};

inline constexpr std::uint16_t test_port = 80;

} // namespace pantala::sim
