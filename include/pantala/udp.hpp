// Native UDP sockets. As for sockets.hpp: on the worker's own thread, and none waits. A bound
// socket gets the datagrams of the flows that belong to its worker; bind one on each worker to get
// all.
#pragma once

#include <pantala/endpoint.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace pantala {

class net_host;
class sockets;

// One that came. Valid until the handler returns.
class datagram {
  public:
    endpoint local;
    endpoint remote;
    std::size_t size = 0;           // bytes of payload
    std::uint8_t traffic_class = 0; // IPv4's TOS
    std::uint8_t hop_limit = 0;     // as it came: IPv4's TTL
    // The first contiguous piece; all of it, but for datagrams that came in fragments.
    std::span<const std::byte> first;
    // Copies from the start, as far as there is room; returns how many bytes.
    std::size_t copy(std::span<std::byte> to) const;

  private:
    friend class net_host;
    const void* packet_ = nullptr;
};

// How a datagram leaves.
struct datagram_marks {
    std::uint8_t traffic_class = 0; // IPv4's TOS, with ECN's two bits
    std::uint8_t hop_limit = 0;     // IPv4's TTL; 0: the host's
};

class udp_socket {
  public:
    // Datagrams in order of arrival, as many as came together. None: take_error() has something to
    // tell.
    using handler = void (*)(udp_socket& socket, std::span<const datagram> came);

    explicit udp_socket(handler on_receive) : on_receive_(on_receive) {}
    ~udp_socket() { close(); }
    udp_socket(const udp_socket&) = delete;
    udp_socket& operator=(const udp_socket&) = delete;

    bool is_open() const { return host_ != nullptr; }
    const endpoint& local() const { return local_; }
    const endpoint& remote() const { return remote_; } // port 0: not connected

    // Returns 0 or an errno value. What is sent in a round leaves together at its end.
    int send(std::span<const std::byte> bytes); // connected sockets
    int send_to(const endpoint& remote, std::span<const std::byte> bytes);
    // From this address of the host's, whose port is the socket's. EADDRNOTAVAIL: it is not its
    // own.
    int send_as(const endpoint& local, const endpoint& remote, std::span<const std::byte> bytes);
    // To who sent `to`, from the address it was sent to, unless that was no address of ours alone.
    int reply(const datagram& to, std::span<const std::byte> bytes);
    // Of what is sent from now on.
    void set_marks(const datagram_marks& wanted) { marks_ = wanted; }
    // Connected sockets: ECONNREFUSED after an error from the peer, once; else 0.
    int take_error();
    void close();

  private:
    friend class net_host;
    friend class sockets;

    int send_from(const endpoint& local, const endpoint& remote, std::span<const std::byte> bytes);

    net_host* host_ = nullptr; // nullptr: closed
    handler on_receive_;
    endpoint local_;
    endpoint remote_;
    int error_ = 0;
    datagram_marks marks_;
};

} // namespace pantala
