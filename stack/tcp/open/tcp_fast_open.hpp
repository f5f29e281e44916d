// Fast Open (RFC 7413): data in the SYN. A server gives clients a cookie that only it can make for
// their address; a SYN that brings it back proves that its source is no forgery, and its data goes
// to the application before the handshake ends. A client keeps the cookies of servers.
#pragma once

#include "engine/base/siphash.hpp"
#include "stack/tcp/input/tcp_input.hpp"
#include "stack/tcp/tcp_conn.hpp"
#include "stack/tcp/tcp_table.hpp"
#include "stack/wire/flow.hpp"
#include "stack/wire/tcp_options.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

namespace pantala::tcp {

class host;
struct segment_out;

// --- The server's side.

inline constexpr unsigned fast_open_cookie_bytes = 8;
using fast_open_cookie = std::array<std::uint8_t, fast_open_cookie_bytes>;

// RFC 7413 4.1.2: a keyed sum of both addresses and the period's number.
fast_open_cookie
make_fast_open_cookie(siphash_key secret, const flow_key& key, std::uint64_t period);
// How many periods old it is, 0 or 1; nothing: not one of ours, or too old.
std::optional<unsigned> fast_open_cookie_age(
    siphash_key secret, const flow_key& key, std::uint64_t period,
    std::span<const std::uint8_t> cookie);
// The number of this period. Workers share the clock, so they change at once.
std::uint64_t fast_open_period(const host& h);

// RFC 7413 5.1: connections that were opened by a SYN's data and whose handshake is not complete
// are limited for each listener. One that ends by a reset counts for a minute or two longer, or
// whoever has a cookie of a third party's address could empty the queue by that party's resets.
struct fast_open_queue {
    std::uint32_t limit = 0; // 0: no Fast Open
    std::uint32_t pending = 0;
    std::uint32_t resets = 0; // of this minute
    std::uint32_t resets_before = 0;
    std::uint32_t minute = 0;

    bool has_room(std::uint32_t now_ms);
    void note_reset(std::uint32_t now_ms);

  private:
    void turn(std::uint32_t now_ms);
};

// What a SYN for this listener is: `grant` the SYN-ACK gives a cookie, `accept` its data may be
// taken now. RFC 7413 4.2.2, server, steps 1 to 3.
struct fast_open_verdict {
    bool grant = false;
    bool accept = false;
};
fast_open_verdict fast_open_judge(host& h, const segment_in& syn, std::uint32_t listening);
// It counts for its listener from now on, until fast_open_settle.
void fast_open_begin(host& h, conn& c, std::uint32_t listening);
// The handshake is complete, or the connection is over.
void fast_open_settle(host& h, conn& c, bool by_reset);

// --- The client's side.

struct fast_open_server {
    ip_address address; // all zero: nobody's
    std::array<std::uint8_t, wire::tcp_fast_open_bytes_max> cookie{};
    std::uint8_t cookie_bytes = 0; // 0: none
    std::uint8_t failures = 0;     // in a row
    std::uint16_t mss = 0;         // what it offered last; 0: not known
    std::uint32_t used_ms = 0;
    std::uint32_t paused_until_ms = 0; // with failures, for paused_port
    l4_port paused_port;

    bool is_paused(l4_port port, std::uint32_t now_ms) const;
};

// Bounded: a new server takes the place of the one of its four that was not used for longest.
// Memory is touched as it is used. A lookup: one or two cache lines times four.
class fast_open_cache {
  public:
    fast_open_cache(std::uint32_t servers, siphash_key key);
    fast_open_server* find(const ip_address& address);
    fast_open_server& enter(const ip_address& address, std::uint32_t now_ms);

  private:
    static constexpr unsigned ways = 4;
    fast_open_server* set_of(const ip_address& address);

    siphash_key key_;
    std::uint32_t mask_;
    std::unique_ptr<void, free_deleter> memory_;
};

// An active open wants Fast Open: decides what its SYN shall carry (conn::fast_open) and how many
// bytes of data at most.
std::uint32_t fast_open_plan(host& h, conn& c);
// The option of our SYN, first transmission.
void fast_open_option(host& h, const conn& c, wire::tcp_options& options);
// And its data, a record of its own: the SYN is repeated without it (RFC 7413 4.2.2).
void fast_open_data(host& h, conn& c, segment_out& segment);
// The SYN-ACK came: keeps the cookie; data that it does not acknowledge is to be sent again at
// once (RFC 7413 4.2.2, client).
void fast_open_answered(host& h, conn& c, const segment_in& segment);
// No answer, or an ICMP error: the next SYN is a plain one, and so are the next connections to
// this server for a while (RFC 7413 4.1.3.1).
void fast_open_unanswered(host& h, conn& c);

} // namespace pantala::tcp
