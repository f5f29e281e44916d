// Datagram sockets in BSD's shape. Bound, one lives on every worker, since each gets the flows that
// are its own; connected, on the one worker that has its flow. What came lies in a ring of each
// worker's, what shall go in a ring of one of them: a record is a head and then the payload.
#pragma once

#include "stack/socket/bsd/bsd_pieces.hpp"
#include "stack/socket/bsd/bsd_socket.hpp"
#include "stack/socket/bsd/byte_ring.hpp"
#include "stack/socket/bsd/door.hpp"

#include <pantala/udp.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include <sys/types.h>

namespace pantala::bsd {

inline constexpr std::size_t datagram_bytes_max = 65'507; // RFC 768 over IPv4

struct datagram_head {
    endpoint at; // whence, or whither; port 0: to the peer of a connected socket
    std::uint32_t bytes = 0;
    std::uint8_t traffic_class = 0; // as it came, or as it shall leave
    std::uint8_t hop_limit = 0;     // of one that shall go, 0: the host's
    // `here` is an address of ours alone: no group's, no broadcast. Of one that shall go: it leaves
    // from there, else the host chooses.
    bool from_here = false;
    endpoint here;
};

// The part of a socket that lives on one worker, which is one of its door's guests meanwhile.
class datagram_end : public door_guest, public std::enable_shared_from_this<datagram_end> {
  public:
    datagram_end(reference owner, std::shared_ptr<door> at);
    ~datagram_end() override = default;

    // --- callers, under the socket's lock ---
    byte_ring in;
    byte_ring out;
    const std::shared_ptr<door> at;
    // The oldest record's head; nothing: there is none.
    std::optional<datagram_head> oldest() const;
    // Asks the worker to send what is in `out`.
    void kick(); // also the worker

    // --- the worker ---
    // 0 or errno. EADDRNOTAVAIL: a peer's answers come to another worker.
    int open(net_host& host, const endpoint& local, const std::optional<endpoint>& peer);
    endpoint local() const { return socket_.local(); }
    void close();
    void worker_ends() override;

  private:
    struct socket_of : udp_socket {
        explicit socket_of(datagram_end& end) : udp_socket(on_receive), of(end) {}
        static void on_receive(udp_socket& socket, std::span<const datagram> came);
        datagram_end& of;
    };
    struct note : door_message {
        std::shared_ptr<datagram_end> of; // alive while it is on its way
    };
    void take(const datagram& one);
    // What lies in `whole_`; 0 or errno.
    int send(const datagram_head& head);
    // At most so many; returns how many.
    unsigned send_some(unsigned most);
    void send_all();

    reference owner_;                 // the worker's, until it is closed
    std::atomic<bool> kicked_{false}; // `kick_` is on its way
    note kick_;
    net_host* host_ = nullptr; // the worker's
    bool v6_only_;
    socket_of socket_;
    std::vector<std::byte> whole_; // a payload that lies in pieces
};

// All for callers, under the socket's lock. Bytes return as send and recv do.

// One datagram: all of `from`, to `to`, or to the peer of a connected socket.
ssize_t send_datagram(
    bsd_socket& self, std::unique_lock<std::mutex>& hold, pieces& from, int flags,
    const destination& to);
// What is told beside it.
struct datagram_facts {
    int domain = 0;   // its socket's; 0: there was no datagram
    bool cut = false; // not all of it found room
    datagram_head head;
    ancillary_wishes wishes; // its socket's, when it was taken
};
ssize_t receive_datagram(
    bsd_socket& self, std::unique_lock<std::mutex>& hold, pieces& to, int flags,
    datagram_facts& facts);

// Has the socket's ends at `local`, and at `peer` alone if there is one. 0 or errno; then there are
// no ends.
int open_ends(bsd_socket& self, const endpoint& local, const std::optional<endpoint>& peer);
void close_ends(bsd_socket& self);
// connect(); `peer` nothing: no longer connected.
int connect_datagrams(bsd_socket& self, const std::optional<endpoint>& peer);
// EPOLLIN and so on.
std::uint32_t datagram_readiness(bsd_socket& self);
// The payload of the oldest datagram; 0: none.
std::size_t next_datagram_bytes(const bsd_socket& self);

} // namespace pantala::bsd
