// The TCP of one worker: its connections, listeners, tables, counters and settings, and the ends
// where packets enter and leave. Everything here belongs to that worker. The functions of the room
// take the host first; the split by duty is that of the files.
//
// A round: input() for each burst of segments, expire() for the timers, then end_of_round(), which
// sends what the round made ready. In between the application uses tcp_user.hpp. Nothing here reads
// a clock: `now` is given to each of the three and holds until the next.
#pragma once

#include "engine/base/clock.hpp"
#include "engine/base/siphash.hpp"
#include "engine/counters.hpp"
#include "engine/drop.hpp"
#include "engine/mbuf_burst.hpp"
#include "engine/random.hpp"
#include "engine/timer_wheel.hpp"
#include "stack/ip/ip4_ids.hpp"
#include "stack/tcp/input/tcp_answers.hpp"
#include "stack/tcp/open/tcp_fast_open.hpp"
#include "stack/tcp/open/tcp_syn_cache.hpp"
#include "stack/tcp/recovery/tcp_sent.hpp"
#include "stack/tcp/tcp_conn.hpp"
#include "stack/tcp/tcp_memory.hpp"
#include "stack/tcp/tcp_settings.hpp"
#include "stack/tcp/tcp_table.hpp"
#include "stack/tcp/tcp_time_wait.hpp"

#include <cstdint>
#include <vector>

struct rte_mempool;

namespace pantala {
class host_cache;
}

namespace pantala::tcp {

struct counters {
#define TCP_COUNTER(name, text) counter name;
#include "stack/tcp/tcp_counters.def"
#undef TCP_COUNTER
};

// Where whole IP packets go: each mbuf starts at its IP header, l2_len 0, l3_len and l4_len set,
// checksums filled in. The function empties the burst; it owns the packets from then on.
struct packet_sink {
    void (*send)(void* context, mbuf_burst& packets) = nullptr;
    void* context = nullptr;
    // Would a packet die at once, because the way out of this machine is blocked (a queue without
    // room, a device without carrier)? Asked for each segment; nullptr: it is not known, and what
    // dies there is a loss like any other.
    bool (*is_blocked)(void* context) = nullptr;
};

// What TCP asks of routing when a connection begins: the MTU of the path in bytes of L3, 0 if there
// is no route.
struct path_oracle {
    std::uint16_t (*mtu)(void* context, const ip_address& remote) = nullptr;
    // Do packets of this flow come to this worker (RSS)? nullptr: there is only one.
    bool (*comes_home)(void* context, const flow_key& key) = nullptr;
    void* context = nullptr;
    // What earlier connections found; nullptr: nobody remembers.
    host_cache* hosts = nullptr;
};

// Keys nobody outside knows; drawn at construction.
struct host_secrets {
    siphash_key table;
    siphash_key isn;
    siphash_key timestamp;
    siphash_key cookie;
    siphash_key port;
    siphash_key peer;
    siphash_key fast_open; // of all workers alike
};

// Connections established and not yet accepted, oldest first; linked through conn::accept_next, so
// that any of them can leave at once.
struct accept_list {
    std::uint32_t head = no_id;
    std::uint32_t tail = no_id;
    std::uint32_t count = 0;
};

struct listener {
    ip_endpoint local; // an "any" address accepts for every address of ours
    std::uint32_t backlog = 0;
    std::uint16_t segment_size = 0; // most payload of a segment of its connections; 0: no wish
    bool open = false;
    bool told = false; // it is in accept_ready
    bool v6_only = false;
    void* user = nullptr;
    accept_list accepted;
    fast_open_queue fast_open;
};

// Connections that wanted to send and found no buffer.
struct memory_waiting {
    explicit memory_waiting(std::uint32_t conns) : ids(conns) {}

    id_ring ids;                    // oldest first; each once
    std::uint32_t unasked = 0;      // of them: not looked at since buffers were let go
    std::uint32_t ask_again_ms = 0; // with pool_empty: all are told then
    bool pool_empty = false;        // it was the pool that had none
};

struct host_services {
    rte_mempool* pool;
    drop_sink& drops;
    random_source& random;
    packet_sink sink;
    path_oracle paths;
};

class host {
  public:
    host(const host_services& services, const settings& config, const limits& sizes, instant start);
    host(const host&) = delete;
    host& operator=(const host&) = delete;
    ~host(); // frees every buffer; sends nothing

