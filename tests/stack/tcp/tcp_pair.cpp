#include "tests/stack/tcp/tcp_pair.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace pantala::sim {

namespace {

ip_address address_of(bool v6, std::uint8_t last) {
    if (v6) {
        return ip_address::from(wire::ipv6_address::of(0xfd00, 0, 0, 0, 0, 0, 0, last));
    }
    return ip_address::from(wire::ipv4_address::of(10, 0, 0, last));
}

void hear(tcp::host& host, std::optional<stream>& end) {
    std::array<tcp::event, 16> events;
    const std::size_t count = tcp::poll_events(host, events);
    for (std::size_t i = 0; i < count; ++i) {
        if (end && events[i].handle == end->handle()) {
            end->told(events[i]);
        }
    }
}

std::string left_in(const node& one) {
    const tcp::host& h = one.host;
    std::string left;
    const auto count = [&](const char* what, std::size_t number) {
        if (number != 0) {
            left += one.name + ": " + std::to_string(number) + " " + what + "; ";
        }
    };
    count("connections", h.conns.used());
    count("flows in the table", h.table.size());
    count("sent segments", h.sents.used());
    count("half-open", h.syns.size());
    count("buffers in the ledger", h.memory.held());
    count("TIME-WAIT", h.time_waits.size());
    return left;
}

} // namespace

tcp_pair::tcp_pair(const pair_settings& settings)
    : how(settings), net(settings.seed, settings.forth, settings.back),
      client(
          "client", packet_pool(), settings.seed * 2 + 1, settings.client, settings.sizes,
          settings.mtu, net.now()),
      server(
          "server", packet_pool(), settings.seed * 2 + 2, settings.server, settings.sizes,
          settings.mtu, net.now()),
      client_address(address_of(settings.v6, 1)), server_address(address_of(settings.v6, 2)) {
    net.attach(client, server);
    client.application = [this] { run_client(); };
    server.application = [this] { run_server(); };
    client.restless = [this] { return client_end && client_end->restless(); };
    server.restless = [this] { return server_end && server_end->restless(); };
    listener =
        tcp::listen(server.host, {server_address, l4_port::from(test_port)}, 16, nullptr).listener;
}

void tcp_pair::give_cookie() {
    tcp::set_listener_fast_open(server.host, listener, 16);
    const flow_key key{server_address, client_address, {}, {}};
    server.host.now = net.now();
    const auto cookie = tcp::make_fast_open_cookie(
        server.host.secrets.fast_open, key, tcp::fast_open_period(server.host));
    tcp::fast_open_server& known =
        client.host.fast_opens.enter(server_address, client.host.now_ms());
    std::ranges::copy(cookie, known.cookie.begin());
    known.cookie_bytes = static_cast<std::uint8_t>(cookie.size());
}

void tcp_pair::connect() {
    client.host.now = net.now();
    tcp::open_request request{
        .local = client_address, .remote = {server_address, l4_port::from(test_port)}};
    std::vector<std::byte> first(std::min<std::uint64_t>(how.client_stream.send_bytes, 3'000));
    for (std::size_t i = 0; i < first.size(); ++i) {
        first[i] = static_cast<std::byte>(stream_byte(how.client_stream.send_seed, i));
    }
    if (how.fast_open) {
        give_cookie();
        request.fast_open = true;
        request.first = first;
    }
    const tcp::open_answer answer = tcp::open(client.host, request);
    PANTALA_ASSERT(answer.error == tcp::user_error::none);
    client_end.emplace(client.host, answer.handle, how.client_stream, how.seed + 100);
    client_end->began_with(answer.taken);
}

void tcp_pair::run_client() {
    hear(client.host, client_end);
    if (client_end) {
        client_end->run();
    }
}

void tcp_pair::run_server() {
    if (!server_end) {
        const tcp::conn_handle handle = tcp::accept(server.host, listener, nullptr);
        if (handle.id != tcp::no_id) {
            server_end.emplace(server.host, handle, how.server_stream, how.seed + 200);
        }
    }
    hear(server.host, server_end);
    if (server_end) {
        server_end->run();
    }
}

bool tcp_pair::finished() const {
    const bool client_done = client_end && client_end->let_go();
    const bool server_done = server_end && server_end->let_go();
    return client_done && server_done && client.host.conns.used() == 0 &&
           server.host.conns.used() == 0;
}

std::string tcp_pair::leftovers() {
    net.run(net.now() + 400 * ns_per_s);
    std::string left = left_in(client) + left_in(server);
    if (packets_out() != 0) {
        left += std::to_string(packets_out()) + " mbufs";
    }
    return left;
}

} // namespace pantala::sim
