// TIME-WAIT (RFC 9293 3.6.1) as a record of 32 bytes in place of a connection. A flow is known by
// its keyed 64-bit hash alone: the segment that asks brings the addresses along, and nobody outside
// can make two flows share one (docs/decisions). Two FIFO lists, up to one MSL and longer, are each
// in the order in which their records began; all of one list wait equally long, however long that
// now is. So a shorter or longer `time_wait_ms` holds at once for all, and breaks no order. When
// the records run out the oldest ends early.
#pragma once

#include "engine/base/clock.hpp"
#include "stack/tcp/tcp_table.hpp"
#include "stack/wire/tcp.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace pantala::tcp {

class host;
struct conn;
struct segment_in;

struct time_wait_record {
    std::uint64_t hash = 0;
    tcp_seq snd_nxt;
    tcp_seq rcv_nxt;
    std::uint32_t ts_recent = 0; // 0 where timestamps were not in use
    std::uint32_t since_ms = 0;
    std::uint32_t previous = no_id;
    std::uint32_t next : 31;
    std::uint32_t brief : 1; // which list
};
static_assert(sizeof(time_wait_record) == 32);

// How long the records of each list wait.
struct time_wait_intervals {
    std::uint32_t longer_ms;
    std::uint32_t brief_ms;
    std::uint32_t of(unsigned brief) const { return brief != 0 ? brief_ms : longer_ms; }
};

class time_wait_table {
  public:
    explicit time_wait_table(std::uint32_t capacity)
        : records(capacity), by_hash(capacity), challenged_ms(capacity) {}

    slab<time_wait_record> records;
    flow_table by_hash;
    std::vector<std::uint32_t> challenged_ms; // by record: its last challenge ACK (tcp_answers.hpp)

    std::uint32_t find(std::uint64_t hash) const;
    // A record for `hash` (which must not have one), at the end of its list. Recycles the oldest of
    // the longer list when none is free; `recycled` tells.
    std::uint32_t add(std::uint64_t hash, bool brief, std::uint32_t now_ms, bool& recycled);
    void restart(std::uint32_t id, std::uint32_t now_ms);
    void remove(std::uint32_t id);
    // Ends those that are due, at most `budget`; returns how many.
    unsigned expire(std::uint32_t now_ms, const time_wait_intervals& last, unsigned budget);
    std::uint32_t size() const { return records.used(); }
    instant next_deadline(instant now, const time_wait_intervals& last) const;

  private:
    struct list {
        std::uint32_t head = no_id;
        std::uint32_t tail = no_id;
    };
    void append(std::uint32_t id);
    void unlink(std::uint32_t id);

    std::array<list, 2> lists_;
};

time_wait_intervals time_wait_intervals_of(const host& h);

// The connection's last FIN is acknowledged: its record takes over, the application keeps what is
// left to read.
void enter_time_wait(host& h, conn& c);

enum class time_wait_answer : std::uint8_t {
    not_here,   // no such record
    done,       // answered or ignored
    may_reopen, // a SYN that may open the connection anew, if somebody listens; above `above`
};
time_wait_answer
time_wait_input(host& h, const segment_in& segment, std::uint64_t hash, tcp_seq& above);
// What became of that SYN: did anybody listen, and has it a half-open connection now? Then the
// record goes; without a listener the SYN is answered as one that may not reopen.
void time_wait_settle(
    host& h, const segment_in& segment, std::uint64_t hash, bool heard, bool reopened);

// May an active open take over the flow? Our timestamps have moved on since its last segment, so
// that the peer's PAWS tells the two connections apart (RFC 6191 section 2, RFC 7323 5.2; as
// Linux's tcp_tw_reuse). `id`: of a record.
bool may_take_over(const host& h, std::uint32_t id);

} // namespace pantala::tcp
