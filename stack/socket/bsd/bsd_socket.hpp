// A BSD socket as its two sides see it. Callers (any thread, one at a time, under `lock`) and the
// worker that has the connection share two rings of bytes and a few atomic words; all else belongs
// to one side. Who waits sleeps on `changes`, which the worker counts up.
#pragma once

#include "stack/socket/bsd/bsd_ports.hpp"
#include "stack/socket/bsd/byte_ring.hpp"
#include "stack/socket/bsd/door.hpp"
#include "stack/tcp/tcp_conn.hpp"

#include <pantala/sockets.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace pantala::bsd {

inline constexpr std::uint32_t ring_bytes = 256 * 1024;
inline constexpr std::uint32_t ring_bytes_min = 4 * 1024;
inline constexpr std::uint32_t ring_bytes_max = 4 * 1024 * 1024;

// Bits of `state`, set by the worker, but for the last.
namespace bit {
inline constexpr std::uint32_t connected = 1;
inline constexpr std::uint32_t input_over = 2; // nothing will come behind what is in the ring
inline constexpr std::uint32_t over = 4;       // the connection is gone
inline constexpr std::uint32_t accepting = 8;  // a listener has a connection waiting
inline constexpr std::uint32_t gone = 16;      // close() was called
} // namespace bit

class bsd_socket;
class datagram_end;

// Intrusive counted reference.
class reference {
  public:
    reference() = default;
    explicit reference(bsd_socket* of) : of_(of) {} // takes over the count
    reference(const reference& other);
    reference(reference&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    reference& operator=(reference other) noexcept {
        std::swap(of_, other.of_);
        return *this;
    }
    ~reference();
    bsd_socket* operator->() const { return of_; }
    bsd_socket& operator*() const { return *of_; }
    explicit operator bool() const { return of_ != nullptr; }

  private:
    bsd_socket* of_ = nullptr;
};

// Something a caller wants done on the worker, and waits for.
struct call : door_message {
    std::atomic<std::uint32_t> done{0};
    void finish() {
        done.store(1, std::memory_order_release); // with wait
        done.notify_one();
    }
    void wait() { done.wait(0, std::memory_order_acquire); }
};

// A listener on one worker; lives as long as it listens there.
struct listener_at {
    reference listener;
    std::shared_ptr<door> worker;
};

// What recvmsg tells of a datagram (bsd_ancillary.hpp).
struct ancillary_wishes {
    bool packet_info = false;
    bool traffic_class = false;
    bool hop_limit = false;
};

inline constexpr std::uint64_t pacing_unlimited = UINT64_MAX;

// What setsockopt chose; a listener's connections inherit it.
struct options {
    bool no_delay = false;
    bool cork = false;
    bool keep_alive = false;
    bool reuse_address = false;
    bool oob_inline = true; // always as if set (RFC 6093)
    bool linger = false;
    std::uint32_t linger_s = 0;
    bool v6_only = false;
    std::uint32_t user_timeout_ms = 0; // 0: none
    std::uint32_t keep_idle_s = 0;     // each of these three, 0: the host's
    std::uint32_t keep_interval_s = 0;
    std::uint32_t keep_count = 0;
    std::uint32_t segment_size = 0; // 0: no wish
    std::uint32_t send_buffer = ring_bytes;
    std::uint32_t receive_buffer = ring_bytes;
    std::uint32_t send_timeout_ms = 0; // 0: none
    std::uint32_t receive_timeout_ms = 0;
    ancillary_wishes wishes;        // of datagrams
    datagram_marks marks;           // the same
    bool broadcast = true;          // always as if set
    bool fast_open_connect = false; // connect waits for the first bytes where there is a cookie
    std::uint32_t fast_open = 0;    // of a listener, on each worker: TCP_FASTOPEN's number
    bool reuse_port = false;        // a listener is on every worker anyhow (decision 0064)
    std::optional<tcp::congestion_kind> congestion;   // else the host's
    std::uint64_t max_pacing_rate = pacing_unlimited; // bytes a second
    bool pacing_chosen = false;                       // else the host's
};

// Room in a ring from which on a writer is told: a quarter of the buffer, so that it is not woken
// for every segment. The ring keeps its size when a larger buffer is chosen later.
inline std::size_t room_wanted(const options& chosen, const byte_ring& ring) {
    return std::min<std::size_t>(chosen.send_buffer, ring.capacity()) / 4;
}

class bsd_socket {
  public:
    bsd_socket() : conn_(*this) {}
    bsd_socket(const bsd_socket&) = delete;
    bsd_socket& operator=(const bsd_socket&) = delete;

    reference share() {
        references_.fetch_add(1, std::memory_order_relaxed);
        return reference(this);
    }

    // --- callers, under `lock` ---
    enum class kind : std::uint8_t { fresh, listener, conn, datagram };
    std::mutex lock;
    kind what = kind::fresh;
    bool non_blocking = false;
    bool write_shut = false;
    bool read_shut = false;
    options chosen;
    int domain = 0;
    endpoint bound;
    port_hold port;                   // of `bound`
    std::optional<endpoint> deferred; // of a fresh one: where the first bytes will connect to
    endpoint peer;                    // of a connection; before accept() the worker's
    std::vector<std::unique_ptr<listener_at>> listening; // of a listener, by worker
    std::vector<std::shared_ptr<datagram_end>> ends;     // of datagrams: by worker (bsd_datagram)
    std::optional<endpoint> connected_to;                // of datagrams
    endpoint name;                                       // with connected_to: ours
    std::size_t turn = 0;                                // of datagrams: whose worker is next
    std::unique_ptr<byte_ring> in;                       // the worker produces
    std::unique_ptr<byte_ring> out;                      // the worker consumes
    std::shared_ptr<door> worker;                        // the connection's; nullptr: none
    std::deque<reference> accepted;                      // of a listener: taken from `arrived`

