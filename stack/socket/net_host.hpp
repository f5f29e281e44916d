// The host within one worker's stack: TCP, UDP, and the applications of this worker. Families
// meet here: a packet is whole, begins at its IP header (l3_len says how long) and says itself what
// it is. Owner: its worker.
//
// A round: input for each burst, expire for timers, end_of_round: accepts and events go to the
// applications, then TCP sends what became ready.
#pragma once

#include "engine/worker_services.hpp"
#include "stack/ip/icmp/quoted_error.hpp"
#include "stack/route/host_cache/path_metrics.hpp"
#include "stack/tcp/tcp_host.hpp"
#include "stack/udp/udp_host.hpp"

#include <pantala/sockets.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace pantala {

// Packets for a flow of another worker, in netisr's numbers. A whole packet, as above.
inline constexpr protocol_id protocol_tcp{2};
inline constexpr protocol_id protocol_error{3}; // an ICMP error, checked
inline constexpr protocol_id protocol_udp{4};

// What the host asks of IP, whatever the family. The stack fills it in.
struct ip_services {
    void* context = nullptr;
    // Sends whole packets of our own; empties the burst.
    void (*output)(void* context, mbuf_burst& packets) = nullptr;
    // Bytes of L3 that the way to `remote` carries; 0: there is no way.
    std::uint16_t (*path_mtu)(void* context, const ip_address& remote) = nullptr;
    // An error that was believed says so of the path to `remote`.
    void (*learn_mtu)(void* context, const ip_address& remote, std::uint16_t mtu, mtu_for whom) =
        nullptr;
    // The address of ours to speak to `remote` with; any: there is none.
    ip_address (*source_for)(void* context, const ip_address& remote) = nullptr;
    // May packets be sent from this address?
    bool (*is_ours)(void* context, const ip_address& address) = nullptr;
    // Tells the sources of these datagrams that nobody is there, and drops them.
    void (*refuse)(void* context, mbuf_burst& packets) = nullptr;
    // What this worker remembers of destinations.
    host_cache* hosts = nullptr;
};

struct host_settings {
    tcp::settings tcp;
    tcp::limits limits;
    udp::settings udp;
};

class net_host {
  public:
    net_host(worker_services& worker, const host_settings& settings, const ip_services& ip);
    ~net_host(); // sockets that are still open hear of their end (ECONNABORTED)
    net_host(const net_host&) = delete;
    net_host& operator=(const net_host&) = delete;

    // All empty the burst; what belongs to another worker goes there. To TCP only what was sent to
    // one host alone.
    void tcp_input(mbuf_burst& segments, instant now);
    void udp_input(mbuf_burst& packets, instant now);
    void error_input(mbuf_burst& packets, instant now);

    unsigned expire(instant now, unsigned budget);
    void end_of_round(instant now);
    instant next_deadline() const;

    // TCP's name of the connection that a socket has; of a closed one, the last.
    static tcp::conn_handle handle_of(const tcp_socket& of) { return {of.id_, of.generation_}; }
    // What the applications of this worker use.
    sockets& native() { return native_; }
    const ip_services& ip() const { return ip_; }
    std::uint16_t self() const { return worker_.self.value; }
    std::uint16_t workers() const { return worker_.workers; }

    tcp::host tcp;
    udp::host udp;

  private:
    friend class sockets;

    static void deliver(void* socket, std::span<const udp::received> came);
    int open(udp_socket& socket, const flow_key& wanted);

    struct round_hook {
        void (*run)(void* context, sockets& of) = nullptr;
        void* context = nullptr;
    };

    static std::uint16_t ask_mtu(void* self, const ip_address& remote);
    static bool ask_home(void* self, const flow_key& key);
    bool is_home(const flow_key& key) const;
    void keep_ours(protocol_id protocol, mbuf_burst& packets);
    void udp_arrived(mbuf_burst& packets);
    void steer(protocol_id protocol, worker_id to, rte_mbuf* packet);
    void flush_steered(protocol_id protocol);
    void take_error(const quoted_error& error);
    void accept_all();
    void tell_all();

    worker_services& worker_;
    ip_services ip_;
    sockets native_;
    std::vector<acceptor> acceptors_; // by listener
    std::vector<round_hook> hooks_;
    instant wanted_ = instant::never(); // the hooks' own deadline
    // Packets that leave for other workers; empty between calls.
    std::array<std::unique_ptr<mbuf_burst>, workers_max> steered_;
};

} // namespace pantala
