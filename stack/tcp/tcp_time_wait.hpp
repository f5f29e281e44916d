// TIME-WAIT (RFC 9293 3.6.1) as a record of 32 bytes in place of a connection. A flow is known by
// its keyed 64-bit hash alone: the segment that asks brings the addresses along, and nobody outside
// can make two flows share one (docs/decisions). Two FIFO lists, one for each duration, are each in
// order of time by themselves; when the records run out the oldest ends early.
#pragma once

#include "engine/base/clock.hpp"
#include "stack/tcp/tcp_table.hpp"
#include "stack/wire/tcp.hpp"

#include <array>
#include <cstdint>

namespace pantala::tcp {

class host;
struct conn;
struct segment_in;

struct time_wait_record {
    std::uint64_t hash = 0;
    tcp_seq snd_nxt;
    tcp_seq rcv_nxt;
    std::uint32_t ts_recent = 0; // 0 where timestamps were not in use
    std::uint32_t deadline_ms = 0;
    std::uint32_t previous = no_id;
    std::uint32_t next : 31;
    std::uint32_t brief : 1; // which list
};
static_assert(sizeof(time_wait_record) == 32);

class time_wait_table {
  public:
    explicit time_wait_table(std::uint32_t capacity) : records(capacity), by_hash(capacity) {}

    slab<time_wait_record> records;
    flow_table by_hash;

    std::uint32_t find(std::uint64_t hash) const;
    // A record for `hash` (which must not have one), at the end of its list. Recycles the oldest of
    // the longer list when none is free; `recycled` tells.
    std::uint32_t add(std::uint64_t hash, bool brief, std::uint32_t deadline_ms, bool& recycled);
    void restart(std::uint32_t id, std::uint32_t deadline_ms);
    void remove(std::uint32_t id);
    // Ends those that are due, at most `budget`; returns how many.
    unsigned expire(std::uint32_t now_ms, unsigned budget);
    std::uint32_t size() const { return records.used(); }
    instant next_deadline(instant now) const;

  private:
    struct list {
        std::uint32_t head = no_id;
        std::uint32_t tail = no_id;
    };
    void append(std::uint32_t id);
    void unlink(std::uint32_t id);

    std::array<list, 2> lists_;
};

// The connection's last FIN is acknowledged: its record takes over, the application keeps what is
// left to read.
void enter_time_wait(host& h, conn& c);

enum class time_wait_answer : std::uint8_t {
    not_here, // no such record
    done,     // answered or ignored
    reopen,   // a SYN that may open the connection anew; the record is gone
};
time_wait_answer
time_wait_input(host& h, const segment_in& segment, std::uint64_t hash, tcp_seq& above);

} // namespace pantala::tcp
