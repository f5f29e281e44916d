// The socket calls of a packetdrill script on a virtual host: POSIX over tcp_user.hpp, one thread
// at a time under `lock`. A script has one thread more, for calls that block.
#pragma once

#include "tests/packetdrill/virtual_host.hpp"

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <sys/epoll.h>
#include <sys/poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

namespace pantala::packetdrill {

inline constexpr int first_number = 100'000; // far from the kernel's descriptors

struct script_socket {
    enum class kind : std::uint8_t { fresh, listener, conn, epoll };
    kind what = kind::fresh;
    int domain = AF_INET;
    bool non_blocking = false;
    bool read_shut = false;
    bool write_shut = false;
    bool connected = false;
    bool over = false;
    int error = 0; // not told yet
    ip_endpoint bound;
    std::uint32_t listener = tcp::no_id;
    tcp::conn_handle conn;
    tcp_seq seen; // rcv_nxt at the last look
    std::uint64_t edges = 0;
    // Options.
    bool no_delay = false;
    bool cork = false;
    bool linger_reset = false;
    std::uint32_t user_timeout_ms = 0;
    std::uint32_t segment_size = 0;
    std::uint32_t send_buffer = 0;
    std::uint32_t receive_buffer = 0;
    std::uint32_t fast_open = 0;
    bool fast_open_connect = false;
    std::optional<ip_endpoint> deferred; // where the first bytes will connect to
    // An epoll's.
    struct watch {
        epoll_event wanted{};
        std::uint64_t told = ~0ULL;
    };
    std::map<int, watch> watched;
};

// False: not an address of a family that is known.
bool read_address(const sockaddr* address, socklen_t length, ip_endpoint& out);

// All return as the system calls do, with errno. Every call runs what follows from it.
class script_sockets {
  public:
    explicit script_sockets(const host_choice& chosen);

    // --- time, and the wire ---
    void sleep(std::uint64_t us);
    std::uint64_t clock_us(); // each look takes a microsecond: who spins comes to an end
    int inject(std::span<const std::uint8_t> packet);
    int sniff(void* to, std::size_t& count, long long& at_us);

    // --- calls ---
    int socket(int domain, int type, int protocol);
    int bind(int number, const sockaddr* address, socklen_t length);
    int listen(int number, int backlog);
    int accept(int number, sockaddr* address, socklen_t* length);
    int connect(int number, const sockaddr* address, socklen_t length);
    ssize_t send(
        int number, std::span<const iovec> from, int flags, const sockaddr* to = nullptr,
        socklen_t length = 0);
    ssize_t receive(int number, std::span<const iovec> to, int flags);
    int shutdown(int number, int how);
    int close(int number);
    int get(int number, int level, int name, void* value, socklen_t* length);
    int set(int number, int level, int name, const void* value, socklen_t length);
    int fcntl(int number, int command, long value);
    int ioctl(int number, unsigned long request, int* value);
    int poll(pollfd* these, nfds_t count, int timeout_ms);
    int epoll_create();
    int epoll_ctl(int epoll, int operation, int number, const epoll_event* event);
    int epoll_wait(int epoll, epoll_event* events, int most, int timeout_ms);
    bool owns(int number);

  private:
    using guard = std::unique_lock<std::mutex>;
    script_socket* find(int number); // nullptr and errno EBADF
    tcp::conn* conn_of(const script_socket& of) { return host_.tcp().find(of.conn); }
    int add(std::unique_ptr<script_socket> made);
    void look();  // behind each round: what happened to whom
    void moved(); // the clock or the state moved: who waits looks again, before anything else
    template <class Ready>
    bool wait(guard& hold, std::uint64_t until_us, Ready ready);
    void apply(script_socket& of);
    int start_connecting(
        script_socket& self, const ip_endpoint& to, std::vector<std::byte>* with = nullptr);
    // Fast Open: connects with the begin of the bytes; how many went, or -1.
    ssize_t open_with(script_socket& self, std::span<const iovec> from, const ip_endpoint& to);
    std::uint32_t ready(script_socket& of);
    int report(script_socket& epoll, epoll_event* events, int most);
    int get_info(const script_socket& of, void* value, socklen_t* length);

    std::mutex lock_;
    std::condition_variable changed_; // the waiting thread shall look
    std::condition_variable looked_;  // it has
    bool waiting_ = false;
    bool shall_look_ = false;
    std::thread::id main_ = std::this_thread::get_id();
    std::uint64_t frozen_us_ = 0; // when the other thread's call returned, until it asks
    host_choice chosen_;
    virtual_host host_;
    std::map<int, std::unique_ptr<script_socket>> all_;
};

} // namespace pantala::packetdrill