    // Asks the worker to look at the rings; it does so at its next round.
    void kick();
    // How much more may be written now: SO_SNDBUF's share of the ring.
    std::size_t room_to_send() const;
    // Behind setsockopt: the worker's side of the options. On the worker's thread.
    void apply_options(net_host& host);
    listener_options as_listener() const {
        return {static_cast<std::uint16_t>(chosen.segment_size), chosen.v6_only, chosen.fast_open};
    }
    // Of a connection whose number is gone or was never made.
    void give_up();
    // Behind in->consume: the worker may have been waiting for room.
    void taken_from_ring();
    // Its rings: made, then known to the worker too; adopt does both and has it look at them.
    void make_rings();
    void publish_rings(); // also the worker
    void adopt();
    // Of a listener: moves what arrived to `accepted`, oldest first.
    void take_arrived();

    // --- both ---
    std::atomic<std::uint32_t> state{0};
    std::atomic<int> error{0};              // of the end; errno
    std::atomic<std::uint32_t> changes{0};  // counted up by the worker behind every change
    std::atomic<std::uint32_t> sleepers{0}; // callers that wait for `changes`
    std::atomic<bool> in_full{false};       // the worker has more than `in` had room for
    // The byte of `out`, counted from the first one, from which on more will follow (MSG_MORE). Set
    // by callers before they write, so that whoever sees bytes sees what was said of them; back to
    // all ones behind what ends it, so that whoever sees that sees all that belongs together.
    std::atomic<std::uint64_t> more_from{UINT64_MAX};
    std::atomic<bool> wants_shutdown{false}; // FIN behind what is in `out`
    std::atomic<bool> wants_close{false};
    std::atomic<bool> wants_abort{false};      // with wants_close: by a reset (SO_LINGER)
    std::atomic<bsd_socket*> arrived{nullptr}; // of a listener: accepted by workers, newest first
    std::atomic<unsigned> waiting{0};          // of a listener: arrived and not accepted
    std::atomic<unsigned> backlog{0};          // of a listener

    // --- the worker ---
    // Moves bytes between the rings and the connection, says what changed.
    void pump();
    void changed(std::uint32_t bits = 0); // also close(), for `gone`
    int connect(net_host& host, const endpoint& to, connect_options& how);
    void let_go(); // the worker's reference, once
    tcp_socket& conn() { return conn_; }
    bsd_socket* next_arrived = nullptr;
    // On a listener's worker: a fresh connection, which the listener's callers will find.
    static tcp_socket* accept(void* listener_at, sockets& here);

    // What the worker is asked without anybody waiting.
    struct note : door_message {
        bsd_socket* of = nullptr;
    };

  private:
    bool take_input(byte_ring& to);
    bool give_output(byte_ring& from);
    void release_held(bool now);

    friend class reference;
    struct conn_of : tcp_socket {
        explicit conn_of(bsd_socket& socket) : tcp_socket(on_event), of(socket) {}
        static void on_event(tcp_socket& socket, std::uint8_t events);
        bsd_socket& of;
    };
    ~bsd_socket();

    std::atomic<std::uint32_t> references_{1};
    std::atomic<bool> kicked_{false}; // `kick_` is on its way
    note kick_;
    std::atomic<byte_ring*> worker_in_{nullptr}; // published
    std::atomic<byte_ring*> worker_out_{nullptr};
    bool held_by_worker_ = false; // the worker's reference counts
    bool ended_ = false;          // TCP says that it is over
    bool shut_ = false;
    bool held_ = false;             // TCP was told that more follows what it has
    bool has_user_timeout_ = false; // TCP_USER_TIMEOUT was chosen
    bool patient_ = false;          // closed, and told how long it may take
    conn_of conn_;
};

// Wakes who waits for any socket (poll, epoll): counted up behind every change of one.
extern constinit std::atomic<std::uint32_t> any_change;
extern constinit std::atomic<std::uint32_t> any_sleepers;
void wake_all(); // who waits for any socket

// When waiting ends.
class deadline {
  public:
    static deadline in(std::uint32_t ms) { return ms == 0 ? never() : after(ms); } // 0: never
    static deadline never() { return deadline{}; }
    static deadline after(std::uint32_t ms) {
        deadline made;
        made.never_ = false;
        made.at_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
        return made;
    }
    // 0: it is over; negative: never.
    std::int64_t left_ms() const {
        if (never_) {
            return -1;
        }
        const auto left = at_ - std::chrono::steady_clock::now();
        return std::max<std::int64_t>(
            std::chrono::ceil<std::chrono::milliseconds>(left).count(), 0);
    }

  private:
    bool never_ = true;
    std::chrono::steady_clock::time_point at_;
};

// Sleeps while `word` is `seen`, but not beyond `until`. False: a signal's handler ran, which with
// SA_RESTART ends only a sleep that has an `until` (signal(7)).
bool sleep_while(
    std::atomic<std::uint32_t>& word, std::atomic<std::uint32_t>& sleepers, std::uint32_t seen,
    const deadline& until);
// Lets go of the lock until the worker changes something. 0, EAGAIN: time is up, or EINTR.
int wait_change(
    bsd_socket& socket, std::unique_lock<std::mutex>& hold, std::uint32_t seen,
    const deadline& until);

// Another thread has closed it, perhaps between finding it and holding its lock.
inline bool is_gone(const bsd_socket& self) {
    return (self.state.load(std::memory_order_acquire) & bit::gone) != 0;
}

} // namespace pantala::bsd
