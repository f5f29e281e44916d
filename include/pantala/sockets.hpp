// The native sockets. They live on a worker: every call below is made on that worker's own thread,
// from a handler, and none waits. Connections of one listener are spread over the workers by their
// flow; each stays where it began.
//
//   struct echo : tcp_socket { ... };    derive, and keep what the connection needs in it
//   handler(socket, events)              is told what happened, once a round at most
//   peek, consume                        received bytes where they lie, without a copy
//   write                                copies into the send buffer as far as there is room
//   write_lent                           the same without a copy, from memory that stays as it is
//
// A socket that is closed or destroyed lets go of its connection, which then ends by itself.
#pragma once

#include <pantala/endpoint.hpp>
#include <pantala/udp.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace pantala {

class net_host; // the worker's side of it
class sockets;

// Bits of what a handler is told.
namespace socket_event {
inline constexpr std::uint8_t connected = 1;
inline constexpr std::uint8_t readable = 2; // bytes, or the end of the stream
inline constexpr std::uint8_t writable = 4; // room after write() took less than it was given
inline constexpr std::uint8_t closed = 8;   // it is over; error() says why. Close or destroy it
} // namespace socket_event

// Memory that sockets of one worker send from where it lies. What `keeper` keeps must not change,
// and is kept until the peers have the last byte of it or their connections have ended, also when
// this object is gone by then. Its end runs inside TCP: it must use no socket. TCP's limits of
// memory count buffers, not what is lent. Owner: the worker.
class lent_memory {
  public:
    explicit lent_memory(std::shared_ptr<const void> keeper);
    ~lent_memory();
    lent_memory(const lent_memory&) = delete;
    lent_memory& operator=(const lent_memory&) = delete;

  private:
    friend class tcp_socket;
    struct block;
    block* block_;
};

class tcp_socket {
  public:
    // May write, close and destroy this or any other socket of the worker.
    using handler = void (*)(tcp_socket& socket, std::uint8_t events);

    explicit tcp_socket(handler on_event) : on_event_(on_event) {}
    ~tcp_socket() { close(); }
    tcp_socket(const tcp_socket&) = delete;
    tcp_socket& operator=(const tcp_socket&) = delete;

    void set_handler(handler on_event) { on_event_ = on_event; }
    bool is_open() const { return host_ != nullptr; }

    // The first contiguous piece of what has arrived; empty: nothing now. Valid until consume
    // or close.
    std::span<const std::byte> peek() const;
    // These many bytes are done with: the peer may send as many more.
    void consume(std::size_t bytes);
    std::size_t readable() const; // bytes, all pieces
    // All has been read and nothing more will come.
    bool at_end() const;

    // How many bytes were taken. Fewer than given: `writable` comes when there is room again.
    // `more`: the next write follows at once, so that a short segment waits for it (until an ACK
    // comes, or the retransmission timeout is over).
    std::size_t write(std::span<const std::byte> bytes, bool more = false);
    // As write(); the bytes are of what `owner` keeps. Worth it from some hundred bytes on: each
    // piece of up to 32 KiB costs a packet buffer's header instead of a copy.
    std::size_t write_lent(lent_memory& owner, std::span<const std::byte> bytes, bool more = false);
    std::size_t room() const;
    // When the peer took something last of what was written (sockets::now_ns); where nothing waits
    // to be taken, about when the connection began or the last of it was taken.
    std::uint64_t taken_ns() const;
    void shutdown_write(); // the end of the stream, behind what is written
    void close();          // orderly; with unread bytes it becomes a reset (RFC 2525 2.17)
    void abort();          // a reset

    void set_no_delay(bool on); // no Nagle
    void set_cork(bool on);     // full segments only
    void set_keep_alive(bool on);
    // Seconds of silence before the first probe, between two, and how many without an answer end
    // it; 0: the host's.
    void set_keep_times(std::uint16_t idle_s, std::uint16_t interval_s, std::uint8_t count);
    void set_user_timeout(std::uint32_t ms); // RFC 9293 3.9.1; 0: none

    int error() const { return error_; } // errno of what ended it, 0 for an orderly end
    endpoint local() const;
    endpoint remote() const;
    sockets& worker() const; // while it is open

  private:
    friend class net_host;
    friend class sockets;

    net_host* host_ = nullptr; // nullptr: closed
    std::uint32_t id_ = 0;
    std::uint32_t generation_ = 0;
    handler on_event_;
    int error_ = 0;
};

// What a connect may ask for.
struct connect_options {
    endpoint local;                 // what is zero of it is chosen
    std::uint16_t segment_size = 0; // most payload of a segment, either way; 0: no wish
    // Fast Open (RFC 7413): the SYN takes along the begin of `first`, where the server has given
    // this worker a cookie, else it asks for one. Only what may be said twice: a SYN that is
    // repeated on the way can reach the server's application two times.
    bool fast_open = false;
    std::span<const std::byte> first;
    std::size_t taken = 0; // so many of them left; write() the rest
};

// What a listener may be told.
struct listener_options {
    std::uint16_t segment_size = 0; // of its connections, as above
    bool v6_only = false;           // [::] takes no IPv4
    // Fast Open: data of SYNs is taken, for so many connections at a time whose handshake is not
    // complete; 0: none.
    unsigned fast_open_pending = 0;
};

// What a listener does with a new connection: returns the socket that it shall have, on the worker
// where it arrived; nullptr refuses it (reset).
struct acceptor {
    tcp_socket* (*make)(void* context, sockets& here) = nullptr;
    void* context = nullptr;
};

// The sockets of one worker.
class sockets {
  public:
    explicit sockets(net_host& host) : host_(host) {}
    sockets(const sockets&) = delete;
    sockets& operator=(const sockets&) = delete;

    unsigned worker() const; // 0 to workers() - 1
    unsigned workers() const;
    std::uint64_t now_ns() const; // of this round

    // Returns 0 or an errno value. To accept on every worker, call it on each (before they run).
    // `backlog`: connections established and not yet accepted.
    int listen(const endpoint& local, unsigned backlog, const acceptor& by);
    void stop_listening(const endpoint& local);
    // Starts a connection, whose answers come to this worker; `connected` or `closed` follows.
    int connect(tcp_socket& socket, const endpoint& remote);
    // `local`: what is zero of it is chosen. EADDRNOTAVAIL: answers to this port come to another
    // worker.
    int connect(tcp_socket& socket, const endpoint& remote, const endpoint& local);
    int connect(tcp_socket& socket, const endpoint& remote, connect_options& how);
    // Would the SYN of a connect with Fast Open carry data?
    bool fast_open_ready(const endpoint& remote) const;
    // For the connections to come. ENOENT: nobody listens there.
    int set_options(const endpoint& local, const listener_options& wanted);

    // UDP. Port 0: one is chosen. A connected socket hears of one peer alone, and of its errors.
    int bind(udp_socket& socket, const endpoint& local);
    int connect(udp_socket& socket, const endpoint& remote);
    // `local`: what is zero of it is chosen. EADDRNOTAVAIL: as above.
    int connect(udp_socket& socket, const endpoint& remote, const endpoint& local);

    // Runs once a round, behind the events, and at least when wake_at says so.
    void each_round(void (*run)(void* context, sockets& of), void* context);
    // Whoever gave `context` to each_round and listen goes: neither is called with it any more.
    void forget(const void* context);
    void wake_at(std::uint64_t ns); // the earliest of all calls since the last round counts

  private:
    friend class net_host;
    void attach(tcp_socket& socket, std::uint32_t id, std::uint32_t generation);

    net_host& host_;
};

} // namespace pantala