    settings config;
    limits sizes;
    counters stats;
    host_secrets secrets;
    instant now;

    rte_mempool* pool;
    drop_sink& drops;
    random_source& random;
    packet_sink sink;
    path_oracle paths;

    slab<conn> conns;
    flow_table table;
    slab<sent_segment> sents;
    timer_wheel wheel;
    time_wait_table time_waits;
    memory_ledger memory;
    syn_cache syns;
    fast_open_cache fast_opens;
    std::vector<listener> listeners; // by id; reserved to the limit
    flow_table listeners_by_endpoint;
    id_ring output_ready;            // connections with something to send
    id_ring event_ready;             // connections with something to tell
    id_ring accept_ready;            // listeners with something to accept
    memory_waiting waiting;          // for buffers
    std::uint32_t memory_cursor = 0; // where pruning goes on
    mbuf_burst out;                  // built, not yet given to `sink`
    mbuf_burst spent;                // consumed segments, freed together
    ip4_ids ids;                     // of segments that may be cut
    answer_budget resets{memory_ledger::peers};
    answer_budget challenges{memory_ledger::peers};
    std::uint32_t generation = 0;
    std::uint32_t cookies_until_ms = 0; // with cookies_sent: a cookie may be valid until then
    bool cookies_sent = false;
    std::uint32_t port_next = 0; // RFC 6056 algorithm 3's counter

    std::uint32_t now_ms() const { return static_cast<std::uint32_t>(now.ms()); }
    std::uint32_t now_us() const { return static_cast<std::uint32_t>(now.us()); }
    std::uint32_t id_of(const conn& c) const { return static_cast<std::uint32_t>(&c - &conns[0]); }
    conn_handle handle_of(const conn& c) const { return {id_of(c), c.generation}; }
    // The connection a handle means, or nullptr if it is gone.
    conn* find(conn_handle handle);

    // Frees a consumed mbuf, together with others.
    void consume(rte_mbuf* segment) {
        if (spent.full()) {
            flush_spent();
        }
        spent.push(segment);
    }
    void flush_spent();
    // Gives a built packet to the sink, together with others.
    void emit(rte_mbuf* packet) {
        if (out.full()) {
            flush_output();
        }
        out.push(packet);
    }
    void flush_output();

    void want_output(conn& c);
    void tell(conn& c, std::uint8_t events);

    // A connection with its id and generation, or nullptr (counted) when all are taken.
    conn* new_conn();
    bool insert(conn& c); // into the table under its key
    // Takes it off the wire: out of the table, timers off, send side freed. The application may
    // still hold it; what it received can still be read.
    void detach(conn& c);
    // Back to the pool. Only when the application has let go and it is detached.
    void release(conn& c);
    // The end of a connection, for whatever reason: detach, tell or release.
    void finish(conn& c, conn_error why);
};

// The accept queue of a listener: at its end, and out of it wherever it stands.
void accept_push(host& h, conn& c, std::uint32_t listening);
void accept_remove(host& h, conn& c);

// Frees one mbuf segment (not the chain behind it).
void free_segment(rte_mbuf* segment);
// How many there were.
std::uint32_t free_chain(rte_mbuf* head);

// Moves what a connection holds to another account, which its buffers are charged to from now on.
void charge(host& h, conn& c, std::uint16_t account);
// `writable` follows when there is memory again.
void wait_for_memory(host& h, conn& c);
// Once a round: takes early segments back while memory is short, and tells those who waited.
void settle_memory(host& h);
// When settle_memory() has something to do by itself.
instant memory_deadline(const host& h);

// Leaves the first `bytes` of a packet; what lies behind is cut off and freed.
void trim_chain(host& h, rte_mbuf* packet, std::uint32_t bytes);

// When expire() has something to do, for idle sleep.
instant next_deadline(const host& h);
// Timers; `budget` bounds the work. Returns how much of it was used.
unsigned expire(host& h, instant now, unsigned budget);
// Sends what is ready: segments, ACKs; frees what was consumed.
void end_of_round(host& h, instant now);

} // namespace pantala::tcp
