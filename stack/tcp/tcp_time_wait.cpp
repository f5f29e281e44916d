#include "stack/tcp/tcp_time_wait.hpp"

#include "stack/tcp/input/tcp_input.hpp"
#include "stack/tcp/output/tcp_output.hpp"
#include "stack/tcp/tcp_host.hpp"
#include "stack/wire/tcp.hpp"

#include <algorithm>

namespace pantala::tcp {

namespace {

constexpr std::uint32_t no_next = 0x7fffffff; // no_id in 31 bits

std::uint32_t next_of(const time_wait_record& record) {
    return record.next == no_next ? no_id : record.next;
}

constexpr std::uint32_t take_over_after_ms = 1'000; // Linux's; our clock has ticked by then

// An ACK from what the record still knows; the window is closed, nothing more is wanted.
void acknowledge(host& h, const time_wait_record& record, const segment_in& segment) {
    segment_out answer{.key = &segment.key, .seq = record.snd_nxt, .ack = record.rcv_nxt};
    answer.flags = wire::tcp_flag::ack;
    if (record.ts_recent != 0) {
        answer.has_timestamp = true;
        answer.ts_value = h.now_ms() + timestamp_offset(h, segment.key);
        answer.ts_echo = record.ts_recent;
    }
    if (send_segment(h, answer)) {
        h.stats.tw_acked.add(1);
        h.stats.sndacks.add(1);
    }
}

// The same for what does not fit, at a limited rate (RFC 5961 section 7).
void challenge(host& h, std::uint32_t id, const segment_in& segment) {
    const std::uint16_t account = h.memory.account_of(segment.key.remote);
    if (may_challenge(h, h.time_waits.challenged_ms[id], account)) {
        acknowledge(h, h.time_waits.records[id], segment);
    }
}

// RFC 6191: a SYN that is provably newer than everything of the old connection may reopen it.
bool may_reopen(const time_wait_record& record, const segment_in& segment) {
    if ((segment.flags & (wire::tcp_flag::ack | wire::tcp_flag::rst)) != 0) {
        return false;
    }
    if (record.ts_recent != 0 && segment.options.has_timestamp) {
        if (serial_less(record.ts_recent, segment.options.ts_value)) {
            return true;
        }
        if (segment.options.ts_value != record.ts_recent) {
            return false;
        }
    }
    return segment.seq > record.rcv_nxt;
}

} // namespace

std::uint32_t time_wait_table::find(std::uint64_t hash) const {
    return by_hash.find(hash, [&](std::uint32_t id) { return records[id].hash == hash; });
}

std::uint32_t
time_wait_table::add(std::uint64_t hash, bool brief, std::uint32_t now_ms, bool& recycled) {
    recycled = false;
    std::uint32_t id = records.allocate();
    if (id == no_id) {
        const std::uint32_t oldest = lists_[0].head != no_id ? lists_[0].head : lists_[1].head;
        if (oldest == no_id) {
            return no_id; // a table of no records
        }
        remove(oldest);
        recycled = true;
        id = records.allocate();
    }
    time_wait_record& record = records[id];
    record.hash = hash;
    record.since_ms = now_ms;
    record.brief = brief ? 1 : 0;
    challenged_ms[id] = 0;
    append(id);
    by_hash.insert(hash, id);
    return id;
}

void time_wait_table::restart(std::uint32_t id, std::uint32_t now_ms) {
    unlink(id);
    records[id].since_ms = now_ms;
    append(id);
}

void time_wait_table::remove(std::uint32_t id) {
    unlink(id);
    by_hash.erase(records[id].hash, id);
    records.release(id);
}

unsigned
time_wait_table::expire(std::uint32_t now_ms, const time_wait_intervals& last, unsigned budget) {
    unsigned ended = 0;
    for (unsigned brief = 0; brief < lists_.size(); ++brief) {
        const list& order = lists_[brief];
        while (ended < budget && order.head != no_id &&
               now_ms - records[order.head].since_ms >= last.of(brief)) {
            remove(order.head);
            ++ended;
        }
    }
    return ended;
}

instant time_wait_table::next_deadline(instant now, const time_wait_intervals& last) const {
    instant earliest = instant::never();
    for (unsigned brief = 0; brief < lists_.size(); ++brief) {
        if (const std::uint32_t first = lists_[brief].head; first != no_id) {
            const std::uint32_t waited =
                static_cast<std::uint32_t>(now.ms()) - records[first].since_ms;
            const std::uint32_t ahead = last.of(brief) - std::min(waited, last.of(brief));
            earliest = std::min(earliest, instant{(now.ms() + ahead) * ns_per_ms});
        }
    }
    return earliest;
}

void time_wait_table::append(std::uint32_t id) {
    list& order = lists_[records[id].brief];
    records[id].previous = order.tail;
    records[id].next = no_next;
    if (order.tail == no_id) {
        order.head = id;
    } else {
        records[order.tail].next = id & no_next;
    }
    order.tail = id;
}

void time_wait_table::unlink(std::uint32_t id) {
    const time_wait_record& record = records[id];
    list& order = lists_[record.brief];
    const std::uint32_t next = next_of(record);
    if (record.previous == no_id) {
        order.head = next;
    } else {
        records[record.previous].next = record.next;
    }
    if (next == no_id) {
        order.tail = record.previous;
    } else {
        records[next].previous = record.previous;
    }
}

time_wait_intervals time_wait_intervals_of(const host& h) {
    const std::uint32_t longer = h.config.time_wait_ms;
    return {longer, std::min(longer, h.config.msl_ms)};
}

void enter_time_wait(host& h, conn& c) {
    h.stats.tw_started.add(1);
    if (c.has(conn_flag::in_table)) {
        h.table.erase(c.hash, h.id_of(c));
        c.clear(conn_flag::in_table);
    }
    const bool brief = h.config.time_wait_ms <= h.config.msl_ms;
    bool recycled = false;
    const std::uint32_t id = h.time_waits.add(c.hash, brief, h.now_ms(), recycled);
    h.stats.tw_recycled.add(recycled ? 1 : 0);
    if (id != no_id) {
        time_wait_record& record = h.time_waits.records[id];
        record.snd_nxt = c.snd_nxt;
        record.rcv_nxt = c.rcv_nxt;
        record.ts_recent = c.has(conn_flag::timestamps) ? c.ts_recent : 0;
    }
    if (c.has(conn_flag::ack_now)) { // of the peer's FIN; the record answers the next
        send_ack(h, c);
    }
    c.state = conn_state::time_wait;
    h.finish(c, conn_error::none);
}

time_wait_answer
time_wait_input(host& h, const segment_in& segment, std::uint64_t hash, tcp_seq& above) {
    const std::uint32_t id = h.time_waits.find(hash);
    if (id == no_id) {
        return time_wait_answer::not_here;
    }
    time_wait_record& record = h.time_waits.records[id];
    if ((segment.flags & wire::tcp_flag::rst) != 0) {
        return time_wait_answer::done; // RFC 1337: TIME-WAIT is not assassinated
    }
    if ((segment.flags & wire::tcp_flag::syn) != 0) {
        if (may_reopen(record, segment)) {
            above = record.snd_nxt;
            return time_wait_answer::may_reopen;
        }
        challenge(h, id, segment); // RFC 5961 section 4
        return time_wait_answer::done;
    }
    // RFC 9293 3.10.7.4: what can arrive is the peer's FIN again: acknowledge it and start anew.
    if ((segment.flags & wire::tcp_flag::fin) != 0 &&
        segment.seq + segment.length + 1 == record.rcv_nxt) {
        h.time_waits.restart(id, h.now_ms());
        acknowledge(h, record, segment);
        return time_wait_answer::done;
    }
    // Old data or another FIN is answered; a bare ACK never, or two such records could talk for
    // ever.
    if (segment.length > 0 || (segment.flags & wire::tcp_flag::fin) != 0) {
        challenge(h, id, segment);
    }
    return time_wait_answer::done;
}

void time_wait_settle(
    host& h, const segment_in& segment, std::uint64_t hash, bool heard, bool reopened) {
    const std::uint32_t id = h.time_waits.find(hash);
    if (id == no_id) {
        return;
    }
    if (reopened) {
        h.stats.tw_reused.add(1);
        h.time_waits.remove(id);
    } else if (!heard) { // RFC 9293 3.10.7.4, TIME-WAIT, by way of RFC 5961 section 4
        challenge(h, id, segment);
    }
}

bool may_take_over(const host& h, std::uint32_t id) {
    const time_wait_record& record = h.time_waits.records[id];
    return record.ts_recent != 0 && h.config.timestamps &&
           h.now_ms() - record.since_ms > take_over_after_ms;
}

} // namespace pantala::tcp
